package membus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// What a message, a binding and a Ksock cost with few and with many others on the bus. The
// sizes of a curve take turns in one run, so that their ratio holds on a machine that is
// busy with other things:
//
//	go test ./kbusdev/membus -run '^$' -bench Curves -benchtime 500x
//
// A line gives the nanoseconds of an operation at each size, as medians over the turns,
// and the greatest ratio of a size to the first, as the median of what each turn says.
func BenchmarkCurves(b *testing.B) {
	for _, crowd := range crowds {
		b.Run(crowd.name, func(b *testing.B) {
			var stages []*stage
			for _, n := range crowd.sizes {
				s := newStage(b)
				crowd.come(b, s, n)
				stages = append(stages, s)
			}
			for _, op := range operations {
				b.Run(op.name, func(b *testing.B) { curve(b, crowd.sizes, stages, op.do) })
			}
		})
	}
}

// opsPerTurn is how often an operation is done before the next size has its turn.
const opsPerTurn = 50

func curve(b *testing.B, sizes []int, stages []*stage, do func(*stage) error) {
	times := make([][]float64, len(sizes)) // nanoseconds an operation, by size and turn
	turn := func(i int) float64 {
		began := time.Now()
		for range opsPerTurn {
			if err := do(stages[i]); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(began).Nanoseconds()) / opsPerTurn
	}
	for i := range sizes {
		turn(i) // to warm up
	}
	for b.Loop() {
		for i := range sizes {
			times[i] = append(times[i], turn(i))
		}
	}
	b.ReportMetric(0, "ns/op") // it would be that of all sizes together
	dearest := 0.0
	for i, n := range sizes {
		ratios := slices.Clone(times[i])
		for turn := range ratios {
			ratios[turn] /= times[0][turn]
		}
		dearest = max(dearest, median(ratios))
		b.ReportMetric(math.Round(median(times[i])), fmt.Sprintf("ns/%06d", n))
	}
	b.ReportMetric(dearest, "ratio")
}

func median(x []float64) float64 { return slices.Sorted(slices.Values(x))[len(x)/2] }

// A stage is a bus with two Ksocks that do something, whatever else is on it.
type stage struct {
	bus              *membus.Bus
	sender, receiver kbusdev.Ksock // the receiver listens to $.A.News, and replies to $.A.Ask
	ctx              context.Context
	got              *kbusdev.Message
	older, newer     string // names that the receiver listens to
}

func newStage(t testing.TB) *stage {
	bus := membus.New(membus.WithMaxBytes(math.MaxInt), membus.WithMaxMessages(math.MaxInt32))
	s := &stage{bus: bus, sender: open(t, bus), receiver: open(t, bus), ctx: t.Context(), older: "$.A.Older", newer: "$.A.Newer"}
	bind(t, s.receiver, "$.A.Ask", kbusdev.Replier)
	for _, name := range []string{s.older, s.newer, "$.A.News"} {
		bind(t, s.receiver, name, kbusdev.Listener)
	}
	return s
}

// Operations end where they began. They use no helpers that call Helper, which costs as
// much as they do.
var operations = []struct {
	name string
	do   func(s *stage) error
}{
	{"send and recv", func(s *stage) error {
		return s.pass(s.sender, s.receiver, &kbusdev.Message{Name: "$.A.News"})
	}},
	{"request and reply", func(s *stage) error {
		q := &kbusdev.Message{Name: "$.A.Ask", Flags: kbusdev.WantReply}
		if err := s.pass(s.sender, s.receiver, q); err != nil {
			return err
		}
		return s.pass(s.receiver, s.sender, &kbusdev.Message{Name: "$.A.Ask", InReplyTo: s.got.ID, To: s.got.From})
	}},
	{"open and close", func(s *stage) error {
		k, err := s.bus.Open(kbusdev.ReadWrite)
		if err != nil {
			return err
		}
		return k.Close()
	}},
	{"bind and unbind", func(s *stage) error {
		return errors.Join(s.receiver.Bind("$.A.New", kbusdev.Listener), s.receiver.Unbind("$.A.New", kbusdev.Listener))
	}},
	{"bind and unbind replier", func(s *stage) error {
		return errors.Join(s.receiver.Bind("$.A.New", kbusdev.Replier), s.receiver.Unbind("$.A.New", kbusdev.Replier))
	}},
	{"unbind and bind", func(s *stage) error { // of what is not the newest
		older, newer := s.older, s.newer
		s.older, s.newer = newer, older
		return errors.Join(s.receiver.Unbind(older, kbusdev.Listener), s.receiver.Bind(older, kbusdev.Listener))
	}},
}

// pass sends a message and reads it.
func (s *stage) pass(from, to kbusdev.Ksock, m *kbusdev.Message) (err error) {
	if _, err = from.Send(s.ctx, m); err == nil {
		s.got, err = to.Recv(s.ctx)
	}
	return err
}

// A crowd is what else is on a bus.
type crowd struct {
	name  string
	sizes []int
	come  func(t testing.TB, s *stage, n int)
}

var (
	tens   = []int{10, 1_000, 100_000}
	thirty = []int{1, 1_000, 30_000}
)

var crowds = []crowd{
	{"bindings/other names", tens, func(t testing.TB, s *stage, n int) { bindMany(t, s, "$.N%d.Other", n) }},
	{"bindings/one first word", tens, func(t testing.TB, s *stage, n int) { bindMany(t, s, "$.A.N%d", n) }},
	{"bindings/wildcards", tens, func(t testing.TB, s *stage, n int) { bindMany(t, s, "$.A.N%d.*", n) }},
	{"bindings/of the receiver", tens, func(t testing.TB, s *stage, n int) {
		for i := range n {
			bind(t, s.receiver, fmt.Sprintf("$.A.N%d", i), kbusdev.Role(i%2 == 0))
		}
	}},
	{"ksocks/idle", tens, func(t testing.TB, s *stage, n int) {
		for range n {
			open(t, s.bus)
		}
	}},
	{"ksocks/half bound to a name", tens, func(t testing.TB, s *stage, n int) {
		for i := range n {
			if k := open(t, s.bus); i%2 == 0 {
				bind(t, k, "$.A.Other", kbusdev.Listener)
			}
		}
	}},
	{"ksocks/each bound to a name", tens, func(t testing.TB, s *stage, n int) {
		for i := range n {
			bind(t, open(t, s.bus), fmt.Sprintf("$.A.N%d", i), kbusdev.Role(i%2 == 0))
		}
	}},
	{"requests/owed by one", thirty, func(t testing.TB, s *stage, n int) {
		asker, replier := open(t, s.bus), open(t, s.bus)
		bind(t, replier, "$.A.Other", kbusdev.Replier)
		for range n {
			send(t, asker, kbusdev.Message{Name: "$.A.Other", Flags: kbusdev.WantReply})
			recv(t, replier)
		}
	}},
	{"requests/owed by many", thirty, func(t testing.TB, s *stage, n int) {
		for i := range n {
			asker, replier, name := open(t, s.bus), open(t, s.bus), fmt.Sprintf("$.A.N%d", i)
			bind(t, replier, name, kbusdev.Replier)
			send(t, asker, kbusdev.Message{Name: name, Flags: kbusdev.WantReply})
			recv(t, replier)
		}
	}},
	{"requests/owed by the receiver", thirty, func(t testing.TB, s *stage, n int) {
		for range n {
			send(t, s.sender, kbusdev.Message{Name: "$.A.Ask", Flags: kbusdev.WantReply})
			recv(t, s.receiver)
		}
	}},
	{"requests/not read", thirty, func(t testing.TB, s *stage, n int) {
		bind(t, open(t, s.bus), "$.A.Other", kbusdev.Replier)
		for range n {
			send(t, s.sender, kbusdev.Message{Name: "$.A.Other", Flags: kbusdev.WantReply})
		}
	}},
}

// bindMany binds n names for one more Ksock, half of them as replier.
func bindMany(t testing.TB, s *stage, format string, n int) {
	k := open(t, s.bus)
	for i := range n {
		bind(t, k, fmt.Sprintf(format, i), kbusdev.Role(i%2 == 0))
	}
}
