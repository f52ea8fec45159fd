package bustest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Compare plays random stories on pairs of fresh buses, step by step on both, and
// compares every answer. Story number i is made of seed+i alone. newBus must give
// a bus with kbusdev.LittleEndian64.
func Compare(t *testing.T, seed uint64, stories int, newBus, newTwin func(t testing.TB) kbusdev.Bus) {
	t.Helper()
	themes := slices.Sorted(func(yield func(string) bool) {
		for name := range storyThemes {
			if !yield(name) {
				return
			}
		}
	})
	for i := range uint64(stories) {
		theme := themes[i%uint64(len(themes))]
		if !t.Run(fmt.Sprintf("%s/seed=%d", theme, seed+i), func(t *testing.T) {
			compareStory(t, seed+i, theme, newBus(t), newTwin(t))
		}) {
			return
		}
	}
}

// storyThemes weigh the operations.
var storyThemes = map[string]map[string]int{
	"wait": {
		"bind": 6, "unbind": 3, "send": 40, "recv": 14, "poll": 16, "commit": 4, "discard": 2, "maxmsgs": 8,
		"close": 2, "nummsgs": 3, "lastsent": 2, "unreplied": 2, "once": 1, "reply": 8,
	},
	"state": {
		"bind": 8, "unbind": 5, "send": 30, "recv": 20, "poll": 4, "commit": 1, "maxmsgs": 3, "close": 3,
		"lastsent": 3, "unreplied": 4, "nummsgs": 2, "replier": 2, "reply": 20, "once": 2,
	},
	"size": {
		"bind": 5, "unbind": 1, "write": 40, "commit": 14, "send": 6, "next": 8, "read": 16, "lenleft": 6, "recv": 8,
		"maxsize": 3, "discard": 2, "lastsent": 3, "nummsgs": 2, "poll": 2, "reply": 2,
	},
	"set": {
		"bind": 18, "unbind": 6, "recv": 14, "close": 5, "reportbinds": 5, "maxmsgs": 5, "nummsgs": 8, "once": 3,
		"send": 4, "events": 6, "troop": 4, "unreplied": 1, "poll": 1,
	},
	"lost": {
		"bind": 3, "unbind": 3, "recv": 12, "drain": 3, "close": 1, "reportbinds": 2, "maxmsgs": 3, "nummsgs": 8, "once": 1,
		"events": 5, "troop": 8, "bigtroop": 4,
	},
}

// A storyteller makes one story up from what the first bus answers.
type storyteller struct {
	r     *rand.Rand
	theme string
	play  func(Step) answer
	ops   []string // each as often as it weighs

	opened int
	open   []int          // the Ksocks of the story
	ids    map[int]uint32 // their ids on the bus
	asked  []asked        // requests that somebody has read, oldest first
	sent   []kbusdev.MsgID
}

type asked struct {
	by   int // the Ksock that read it
	id   [2]uint32
	from uint32
	name string
}

func compareStory(t *testing.T, seed uint64, theme string, bus, twin kbusdev.Bus) {
	a, b := &player{bus: bus, ksocks: make(map[int]kbusdev.Ksock)}, &player{bus: twin, ksocks: make(map[int]kbusdev.Ksock)}
	defer func() {
		for _, p := range []*player{a, b} {
			for _, k := range p.ksocks {
				_ = k.Close()
			}
		}
	}()
	var told []string
	s := &storyteller{r: rand.New(rand.NewPCG(seed, 1)), theme: theme, ids: make(map[int]uint32)}
	s.play = func(step Step) answer {
		got := a.play(&step)
		want := b.play(&step)
		x, _ := json.Marshal(got)
		y, _ := json.Marshal(want)
		told = append(told, fmt.Sprintf("%s -> %s", tell(&step), y))
		if string(x) != string(y) {
			t.Fatalf("step %d:\n%s\n got %.600s\nwant %.600s", len(told), strings.Join(told[max(0, len(told)-40):], "\n"), x, y)
		}
		return got
	}
	for op, weight := range storyThemes[theme] {
		for range weight {
			s.ops = append(s.ops, op)
		}
	}
	slices.Sort(s.ops)
	s.tell()
}

func tell(s *Step) string {
	line := fmt.Sprintf("%s k=%d", s.Op, s.K)
	if s.Name != "" {
		line += fmt.Sprintf(" %.60s replier=%v", s.Name, s.Replier)
	}
	if s.N != 0 || s.Mode != "" {
		line += fmt.Sprintf(" n=%d %s", s.N, s.Mode)
	}
	if s.Msg != nil {
		m, _ := json.Marshal(s.Msg)
		line += fmt.Sprintf(" %.400s", m)
	}
	if len(s.Data) > 0 {
		line += fmt.Sprintf(" %d bytes", len(s.Data))
	}
	return line
}

func (s *storyteller) tell() {
	for range 3 + s.r.IntN(3) {
		s.openOne()
	}
	if s.theme == "set" || s.theme == "lost" {
		s.play(Step{Op: "reportbinds", K: s.open[0], N: 1})
		s.play(Step{Op: "bind", K: s.open[0], Name: kbusdev.NameReplierBindEvent})
		s.play(Step{Op: "maxmsgs", K: s.open[0], N: uint32(1 + s.r.IntN(6))})
	}
	for range 50 + s.r.IntN(200) {
		s.step(pick(s.r, s.ops))
	}
	for len(s.open) > 0 { // what is left, to the last message
		k := s.open[0]
		s.drain(k)
		s.play(Step{Op: "unreplied", K: k})
		s.close(k)
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (s *storyteller) openOne() int {
	k := s.opened
	s.opened++
	a := s.play(Step{Op: "open", K: k, Mode: pick(s.r, []string{"rw", "rw", "rw", "rw", "rw", "r", "w"})})
	s.ids[k] = a.ID.(uint32)
	s.open = append(s.open, k)
	return k
}

func (s *storyteller) close(k int) {
	s.play(Step{Op: "close", K: k})
	s.open = slices.DeleteFunc(s.open, func(o int) bool { return o == k })
}

func (s *storyteller) drain(k int) {
	for range 2500 {
		a := s.recv(k)
		if a.Err == "" && (a.Len == nil || *a.Len == 0) {
			return
		}
	}
}

func (s *storyteller) recv(k int) answer {
	a := s.play(Step{Op: "recv", K: k})
	if a.Msg != nil && a.Msg.Flags&uint32(kbusdev.WantYouToReply) != 0 {
		s.asked = append(s.asked, asked{by: k, id: a.Msg.ID, from: a.Msg.From, name: a.Msg.Name})
	}
	return a
}

var (
	storyNames  = []string{"$.A", "$.A.B", "$.A.C", "$.A.B.D", "$.E"}
	storyBinds  = []string{"$.A", "$.A", "$.A", "$.A.B", "$.A.B", "$.E", "$.*", "$.%", "$.A.*", "$.A.%", "$.A.B.*", "$.KBUS.*"}
	storyBroken = []string{"", "$", "$.", "$.A.", "A.B", "$..A", "$.A b", "$.*.A", "$.A*", "$.\x00", "$." + strings.Repeat("n", 998), "$." + strings.Repeat("n", 999)}
)

func (s *storyteller) name(bind bool) string {
	switch {
	case s.r.IntN(40) == 0:
		return pick(s.r, storyBroken)
	case bind:
		return pick(s.r, storyBinds)
	default:
		return pick(s.r, storyNames)
	}
}

func (s *storyteller) step(op string) {
	k := pick(s.r, s.open)
	switch op {
	case "bind", "unbind":
		s.play(Step{Op: op, K: k, Name: s.name(true), Replier: s.r.IntN(2) == 0})
	case "events": // the listeners for bind events come and go
		op := pick(s.r, []string{"bind", "bind", "unbind"})
		s.play(Step{Op: op, K: k, Name: pick(s.r, []string{kbusdev.NameReplierBindEvent, kbusdev.NameReplierBindEvent, "$.KBUS.*", "$.*", "$.KBUS.%"}), Replier: s.r.IntN(12) == 0})
	case "troop", "bigtroop": // one that binds many repliers, and closes
		n := 1 + s.r.IntN(8)
		if op == "bigtroop" {
			n = 100 + s.r.IntN(300)
			s.play(Step{Op: "reportbinds", K: k, N: 0})
		}
		t := s.openOne()
		for i := range n {
			s.play(Step{Op: "bind", K: t, Name: fmt.Sprintf("$.R%d.n%d", t, i), Replier: true})
		}
		if op == "bigtroop" {
			s.play(Step{Op: "reportbinds", K: t, N: 1})
		}
		if s.r.IntN(4) == 0 {
			s.play(Step{Op: "bind", K: t, Name: kbusdev.NameReplierBindEvent})
		}
		s.close(t)
	case "close":
		if s.close(k); len(s.open) < 3 {
			s.openOne()
		}
	case "send":
		s.play(Step{Op: op, K: k, Msg: s.message()})
		if a := s.play(Step{Op: "lastsent", K: k}); a.Err == "" {
			id := a.ID.([2]uint32)
			s.sent = append(s.sent, kbusdev.MsgID{Network: id[0], Serial: id[1]})
		}
	case "reply":
		if m, by, ok := s.reply(); ok {
			s.play(Step{Op: "send", K: by, Msg: m})
		}
	case "write":
		s.write(k)
	case "recv":
		s.recv(k)
	case "drain":
		s.drain(k)
	case "read":
		s.play(Step{Op: op, K: k, N: uint32(s.r.IntN(150))})
	case "maxmsgs":
		s.play(Step{Op: op, K: k, N: pick(s.r, []uint32{0, 1, 1, 2, 2, 3, 4, 5, 8, 100})})
	case "maxsize":
		s.play(Step{Op: op, K: k, N: pick(s.r, []uint32{0, 1, 99, 100, 101, 104, 108, 112, 200, 1000, 409600, 409601})})
	case "once", "reportbinds":
		s.play(Step{Op: op, K: k, N: pick(s.r, []uint32{0, 1, 1, 1, 2, 0xFFFFFFFF})})
	case "replier":
		s.play(Step{Op: op, K: k, Name: s.name(true)})
	default:
		s.play(Step{Op: op, K: k})
	}
}

func (s *storyteller) message() *Message {
	r := s.r
	m := &Message{Name: s.name(false), Data: make(Hex, pick(r, []int{0, 0, 1, 2, 3, 4, 5, 30})), Extra: r.Uint32N(2)}
	if r.IntN(2) == 0 {
		m.Flags |= uint32(kbusdev.WantReply)
	}
	flags := []kbusdev.Flags{0, 0, kbusdev.Urgent, kbusdev.AllOrFail, kbusdev.AllOrWait, kbusdev.AllOrWait, kbusdev.Synthetic, kbusdev.WantYouToReply, 1 << 20}
	for range 2 {
		m.Flags |= uint32(pick(r, flags))
	}
	if r.IntN(4) == 0 { // stateful, or an announcement with a "to"
		m.To = s.ids[pick(r, s.open)]
	}
	if r.IntN(30) == 0 {
		m.To = 77
	}
	if r.IntN(6) == 0 { // an explicit id, some of them twice
		m.ID = [2]uint32{pick(r, []uint32{1, 9}), 1 + r.Uint32N(4)}
	} else if r.IntN(10) == 0 {
		m.ID = [2]uint32{0, r.Uint32N(9)}
	}
	if r.IntN(8) == 0 {
		m.OrigFrom, m.FinalTo = [2]uint32{1, 2}, [2]uint32{3, r.Uint32N(4)}
	}
	if r.IntN(12) == 0 { // a reply out of the blue
		m.InReplyTo = [2]uint32{r.Uint32N(2), r.Uint32N(20)}
		m.To = s.ids[pick(r, s.open)]
	}
	return m
}

// reply answers what was asked, now and then wrongly, twice, or from somebody else.
func (s *storyteller) reply() (m *Message, by int, ok bool) {
	r := s.r
	if len(s.asked) == 0 {
		return nil, 0, false
	}
	i := r.IntN(len(s.asked))
	q := s.asked[i]
	if r.IntN(5) != 0 {
		s.asked = slices.Delete(s.asked, i, i+1)
	}
	by = q.by
	if !slices.Contains(s.open, by) || r.IntN(8) == 0 {
		by = pick(r, s.open)
	}
	m = &Message{Name: q.name, InReplyTo: q.id, To: q.from, Data: Hex("answer")}
	switch r.IntN(12) {
	case 0:
		m.To = s.ids[pick(r, s.open)]
	case 1:
		m.InReplyTo[1] += r.Uint32N(3)
	case 2:
		m.Flags |= uint32(kbusdev.WantReply)
	}
	m.Flags |= uint32(pick(r, []kbusdev.Flags{0, 0, 0, kbusdev.Urgent, kbusdev.AllOrFail, kbusdev.AllOrWait, kbusdev.AllOrWait}))
	return m, by, true
}

// write writes a message in pieces, sometimes broken, sometimes not to its end.
func (s *storyteller) write(k int) {
	r := s.r
	m := s.message()
	b := kbusdev.AppendEntire(nil, kbusdev.LittleEndian64, m.KBUS())
	switch r.IntN(12) {
	case 0:
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	case 1:
		at := pick(r, []int{0, 52, 56, 64, 72, 80, len(b) - 4})
		binary.LittleEndian.PutUint32(b[at:], pick(r, []uint32{0, 1, 3, 1000, 1001, 409600, 0xFFFFFFFF, 0xFFFFFFFC}))
	case 2:
		b = append(b, make([]byte, 1+r.IntN(5))...)
	case 3:
		b = b[:r.IntN(len(b))]
	}
	if r.IntN(3) != 0 && len(b) >= 80 { // a header that points would be followed at SEND
		clear(b[64:80])
	}
	for len(b) > 0 {
		n := len(b)
		if r.IntN(2) == 0 {
			n = min(n, 1+r.IntN(100))
		}
		if a := s.play(Step{Op: "write", K: k, Data: slices.Clone(b[:n])}); a.Err != "" {
			return
		}
		b = b[n:]
	}
}
