package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

const profileKindPrefix = "PROFILE_KIND_"

// profileKinds returns the kinds as they are typed.
func profileKinds() (all []string) {
	for n, name := range pb.ProfileKind_name {
		if n != 0 {
			all = append(all, strings.ToLower(strings.TrimPrefix(name, profileKindPrefix)))
		}
	}
	slices.Sort(all)
	return all
}

func (o *options) newProfile() *cobra.Command {
	var takes time.Duration
	var text bool
	cmd := &cobra.Command{
		Use:   "profile " + strings.Join(profileKinds(), "|"),
		Short: "Write what limpetd spends its time or memory on",
		Long: `profile writes a profile of the daemon to standard output: cpu and trace of the time
that --for says, heap, allocs and goroutine of now, flight what the flight recorder
has (limpetd --flight-dir). It takes the right to administer.

go tool pprof reads them, and go tool trace those of trace and flight.`,
		Example: `  limpetctl profile cpu --for 30s > cpu.pprof
  limpetctl profile goroutine --text`,
		Args:      args(cobra.ExactArgs(1)),
		ValidArgs: profileKinds(),
		RunE: func(cmd *cobra.Command, words []string) error {
			kind, known := pb.ProfileKind_value[profileKindPrefix+strings.ToUpper(words[0])]
			if !known || kind == 0 {
				return &usageError{fmt.Errorf("there is no profile %q; there are %s", words[0], strings.Join(profileKinds(), ", "))}
			}
			if takes <= 0 {
				return &usageError{fmt.Errorf("--for %v is not above 0", takes)}
			}
			if !text && isTerminal(cmd.OutOrStdout()) {
				return &usageError{errors.New("a profile is not for terminals: send it to a file, or say --text")}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx := cmd.Context()
				if o.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, o.timeout+takes)
					defer cancel()
				}
				return bus.Profile(ctx, pb.ProfileKind(kind), takes, text, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().DurationVar(&takes, "for", 10*time.Second, "for cpu and trace, watch for this `DURATION`")
	cmd.Flags().BoolVar(&text, "text", false, "write text for people, of heap, allocs and goroutine")
	return cmd
}
