package sim

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// programs are those on all buses, and what they must have seen.
type programs struct {
	repliers   []*replier
	askers     []*asker
	announcers []*announcer
	listeners  []*listener
	requests   []*request // by number
	news       []*news    // by number
}

// A program has a Ksock on a bus, and opens another when it has died.
type program struct {
	machine
	task
	w    *World
	n    *node
	k    ksock
	born int       // how often it was started
	away time.Time // it does nothing until then
}

// goAway has the program do nothing for a while of at most d.
func (p *program) goAway(d time.Duration) {
	p.away = p.w.now.Add(p.w.upTo(d))
	p.wakeAt(p.away)
}

// isAway reports whether the program does nothing now.
func (p *program) isAway() bool {
	if p.w.now.Before(p.away) {
		p.wakeAt(p.away)
		return true
	}
	return false
}

func (w *World) populate() {
	for _, n := range w.nodes {
		for i := range 1 + w.rng.IntN(3) {
			r := &replier{name: fmt.Sprintf("$.R%d.n%d", n.network, i)}
			w.repliers = append(w.repliers, r)
			r.init(w, n, r.step, r.open)
		}
		for range 1 + w.rng.IntN(2) {
			l := &listener{}
			w.listeners = append(w.listeners, l)
			l.init(w, n, l.step, l.open)
		}
	}
	for i := range w.rng.IntN(3) { // several of them want the same names
		for range 2 {
			r := &replier{name: fmt.Sprintf("$.Shared.n%d", i)}
			w.repliers = append(w.repliers, r)
			r.init(w, w.nodes[w.rng.IntN(len(w.nodes))], r.step, r.open)
		}
	}
	for _, n := range w.nodes {
		for range 1 + w.rng.IntN(3) {
			a := &asker{waits: make(map[kbusdev.MsgID]*request)}
			w.askers = append(w.askers, a)
			a.init(w, n, a.step, a.open)
			a.goOn()
		}
		for range 1 + w.rng.IntN(2) {
			a := &announcer{}
			w.announcers = append(w.announcers, a)
			a.init(w, n, a.step, a.open)
			a.goOn()
		}
	}
}

func (p *program) init(w *World, n *node, step, open func()) {
	p.w, p.n = w, n
	p.task = task{w: w, who: &p.machine, run: step}
	open()
}

// start opens a Ksock.
func (p *program) start(queue uint32) {
	p.born++
	p.k = p.n.open(queue)
	p.k.OnChange(p.wake)
}

// A request is one that a bus has taken from an asker.
type request struct {
	number  int
	name    string
	ran     int    // how often a replier has read it
	reply   string // what the replier that read it will say
	answer  string // the name of the reply that came
	never   bool   // it was said that it never ran
	insists string // the replier that a stateful request insists on, as replier.String
	from    *node
	finalTo uint32 // the network that a stateful request insists on, 0 is its own
}

// A replier binds a name, reads requests and answers them after a while.
type replier struct {
	program
	name  string
	bound bool
	todo  []*kbusdev.Message
	until time.Time // dead, or answering nothing
}

// String names the replier as long as it lives: it says that with each answer.
func (r *replier) String() string { return fmt.Sprintf("%s@%d.%d", r.name, r.n.network, r.born) }

func (r *replier) open() {
	r.start(1000)
	r.bound, r.todo = false, nil
	r.wake()
}

func (r *replier) step() {
	w := r.w
	if r.isAway() {
		return
	}
	if r.k == nil {
		r.open()
		return
	}
	if !r.bound {
		if err := r.k.Bind(r.name, kbusdev.Replier); err != nil {
			defer r.wakeAt(w.now.Add(100 * time.Millisecond)) // meanwhile it answers what it has
		} else {
			w.tracef("replier %v binds with ksock %d", r, r.k.ID())
			r.bound = true
		}
	}
	if m, err := r.k.Recv(ended); err == nil {
		r.todo = append(r.todo, m)
		if n := requestNumber(m.Data); n >= 0 && n < len(w.requests) {
			q := w.requests[n]
			q.ran++
			q.reply = fmt.Sprintf("%v q%d", r, n)
			// A bus that has been replaced gives Ksock ids again.
			if q.insists != "" && q.insists != r.String() && !r.n.isBetween() && !w.passes(q, r.n) && r.n.busAge == 0 {
				w.wrong("request %d for %s was read by %v", n, q.insists, r)
			}
			w.tracef("replier %v reads q%d", r.name, n)
			if q.ran > 1 {
				w.wrong("request %d to %s ran %d times", n, q.name, q.ran)
			}
			if q.never {
				w.wrong("request %d to %s runs after %s", n, q.name, q.answer)
			}
			if w.named(q.from, q.name, r.n) != r.name {
				w.wrong("request %d to %s was read by %s", n, q.name, r.name)
			}
		} else {
			w.wrong("replier %v reads %s %q", r.name, m.Name, m.Data)
		}
		r.wake()
	}
	if len(r.todo) == 0 {
		return
	}
	if w.now.Before(r.until) {
		r.wakeAt(r.until)
		return
	}
	if !w.healed {
		r.until = w.now.Add(w.upTo(w.cfg.asksEvery))
	}
	m := r.todo[0]
	reply := &kbusdev.Message{Name: m.Name, To: m.From, InReplyTo: m.ID, Data: []byte(w.requests[requestNumber(m.Data)].reply)}
	_, err := r.k.Send(ended, reply)
	w.tracef("replier %v answers %s: %v", r.name, m.Data, err)
	if errno, _ := kbusdev.ErrnoOf(err); errno == syscall.EBUSY {
		r.until = w.now.Add(20 * time.Millisecond)
		r.wakeAt(r.until)
		return
	}
	r.todo = r.todo[1:]
	r.wake()
}

func requestNumber(data []byte) int {
	var n int
	if _, err := fmt.Sscanf(string(data), "q%d", &n); err != nil {
		return -1
	}
	return n
}

// isBetween reports whether the node is in the middle of a chain or star. As the rules of
// the upstream limpets have it, a stateful request that passes goes to whoever replies
// there.
func (n *node) isBetween() bool { return len(n.peerings) > 1 }

// passes reports whether a stateful request for another network comes to a node from the
// middle of a star, which has sent it where its name has a replier now.
func (w *World) passes(q *request, n *node) bool {
	return w.cfg.star && q.finalTo != 0 && q.finalTo != n.network && q.from != n && q.from != w.nodes[0]
}

// die closes the Ksock; the program comes back later.
func (r *replier) die() {
	if r.k == nil {
		return
	}
	r.w.tracef("replier %v dies with %d unanswered", r.name, len(r.todo))
	_ = r.k.Close()
	r.k, r.bound, r.todo = nil, false, nil
	r.goAway(3 * time.Second)
}

// unbind unbinds the name, with requests read or not, and binds it again later.
func (r *replier) unbind() {
	if r.k == nil || !r.bound {
		return
	}
	r.w.tracef("replier %v unbinds", r.name)
	if err := r.k.Unbind(r.name, kbusdev.Replier); err != nil {
		r.w.tracef("replier %v cannot unbind: %v", r.name, err)
		return
	}
	r.bound = false
	r.goAway(2 * time.Second)
}

// An asker sends requests, and waits for one answer to each.
type asker struct {
	program
	waits map[kbusdev.MsgID]*request
	last  *kbusdev.Message // the latest answer of a replier
}

func (a *asker) open() {
	a.start(a.w.cfg.askerQueue)
	clear(a.waits)
	a.last = nil
}

// goOn has the asker ask now and then.
func (a *asker) goOn() {
	a.w.after(a.w.upTo(2*a.w.cfg.asksEvery), func() {
		if !a.w.healed {
			a.ask()
			a.goOn()
		}
	})
}

func (a *asker) ask() {
	w := a.w
	if a.k == nil {
		return
	}
	r := w.repliers[w.rng.IntN(len(w.repliers))]
	q := &request{from: a.n, number: len(w.requests), name: r.name}
	if name := w.named(r.n, r.name, a.n); name != "" {
		q.name = name
	}
	m := &kbusdev.Message{Name: q.name, Flags: kbusdev.WantReply, Data: fmt.Appendf(nil, "q%d", q.number)}
	if w.chance(8) {
		m.Flags |= kbusdev.Urgent
	}
	if w.chance(6) {
		m.Flags |= kbusdev.AllOrWait
	}
	if w.chance(5) {
		m.Expires = w.now.Add(w.upTo(2 * time.Second))
	}
	if a.last != nil && w.chance(4) {
		q.name, m.Name, m.To, m.FinalTo = a.last.Name, a.last.Name, a.last.From, a.last.OrigFrom
		q.finalTo = a.last.OrigFrom.Network
		q.insists, _, _ = strings.Cut(string(a.last.Data), " ")
	}
	w.requests = append(w.requests, q)
	id, err := a.k.Send(ended, m)
	w.tracef("%d: ksock %d asks %s q%d: %v %v", a.n.network, a.k.ID(), q.name, q.number, id, err)
	if err == nil {
		a.waits[id] = q
	} else {
		q.answer, q.never = "refused", true
	}
}

// die closes the Ksock with its requests open; the program comes back later.
func (a *asker) die() {
	if a.k == nil {
		return
	}
	a.w.tracef("%d: ksock %d dies with %d requests open", a.n.network, a.k.ID(), len(a.waits))
	_ = a.k.Close()
	a.k = nil
	a.goAway(3 * time.Second)
}

func (a *asker) step() {
	w := a.w
	if a.isAway() {
		return
	}
	if a.k == nil {
		a.open()
		return
	}
	m, err := a.k.Recv(ended)
	if err != nil {
		return
	}
	a.wake()
	q := a.waits[m.InReplyTo]
	w.tracef("%d: ksock %d gets %s %q", a.n.network, a.k.ID(), describe(m), m.Data)
	if q == nil {
		w.wrong("ksock %d on bus %d gets %s %q, which it waits not for", a.k.ID(), a.n.network, describe(m), m.Data)
		return
	}
	delete(a.waits, m.InReplyTo)
	q.answer = m.Name
	o, _ := kbusdev.OutcomeOf(m)
	switch {
	case m.Name == q.name:
		if string(m.Data) != q.reply || q.reply == "" {
			w.wrong("request %d to %s is answered %q, its replier says %q", q.number, q.name, m.Data, q.reply)
		}
		a.last = m
	case o == kbusdev.NeverRan || o == kbusdev.Expired:
		q.never = true
		if q.ran > 0 {
			w.wrong("request %d to %s is answered %s, and has run", q.number, q.name, m.Name)
		}
	case o == kbusdev.Answered:
		w.wrong("request %d to %s is answered by %s", q.number, q.name, m.Name)
	}
}

// news is an announcement that a bus has taken.
type news struct {
	number int
	by     *announcer
	urgent bool
	born   int // of by
	at     time.Time
}

// An announcer sends numbered announcements.
type announcer struct{ program }

func (a *announcer) open() { a.start(100) }

func (a *announcer) goOn() {
	a.w.after(a.w.upTo(2*a.w.cfg.asksEvery), func() {
		if !a.w.healed {
			a.announce()
			a.goOn()
		}
	})
}

func (a *announcer) step() {}

func (a *announcer) announce() {
	w := a.w
	if a.k == nil {
		return
	}
	n := &news{number: len(w.news), by: a, born: a.born, at: w.now}
	m := &kbusdev.Message{Name: newsFrom(a.n), Data: fmt.Appendf(nil, "n%d", n.number)}
	switch w.rng.IntN(8) {
	case 0:
		m.Flags = kbusdev.AllOrFail
	case 1:
		m.Flags = kbusdev.AllOrWait
	case 2:
		m.Flags, n.urgent = kbusdev.Urgent, true
	}
	id, err := a.k.Send(ended, m)
	w.tracef("%d: ksock %d announces n%d: %v %v", a.n.network, a.k.ID(), n.number, id, err)
	if err == nil {
		w.news = append(w.news, n)
	}
}

func newsFrom(n *node) string { return fmt.Sprintf("$.News.n%d", n.network) }

// A listener hears announcements.
type listener struct {
	program
	heard map[int]bool
	last  map[*announcer]int
	since time.Time
}

func (l *listener) open() {
	l.start(l.w.cfg.listenerQueue)
	l.heard, l.last, l.since = make(map[int]bool), make(map[*announcer]int), l.w.now
	check(l.k.Bind("$.News.*", kbusdev.Listener))
	if l.w.cfg.renames {
		for _, name := range []string{"$.R1.*", "$.R2.*", "$.R3.*", "$.Shared.*", "$.Far.*", "$.Else.*", "$.Else", "$.R1", "$.R2", "$.R3", "$.Shared"} {
			check(l.k.Bind(name, kbusdev.Listener))
		}
	}
}

func (l *listener) step() {
	w := l.w
	if l.isAway() {
		return
	}
	if l.k == nil {
		l.open()
		return
	}
	m, err := l.k.Recv(ended)
	if err != nil {
		return
	}
	l.wake()
	var n int
	if l.w.cfg.renames && !m.IsReply() && requestNumber(m.Data) >= 0 || m.IsReply() {
		return // a copy
	}
	if _, err := fmt.Sscanf(string(m.Data), "n%d", &n); err != nil || n < 0 || n >= len(w.news) {
		w.wrong("listener ksock %d on bus %d hears %s %q", l.k.ID(), l.n.network, describe(m), m.Data)
		return
	}
	w.tracef("%d: listener ksock %d hears n%d", l.n.network, l.k.ID(), n)
	told := w.news[n]
	if name := w.mayHear(told, l); name != m.Name {
		w.wrong("listener ksock %d on bus %d hears n%d as %s, may hear it as %q", l.k.ID(), l.n.network, n, m.Name, name)
	}
	if last, ever := l.last[told.by]; ever && last > n && !told.urgent && !w.lastEnd.After(told.at) {
		w.wrong("listener ksock %d on bus %d hears n%d after n%d", l.k.ID(), l.n.network, n, last)
	}
	if l.heard[n] && !w.lastEnd.After(told.at) {
		w.wrong("listener ksock %d on bus %d hears n%d again", l.k.ID(), l.n.network, n)
	}
	l.heard[n] = true
	if !told.urgent {
		l.last[told.by] = max(l.last[told.by], n)
	}
}

// die closes the Ksock; the program comes back later.
func (l *listener) die() {
	if l.k == nil {
		return
	}
	_ = l.k.Close()
	l.k = nil
	l.goAway(3 * time.Second)
}
