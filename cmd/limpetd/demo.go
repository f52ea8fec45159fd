package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
ids on either side. It cuts the link in the middle of traffic, of which nothing is
lost, and kills a daemon, after which each asker is told the truth. Then it leaves
the daemons running until it is interrupted, so that you can look into them.`,
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
	out   io.Writer
	dir   string
	a, b  *client.Bus
	cable *cable
	far   *process // the daemon of bus b
	step  int
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
	link := filepath.Join(dir, "link.sock")
	if d.cable, err = newCable(ctx, dir, link); err != nil {
		return fmt.Errorf("laying the cable of the demo: %w", err)
	}
	defer d.cable.Close() //nolint:errcheck // nothing to be done about it
	d.say("Two daemons, each with an embedded bus of its own. Their link goes through %s, a cable that can be cut", d.cable.Addr())
	near := &process{side: "a", args: []string{"--network-id", "1", "--listen", link}, errOut: errOut}
	d.far = &process{side: "b", args: []string{"--network-id", "2", "--connect", d.cable.Addr().String()}, errOut: errOut}
	for _, p := range []*process{near, d.far} {
		if err := p.start(d); err != nil {
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
	for _, show := range []func(context.Context) error{d.announcement, d.request, d.stateful, d.gone, d.cutLink, d.killed} {
		showing, stop := context.WithTimeout(ctx, 20*time.Second)
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

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) title(what string) {
	d.step++
	d.say("\n%d. %s", d.step, what)
}

// A process is a daemon of the demo.
type process struct {
	side   string
	args   []string
	errOut io.Writer
	cmd    *exec.Cmd
}

// start runs this program as a daemon.
func (p *process) start(d *demo) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	args := append([]string{"--bus", "embedded", "--api", d.api(p.side), "-v", "0"}, p.args...)
	p.cmd = exec.Command(self, args...) //nolint:noctx // it is stopped with SIGTERM, so that it drains
	p.cmd.Stderr = p.errOut
	p.cmd.Env = withoutSettings(os.Environ())
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting a daemon: %w", err)
	}
	d.say("   limpetd %s   (process %d)", strings.Join(args, " "), p.cmd.Process.Pid)
	return nil
}

// stop has the daemon drain its links, and waits until it has ended.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
}

// kill ends it at once, as a fault would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// withoutSettings keeps the caller's LIMPETD_ variables from the daemons.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, envPrefix) {
			kept = append(kept, v)
		}
	}
	return kept
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
	heard, err := d.sendUntilHeard(ctx, far)
	if err != nil {
		return err
	}
	for {
		m, err := near.Recv()
		if err != nil {
			return err
		}
		if m.ID.Serial == heard.ID.Serial {
			d.show(1, "the listener hears", m)
			d.show(2, "the listener hears", heard)
			return nil
		}
	}
}

// sendUntilHeard announces on bus a until the far listener hears it: an announcement
// crosses once the link knows that somebody listens there.
func (d *demo) sendUntilHeard(ctx context.Context, far *client.Listener) (*kbusdev.Message, error) {
	heard := make(chan *kbusdev.Message, 1)
	failed := make(chan error, 1)
	go func() {
		m, err := far.Recv()
		if err != nil {
			failed <- err
			return
		}
		heard <- m
	}()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := d.a.Send(ctx, &kbusdev.Message{Name: "$.Weather.Rain", Data: []byte("from noon")}); err != nil {
			return nil, err
		}
		select {
		case m := <-heard:
			return m, nil
		case err := <-failed:
			return nil, err
		case <-again.C:
		}
	}
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
	reply, err := d.a.Call(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := <-served; err != nil {
		return nil, err
	}
	d.show(1, "the asker reads", reply)
	return reply, nil
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
	reply, err := d.a.Call(ctx, &kbusdev.Message{Name: "$.Counter", Data: []byte("count"), To: second.From, FinalTo: second.OrigFrom})
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
