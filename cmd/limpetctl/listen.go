package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A listening is what limpetctl listen is told.
type listening struct {
	cfg     client.ListenConfig
	count   int
	lasts   time.Duration
	exclude []string
	retry   bool
}

func (o *options) newListen() *cobra.Command {
	var l listening
	cmd := &cobra.Command{
		Use:   "listen NAME...",
		Short: "Print what is heard of names and wildcards",
		Long: `listen prints the messages of these names: on a terminal with what KBUS says of them,
else the data alone, a line for each.`,
		Example: "  limpetctl listen '$.Weather.*'\n  limpetctl listen '$.*' --exclude '$.KBUS.*' --for 10s",
		Args:    args(cobra.MinimumNArgs(1)), ValidArgsFunction: o.completeNames(kbusdev.Listener),
		RunE: func(cmd *cobra.Command, words []string) error {
			l.cfg.Names = words
			for _, name := range l.exclude {
				if err := kbusdev.CheckBindName(name); err != nil {
					return &usageError{fmt.Errorf("--exclude %q: %w", name, err)}
				}
			}
			ctx := cmd.Context()
			if l.lasts > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, l.lasts)
				defer cancel()
			}
			err := o.withBus(func(bus *client.Bus) error { return o.listen(ctx, cmd, bus, &l) })
			// The clock, not the context: gRPC sees that the time is over before ctx has ended.
			if end, lasts := ctx.Deadline(); lasts && !time.Now().Before(end) {
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&l.count, "count", 0, "stop after `N` messages; 0 goes on")
	f.DurationVar(&l.lasts, "for", 0, "stop after this `DURATION`; 0 goes on")
	f.StringSliceVar(&l.exclude, "exclude", nil, "leave out what this `NAME`, perhaps a wildcard, matches (repeatable)")
	f.BoolVar(&l.retry, "retry", false, "listen again when the daemon has gone and comes back, and wait for it if it is not there; what is said meanwhile is missed")
	f.Uint32Var(&l.cfg.MaxMessages, "max-messages", 0, "let `N` messages wait before the bus drops more; 0 is the bus's own bound")
	f.BoolVar(&l.cfg.OnlyOnce, "only-once", false, "print a message once that several of the names match")
	return cmd
}

// retryAfter is how long to wait before listening again.
const retryAfter = 500 * time.Millisecond

// listen prints messages until there were enough, and begins again after an error if it
// is to retry.
func (o *options) listen(ctx context.Context, cmd *cobra.Command, bus *client.Bus, l *listening) error {
	said := ""
	for n := 0; ; {
		err := o.listenOnce(ctx, cmd, bus, l, &n)
		var refused *client.StatusError
		if err == nil || !l.retry || ctx.Err() != nil || !errors.As(err, &refused) || refused.Code != codes.Unavailable {
			return err
		}
		if err.Error() != said {
			said = err.Error()
			printable.Fprintf(cmd.ErrOrStderr(), "limpetctl: %v; listening again when it is there\n", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listenOnce prints messages, counted in n, until there were enough.
func (o *options) listenOnce(ctx context.Context, cmd *cobra.Command, bus *client.Bus, l *listening, n *int) error {
	from, err := bus.Listen(ctx, l.cfg)
	if err != nil {
		return err
	}
	defer from.Close()
	for l.count == 0 || *n < l.count {
		m, err := from.Recv()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(l.exclude, func(name string) bool { return kbusdev.Matches(name, m.Name) }) {
			continue
		}
		if err := o.printLine(cmd.OutOrStdout(), m); err != nil {
			return err
		}
		*n++
	}
	return nil
}
