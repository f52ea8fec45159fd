package translate

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// proxies are the names we bind on our bus as replier, in the place of repliers
// at the peer. A name that a local replier holds is a wish: the local one wins.
type proxies struct {
	byName map[string]*proxy
	bound  int // how many are bound
	denied int // how many the peer may not bind
	ending bool
	flaps  map[string]flap
}

func newProxies() proxies {
	return proxies{byName: make(map[string]*proxy), flaps: make(map[string]flap)}
}

type proxy struct {
	timer  // runs while there is something to try again
	name   string
	wanted bool // bound at the peer
	denied bool // the peer may not bind it here
	bound  bool // bound here, by us
	asking bool // a Bind or Unbind effect is out
	waited bool // its timer has run out: the next Bind need not wait
}

// A flap counts how often a name was bound for the peer lately. In a loop the news
// of a bind and of its unbind can chase each other for ever; when a name is
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

// flapping notes a bind, and reports whether the name is bound too often.
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

// bindEventFromPeer binds or unbinds for the peer; the event itself ends here.
func (m *Machine) bindEventFromPeer(fx []Effect, msg *kbusdev.Message) []Effect {
	if msg.Event == nil || kbusdev.CheckBindName(msg.Event.Name) != nil {
		return drop(fx, BadBindEvent)
	}
	before := len(fx)
	fx, why := m.hear(fx, *msg.Event)
	if len(fx) == before {
		return drop(fx, why)
	}
	return fx
}

// hear applies what the peer says is bound or unbound there. why is how the event
// ended if no effect was appended.
func (m *Machine) hear(fx []Effect, e kbusdev.BindEvent) (_ []Effect, why Reason) {
	switch {
	case e.Bound && !m.roomFor(e.Name):
		m.heard.missed = true
		return fx, TooManyBinds
	case e.Bound:
		m.heard.bind(e.Name, e.Binder)
	case !m.heard.unbind(e.Name, e.Binder):
		return fx, BindEventUsed // unknown, or a newer replier holds the name
	default:
		m.giveNames(1)
	}
	if m.cfg.Renames != nil {
		return m.hearRenamed(fx, e)
	}
	return m.apply(fx, e)
}

// apply binds or unbinds for the peer, by a name as it is on our bus.
func (m *Machine) apply(fx []Effect, e kbusdev.BindEvent) (_ []Effect, why Reason) {
	e, why = m.inward.narrow(e)
	if why != NoReason {
		return fx, why
	}
	if !e.Bound {
		return m.unwant(fx, e.Name), BindEventUsed
	}
	return m.want(fx, e.Name)
}

// roomFor reports whether name is known, or there is room for one more, which it takes.
func (m *Machine) roomFor(name string) bool {
	if _, known := m.heard.byName[name]; known {
		return true
	}
	return m.heard.room(name, m.cfg.MaxHeard) && (m.cfg.Names == nil || m.cfg.Names.Take(1))
}

func (m *Machine) giveNames(n int) {
	if m.cfg.Names != nil {
		m.cfg.Names.Give(n)
	}
}

// GiveNames gives back the room for the names that the peer has told of. The machine must
// not be used any more, but for Stats.
func (m *Machine) GiveNames() { m.giveNames(len(m.heard.byName)) }

// Heard returns how many names the peer has told of.
func (m *Machine) Heard() int { return len(m.heard.byName) }

// ToldNames returns how many names the peer has been told of.
func (m *Machine) ToldNames() int { return len(m.told.byName) }

// want binds name for the peer, now or when it is possible.
func (m *Machine) want(fx []Effect, name string) (_ []Effect, why Reason) {
	p := m.binds.byName[name]
	switch {
	case name == kbusdev.NameReplierBindEvent:
		return fx, BadBindEvent // nobody can be its replier
	case m.binds.ending:
		return fx, BindEventUsed
	case p == nil && len(m.binds.byName) >= m.cfg.MaxProxies:
		return fx, TooManyBinds
	case p == nil:
		p = &proxy{name: name}
		m.binds.byName[name] = p
		m.judgeProxy(p)
	}
	p.wanted = true
	if p.denied {
		return m.settle(fx, p), Denied
	}
	return m.settle(fx, p), BindEventUsed
}

// unwant ends what want began.
func (m *Machine) unwant(fx []Effect, name string) []Effect {
	if p := m.binds.byName[name]; p != nil {
		p.wanted = false
		fx = m.settle(fx, p)
	}
	return fx
}

// settle does what brings a proxy nearer to what is wanted.
func (m *Machine) settle(fx []Effect, p *proxy) []Effect {
	wanted := p.wanted && !p.denied
	switch {
	case p.asking || wanted && p.slot > 0:
	case wanted && !p.bound:
		if !p.waited && m.binds.flapping(p.name, m.now) {
			m.tryAfter(p, m.cfg.WishDelay)
			return fx
		}
		p.asking, p.waited = true, false
		fx = append(fx, Effect{Kind: Bind, Name: p.name})
	case !wanted && p.bound:
		m.timers.stop(&p.timer)
		p.asking, p.waited = true, false
		fx = append(fx, Effect{Kind: Unbind, Name: p.name})
	case !p.wanted:
		m.forgetProxy(p)
	}
	return fx
}

func (m *Machine) forgetProxy(p *proxy) {
	m.timers.stop(&p.timer)
	delete(m.binds.byName, p.name)
	if p.denied {
		m.binds.denied--
	}
}

func (m *Machine) tryAfter(p *proxy, d time.Duration) { m.timers.set(&p.timer, p, m.now.Add(d)) }

// due tries again what did not succeed before.
func (p *proxy) due(m *Machine, fx []Effect) []Effect {
	p.waited = true
	return m.settle(fx, p)
}

// BindDone tells the outcome of a Bind effect: errno 0 if the name is bound.
func (m *Machine) BindDone(fx []Effect, name string, errno syscall.Errno) []Effect {
	p := m.binds.byName[name]
	if p == nil || !p.asking {
		return fx
	}
	p.asking = false
	switch errno {
	case 0:
		p.bound = true
		m.binds.bound++
		m.timers.stop(&p.timer)
	case syscall.EADDRINUSE:
		// A wish. Its unbind event makes us try again; the event may have been lost,
		// so look now and then. If the table knows no holder, the event of its bind, or
		// of its unbind since, is on its way or was here already.
		if holder := m.table.holder(name); holder == 0 || holder == m.cfg.Ksock {
			m.tryAfter(p, m.cfg.WishDelay)
		} else {
			m.tryAfter(p, 25*m.cfg.WishDelay)
		}
	case syscall.EAGAIN:
		m.tryAfter(p, m.cfg.RetryEvery)
	default:
		m.forgetProxy(p)
		return drop(fx, Refused)
	}
	return m.settle(fx, p)
}

// UnbindDone tells the outcome of an Unbind effect: errno 0 if the name is unbound.
func (m *Machine) UnbindDone(fx []Effect, name string, errno syscall.Errno) []Effect {
	p := m.binds.byName[name]
	if p == nil || !p.asking {
		return fx
	}
	p.asking = false
	if errno == syscall.EAGAIN {
		m.tryAfter(p, m.cfg.RetryEvery)
		return fx
	}
	p.bound = false
	m.binds.bound--
	return m.settle(fx, p)
}

// nameFree lets a wish for the name come true a little later.
func (m *Machine) nameFree(name string) {
	if p := m.binds.byName[name]; p != nil && p.wanted && !p.denied && !p.bound && !p.asking {
		m.tryAfter(p, m.cfg.WishDelay)
	}
}

// Drain unbinds all names that are bound for the peer, and binds none any more:
// one of the two sides is about to leave and takes no new requests.
func (m *Machine) Drain(fx []Effect) []Effect {
	m.binds.ending = true
	for _, name := range slices.Sorted(maps.Keys(m.binds.byName)) {
		fx = m.unwant(fx, name)
	}
	return fx
}

// Drained reports whether nothing is bound for the peer since Drain, and everything has
// been read that came to us until then: no request can come any more.
func (m *Machine) Drained() bool {
	return m.binds.ending && len(m.binds.byName) == 0 && !m.table.bindsAny(m.cfg.Ksock)
}
