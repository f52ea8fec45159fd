package sim

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An epoch does, step by step, what the pumps of a daemon do with a limpet.Epoch.
type epoch struct {
	*limpet.Epoch
	p       *peering
	ksock   ksock
	session link.SessionID
	peer    link.InstanceID
	bound   uint32 // of the queue

	reader, writer task
	inHand         []*kbusdev.Message // read, not given to the Epoch yet
	asking         bool               // the bus is asked for a snapshot
	asked          bool               // it has queued it; how much is to be told
	cut            bool               // no more than a part of it
	dos            []limpet.Do        // being done
	done           int                // so many of them
	streams        int                // so many were attached
	stopping       bool               // the reader has been stopped
	closed         bool
}

// ended is a context that asks without waiting.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// begin opens a Ksock for a new epoch.
func (p *peering) begin(peer *link.Greeting, session link.SessionID) *epoch {
	w, n := p.n.w, p.n
	k := n.open(w.cfg.limpetQueue)
	must(k.OnlyOnce(kbusdev.On))
	k.NotOwn()
	n.interest.limpets[k.ID()] = true
	check(k.Bind("$.*", kbusdev.Listener))
	l := &epoch{p: p, ksock: k, session: session, peer: peer.Instance, bound: w.cfg.limpetQueue}
	n.ids.Serve(k.ID())
	inspect := p.inspect
	if w.out == nil {
		inspect = nil
	}
	cfg := w.cfg.limpet
	cfg.Renames = p.renames
	var recording *limpet.Recording
	if w.record != nil {
		recording = &limpet.Recording{Sink: w.record(p.String()), Link: p.String()}
	}
	l.Epoch = limpet.NewEpoch(limpet.EpochConfig{
		Config:        cfg,
		NetworkID:     n.network,
		PeerNetworkID: peer.NetworkID,
		Ksock:         k.ID(),
		Session: link.SessionConfig{
			ID:             session,
			WindowMessages: int(w.cfg.limpet.WindowMessages),
			WindowBytes:    int(w.cfg.limpet.WindowBytes),
		},
		IDs:         n.ids,
		Rules:       p.policy(),
		Origins:     origins{p},
		Interest:    w.cfg.interest,
		Narrows:     w.cfg.narrows,
		DigestEvery: w.cfg.digestEvery,
		DrainDone:   true,
		Totals:      &p.totals,
		Inspect:     inspect,
		Record:      recording,
	}, w.now)
	p.totals.OnDrop = p.dropped
	l.Adopt(w.now, p.carried)
	l.reader = task{w: w, who: &n.machine, run: l.read}
	l.writer = task{w: w, who: &n.machine, run: l.write}
	k.OnChange(l.reader.wake)
	p.carried, p.current = nil, l
	w.epochsBegun++
	w.tracef("%v begins epoch %x with ksock %d", p, session[:2], k.ID())
	l.touch()
	return l
}

func (p *peering) inspect(where string, m *kbusdev.Message, fx *translate.Effect) {
	p.n.w.tracef("%v: %s %s %s -> %s %s", p, where, describe(m), m.Data, fx.Kind, fx.Reason)
}

// dropped holds what is dropped as brought before against what was brought. A daemon
// that has been started again does not know which networks were so before it, and cannot
// tell their old ids from new ones.
func (p *peering) dropped(fromPeer bool, why translate.Reason, m *kbusdev.Message) {
	w := p.n.w
	if p.drops == nil {
		p.drops = make(map[drop]uint64)
	}
	p.drops[drop{fromPeer, why}]++
	if why == translate.ForeignOrigin {
		w.wrong("%v: %s %q is taken for forged", p, describe(m), m.Data)
	}
	if why == translate.BroughtBefore && (p.n.started.Equal(w.start) || w.now.Sub(p.n.started) > 2*recent.For) && !p.n.brought[string(m.Data)] {
		w.wrong("%v: %s %q was not brought before", p, describe(m), m.Data)
	}
}

// A drop is what drops are counted by.
type drop struct {
	fromPeer bool
	why      translate.Reason
}

// touch has everybody look at the epoch again.
func (l *epoch) touch() {
	l.reader.wake()
	l.writer.wake()
	if s := l.p.stream; s != nil {
		s.sender.wake()
	}
	l.p.n.w.audit(l.p)
}

// read does one step of the pump from the bus.
func (l *epoch) read() {
	w := l.p.n.w
	switch {
	case l.closed || l.stopping:
		return
	case len(l.inHand) > 0:
		l.bring()
	case l.asked:
		told := l.SnapshotAsked
		if l.cut {
			told = l.SnapshotCut
		}
		l.asked, l.cut = false, false
		told(must(l.ksock.NumMessages()))
		l.touch()
	case l.asking || l.WantsSnapshot():
		l.asking = true
		l.askSnapshot()
		l.reader.wake()
	default:
		n := l.Appetite()
		if n == 0 {
			return
		}
		if w.chance(2) {
			n = 1 + w.rng.IntN(n)
		}
		buf := make([]*kbusdev.Message, n)
		got, err := l.ksock.RecvBatch(ended, buf)
		if err != nil {
			return // there is nothing
		}
		l.inHand = buf[:got]
		w.tracef("%v reads %d", l.p, got)
		if w.chance(2) {
			l.bring()
		}
		l.reader.wake()
	}
}

// bring gives the Epoch what was read.
func (l *epoch) bring() {
	msgs := l.inHand
	l.inHand = nil
	n, err := l.ksock.NumMessages()
	l.QueueFull(err == nil && n+64 >= int(l.bound))
	l.FromBus(l.p.n.w.now, msgs)
	l.touch()
}

func (l *epoch) askSnapshot() {
	_, err := l.ksock.ReportReplierBinds(kbusdev.On)
	if errno, _ := kbusdev.ErrnoOf(err); errno == syscall.EBUSY {
		l.bound *= 2
		must(l.ksock.MaxMessages(l.bound))
		l.cut, err = true, nil
	}
	check(err)
	l.p.n.w.tracef("%v asks for a snapshot", l.p)
	l.asking, l.asked = false, true
}

// write does one step of the pump to the bus.
func (l *epoch) write() {
	w := l.p.n.w
	if l.closed {
		return
	}
	if l.done < len(l.dos) {
		for {
			l.perform(&l.dos[l.done])
			if l.done++; l.done == len(l.dos) || w.chance(4) {
				break
			}
		}
		l.writer.wake()
		return
	}
	if len(l.dos) > 0 {
		dos := l.dos
		l.dos, l.done = nil, 0
		l.Outcomes(w.now, dos)
		l.touch()
		return
	}
	l.dos = l.Dos(w.now, nil)
	switch {
	case len(l.dos) > 0:
		l.writer.wake()
	case l.Over() && !l.stopping:
		l.stopping = true
		l.bring()
		l.writer.wake()
	case l.Over():
		l.close()
		return
	case l.Appetite() > 0:
		l.reader.wake() // time alone may have made room
	}
	if s := l.p.stream; s != nil && len(l.dos) == 0 {
		if due := l.Due(); due.IsZero() { // what came, or the time, may have an answer that needs nothing of the bus
			s.sender.wake()
		} else {
			s.sender.wakeAt(due)
		}
	}
	l.writer.wakeAt(l.NextTime())
	w.audit(l.p)
}

func (l *epoch) perform(d *limpet.Do) {
	fx, k, w := &d.Effect, l.ksock, l.p.n.w
	l.p.checkRights(fx)
	var err error
	switch fx.Kind {
	case translate.Bind:
		err = k.Bind(fx.Name, kbusdev.Replier)
	case translate.Unbind:
		err = k.Unbind(fx.Name, kbusdev.Replier)
	default:
		if !fx.Msg.IsReply() {
			l.p.n.brought[string(fx.Msg.Data)] = true
		}
		_, err = k.Send(ended, &fx.Msg)
	}
	if err != nil {
		d.Errno, _ = kbusdev.ErrnoOf(err)
	}
	w.tracef("%v does %s %s%s: %s", l.p, fx.Kind, fx.Name, describe(&fx.Msg), errnoName(d.Errno))
}

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	return kbusdev.ErrnoName(e)
}

// listen makes the Ksock listen to what the peer wants.
func (l *epoch) listen() {
	for changes := l.Listening(); len(changes) > 0; changes = l.Listening() {
		for _, c := range changes {
			if c.Bound {
				check(l.ksock.Bind(c.Name, kbusdev.Listener))
			} else {
				check(l.ksock.StopListening(c.Name))
			}
			l.p.n.w.tracef("%v listens to %s: %t", l.p, c.Name, c.Bound)
		}
	}
}

// close closes the Ksock of an epoch that is over.
func (l *epoch) close() {
	p, w := l.p, l.p.n.w
	l.closed = true
	w.missed(p.n, l.ksock)
	check(l.ksock.Close())
	p.n.ids.Unserve(l.ksock.ID())
	l.reader.dead, l.writer.dead = true, true
	l.Closed()
	p.carried = l.Carried()
	p.current = nil
	w.epochsEnded++
	w.lastEnd, w.linkedAt = w.now, time.Time{}
	w.tracef("%v ends epoch %x, %d carried: %v", p, l.session[:2], len(p.carried), l.Why())
	if p.asks == nil {
		p.n.interest.wantNothing(p)
		p.n.reach.Leave(p.key())
		p.n.tellTopology()
	}
	w.audit(p)
	p.admit()
}

// describe returns a message as a trace shows it, which is costly.
func describe(m *kbusdev.Message) fmt.Stringer { return described{m} }

type described struct{ m *kbusdev.Message }

// String describes the message.
func (d described) String() string {
	m := d.m
	if m.Name == "" {
		return ""
	}
	return fmt.Sprintf("%s %s to %d from %d id %v re %v flags %v", m.Kind(), m.Name, m.To, m.From, m.ID, m.InReplyTo, m.Flags)
}

// must panics: the simulator's own use of a bus never fails.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
