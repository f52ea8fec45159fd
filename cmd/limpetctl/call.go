package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newCall() *cobra.Command {
	var d data
	var to uint32
	var finalTo string
	var urgent, all bool
	cmd := &cobra.Command{
		Use:   "call NAME [TEXT...]",
		Short: "Send a request and print its reply",
		Long: `call sends a request and prints its reply: on a terminal with what KBUS says of it,
else the reply's data alone, so that it can be used in a script.

With --all NAME is a wildcard, and the request goes to each name that it matches and
that a replier is bound to on this bus. The exit code is that of the worst answer.`,
		Example: "  limpetctl call '$.Clock.Now'\n  limpetctl call --to 2 --final-to 2:5 '$.Counter' count\n  limpetctl call --all '$.Node.*' status",
		Args:    args(cobra.MinimumNArgs(1)), ValidArgsFunction: o.completeNames(kbusdev.Replier),
		RunE: func(cmd *cobra.Command, words []string) error {
			b, err := d.read(cmd.Context(), words[1:])
			if err != nil {
				return err
			}
			q := &kbusdev.Message{Name: words[0], Data: b, To: kbusdev.KsockID(to)}
			if urgent {
				q.Flags |= kbusdev.Urgent
			}
			if finalTo != "" {
				if q.FinalTo, err = parseAddress(finalTo); err != nil {
					return &usageError{err}
				}
			}
			return o.withBus(func(bus *client.Bus) error {
				if all {
					return o.callAll(cmd, bus, q)
				}
				return o.callOne(cmd, bus, q)
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().Uint32Var(&to, "to", 0, "stateful: the `KSOCK` that must reply, the from of the reply before")
	cmd.Flags().StringVar(&finalTo, "final-to", "", "stateful across limpets: the `NETWORK:KSOCK` that must reply, the orig_from of the reply before")
	cmd.Flags().BoolVar(&urgent, "urgent", false, "go to the front of the replier's queue")
	cmd.Flags().BoolVar(&all, "all", false, "ask every replier whose name the wildcard NAME matches")
	cmd.MarkFlagsMutuallyExclusive("all", "to")
	cmd.MarkFlagsMutuallyExclusive("all", "final-to")
	return cmd
}

// callOne sends a request and prints its reply.
func (o *options) callOne(cmd *cobra.Command, bus *client.Bus, q *kbusdev.Message) error {
	reply, err := o.ask(cmd.Context(), bus, q)
	return o.printAnswer(cmd, reply, err)
}

// ask sends a request and returns its reply.
func (o *options) ask(ctx context.Context, bus *client.Bus, q *kbusdev.Message) (*kbusdev.Message, error) {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	reply, err := bus.Call(ctx, q)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no answer to %s within %v; --timeout waits longer (%w)", q.Name, o.timeout, outcomeOf(err))
	}
	return reply, err
}

// printAnswer prints a reply, and returns what the program is to end with.
func (o *options) printAnswer(cmd *cobra.Command, reply *kbusdev.Message, err error) error {
	var none *client.NoAnswerError
	switch {
	case errors.As(err, &none) && none.Reply != nil:
		if o.format == formatJSON {
			s := show(none.Reply)
			s.Outcome, s.Reason = none.Outcome.String(), none.Reason
			if err := o.printJSON(cmd.OutOrStdout(), s); err != nil {
				return err
			}
		}
		return err
	case err != nil:
		return err
	case reply.Name == commandFailed:
		return &failedCommandError{string(reply.Data)}
	default:
		return o.print(cmd.OutOrStdout(), reply)
	}
}

// A failedCommandError is a reply of limpetctl reply whose command has failed.
type failedCommandError struct{ why string }

func (e *failedCommandError) Error() string { return "the replier's command failed: " + e.why }

// maxCalls bounds how many requests callAll has open at once.
const maxCalls = 64

// callAll sends the request to every replier that its name, a wildcard, matches, and
// prints the replies by name.
func (o *options) callAll(cmd *cobra.Command, bus *client.Bus, q *kbusdev.Message) error {
	names, err := o.repliers(cmd.Context(), bus, q.Name)
	if err != nil {
		return err
	}
	type answer struct {
		reply *kbusdev.Message
		err   error
	}
	answers := make([]answer, len(names))
	slots := make(chan struct{}, maxCalls)
	var asking sync.WaitGroup
	for i, name := range names {
		one := *q
		one.Name = name
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i].reply, answers[i].err = o.ask(cmd.Context(), bus, &one)
		})
	}
	asking.Wait()
	var worst error
	for i, a := range answers {
		if err := o.printAnswer(cmd, a.reply, a.err); err != nil {
			printable.Fprintf(cmd.ErrOrStderr(), "limpetctl: %s: %v\n", names[i], err)
			if worst == nil || exitCode(err) > exitCode(worst) {
				worst = err
			}
		}
	}
	if worst != nil {
		return &saidError{worst}
	}
	return nil
}

// repliers returns the names with a replier that the wildcard matches, sorted. None is an
// error.
func (o *options) repliers(ctx context.Context, bus *client.Bus, wildcard string) ([]string, error) {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	var names []string
	for page, err := range bus.BindingPages(ctx, 0) {
		if err != nil {
			return nil, err
		}
		for _, b := range page {
			if b.Role == kbusdev.Replier && !kbusdev.IsWildcard(b.Name) && kbusdev.Matches(wildcard, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no replier is bound to a name that %s matches", wildcard)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// outcomeOf returns what an error of a call says of the request.
func outcomeOf(err error) error {
	if errors.Is(err, client.ErrMayHaveRun) {
		return client.ErrMayHaveRun
	}
	return client.ErrNeverRan
}

func parseAddress(word string) (kbusdev.Address, error) {
	network, ksock, ok := strings.Cut(strings.Trim(word, "{}"), ":")
	n, err1 := strconv.ParseUint(network, 10, 32)
	k, err2 := strconv.ParseUint(ksock, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return kbusdev.Address{}, fmt.Errorf("--final-to %q is not NETWORK:KSOCK, like 2:5", word)
	}
	return kbusdev.Address{Network: uint32(n), Local: kbusdev.KsockID(k)}, nil
}
