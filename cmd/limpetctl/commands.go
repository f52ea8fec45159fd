package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func (o *options) newSend() *cobra.Command {
	var d data
	var urgent, allOrFail, allOrWait bool
	cmd := &cobra.Command{
		Use:     "send NAME [TEXT...]",
		Short:   "Send an announcement",
		Example: "  limpetctl send '$.Weather.Rain' from noon",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			b, err := d.read(words[1:])
			if err != nil {
				return err
			}
			m := &kbusdev.Message{Name: words[0], Data: b}
			for _, f := range []struct {
				set  bool
				flag kbusdev.Flags
			}{{urgent, kbusdev.Urgent}, {allOrFail, kbusdev.AllOrFail}, {allOrWait, kbusdev.AllOrWait}} {
				if f.set {
					m.Flags |= f.flag
				}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				id, err := bus.Send(ctx, m)
				if err != nil {
					return err
				}
				if o.json {
					return o.printJSON(cmd.OutOrStdout(), map[string]string{"id": id.String()})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "sent %s with id %s\n", m.Name, id)
				return err
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().BoolVar(&urgent, "urgent", false, "go to the front of the listeners' queues")
	cmd.Flags().BoolVar(&allOrFail, "all-or-fail", false, "fail unless every listener has room")
	cmd.Flags().BoolVar(&allOrWait, "all-or-wait", false, "wait until every listener has room")
	cmd.MarkFlagsMutuallyExclusive("all-or-fail", "all-or-wait")
	return cmd
}

func (o *options) newCall() *cobra.Command {
	var d data
	var to uint32
	var finalTo string
	var urgent bool
	cmd := &cobra.Command{
		Use:     "call NAME [TEXT...]",
		Short:   "Send a request and print its reply",
		Example: "  limpetctl call '$.Clock.Now'\n  limpetctl call --to 2 --final-to 2:5 '$.Counter' count",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			b, err := d.read(words[1:])
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
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				reply, err := bus.Call(ctx, q)
				var none *client.NoAnswerError
				switch {
				case errors.As(err, &none) && none.Reply != nil:
					if o.json {
						s := show(none.Reply)
						s.Outcome, s.Reason = none.Outcome.String(), none.Reason
						if err := o.printJSON(cmd.OutOrStdout(), s); err != nil {
							return err
						}
					}
					return err
				case errors.Is(err, context.DeadlineExceeded):
					return fmt.Errorf("no answer to %s within %v; --timeout waits longer (%w)", q.Name, o.timeout, outcomeOf(err))
				case err != nil:
					return err
				}
				return o.print(cmd.OutOrStdout(), reply)
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().Uint32Var(&to, "to", 0, "stateful: the `KSOCK` that must reply, the from of the reply before")
	cmd.Flags().StringVar(&finalTo, "final-to", "", "stateful across limpets: the `NETWORK:KSOCK` that must reply, the orig_from of the reply before")
	cmd.Flags().BoolVar(&urgent, "urgent", false, "go to the front of the replier's queue")
	return cmd
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

func (o *options) newListen() *cobra.Command {
	var count int
	var cfg client.ListenConfig
	cmd := &cobra.Command{
		Use:     "listen NAME...",
		Short:   "Print what is heard of names and wildcards",
		Example: "  limpetctl listen '$.Weather.*'",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			cfg.Names = words
			return o.withBus(func(bus *client.Bus) error {
				l, err := bus.Listen(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				defer l.Close()
				for n := 0; count == 0 || n < count; n++ {
					m, err := l.Recv()
					if err != nil {
						return err
					}
					if err := o.print(cmd.OutOrStdout(), m); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "stop after `N` messages; 0 goes on")
	cmd.Flags().Uint32Var(&cfg.MaxMessages, "max-messages", 0, "let `N` messages wait before the bus drops more; 0 is the bus's own bound")
	cmd.Flags().BoolVar(&cfg.OnlyOnce, "only-once", false, "print a message once that several of the names match")
	return cmd
}

func (o *options) newReply() *cobra.Command {
	var d data
	var command, name string
	var count int
	cmd := &cobra.Command{
		Use:   "reply NAME [TEXT...]",
		Short: "Reply to requests, with a fixed answer or a command's output",
		Long: `reply binds NAME, perhaps a wildcard, as replier and answers each request with the
TEXT, or with what a shell command prints: it gets the request's data on standard
input, and its name, id and asker as KBUS_NAME, KBUS_ID and KBUS_FROM.`,
		Example: "  limpetctl reply '$.Clock.*' --command date\n  limpetctl reply '$.Ask' 42",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			fixed, err := d.read(words[1:])
			if err != nil {
				return err
			}
			if command != "" && len(fixed) > 0 {
				return &usageError{errors.New("give an answer or a --command, not both")}
			}
			return o.withBus(func(bus *client.Bus) error {
				r, err := bus.Serve(cmd.Context(), 0, words[0])
				if err != nil {
					return err
				}
				defer r.Close()
				for n := 0; count == 0 || n < count; n++ {
					q, err := r.Recv()
					var no *kbusdev.OpError
					if errors.As(err, &no) {
						fmt.Fprintf(cmd.ErrOrStderr(), "limpetctl: %v\n", no)
						continue
					}
					if err != nil {
						return err
					}
					if err := o.print(cmd.OutOrStdout(), q); err != nil {
						return err
					}
					answer, answerName := fixed, name
					if command != "" {
						if answer, err = runFor(cmd.Context(), command, q); err != nil {
							fmt.Fprintf(cmd.ErrOrStderr(), "limpetctl: the command for %s failed: %v\n", q.ID, err)
						}
					}
					if err := r.Reply(q, answerName, answer); err != nil {
						return err
					}
				}
				return r.Finish()
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&command, "command", "", "run a shell `COMMAND` per request and reply with its output")
	cmd.Flags().StringVar(&name, "name", "", "the reply's `NAME`; the request's own if empty")
	cmd.Flags().IntVar(&count, "count", 0, "stop after `N` requests; 0 goes on")
	return cmd
}

func runFor(ctx context.Context, command string, q *kbusdev.Message) ([]byte, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Stdin = bytes.NewReader(q.Data)
	c.Stderr = os.Stderr
	c.Env = append(os.Environ(), "KBUS_NAME="+q.Name, "KBUS_ID="+q.ID.String(), fmt.Sprintf("KBUS_FROM=%d", q.From))
	return c.Output()
}

func (o *options) newBindings() *cobra.Command {
	return &cobra.Command{
		Use:   "bindings",
		Short: "List what is bound on the bus, newest first",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				for page, err := range bus.BindingPages(ctx, 0) {
					if err != nil {
						return err
					}
					if err := o.printBindings(cmd.OutOrStdout(), page); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// printBindings prints bindings as a table, or as JSON.
func (o *options) printBindings(out io.Writer, all []kbusdev.Binding) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range all {
		var err error
		if o.json {
			err = o.printJSON(out, map[string]any{"ksock": b.Ksock, "role": b.Role.String(), "name": b.Name})
		} else {
			_, err = fmt.Fprintf(w, "ksock %d\t%s\t%s\n", b.Ksock, b.Role, b.Name)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func (o *options) newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what the daemon is doing",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				st, err := bus.Status(ctx)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if o.json {
					return o.printProto(cmd, st)
				}
				fmt.Fprintf(out, "limpetd %s on bus %s, network %d, %d bindings, since %s\n",
					st.GetVersion(), st.GetBus(), st.GetNetworkId(), st.GetBindings(), st.GetStartTime().AsTime().Local().Format("2006-01-02 15:04:05"))
				for _, where := range st.GetInsecure() {
					fmt.Fprintf(out, "INSECURE: %s has no TLS, so anybody can join there, or read and change what is sent\n", where)
				}
				if n := st.GetApiMissed(); n > 0 {
					fmt.Fprintf(out, "programs that listen through the API have missed %d messages\n", n)
				}
				for _, l := range st.GetLinks() {
					state := stateOf(l)
					fmt.Fprintf(out, "\n%s: %s", l.GetName(), state)
					if l.GetPeerNetworkId() != 0 {
						fmt.Fprintf(out, ", network %d", l.GetPeerNetworkId())
					}
					if n := l.GetNetworksBehind(); len(n) > 0 {
						fmt.Fprintf(out, " and behind it %v", n)
					}
					if l.GetTransport() != "" {
						fmt.Fprintf(out, ", %s", otherEnd(l))
					}
					fmt.Fprintf(out, ", %d epochs, resumed %d times", l.GetEpochs(), l.GetResumed())
					if l.GetLastError() != "" && state != "up" {
						fmt.Fprintf(out, "\n  %s", l.GetLastError())
					}
					if c := l.GetCounts(); c != nil {
						fmt.Fprintf(out, "\n  requests  %d taken = %d replied + %d answered by the limpet + %d open; %d of the peer's open\n",
							c.GetRequests(), c.GetReplies(), c.GetSynthetic(), c.GetOpen(), c.GetAsked())
						fmt.Fprintf(out, "  from bus  %d read, %d in flight, ended %v\n", c.GetFromBus(), c.GetFromBusInFlight(), c.GetFromBusEnded())
						fmt.Fprintf(out, "  from peer %d brought, %d in flight, ended %v\n", c.GetFromPeer(), c.GetFromPeerInFlight(), c.GetFromPeerEnded())
						fmt.Fprintf(out, "  repliers  %d known here, %d bound for the peer, %d held by local ones", c.GetRepliers(), c.GetProxies(), c.GetWishes())
					}
					fmt.Fprintln(out)
				}
				return nil
			})
		},
	}
}
