package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newLatency() *cobra.Command {
	var d data
	count, every := 10, time.Second
	cmd := &cobra.Command{
		Use:   "latency NAME [TEXT...]",
		Short: "Ask again and again, and say how long the answers take",
		Long: `latency sends a request, waits for its reply, and does it again after --every. It
prints the time of each, and at the end the least, the median, the 99th hundredth and
the most. A request that gets no answer is counted, and makes the exit code 3.`,
		Example: "  limpetctl latency '$.Clock.Now' --count 100 --every 10ms",
		Args:    args(cobra.MinimumNArgs(1)), ValidArgsFunction: o.completeNames(kbusdev.Replier),
		RunE: func(cmd *cobra.Command, words []string) error {
			b, err := d.read(cmd.Context(), words[1:])
			if err != nil {
				return err
			}
			return o.withBus(func(bus *client.Bus) error {
				return o.latency(cmd, bus, &kbusdev.Message{Name: words[0], Data: b}, count, every)
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().IntVar(&count, "count", count, "stop after `N` requests; 0 goes on")
	cmd.Flags().DurationVar(&every, "every", every, "wait for this `DURATION` between two requests")
	return cmd
}

// latency asks count times, and says how long it took.
func (o *options) latency(cmd *cobra.Command, bus *client.Bus, q *kbusdev.Message, count int, every time.Duration) error {
	caller := bus.Caller()
	defer caller.Close() //nolint:errcheck // nothing to be done about it
	var took times
	var none *client.NoAnswerError
	var last error
	asked := 0
	for ; count == 0 || asked < count; asked++ {
		if asked > 0 {
			select {
			case <-time.After(every):
			case <-cmd.Context().Done():
			}
		}
		begun := time.Now()
		err := o.askOnce(cmd.Context(), caller, q)
		if cmd.Context().Err() != nil {
			break // what there is so far is still worth saying
		}
		switch {
		case err == nil:
			d := time.Since(begun)
			took.add(d)
			if o.format == formatText {
				printable.Fprintf(cmd.OutOrStdout(), "%s: %v\n", q.Name, d)
			}
		case errors.As(err, &none) && none.Reply != nil:
			last = err
			printable.Fprintf(cmd.ErrOrStderr(), "limpetctl: %v\n", err)
		default:
			return err
		}
	}
	if err := o.printTimes(cmd, asked, &took); err != nil {
		return err
	}
	if last != nil {
		return &saidError{last}
	}
	return cmd.Context().Err()
}

func (o *options) askOnce(ctx context.Context, caller *client.Caller, q *kbusdev.Message) error {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	_, err := caller.Call(ctx, q)
	return err
}

// printTimes prints how long answers took.
func (o *options) printTimes(cmd *cobra.Command, asked int, took *times) error {
	s := took.summary()
	if o.format == formatJSON {
		return o.printJSON(cmd.OutOrStdout(), append(object{{"asked", asked}, {"answered", took.count}}, s.members()...))
	}
	_, err := printable.Fprintf(cmd.OutOrStdout(), "%d asked, %d answered: %v\n", asked, took.count, s)
	return err
}
