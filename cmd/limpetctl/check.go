package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// A health is what a check finds, with the exit code of monitoring plugins.
type health int

const (
	healthOK health = iota
	healthWarning
	healthCritical
	healthUnknown
)

// String returns the health as monitoring plugins print it.
func (h health) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[h]
}

// A checkError ends the program with the exit code of a health.
type checkError struct {
	health health
	line   string
}

func (e *checkError) Error() string { return e.line }

func (o *options) newCheck() *cobra.Command {
	minLinks := -1
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say in one line whether all is well, for monitoring",
		Long: `check prints one line, with performance data behind "|", and exits as monitoring
plugins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

CRITICAL: no daemon answers, a link that limpetd dials is not up, or fewer links are
up than --links says. WARNING: a link is broken and waits to be resumed, or is being
drained. UNKNOWN: the check itself cannot be made.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := o.statusForCheck(cmd.Context())
			h, line := judge(st, err, minLinks)
			if h == healthOK {
				_, err := printable.Fprintf(cmd.OutOrStdout(), "%s\n", line)
				return err
			}
			return &checkError{h, line}
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		h, line := judge(nil, &usageError{err}, 0)
		return &checkError{h, line}
	})
	cmd.Flags().IntVar(&minLinks, "links", -1, "CRITICAL unless `N` links are up")
	return cmd
}

func (o *options) statusForCheck(ctx context.Context) (st *pb.GetStatusResponse, err error) {
	err = o.withBus(func(bus *client.Bus) error {
		ctx, cancel := o.limited(ctx)
		defer cancel()
		st, err = bus.Status(ctx)
		return err
	})
	return st, err
}

// judge returns what a status, or the error of asking for it, is worth, and the line that
// says so.
func judge(st *pb.GetStatusResponse, err error, minLinks int) (health, string) {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return healthUnknown, fmt.Sprintf("LIMPETD %v - %v", healthUnknown, err)
	case err != nil:
		return healthCritical, fmt.Sprintf("LIMPETD %v - %v", healthCritical, err)
	}
	h := healthOK
	up, open, lostSum := 0, uint64(0), uint64(0)
	var wrong []string
	for _, l := range st.GetLinks() {
		open += l.GetCounts().GetOpen()
		lostSum += lost(l)
		switch l.GetState() {
		case pb.LinkState_LINK_STATE_UP:
			up++
			continue
		case pb.LinkState_LINK_STATE_DETACHED, pb.LinkState_LINK_STATE_DRAINING:
			h = max(h, healthWarning)
		default:
			if !l.GetDialled() { // a peer that has gone; whether it is missed, --links says
				continue
			}
			h = healthCritical
		}
		since := time.Since(l.GetSince().AsTime()).Round(time.Second)
		wrong = append(wrong, fmt.Sprintf("%s is %s for %v", l.GetName(), stateOf(l), since))
	}
	if up < minLinks {
		h = healthCritical
		wrong = append(wrong, fmt.Sprintf("%d links are up, not %d", up, minLinks))
	}
	said := fmt.Sprintf("%d of %d links up", up, len(st.GetLinks()))
	if len(wrong) > 0 {
		said = strings.Join(wrong, "; ")
	}
	return h, fmt.Sprintf("LIMPETD %v - %s | links_up=%d open_requests=%d lost=%dc api_missed=%dc", h, said, up, open, lostSum, st.GetApiMissed())
}
