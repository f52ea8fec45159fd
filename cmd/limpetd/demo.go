package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func newDemo() *cobra.Command {
	once := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show two daemons, each with its own bus, carry messages",
		Long: `demo starts two limpetd processes, each with an embedded bus, links them over
gRPC on a Unix socket, and carries an announcement, a request and its reply, a
stateful request, and a request whose replier has gone. It shows each message's
ids on either side. Then it cuts the link for two seconds in the middle of
traffic, and kills one of the daemons and starts it again. Then it leaves them
running until it is interrupted, so that you can look into them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "stop the daemons when all has been shown")
	return cmd
}

// A demo is two daemons and a client on each one's bus.
type demo struct {
	out    io.Writer
	saying sync.Mutex
	dir    string
	a, b   *client.Bus
	cable  *cable
	far    *process // the daemon of network 2
	step   int
}

func runDemo(ctx context.Context, out, errOut io.Writer, once bool) (err error) {
	dir, err := os.MkdirTemp("", "limpetd-demo-")
	if err != nil {
		return fmt.Errorf("making a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &demo{out: out, dir: dir}
	d.say("Two daemons, each with an embedded bus of its own, joined by a Unix socket that the demo can cut")
	d.cable, err = newCable(filepath.Join(dir, "link.sock"), filepath.Join(dir, "a.sock"))
	if err != nil {
		return err
	}
	defer d.cable.close()
	a := &process{network: "1", args: d.args("1", "a", "--listen", d.cable.to), errOut: errOut}
	d.far = &process{network: "2", args: d.args("2", "b", "--connect", d.cable.at), errOut: errOut}
	for _, p := range []*process{a, d.far} {
		if err := d.start(p); err != nil {
			return err
		}
		defer p.stop()
	}
	for _, side := range []struct {
		name string
		bus  **client.Bus
	}{{"a", &d.a}, {"b", &d.b}} {
		bus, err := client.Open(d.api(side.name))
		if err != nil {
			return err
		}
		defer bus.Close() //nolint:errcheck // it is only read
		*side.bus = bus
	}
	startup, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for _, bus := range []*client.Bus{d.a, d.b} {
		if err := bus.WaitReady(startup); err != nil {
			return fmt.Errorf("a daemon of the demo did not start: %w", err)
		}
		if err := bus.WaitLinked(startup, 1); err != nil {
			return fmt.Errorf("the daemons of the demo did not link: %w", err)
		}
	}
	for _, show := range []func(context.Context) error{d.announcement, d.request, d.stateful, d.gone, d.cut, d.killed} {
		showing, stop := context.WithTimeout(ctx, 30*time.Second)
		err := show(showing)
		stop()
		if err != nil {
			return fmt.Errorf("the demo failed: %w", err)
		}
	}
	if once {
		d.say("\nAll was carried.")
		return nil
	}
	d.say("\nAll was carried. The daemons go on until you press Ctrl-C; look into them from another terminal:")
	d.say("  go run ./cmd/limpetctl --api %s status", d.api("a"))
	d.say("  go run ./cmd/limpetctl --api %s listen '$.*'", d.api("b"))
	d.say("  grpcurl -plaintext -unix %s list", d.api("a"))
	<-ctx.Done()
	return nil
}

func (d *demo) api(side string) string { return filepath.Join(d.dir, "api-"+side+".sock") }

func (d *demo) say(format string, args ...any) {
	d.saying.Lock()
	defer d.saying.Unlock()
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *demo) title(what string) {
	d.step++
	d.say("\n%d. %s", d.step, what)
}

func (d *demo) show(network int, what string, m *kbusdev.Message) {
	ids := fmt.Sprintf("id %v", m.ID)
	if m.IsReply() {
		ids += fmt.Sprintf(" in_reply_to %v", m.InReplyTo)
	}
	ids += fmt.Sprintf(" from %d", m.From)
	if m.To != 0 {
		ids += fmt.Sprintf(" to %d", m.To)
	}
	if !m.OrigFrom.IsZero() {
		ids += fmt.Sprintf(" orig_from %v", m.OrigFrom)
	}
	if !m.FinalTo.IsZero() {
		ids += fmt.Sprintf(" final_to %v", m.FinalTo)
	}
	d.say("   network %d: %-22s %-26s %s  %q", network, what, m.Name, ids, m.Data)
}

func (d *demo) announcement(ctx context.Context) error {
	d.title("An announcement, heard by listeners on both buses")
	near, err := d.a.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*"}})
	if err != nil {
		return err
	}
	defer near.Close()
	far, err := d.b.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*"}})
	if err != nil {
		return err
	}
	defer far.Close()
	// It goes over the link once that knows that somebody listens there.
	if err := d.a.WaitInterest(ctx, "$.Weather.Rain", 1); err != nil {
		return err
	}
	if _, err := d.a.Send(ctx, &kbusdev.Message{Name: "$.Weather.Rain", Data: []byte("from noon")}); err != nil {
		return err
	}
	for i, l := range []*client.Listener{near, far} {
		m, err := l.Recv()
		if err != nil {
			return err
		}
		d.show(i+1, "the listener hears", m)
	}
	return nil
}

// waitReplier waits until a replier's binding has crossed the link.
func (d *demo) waitReplier(ctx context.Context, bus *client.Bus, name string, want bool) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		_, _, found, err := bus.FindReplier(ctx, name)
		if err != nil || found == want {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends a request on bus a, and lets the replier on bus b answer it, if it is
// to. It returns the reply as it was read on bus a.
func (d *demo) ask(ctx context.Context, r *client.Replier, q *kbusdev.Message, answer string) (*kbusdev.Message, error) {
	served := make(chan error, 1)
	go func() {
		m, err := r.Recv()
		if err != nil {
			served <- err
			return
		}
		d.show(2, "the replier reads", m)
		if answer == "" {
			d.say("   network 2: the replier goes away without an answer")
			r.Close()
			served <- nil
			return
		}
		served <- r.Reply(m, "", []byte(answer))
	}()
	d.say("   network 1: %-22s %-26s  %q", "a program asks", q.Name, q.Data)
	reply, err := d.call(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := <-served; err != nil {
		return nil, err
	}
	d.show(1, "the asker reads", reply)
	return reply, nil
}

// call returns the reply to a request on network 1, be it a replier's or the bus's.
func (d *demo) call(ctx context.Context, q *kbusdev.Message) (*kbusdev.Message, error) {
	reply, err := d.a.Call(ctx, q)
	var none *client.NoAnswerError
	if errors.As(err, &none) && none.Reply != nil {
		return none.Reply, nil
	}
	return reply, err
}

func (d *demo) request(ctx context.Context) error {
	d.title("A request on network 1, answered by a replier on network 2")
	r, err := d.b.Serve(ctx, 0, "$.Clock.*")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.waitReplier(ctx, d.a, "$.Clock.Now", true); err != nil {
		return err
	}
	_, err = d.ask(ctx, r, &kbusdev.Message{Name: "$.Clock.Now", Data: []byte("what time is it?")}, time.Now().Format(time.TimeOnly))
	return err
}

func (d *demo) stateful(ctx context.Context) error {
	d.title("A stateful request: the same replier, or none")
	r, err := d.b.Serve(ctx, 0, "$.Counter")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.waitReplier(ctx, d.a, "$.Counter", true); err != nil {
		return err
	}
	first, err := d.ask(ctx, r, &kbusdev.Message{Name: "$.Counter", Data: []byte("start")}, "1")
	if err != nil {
		return err
	}
	d.say("   the next request goes to Ksock %d here, and to %v in the end", first.From, first.OrigFrom)
	second, err := d.ask(ctx, r, &kbusdev.Message{Name: "$.Counter", Data: []byte("count"), To: first.From, FinalTo: first.OrigFrom}, "2")
	if err != nil {
		return err
	}
	r.Close()
	if err := d.waitReplier(ctx, d.a, "$.Counter", false); err != nil {
		return err
	}
	other, err := d.b.Serve(ctx, 0, "$.Counter")
	if err != nil {
		return err
	}
	defer other.Close()
	if err := d.waitReplier(ctx, d.a, "$.Counter", true); err != nil {
		return err
	}
	d.say("   network 2: another replier has taken the name")
	reply, err := d.call(ctx, &kbusdev.Message{Name: "$.Counter", Data: []byte("count"), To: second.From, FinalTo: second.OrigFrom})
	if err != nil {
		return err
	}
	d.show(1, "the asker reads", reply)
	return nil
}

func (d *demo) gone(ctx context.Context) error {
	d.title("A request whose replier goes away: the asker is told")
	r, err := d.b.Serve(ctx, 0, "$.Oracle")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.waitReplier(ctx, d.a, "$.Oracle", true); err != nil {
		return err
	}
	_, err = d.ask(ctx, r, &kbusdev.Message{Name: "$.Oracle", Data: []byte("will it rain?")}, "")
	return err
}
