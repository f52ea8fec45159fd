package main

import (
	"context"
	"encoding/json"
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
			v := judge(st, err, minLinks)
			line := v.line()
			if o.json {
				b, err := json.Marshal(v.object())
				if err != nil {
					return err
				}
				line = string(printable.JSON(b))
			}
			if v.health == healthOK {
				_, err := printable.Fprintf(cmd.OutOrStdout(), "%s\n", line)
				return err
			}
			return &checkError{v.health, line}
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		v := judge(nil, &usageError{err}, 0)
		return &checkError{v.health, v.line()}
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

// A verdict is what a check says.
type verdict struct {
	health             health
	problems           []string // empty if there are none
	up, links          int
	open, lost, missed uint64
	asked              bool // whether the daemon has answered; else the numbers mean nothing
}

// line returns the verdict as monitoring plugins say it.
func (v *verdict) line() string {
	said := strings.Join(v.problems, "; ")
	if said == "" {
		said = fmt.Sprintf("%d of %d links up", v.up, v.links)
	}
	line := fmt.Sprintf("LIMPETD %v - %s", v.health, said)
	if v.asked {
		line += fmt.Sprintf(" | links_up=%d open_requests=%d lost=%dc api_missed=%dc", v.up, v.open, v.lost, v.missed)
	}
	return line
}

func (v *verdict) object() object {
	problems := v.problems
	if problems == nil {
		problems = []string{} // not null
	}
	return object{
		{"health", strings.ToLower(v.health.String())}, {"problems", problems}, {"links_up", v.up}, {"links", v.links},
		{"open_requests", v.open}, {"lost", v.lost}, {"api_missed", v.missed},
	}
}

// judge returns what a status, or the error of asking for it, is worth.
func judge(st *pb.GetStatusResponse, err error, minLinks int) *verdict {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return &verdict{health: healthUnknown, problems: []string{err.Error()}}
	case err != nil:
		return &verdict{health: healthCritical, problems: []string{err.Error()}}
	}
	v := &verdict{asked: true, links: len(st.GetLinks()), missed: st.GetApiMissed()}
	for _, l := range st.GetLinks() {
		v.open += l.GetCounts().GetOpen()
		v.lost += lost(l)
		switch l.GetState() {
		case pb.LinkState_LINK_STATE_UP:
			v.up++
			continue
		case pb.LinkState_LINK_STATE_DETACHED, pb.LinkState_LINK_STATE_DRAINING:
			v.health = max(v.health, healthWarning)
		default:
			if !l.GetDialled() { // a peer that has gone; whether it is missed, --links says
				continue
			}
			v.health = healthCritical
		}
		since := time.Since(l.GetSince().AsTime()).Round(time.Second)
		v.problems = append(v.problems, fmt.Sprintf("%s is %s for %v", l.GetName(), stateOf(l), since))
	}
	if v.up < minLinks {
		v.health = healthCritical
		v.problems = append(v.problems, fmt.Sprintf("%d links are up, not %d", v.up, minLinks))
	}
	return v
}
