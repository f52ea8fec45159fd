package translate

import (
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// proxies are the names we bind on our bus as replier, in the place of repliers
// at the peer. A name that a local replier holds is a wish: the local one wins.
type proxies struct {
	byName map[string]*proxy
	timed  int // how many have a retry time
	ending bool
	flaps  map[string]flap
}

// A flap counts how often a name was bound for the peer lately. In a loop the news
// of a bind and of its unbind can chase each other round for ever; when a name is
// bound too often the next bind waits a little, and the unbind catches up with it.
type flap struct {
	binds int
	since time.Time
}

const (
	flapLimit  = 16
	flapWindow = 10 * time.Second
	maxFlaps   = 4096
)

// flapping notes a bind, and tells whether the name is bound too often.
func (b *proxies) flapping(name string, now time.Time) bool {
	f := b.flaps[name]
	if now.Sub(f.since) > flapWindow {
		f = flap{since: now}
	}
	if len(b.flaps) >= maxFlaps {
		clear(b.flaps)
	}
	f.binds++
	b.flaps[name] = f
	return f.binds > flapLimit
}

type proxy struct {
	binder  kbusdev.KsockID // at the peer
	wanted  bool            // bound there
	bound   bool            // bound here, by us
	asking  bool            // a Bind or Unbind effect is out
	retryAt time.Time
}

// bindEventFromPeer binds or unbinds for the peer; the event itself ends here.
func (m *Machine) bindEventFromPeer(msg *kbusdev.Message) {
	if msg.Event == nil {
		m.drop(BadBindEvent)
		return
	}
	e := *msg.Event
	if e.Bound && e.Name == kbusdev.NameReplierBindEvent {
		m.drop(BadBindEvent) // nobody can be its replier
		return
	}
	p := m.binds.byName[e.Name]
	switch {
	case m.binds.ending:
		m.drop(BindEventUsed)
		return
	case e.Bound && p == nil:
		if len(m.binds.byName) >= m.cfg.MaxProxies {
			m.drop(TooManyBinds)
			return
		}
		p = &proxy{}
		m.binds.byName[e.Name] = p
		if m.binds.flapping(e.Name, m.now) {
			m.retryProxy(p, m.cfg.WishDelay)
		}
		fallthrough
	case e.Bound:
		p.binder, p.wanted = e.Binder, true
	case p != nil && p.binder == e.Binder:
		p.wanted = false
	}
	if p != nil {
		m.settleProxy(e.Name, p)
	}
	if len(m.fx) == 0 {
		m.drop(BindEventUsed)
	}
}

// Drain unbinds all that is bound for the peer, and binds nothing more: one of
// the two ends is about to leave, and takes no new requests.
func (m *Machine) Drain() []Effect {
	m.begin()
	m.binds.ending = true
	for name, p := range m.binds.byName {
		p.wanted = false
		m.settleProxy(name, p)
	}
	return m.fx
}

// settleProxy does what brings a proxy nearer to what is wanted.
func (m *Machine) settleProxy(name string, p *proxy) {
	switch {
	case p.asking || p.wanted && !p.retryAt.IsZero():
	case p.wanted && !p.bound:
		p.asking = true
		m.fx = append(m.fx, Effect{Kind: Bind, Name: name})
	case !p.wanted && p.bound:
		m.retryProxy(p, 0)
		p.asking = true
		m.fx = append(m.fx, Effect{Kind: Unbind, Name: name})
	case !p.wanted:
		m.retryProxy(p, 0)
		delete(m.binds.byName, name)
	}
}

// retryProxy sets when to try again; 0 is not at all.
func (m *Machine) retryProxy(p *proxy, after time.Duration) {
	if !p.retryAt.IsZero() {
		m.binds.timed--
		p.retryAt = time.Time{}
	}
	if after > 0 {
		m.binds.timed++
		p.retryAt = m.now.Add(after)
		m.deadline(p.retryAt)
	}
}

// BindDone tells how a Bind effect came out: errno 0 if it was done.
func (m *Machine) BindDone(name string, errno syscall.Errno) []Effect {
	m.begin()
	p := m.binds.byName[name]
	if p == nil {
		return m.fx
	}
	p.asking = false
	switch errno {
	case 0:
		p.bound = true
	case syscall.EADDRINUSE:
		// A wish. The table may have missed that the name is free, so look again
		// now and then.
		m.retryProxy(p, 25*m.cfg.WishDelay)
	case syscall.EAGAIN:
		m.retryProxy(p, m.cfg.RetryEvery)
	default:
		delete(m.binds.byName, name)
		m.drop(Refused)
		return m.fx
	}
	m.settleProxy(name, p)
	return m.fx
}

// UnbindDone tells how an Unbind effect came out: errno 0 if it was done.
func (m *Machine) UnbindDone(name string, errno syscall.Errno) []Effect {
	m.begin()
	p := m.binds.byName[name]
	if p == nil {
		return m.fx
	}
	p.asking = false
	if errno == syscall.EAGAIN {
		m.retryProxy(p, m.cfg.RetryEvery)
		return m.fx
	}
	p.bound = false
	m.settleProxy(name, p)
	return m.fx
}

// nameFree lets a wish for the name come true a little later.
func (m *Machine) nameFree(name string) {
	if p := m.binds.byName[name]; p != nil && p.wanted && !p.bound {
		m.retryProxy(p, m.cfg.WishDelay)
	}
}

func (m *Machine) tickProxies() {
	if m.binds.timed == 0 {
		return
	}
	for name, p := range m.binds.byName {
		switch {
		case p.retryAt.IsZero():
		case p.retryAt.After(m.now):
			m.deadline(p.retryAt)
		default:
			m.retryProxy(p, 0)
			m.settleProxy(name, p)
		}
	}
}
