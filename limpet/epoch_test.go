package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A puppet is a peer that the test plays by hand, with network id 2.
type puppet struct {
	t      *testing.T
	stream link.Stream
	seq    uint64
}

// withPuppet runs a limpet on bus, with network id 1, against a puppet. The
// channel gets why the limpet ended.
func withPuppet(t *testing.T, bus *membus.Bus, cfg limpet.Config) (*puppet, *limpet.Link, <-chan error) {
	t.Helper()
	ours, theirs := pipe()
	record := node(t, bus, 1).NewLink("puppet")
	ended := make(chan error, 1)
	go func() { ended <- limpet.Accept(context.Background(), record, ours, cfg) }()
	p := &puppet{t: t, stream: theirs}
	p.send(&pb.Frame{Kind: &pb.Frame_Hello{Hello: &pb.Hello{
		ProtocolVersion: 1, NetworkId: 2, InstanceId: []byte(strings.Repeat("p", 16)), Pattern: "$.*", WindowMessages: 1000, WindowBytes: 1 << 20,
	}}})
	if f := p.recv(); f.GetHello() == nil {
		t.Fatalf("no hello but %v", f)
	}
	p.recv() // the topology
	synctest.Wait()
	return p, record, ended
}

func (p *puppet) send(f *pb.Frame) {
	p.t.Helper()
	if err := p.stream.Send(f); err != nil {
		p.t.Fatal(err)
	}
}

func (p *puppet) recv() *pb.Frame {
	p.t.Helper()
	f, err := p.stream.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// bring sends messages to the limpet.
func (p *puppet) bring(msgs ...*kbusdev.Message) {
	p.t.Helper()
	b := &pb.Batch{FirstSequence: p.seq + 1}
	for _, m := range msgs {
		out := new(pb.Message)
		link.ToProto(out, m)
		b.Messages = append(b.Messages, out)
		p.seq++
	}
	p.send(&pb.Frame{Kind: &pb.Frame_Batch{Batch: b}})
	synctest.Wait()
}

// next gives the messages of the next batch, acking nothing.
func (p *puppet) next() []*pb.Message {
	p.t.Helper()
	for {
		if b := p.recv().GetBatch(); b != nil {
			return b.GetMessages()
		}
	}
}

func (p *puppet) bindEvent(bound bool, name string) *kbusdev.Message {
	return &kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2, Serial: 1}, Flags: kbusdev.Synthetic, Name: kbusdev.NameReplierBindEvent,
		Event: &kbusdev.BindEvent{Bound: bound, Binder: 5, Name: name},
	}
}

func sendTo(t *testing.T, k kbusdev.Ksock, m *kbusdev.Message) kbusdev.MsgID {
	t.Helper()
	id, err := k.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func received(t *testing.T, k kbusdev.Ksock) *kbusdev.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := k.Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A peer that takes nothing makes the limpet stop reading its bus; when that
// lasts, requests are answered, announcements dropped and counted, answers and
// bind events kept, so that nothing is lost in silence and memory is bounded.
func TestStalledPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p, record, ended := withPuppet(t, bus, limpet.Config{WindowMessages: 100, MaxMessages: 1000})
		asker, other := open(t, bus), open(t, bus)
		p.bring(p.bindEvent(true, "$.Far"))
		for range 300 {
			sendTo(t, asker, &kbusdev.Message{Name: "$.News"})
		}
		request := sendTo(t, asker, &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply})
		if err := other.Bind("$.Local", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c := record.Status().Counts
		if c.FromBus > 200 || c.Queued < 100 {
			t.Errorf("the limpet reads on before the timeout: %+v", c)
		}
		start := time.Now()
		m := received(t, asker)
		if m.InReplyTo != request || m.Name != "$.KBUS.RemoteError.EBUSY" || time.Since(start) != 5*time.Second {
			t.Errorf("after %v the asker gets %+v", time.Since(start), m)
		}
		synctest.Wait()
		c = record.Status().Counts
		if c.FromBusEnded["stalled"] < 150 || c.Open != 0 || c.Synthetic != 1 || c.Queued != 0 {
			t.Errorf("while stalled: %+v", c)
		}
		// The peer takes messages again, and hears of the binding that was kept.
		go func() {
			for seq, told := uint64(0), false; !told; {
				msgs := p.next()
				seq += uint64(len(msgs))
				for _, m := range msgs {
					told = told || m.GetBindEvent().GetName() == "$.Local"
				}
				p.send(&pb.Frame{Kind: &pb.Frame_Ack{Ack: &pb.Ack{Sequence: seq}}})
			}
			p.stream.Close()
		}()
		<-ended
	})
}

// Requests that are open when the link is lost are answered: those that never
// left may be repeated safely.
func TestLostLinkAnswersOpenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(10000))
		p, _, ended := withPuppet(t, bus, limpet.Config{WindowMessages: 1000})
		asker := open(t, bus)
		p.bring(p.bindEvent(true, "$.Far"))
		left := sendTo(t, asker, &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply})
		if got := p.next(); len(got) != 1 || got[0].GetName() != "$.Far" {
			t.Fatalf("the puppet got %v", got)
		}
		// The pipe takes a few batches that the puppet does not read; the rest waits.
		var waiting kbusdev.MsgID
		for range 900 {
			waiting = sendTo(t, asker, &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply})
		}
		synctest.Wait()
		p.stream.Close()
		if err := <-ended; !errors.Is(err, link.ErrPeerClosed) && !strings.Contains(err.Error(), "closed pipe") {
			t.Errorf("the limpet ended with %v", err)
		}
		names := make(map[kbusdev.MsgID]string)
		for range 901 {
			m := received(t, asker)
			if names[m.InReplyTo] != "" {
				t.Fatalf("%v is answered twice", m.InReplyTo)
			}
			names[m.InReplyTo] = m.Name
		}
		if names[left] != "$.KBUS.RemoteError.OutcomeUnknown" || names[waiting] != "$.KBUS.RemoteError.NotDelivered" {
			t.Errorf("what left is answered %s, what waited %s", names[left], names[waiting])
		}
		if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Far", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("the proxy is still bound: %v", err)
		}
	})
}

// Ours. Old answers meet new requests when serial numbers start again: each epoch
// has a Ksock of its own.
func TestEveryEpochHasItsOwnKsock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := node(t, membus.New(), 1), node(t, membus.New(), 2)
		la, lb := a.NewLink("dial"), b.NewLink("accept")
		id := limpet.NewLinkID()
		seen := make(map[uint32]bool)
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			x, y := pipe()
			done := make(chan error, 2)
			go func() { done <- limpet.Dial(ctx, la, x, id, limpet.Config{}, nil) }()
			go func() { done <- limpet.Accept(ctx, lb, y, limpet.Config{}) }()
			synctest.Wait()
			k := la.Status().Ksock
			if k == 0 || seen[k] {
				t.Errorf("Ksock %d is used again: %v", k, seen)
			}
			seen[k] = true
			cancel()
			<-done
			<-done
		}
	})
}

// dialOnce tries to link two nodes, and gives why each end stopped; nil while up.
func dialOnce(t *testing.T, a, b *limpet.Node, linkID []byte) (dialled, accepted func() error) {
	t.Helper()
	x, y := pipe()
	ctx, cancel := context.WithCancel(context.Background())
	result := func(serve func(*limpet.Link) error, n *limpet.Node) func() error {
		record := n.NewLink(fmt.Sprintf("link %p", x))
		done := make(chan error, 1)
		go func() { defer record.Remove(); done <- serve(record) }()
		var err error
		t.Cleanup(func() {
			cancel()
			if err == nil {
				<-done
			}
		})
		return func() error {
			synctest.Wait()
			select {
			case err = <-done:
			default:
			}
			return err
		}
	}
	return result(func(l *limpet.Link) error { return limpet.Dial(ctx, l, x, linkID, limpet.Config{}, nil) }, a),
		result(func(l *limpet.Link) error { return limpet.Accept(ctx, l, y, limpet.Config{}) }, b)
}

func wantVerdict(t *testing.T, what string, err error, code link.Code) {
	t.Helper()
	var e *link.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want %s", what, err, link.CodeName(code))
	}
}

func TestLoopsAndClashesAreRefusedByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := node(t, membus.New(), 1), node(t, membus.New(), 2), node(t, membus.New(), 3)
		for _, pair := range [][2]*limpet.Node{{a, b}, {b, c}} {
			if d, _ := dialOnce(t, pair[0], pair[1], limpet.NewLinkID()); d() != nil {
				t.Fatalf("a plain link: %v", d())
			}
		}
		d, acc := dialOnce(t, c, a, limpet.NewLinkID())
		wantVerdict(t, "a ring, dialling", d(), link.Loop)
		wantVerdict(t, "a ring, accepting", acc(), link.Loop)
		d, _ = dialOnce(t, b, a, limpet.NewLinkID())
		wantVerdict(t, "a second link beside the first", d(), link.Loop)
		d, _ = dialOnce(t, node(t, membus.New(), 3), a, limpet.NewLinkID())
		wantVerdict(t, "the id of a network behind a peer", d(), link.Clash)
		if !strings.Contains(d().Error(), "two daemons have network id 3") {
			t.Errorf("the clash is told as %v", d())
		}
		d, _ = dialOnce(t, node(t, membus.New(), 2), a, limpet.NewLinkID())
		wantVerdict(t, "the id of a peer", d(), link.Clash)
		d, _ = dialOnce(t, node(t, membus.New(), 1), a, limpet.NewLinkID())
		wantVerdict(t, "our own id", d(), link.SameNetworkID)
		d, _ = dialOnce(t, a, a, limpet.NewLinkID())
		wantVerdict(t, "ourselves", d(), link.Loop)
	})
}

// Two trees that are joined while each thinks well of it: the topology that comes
// later shows the loop, and ends the link.
func TestLoopThatShowsLaterEndsTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		p, _, ended := withPuppet(t, bus, limpet.Config{})
		p.send(&pb.Frame{Kind: &pb.Frame_Topology{Topology: &pb.Topology{Networks: []*pb.Network{{NetworkId: 1, InstanceId: make([]byte, 16)}}}}})
		if f := p.recv(); f.GetError().GetCode() != link.Clash || f.GetError().GetNetworkId() != 1 {
			t.Errorf("the peer is told %v", f)
		}
		p.stream.Close()
		wantVerdict(t, "our id behind the peer", <-ended, link.Clash)
	})
}

// The dialler has seen the old link die before the accepter has.
func TestStaleDuplicateIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := node(t, membus.New(), 1), node(t, membus.New(), 2)
		// The old link's dialler is gone without a word: another node object with
		// the same instance cannot be made, so a puppet plays both.
		id := limpet.NewLinkID()
		hello := &pb.Frame{Kind: &pb.Frame_Hello{Hello: &pb.Hello{
			ProtocolVersion: 1, NetworkId: 9, InstanceId: []byte(strings.Repeat("q", 16)), LinkId: id, Pattern: "$.*", WindowMessages: 10, WindowBytes: 1000,
		}}}
		dial := func() (link.Stream, <-chan error) {
			ours, theirs := pipe()
			record := b.NewLink(fmt.Sprintf("from %p", theirs))
			ended := make(chan error, 1)
			go func() {
				defer record.Remove()
				ended <- limpet.Accept(context.Background(), record, ours, limpet.Config{})
			}()
			if err := theirs.Send(hello); err != nil {
				t.Fatal(err)
			}
			if f, err := theirs.Recv(); err != nil || f.GetHello() == nil {
				t.Fatalf("answered %v, %v", f, err)
			}
			synctest.Wait()
			return theirs, ended
		}
		old, oldEnded := dial()
		fresh, freshEnded := dial()
		wantVerdict(t, "the old link", <-oldEnded, link.Replaced)
		old.Close()
		if d, _ := dialOnce(t, a, b, limpet.NewLinkID()); d() != nil {
			t.Errorf("another peer beside it: %v", d())
		}
		fresh.Close()
		<-freshEnded
	})
}

func TestNetworkIDZeroIsRefused(t *testing.T) {
	_, err := limpet.NewNode(membus.New(), 0, quiet())
	wantVerdict(t, "network id 0", err, link.BadNetworkID)
}

// An announcement that waits for room on the far bus is given up in bounded time.
func TestAllOrWaitIsBoundedOnTheFarBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(1))
		p, record, ended := withPuppet(t, bus, limpet.Config{})
		full := open(t, bus)
		if err := full.Bind("$.News", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
		news := func(serial uint32) *kbusdev.Message {
			return &kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: serial}, Name: "$.News", Flags: kbusdev.AllOrWait}
		}
		p.bring(news(1), news(2), news(3))
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		c := record.Status().Counts
		if c.FromPeerEnded["delivered"] != 1 || c.FromPeerEnded["refused"] != 2 || c.FromPeerInFlight != 0 {
			t.Errorf("%+v", c)
		}
		p.stream.Close()
		<-ended
	})
}

// More repliers than the queue is made for, and unbinds that were lost.
func TestSnapshotOfManyRepliers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := membus.New(), membus.New()
		many := open(t, a)
		for i := range 3000 {
			if err := many.Bind(fmt.Sprintf("$.R%d", i), kbusdev.Replier); err != nil {
				t.Fatal(err)
			}
		}
		join(t, node(t, a, 1), node(t, b, 2), limpet.Config{MaxMessages: 100})
		<-time.After(time.Minute) // binds that find no room for their event are retried
		synctest.Wait()
		all, err := b.Bindings()
		if err != nil || len(all) != 3000+1 {
			t.Errorf("%d bindings have crossed, %v", len(all)-1, err)
		}
		if err := many.Close(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if all, _ := b.Bindings(); len(all) != 1 {
			t.Errorf("%d bindings are left", len(all)-1)
		}
	})
}

// Draining unbinds, lets what is open be answered, and then ends.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := membus.New(), membus.New()
		na, nb := node(t, a, 1), node(t, b, 2)
		join(t, na, nb, limpet.Config{})
		synctest.Wait()
		asker, replier := open(t, a), open(t, b)
		if err := replier.Bind("$.Ask", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		id := sendTo(t, asker, &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
		q := received(t, replier)
		drained := make(chan struct{})
		go func() { defer close(drained); na.Links()[0].Limpet().Drain(context.Background(), "test") }()
		synctest.Wait()
		if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("a new request while draining: %v", err)
		}
		sendTo(t, replier, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: []byte("in time")})
		if m := received(t, asker); m.InReplyTo != id || string(m.Data) != "in time" {
			t.Errorf("the open request is answered %+v", m)
		}
		start := time.Now()
		<-drained
		if time.Since(start) > time.Second {
			t.Errorf("the drain took %v after all was done", time.Since(start))
		}
	})
}
