package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// How the traffic of the demo runs while the link is cut.
const (
	cutFor    = 2 * time.Second
	sendEvery = 10 * time.Millisecond
)

// cutLink shows that nothing is lost while a link is cut for some seconds.
func (d *demo) cutLink(ctx context.Context) error {
	d.title("The link is cut for some seconds, in the middle of traffic")
	far, err := d.b.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*"}, MaxMessages: 10_000})
	if err != nil {
		return err
	}
	defer far.Close()
	if _, err := d.sendUntilHeard(ctx, far); err != nil {
		return err
	}
	slow, err := d.b.Serve(ctx, 0, "$.Slow")
	if err != nil {
		return err
	}
	defer slow.Close()
	if err := d.waitReplier(ctx, d.a, "$.Slow", true); err != nil {
		return err
	}
	answer := d.call(ctx, "$.Slow")
	question, err := slow.Recv()
	if err != nil {
		return err
	}
	d.show(2, "the replier reads", question)

	sent := make(chan result[int], 1)
	traffic, stop := context.WithCancel(ctx)
	defer stop()
	go func() { n, err := d.count(traffic); sent <- result[int]{n, err} }()
	d.say("   a program on network 1 announces numbers, one every %v", sendEvery)
	if err := d.pause(ctx, cutFor/4); err != nil {
		return err
	}
	d.cable.set(true)
	d.say("   the cable is cut, for %v; meanwhile the replier answers", cutFor)
	if err := slow.Reply(question, "", []byte("here I am")); err != nil {
		return err
	}
	if err := d.pause(ctx, cutFor); err != nil {
		return err
	}
	d.cable.set(false)
	d.say("   the cable is mended")
	if err := d.pause(ctx, cutFor/4); err != nil {
		return err
	}
	stop()
	total := <-sent
	if total.err != nil {
		return total.err
	}
	reply := <-answer
	if reply.err != nil {
		return reply.err
	}
	d.show(1, "the asker reads", reply.value)
	if err := d.heardAll(far, total.value); err != nil {
		return err
	}
	st, err := d.a.Status(ctx)
	if err != nil {
		return err
	}
	for _, l := range st.GetLinks() {
		d.say("   network 2: heard %d of %d numbers, none twice, in order; the link was resumed %d times", total.value, total.value, l.GetResumed())
	}
	return nil
}

// A result is what a goroutine has come to.
type result[T any] struct {
	value T
	err   error
}

// call asks on bus a, and gives the reply later.
func (d *demo) call(ctx context.Context, name string) <-chan result[*kbusdev.Message] {
	d.say("   network 1: %-22s %s", "a program asks", name)
	c := make(chan result[*kbusdev.Message], 1)
	go func() {
		m, err := d.a.Call(ctx, &kbusdev.Message{Name: name})
		c <- result[*kbusdev.Message]{m, err}
	}()
	return c
}

// count announces 1, 2, 3 and so on on bus a until ctx ends, and returns the last one.
func (d *demo) count(ctx context.Context) (int, error) {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		// A number that is begun is sent, so that it is known which was the last.
		if _, err := d.a.Send(context.WithoutCancel(ctx), &kbusdev.Message{Name: "$.Weather.Count", Data: strconv.AppendInt(nil, int64(n), 10)}); err != nil {
			return n, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n, nil
		}
	}
}

// heardAll reads the numbers up to n, and returns an error unless each comes once and
// in order.
func (d *demo) heardAll(far *client.Listener, n int) error {
	for want := 1; want <= n; {
		m, err := far.Recv()
		if err != nil {
			return fmt.Errorf("after %d of %d numbers: %w", want-1, n, err)
		}
		if m.Name != "$.Weather.Count" {
			continue
		}
		if string(m.Data) != strconv.Itoa(want) {
			return fmt.Errorf("heard %s where %d should come", m.Data, want)
		}
		want++
	}
	return nil
}

func (d *demo) pause(ctx context.Context, how time.Duration) error {
	select {
	case <-time.After(how):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killed shows what askers are told when a daemon dies.
func (d *demo) killed(ctx context.Context) error {
	d.title("The daemon of network 2 is killed: each asker is told whether its request may have run")
	r, err := d.b.Serve(ctx, 0, "$.Deed", "$.Other")
	if err != nil {
		return err
	}
	defer r.Close()
	for _, name := range []string{"$.Deed", "$.Other"} {
		if err := d.waitReplier(ctx, d.a, name, true); err != nil {
			return err
		}
	}
	handed := d.call(ctx, "$.Deed")
	q, err := r.Recv()
	if err != nil {
		return err
	}
	d.show(2, "the replier reads", q)
	d.cable.set(true)
	if err := d.waitLink(ctx, func(l *pb.LinkStatus) bool { return l.GetState() == pb.LinkState_LINK_STATE_DETACHED }); err != nil {
		return err
	}
	d.say("   the cable is cut")
	kept := d.call(ctx, "$.Other")
	if err := d.waitLink(ctx, func(l *pb.LinkStatus) bool { return l.GetCounts().GetOpen() == 2 }); err != nil {
		return err
	}
	d.far.kill()
	d.say("   the daemon of network 2 is killed, and started again; the cable is mended")
	if err := d.far.start(d); err != nil {
		return err
	}
	d.cable.set(false)
	for _, x := range []struct {
		c    <-chan result[*kbusdev.Message]
		says string
	}{{handed, "it may have run"}, {kept, "it never ran: it is safe to repeat"}} {
		reply := <-x.c
		if reply.err != nil {
			return reply.err
		}
		d.show(1, "the asker reads", reply.value)
		d.say("      so %s", x.says)
	}
	return nil
}

// waitLink waits until the link is as it should be, as seen from network 1.
func (d *demo) waitLink(ctx context.Context, good func(*pb.LinkStatus) bool) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		st, err := d.a.Status(ctx)
		if err != nil {
			return err
		}
		if l := st.GetLinks(); len(l) == 1 && good(l[0]) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
