package link_test

import (
	"errors"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A script drives one session: each step is an operation and an argument, both one byte.
// Half of the operations are what a hostile peer may send.
type script struct {
	t     *testing.T
	s     *link.Session
	now   time.Time
	open  []fate
	bytes int // received, and not decided
	acked uint64
}

// run does one step. The error is the end of the session.
func (p *script) run(op, arg byte) error {
	n := uint64(arg)
	switch op % 16 {
	case 0: // a batch that may be right
		return p.receive(&link.Batch{First: p.s.Expected(), Messages: make([]kbusdev.Message, arg), Ack: p.s.Acknowledged()})
	case 1: // one with a large message
		return p.receive(&link.Batch{First: p.s.Expected(), Messages: []kbusdev.Message{{Data: make([]byte, int(arg)<<16)}}})
	case 2: // one with a gap or a repetition
		return p.receive(&link.Batch{First: p.s.Expected() + n - 128, Messages: make([]kbusdev.Message, 1)})
	case 3:
		return p.receive(&link.Ack{Sequence: p.s.Acknowledged() + n})
	case 4:
		return p.receive(&link.Ack{Sequence: p.s.Stats().Sent - n}) // below 0 it is very large
	case 5:
		return p.receive(&link.Ping{Received: p.s.Stats().Sent - n})
	case 6:
		return p.receive(&link.Unknown{})
	case 7:
		p.s.Detach()
		return p.s.Attach(p.now, p.s.Stats().Sent+2-n)
	case 8:
		for range arg {
			p.s.Put(p.now, link.Lane(arg%3), &link.Outgoing{Msg: kbusdev.Message{Flags: kbusdev.Flags(arg), Data: make([]byte, arg)}})
		}
	case 9:
		return p.send()
	case 10:
		first, msgs := p.s.Take(int(arg))
		for i := range msgs {
			p.open = append(p.open, fate{first + uint64(i), msgs[i].Size()})
		}
	case 11, 12:
		if len(p.open) > 0 {
			i := int(arg) % len(p.open)
			p.s.Decided(p.now, p.open[i].seq, p.open[i].size)
			p.bytes -= p.open[i].size
			p.open = append(p.open[:i], p.open[i+1:]...)
		}
	case 13:
		p.s.Withdraw(func(out *link.Outgoing, _ time.Time) bool { return out.Msg.Size()%2 == int(arg)%2 })
	case 14:
		p.now = p.now.Add(time.Duration(arg) * 20 * time.Millisecond)
	case 15:
		p.s.Flushed()
	}
	return nil
}

// receive counts what the session has taken in.
func (p *script) receive(f link.Frame) error {
	before := p.s.Expected()
	err := p.s.Receive(p.now, f)
	if b, ok := f.(*link.Batch); ok && p.s.Expected() != before {
		for i := range b.Messages {
			p.bytes += b.Messages[i].Size()
		}
	}
	return err
}

func (p *script) send() error {
	f, _, _ := p.s.Next(p.now)
	if b, ok := f.(*link.Batch); ok && (len(b.Messages) == 0 || len(b.Messages) > link.MaxBatchMessages || b.First <= p.acked) {
		p.t.Errorf("sent a batch of %d from %d on, %d are acknowledged", len(b.Messages), b.First, p.acked)
	}
	return nil
}

// check holds the bounds.
func (p *script) check() {
	st := p.s.Stats()
	acked := p.s.Acknowledged()
	switch {
	case acked < p.acked, acked+uint64(st.Unacked) != st.Sent:
		p.t.Errorf("%d are acknowledged after %d; %+v", acked, p.acked, st)
	case st.Done > st.Received, st.Received-st.Done > 1<<16, p.bytes > 3<<20+3*1000:
		p.t.Errorf("a window of 8 holds %d bytes, %+v", p.bytes, st)
	}
	p.acked = acked
}

// No script makes a session panic, lose count, or hold more than the window allows.
func FuzzSession(f *testing.F) {
	f.Add([]byte{8, 5, 9, 0, 3, 2, 0, 9, 10, 4, 11, 2, 11, 0, 14, 200, 9, 0}, false)
	f.Add([]byte{8, 250, 9, 0, 7, 3, 9, 0, 4, 0, 5, 0, 9, 0}, false)
	f.Add([]byte{1, 16, 1, 16, 1, 16, 1, 16, 10, 9, 12, 0, 12, 0, 9, 0}, false)
	f.Add([]byte{8, 9, 13, 0, 9, 0, 15, 0, 0, 7, 0, 7, 10, 20}, true)
	f.Add([]byte{2, 127}, false)
	f.Fuzz(func(t *testing.T, steps []byte, classic bool) {
		p := &script{t: t, now: start, s: link.NewSession(link.SessionConfig{WindowMessages: 8, WindowBytes: 1000, NoAcks: classic})}
		if err := p.s.Attach(start, 1); err != nil {
			t.Fatal(err)
		}
		for ; len(steps) > 1 && len(steps) < 2000; steps = steps[2:] {
			err := p.run(steps[0], steps[1])
			var e *link.Error
			if err != nil && (!errors.As(err, &e) || e.Code != link.Protocol || e.Remote) {
				t.Fatalf("ended with %v", err)
			}
			if p.check(); err != nil {
				return
			}
		}
	})
}
