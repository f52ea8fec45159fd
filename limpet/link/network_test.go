package link_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A side is one end of a conversation under test: a session, what it was given, and
// what it has taken.
type side struct {
	s    *link.Session
	wire []link.Frame // on the way to the other side; lost when the stream is cut

	put   map[byte][]string // names put and not withdrawn, by kind, in order
	taken map[byte][]string // names that the other side sent
	serial,
	withdrawn int
	open []fate

	lastAck uint64 // the last acknowledgement sent on this stream
}

type fate struct {
	seq  uint64
	size int
}

// The kinds of message: each keeps its order. Answers and announcements share theirs.
const (
	ordered = 'o'
	urgent  = 'u'
	bind    = 'b'
)

func newSide(messages, bytes int) *side {
	return &side{
		s:   link.NewSession(link.SessionConfig{WindowMessages: messages, WindowBytes: bytes}),
		put: make(map[byte][]string), taken: make(map[byte][]string),
	}
}

// putOne puts one message of a random lane, if it has room.
func (d *side) putOne(rnd *rand.Rand, now time.Time) {
	kind, lane := byte(ordered), link.Lane(rnd.IntN(3))
	out := &link.Outgoing{FromBus: lane == link.Normal}
	if lane == link.Binds {
		kind = bind
	} else if rnd.IntN(4) == 0 {
		kind, out.Msg.Flags = urgent, kbusdev.Urgent
	}
	if !d.s.Room(lane) && rnd.IntN(50) != 0 { // now and then in spite of it
		return
	}
	d.serial++
	out.Msg.Name = fmt.Sprintf("%c%d", kind, d.serial)
	out.Msg.Data = make([]byte, rnd.IntN(200))
	d.s.Put(now, lane, out)
	d.put[kind] = append(d.put[kind], out.Msg.Name)
}

// withdraw takes out some of what was never handed.
func (d *side) withdraw(rnd *rand.Rand) {
	d.s.Withdraw(func(out *link.Outgoing, _ time.Time) bool {
		if rnd.IntN(3) != 0 {
			return false
		}
		kind, name := out.Msg.Name[0], out.Msg.Name
		d.put[kind] = slices.DeleteFunc(d.put[kind], func(n string) bool { return n == name })
		d.withdrawn++
		return true
	})
}

// send puts the next frame on the wire. It reports whether there was one.
func (d *side) send(now time.Time) (bool, error) {
	f, again, over := d.s.Next(now)
	st := d.s.Stats()
	ack := uint64(0)
	switch f := f.(type) {
	case nil:
		if over || !again.After(now) {
			return false, fmt.Errorf("nothing to send at %v, again at %v, over is %v", now, again, over)
		}
		return false, nil
	case *link.Batch:
		if ack = f.Ack; ack == 0 {
			ack = d.lastAck
		}
	case *link.Ack:
		if ack = f.Sequence; ack <= d.lastAck {
			return false, fmt.Errorf("an acknowledgement of %d after one of %d", ack, d.lastAck)
		}
	case *link.Ping:
		if f.Received != st.Received {
			return false, fmt.Errorf("a ping says %d, received are %d", f.Received, st.Received)
		}
		ack = d.lastAck
	}
	if ack < d.lastAck || ack > st.Done {
		return false, fmt.Errorf("an acknowledgement of %d after one of %d, done are %d", ack, d.lastAck, st.Done)
	}
	d.lastAck = ack
	if b, ok := f.(*link.Batch); ok {
		f = b.Clone()
	}
	d.wire = append(d.wire, f)
	return true, nil
}

// take takes a few messages, and decides the fates of some that were taken before.
func (d *side) take(rnd *rand.Rand, now time.Time) error {
	first, msgs := d.s.Take(1 + rnd.IntN(20))
	for i := range msgs {
		kind := msgs[i].Name[0]
		d.taken[kind] = append(d.taken[kind], msgs[i].Name)
		d.open = append(d.open, fate{first + uint64(i), msgs[i].Size()})
	}
	if st := d.s.Stats(); len(msgs) > 0 && first+uint64(len(msgs)-1+d.s.Waiting()) != st.Received {
		return fmt.Errorf("took %d from %d on, %d wait, received are %d", len(msgs), first, d.s.Waiting(), st.Received)
	}
	for range rnd.IntN(20) {
		if len(d.open) == 0 {
			break
		}
		i := min(len(d.open)-1, rnd.IntN(10)) // most in order
		d.s.Decided(now, d.open[i].seq, d.open[i].size)
		d.open = slices.Delete(d.open, i, i+1)
	}
	return nil
}

// check compares the counts of a side and its peer.
func (d *side) check(peer *side) error {
	st, theirs := d.s.Stats(), peer.s.Stats()
	if total := d.serial - d.withdrawn; st.Waiting+st.Unacked+int(d.s.Acknowledged()) != total {
		return fmt.Errorf("%d were put; %+v", total, st)
	}
	if acked := d.s.Acknowledged(); acked > theirs.Done || theirs.Done > theirs.Received || theirs.Received > st.Sent {
		return fmt.Errorf("%d are acknowledged; we have %+v, they %+v", acked, st, theirs)
	}
	if open := int(st.Received-st.Done) - len(d.open) - d.s.Waiting(); open < 0 {
		return fmt.Errorf("%d fates are open, %d wait, but %+v", len(d.open), d.s.Waiting(), st)
	}
	return nil
}

// A conversation is two sides, and the network between them.
type conversation struct {
	a, b *side
	now  time.Time
	rnd  *rand.Rand
	cuts int
}

// step does one thing by chance.
func (c *conversation) step() error {
	d, peer := c.a, c.b
	if c.rnd.IntN(2) == 0 {
		d, peer = peer, d
	}
	switch c.rnd.IntN(14) {
	case 0, 1, 2, 3:
		for range c.rnd.IntN(8) {
			d.putOne(c.rnd, c.now)
		}
	case 4, 5, 6:
		if d.s.Attached() {
			if _, err := d.send(c.now); err != nil {
				return err
			}
		}
	case 7, 8, 9:
		return d.deliver(c.now, peer)
	case 10, 11:
		return d.take(c.rnd, c.now)
	case 12:
		c.now = c.now.Add(time.Duration(c.rnd.Int64N(int64(time.Second))))
		if c.rnd.IntN(4) == 0 {
			d.withdraw(c.rnd)
		}
	default:
		return c.cutOrMend(d)
	}
	return nil
}

// deliver gives the peer the first frame on the wire.
func (d *side) deliver(now time.Time, peer *side) error {
	if len(d.wire) == 0 || !peer.s.Attached() {
		return nil
	}
	f := d.wire[0]
	d.wire = d.wire[1:]
	if err := peer.s.Receive(now, f); err != nil {
		return fmt.Errorf("%#v: %w", f, err)
	}
	return nil
}

// cutOrMend cuts the stream for one side, whose peer may notice later, or joins them
// anew when neither has a stream.
func (c *conversation) cutOrMend(d *side) error {
	switch {
	case d.s.Attached() && (!c.a.s.Attached() || !c.b.s.Attached() || c.rnd.IntN(4) == 0):
		d.s.Detach()
		c.cuts++
	case !c.a.s.Attached() && !c.b.s.Attached():
		return c.join()
	}
	return nil
}

func (c *conversation) join() error {
	for _, d := range []*side{c.a, c.b} {
		d.wire, d.lastAck = nil, 0 // what was on its way is lost
	}
	// One side tells what it expects, then the other, as greetings do.
	expected := c.a.s.Expected()
	if err := c.b.s.Attach(c.now, expected); err != nil {
		return err
	}
	return c.a.s.Attach(c.now, c.b.s.Expected())
}

// settle goes on without cuts until both sides have nothing to send but pings.
func (c *conversation) settle() error {
	for _, d := range []*side{c.a, c.b} {
		d.s.Detach()
	}
	if err := c.join(); err != nil {
		return err
	}
	for range 100_000 {
		quiet := true
		for _, d := range []*side{c.a, c.b} {
			peer := c.a
			if d == c.a {
				peer = c.b
			}
			if _, err := d.send(c.now); err != nil {
				return err
			}
			if err := d.deliver(c.now, peer); err != nil {
				return err
			}
			if err := d.take(c.rnd, c.now); err != nil {
				return err
			}
			st := d.s.Stats()
			quiet = quiet && st.Waiting+st.Unacked+d.s.Waiting()+len(d.open) == 0
		}
		if quiet {
			return nil
		}
		c.now = c.now.Add(time.Millisecond)
	}
	return fmt.Errorf("it never gets quiet: %+v, %+v", c.a.s.Stats(), c.b.s.Stats())
}

// Two sessions over a network that is cut at any frame: every message arrives exactly
// once, each kind in order, and nothing is left at the end.
func TestConversations(t *testing.T) {
	seeds, cuts, messages := 0, 0, 0
	for seed := range uint64(300) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			messagesWindow, bytesWindow := 1+rnd.IntN(40), 1+rnd.IntN(4000)
			c := &conversation{a: newSide(messagesWindow, bytesWindow), b: newSide(messagesWindow, bytesWindow), now: start, rnd: rnd}
			for i := range 2000 {
				err := c.step()
				if err == nil {
					err = c.a.check(c.b)
				}
				if err == nil {
					err = c.b.check(c.a)
				}
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			if err := c.settle(); err != nil {
				t.Fatal(err)
			}
			for _, d := range []struct{ from, to *side }{{c.a, c.b}, {c.b, c.a}} {
				for _, kind := range []byte{ordered, urgent, bind} {
					if !slices.Equal(d.from.put[kind], d.to.taken[kind]) {
						t.Errorf("of kind %c was put\n%v\nand taken\n%v", kind, d.from.put[kind], d.to.taken[kind])
					}
				}
				s := d.from.s
				if !s.Empty(link.Normal) || !s.Empty(link.Answers) || !s.Empty(link.Binds) || !s.StuckSince().IsZero() {
					t.Errorf("at the end %+v, stuck since %v", s.Stats(), s.StuckSince())
				}
				messages += d.from.serial
			}
			seeds, cuts = seeds+1, cuts+c.cuts
		})
	}
	if seeds == 300 && (cuts < 5000 || messages < 200_000) {
		t.Errorf("%d cuts and %d messages prove little", cuts, messages)
	}
}
