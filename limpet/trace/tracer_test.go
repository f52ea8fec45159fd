package trace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/trace"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A chain is the four ends of the links between networks 1, 2 and 3.
type chain struct {
	ends  [4]*trace.Tracer
	spans []*trace.Span
}

func newChain(share float64) *chain {
	c := new(chain)
	for i, ids := range [][2]uint32{{1, 2}, {2, 1}, {2, 3}, {3, 2}} {
		c.ends[i] = trace.New(trace.Config{Network: ids[0], Peer: ids[1], Share: share, MaxOpen: 10, To: func(s *trace.Span) { c.spans = append(c.spans, s) }})
	}
	return c
}

func kindOf(end int) trace.Kind { return trace.Kind(end % 2) }

// ask takes a request over all, and its answer back. A device in the middle carries no
// context.
func (c *chain) ask(m kbusdev.Message, answer string, device bool) {
	m.ID = kbusdev.MsgID{Network: 1, Serial: 7}
	for i, t := range c.ends {
		if i == 2 && device {
			m.Trace = nil
		}
		t.Begin(start.Add(time.Duration(i)), kindOf(i), &m)
	}
	for i := 3; i >= 0; i-- {
		reply := kbusdev.Message{Name: answer, InReplyTo: m.ID}
		if i == 0 {
			reply.InReplyTo.Network = 0
		}
		c.ends[i].Answered(start.Add(time.Second), kindOf(i), &reply)
	}
}

// checkTree checks that the spans are one tree, with this parent of all.
func checkTree(t *testing.T, spans []*trace.Span, parent [8]byte) {
	t.Helper()
	if len(spans) != 4 {
		t.Fatalf("%d spans, want 4", len(spans))
	}
	for i := 3; i >= 0; i-- { // the last to end is the first
		s := spans[i]
		if s.Parent != parent || s.Context.TraceID != spans[0].Context.TraceID || s.Context.SpanID == parent || !s.Context.Sampled() {
			t.Errorf("%+v, want the parent %x", s, parent)
		}
		parent = s.Context.SpanID
	}
}

func TestOneTree(t *testing.T) {
	for name, device := range map[string]bool{"the buses carry contexts": false, "there is a device between": true} {
		t.Run(name, func(t *testing.T) {
			c := newChain(1)
			c.ask(kbusdev.Message{Name: "$.A"}, "$.A", device)
			checkTree(t, c.spans, [8]byte{})
			if s := c.spans[3]; s.Outcome != kbusdev.Answered || s.Name != "$.A" || !s.Start.Equal(start) || s.End.Sub(s.Start) != time.Second || s.Network != 1 || s.Peer != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestTraceOfTheProgram(t *testing.T) {
	c := newChain(0)
	theirs := &kbusdev.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}
	c.ask(kbusdev.Message{Name: "$.A", Trace: theirs}, kbusdev.NameReplierIgnored, false)
	checkTree(t, c.spans, theirs.SpanID)
	if s := c.spans[0]; s.Context.TraceID != theirs.TraceID || s.Outcome != kbusdev.MayHaveRun || s.Reason != "Replier.Ignored" {
		t.Errorf("%+v", s)
	}
	c.spans = nil
	c.ask(kbusdev.Message{Name: "$.A", Trace: &kbusdev.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}}}, "$.A", false)
	if len(c.spans) > 0 {
		t.Error("a trace is recorded although its program does not record it")
	}
}

// All limpets sample the same requests, and about as many as they should.
func TestSampling(t *testing.T) {
	for _, share := range []float64{0, 0.25, 1} {
		n := 0
		here := trace.New(trace.Config{Network: 1, Peer: 2, Share: share, To: func(*trace.Span) { n++ }})
		there := trace.New(trace.Config{Network: 2, Peer: 1, Share: share, To: func(*trace.Span) { n-- }})
		for i := range uint32(4000) {
			m := kbusdev.Message{Name: "$.A", ID: kbusdev.MsgID{Network: 1, Serial: i}}
			before := n
			here.Refused(start, trace.Client, &m, &m)
			began := n > before
			there.Refused(start, trace.Server, &m, &m)
			if n != before {
				t.Fatalf("%v is sampled at one end only", m.ID)
			}
			if began {
				n += 1 << 16
			}
		}
		if got, want := float64(n>>16)/4000, share; got < want-0.05 || got > want+0.05 {
			t.Errorf("%v of all are sampled, want %v", got, want)
		}
	}
}

// A request that is not sampled costs no memory.
func TestUnsampledTakesNoMemory(t *testing.T) {
	c := newChain(0)
	m := &kbusdev.Message{ID: kbusdev.MsgID{Serial: 1}, Name: "$.A"}
	if n := testing.AllocsPerRun(100, func() { c.ends[0].Begin(start, trace.Client, m) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Nothing is kept without bound, and what is cut off ends.
func TestBounds(t *testing.T) {
	c := newChain(1)
	for i := range uint32(20) {
		c.ends[0].Begin(start, trace.Client, &kbusdev.Message{ID: kbusdev.MsgID{Serial: i}})
	}
	c.ends[0].Cut(start, trace.Server)
	if len(c.spans) > 0 {
		t.Error("the wrong spans are cut")
	}
	c.ends[0].Cut(start, trace.Client)
	if len(c.spans) != 10 || c.spans[0].Outcome != 0 {
		t.Errorf("%d spans, want 10", len(c.spans))
	}
	long := &kbusdev.Message{Name: strings.Repeat("n", 1<<20)}
	c.ends[1].Refused(start, trace.Server, long, &kbusdev.Message{Name: "$.KBUS.Replier." + long.Name})
	if s := c.spans[10]; len(s.Name) != 1000 || len(s.Answer) != 1000 || len(s.Reason) != 1000 {
		t.Errorf("its names have %d, %d and %d bytes", len(s.Name), len(s.Answer), len(s.Reason))
	}
	var none *trace.Tracer
	none.Begin(start, trace.Client, &kbusdev.Message{})
	none.Answered(start, trace.Client, &kbusdev.Message{})
	none.Refused(start, trace.Client, &kbusdev.Message{}, &kbusdev.Message{})
	none.Cut(start, trace.Client)
}
