package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/explain"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A Still is a network in which nothing goes wrong: a tree of buses with random rules,
// renames and bindings. What is foretold of a message there must be what becomes of it when
// it is sent.
type Still struct {
	*World
	answerers []*answerer
	latest    *explain.Hop // what was foretold last
	dialogue  *kbusdev.Message
	data      string // of the message that was sent last
}

// StillStats say how much has been compared.
type StillStats struct {
	// Probes were foretold and sent; Answered had a replier, Refused were answered otherwise or
	// not sent, Heard are the listeners who were foretold and heard it, Unseen what could not
	// be foretold to the end.
	Probes, Answered, Refused, Heard, Unseen int
	// Reasons counts why messages stopped, as it was foretold.
	Reasons map[string]int
}

// NewStill returns the network that a seed makes. Every step is written to trace, unless that
// is nil.
func NewStill(seed uint64, trace io.Writer) *Still {
	w := &World{rng: rand.New(rand.NewPCG(seed, 11)), out: trace}
	s := &Still{World: w}
	w.now = time.Unix(1e9, 0)
	w.start = w.now
	w.configure(1)
	w.cfg.nodes = 2 + w.rng.IntN(5)
	w.cfg.interest, w.cfg.narrows, w.cfg.amends = w.chance(2), w.chance(2), true
	w.cfg.limpetQueue, w.cfg.limpet.MaxMessages = 65536, 65536
	w.cfg.limpet.WindowMessages, w.cfg.limpet.WindowBytes = 4096, 16<<20
	w.build(func(i int) int { return w.rng.IntN(i + 1) })
	ruled, renamed := w.chance(2), w.chance(2)
	for _, n := range w.nodes {
		n.foretold = func(h *explain.Hop) { s.latest = h }
		for _, p := range n.peerings {
			if ruled && !w.chance(3) {
				p.may = []*rules.Policy{s.policy()}
			}
			if renamed && !w.chance(3) {
				p.renames = s.renames()
			}
		}
		for range w.rng.IntN(4) {
			s.answerers = append(s.answerers, s.answerer(n))
		}
	}
	return s
}

var stillWords = []string{"A", "B", "C"}

// name returns a random name of few words, perhaps with a wildcard.
func (s *Still) name(wild bool) string {
	words := []string{"$"}
	for range 1 + s.rng.IntN(3) {
		words = append(words, stillWords[s.rng.IntN(len(stillWords))])
	}
	if wild && s.chance(2) {
		words = append(words[:max(1, len(words)-s.rng.IntN(2))], []string{"*", "%"}[s.rng.IntN(2)])
	}
	return strings.Join(words, ".")
}

func (s *Still) policy() *rules.Policy {
	all := []rules.Rule{{Allow: []string{"join"}}}
	if !s.chance(3) {
		all = append(all, rules.Rule{Allow: []string{"admin"}})
	}
	for range s.rng.IntN(5) {
		actions := []string{"announce", "listen", "request", "reply"}
		s.rng.Shuffle(len(actions), func(i, j int) { actions[i], actions[j] = actions[j], actions[i] })
		r := rules.Rule{Names: []string{s.name(true), s.name(true)}}
		if actions = actions[:1+s.rng.IntN(3)]; s.chance(3) {
			r.Allow = actions
		} else {
			r.Deny = actions
		}
		all = append(all, r)
	}
	if !s.chance(4) {
		all = append(all, rules.Rule{Allow: []string{"announce", "listen", "request", "reply"}})
	}
	return must(rules.Compile(all)).For(rules.Identity{}, 0)
}

func (s *Still) renames() *rename.Map {
	for {
		var all []rename.Rename
		for range 1 + s.rng.IntN(2) {
			all = append(all, rename.Rename{Here: s.prefix(), There: s.prefix()})
		}
		if m, err := rename.Compile(all); err == nil {
			return m
		}
	}
}

func (s *Still) prefix() string {
	if s.chance(8) {
		return "$"
	}
	if s.chance(8) {
		return "$.A." + strings.Repeat("x", 993) // a rename can make a name too long
	}
	return s.name(false)
}

// An answerer is a program that listens and replies to random names.
type answerer struct {
	program
	asked, heard bool // by the message that was sent last
}

func (s *Still) answerer(n *node) *answerer {
	a := &answerer{}
	a.init(s.World, n, func() { s.answer(a) }, func() {})
	a.start(1000)
	if s.chance(3) {
		must(a.k.OnlyOnce(kbusdev.On))
	}
	for range 1 + s.rng.IntN(3) {
		_ = a.k.Bind(s.name(true), kbusdev.Role(s.chance(2))) // another may have it
	}
	if s.chance(3) {
		a.k.JudgedBy(s.policy(), func(string, string, *kbusdev.Message) {})
	}
	return a
}

// answer reads all that there is, and answers requests.
func (s *Still) answer(a *answerer) {
	for {
		m, err := a.k.Recv(ended)
		if err != nil {
			return
		}
		s.tracef("%d: ksock %d reads %s %q", a.n.network, a.k.ID(), describe(m), m.Data)
		switch {
		case string(m.Data) != s.data: // of a probe before
		case m.WantsUsToReply():
			a.asked = true
			_, err := a.k.Send(ended, &kbusdev.Message{Name: m.Name, To: m.From, InReplyTo: m.ID, Data: []byte(s.address(a))})
			check(err)
		case !m.IsReply():
			a.heard = true
		}
	}
}

func (s *Still) address(a *answerer) string {
	return kbusdev.Address{Network: a.n.network, Local: a.k.ID()}.String()
}

// Run foretells some messages and sends them, and returns where the two differ.
func (s *Still) Run(stats *StillStats) []string {
	s.runTo(s.now.Add(8 * time.Second)) // until everybody knows everything
	probes := 6
	if s.chance(5) {
		x := s.wires[s.rng.IntN(len(s.wires))]
		s.tracef("FAULT: the stream of %v is cut", x.ends[0])
		x.downTil = s.now.Add(time.Hour)
		if x.stream != nil {
			x.stream.cut()
		}
		if s.chance(2) {
			s.runTo(s.now.Add(time.Second)) // the epochs wait, for 30 s
			probes = 2
		} else {
			s.runTo(s.now.Add(40 * time.Second)) // they are over
		}
	}
	for range probes {
		if len(s.faults) == 0 {
			s.probe(stats)
		}
	}
	return s.faults
}

// probe foretells a message, and sends it.
func (s *Still) probe(stats *StillStats) {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	var may *rules.Policy
	if s.chance(4) {
		may = s.policy()
	}
	k := n.open(1000)
	if may != nil {
		k.JudgedBy(may, func(string, string, *kbusdev.Message) {})
	}
	m := kbusdev.Message{Name: s.name(false)}
	if !s.chance(3) {
		m.Flags = kbusdev.WantReply
	}
	if d := s.dialogue; d != nil && s.chance(2) && d.From != 0 { // of the last answer, which may be of another bus
		m.Flags, m.Name, m.To, m.FinalTo = kbusdev.WantReply, d.Name, d.From, d.OrigFrom
		if s.chance(4) {
			m.FinalTo.Local++
		}
	}
	s.dialogue = nil

	s.latest = nil
	root, asks := limpet.ForetellSent(site{n}, limpet.Sender{Ksock: k.ID(), Rules: may}, m, explain.MaxHops, explain.MaxOperator)
	n.carry(n.desk.Open(nil, s.now, 0, &explain.Question{ID: 1, Bytes: explain.MaxOperator, Within: 5 * time.Second}, root, asks))
	s.runTo(s.now.Add(6 * time.Second))
	if s.latest == nil {
		s.wrong("nothing was foretold of %s", describe(&m))
		return
	}
	foretold := s.latest.Outcome()
	s.tracef("foretold of %s: %+v, heard by %v", describe(&m), foretold, s.latest.Hearers())

	s.data = fmt.Sprintf("probe %d of %d", stats.Probes, n.network)
	stats.Probes++
	for _, a := range s.answerers {
		a.asked, a.heard = false, false
	}
	m.Data = []byte(s.data)
	_, err := k.Send(ended, &m)
	s.runTo(s.now.Add(6 * time.Second))
	s.compare(stats, n, k, &m, err, foretold)
	check(k.Close())
	s.count(stats, s.latest)
}

// compare holds what has become of a message against what was foretold.
func (s *Still) compare(stats *StillStats, n *node, k ksock, m *kbusdev.Message, err error, foretold explain.Outcome) {
	errno, _ := kbusdev.ErrnoOf(err)
	var got explain.Outcome
	var by string
	if errno != 0 {
		got.Errno = kbusdev.ErrnoName(errno)
	}
	if reply, rerr := k.Recv(ended); rerr == nil {
		s.tracef("%d: the answer is %s %q", n.network, describe(reply), reply.Data)
		if reply.Name == m.Name {
			by = string(reply.Data)
			if s.chance(2) {
				s.dialogue = reply
			}
		} else {
			got.Answer = reply.Name
		}
	} else if m.IsRequest() && err == nil {
		s.wrong("request %s from bus %d was not answered", m.Name, n.network)
	}
	seen := foretold.Unseen == explain.None
	if !seen {
		stats.Unseen++
	}
	if by != "" {
		stats.Answered++
	} else if got.Answer != "" || errno != 0 {
		stats.Refused++
	}
	said := ""
	if !foretold.By.IsZero() {
		said = foretold.By.String()
	}
	if (seen || !m.IsRequest() || said != "") && (got.Errno != foretold.Errno || got.Answer != foretold.Answer || by != said) {
		s.wrong("%s from bus %d: refused %q, answered %q by %q; foretold were %q, %q and %q", describe(m), n.network, got.Errno, got.Answer, by, foretold.Errno, foretold.Answer, said)
	}
	var heard, would []string
	for _, a := range s.answerers {
		if a.heard {
			heard = append(heard, s.address(a))
		}
	}
	for _, a := range s.latest.Hearers() {
		would = append(would, a.String())
	}
	slices.Sort(heard)
	slices.Sort(would)
	whole := seesAll(s.latest)
	for _, a := range would {
		if !slices.Contains(heard, a) {
			s.wrong("%s from bus %d was not heard by %s, as was foretold", describe(m), n.network, a)
		}
	}
	if whole && !slices.Equal(heard, would) {
		s.wrong("%s from bus %d was heard by %v, foretold were %v", describe(m), n.network, heard, would)
	}
	stats.Heard += len(would)
	if !whole && len(heard) > len(would) && !foretold.Heard && seen && !m.IsRequest() {
		s.wrong("%s from bus %d was heard by %v, nobody was foretold", describe(m), n.network, heard)
	}
}

// seesAll reports whether an explanation has no end.
func seesAll(h *explain.Hop) bool {
	if h.Told != nil || h.MoreBranches+h.MoreListeners > 0 {
		return false
	}
	for i := range h.Branches {
		b := &h.Branches[i]
		if b.End != explain.None && b.End != explain.NotLinked || b.Next != nil && !seesAll(b.Next) {
			return false
		}
	}
	return true
}

func (s *Still) count(stats *StillStats, h *explain.Hop) {
	note := func(stop *explain.Stop) {
		if stop != nil {
			stats.Reasons[stop.Reason]++
		}
	}
	note(h.Stop)
	if h.Told != nil {
		stats.Reasons["told "+h.Told.Unseen.String()]++
	}
	for i := range h.Branches {
		b := &h.Branches[i]
		note(b.Stop)
		if b.End != explain.None {
			stats.Reasons["end "+b.End.String()]++
		}
		if b.Next != nil {
			s.count(stats, b.Next)
		}
	}
}
