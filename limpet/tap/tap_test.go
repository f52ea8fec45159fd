package tap_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

func open(t testing.TB, h *tap.Hub, cfg tap.Config) *tap.Tap {
	t.Helper()
	x, err := h.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// announce shows an announcement that was forwarded.
func announce(p *tap.Point, name string, data []byte) {
	m := &kbusdev.Message{Name: name, Data: data}
	p.Show(&tap.Record{Direction: tap.ToPeer, Verdict: tap.Forwarded, Read: tap.HeaderOf(m), Given: tap.HeaderOf(m), Here: name}, m)
}

// all takes what there is.
func all(x *tap.Tap) (names []string) {
	for x.Next(func(r *tap.Record) { names = append(names, r.Here) }) {
	}
	return names
}

func TestFilter(t *testing.T) {
	h := new(tap.Hub)
	ask := &kbusdev.Message{Name: "$.Ask.A", Flags: kbusdev.WantReply}
	there := *ask
	there.Name = "$.Far.A"
	bind := &kbusdev.Message{Name: kbusdev.NameReplierBindEvent, Event: &kbusdev.BindEvent{Name: "$.X"}}
	reply := &kbusdev.Message{Name: "$.Ask.A", InReplyTo: kbusdev.MsgID{Serial: 1}}
	records := map[string]func(){
		"asked": func() {
			h.Point("a").Show(&tap.Record{Direction: tap.ToPeer, Verdict: tap.Forwarded, Read: tap.HeaderOf(ask), Given: tap.HeaderOf(&there), Here: ask.Name}, ask)
		},
		"answered": func() {
			h.Point("a").Show(&tap.Record{Direction: tap.FromPeer, Verdict: tap.Delivered, Given: tap.HeaderOf(reply), Here: reply.Name}, reply)
		},
		"unwanted": func() {
			h.Point("b").Show(&tap.Record{Direction: tap.ToPeer, Verdict: tap.Dropped, Reason: translate.Unwanted, Read: tap.HeaderOf(&there)}, &kbusdev.Message{Name: there.Name})
		},
		"refused": func() {
			h.Point("b").Show(&tap.Record{Direction: tap.FromPeer, Verdict: tap.Dropped, Reason: translate.Refused, Read: tap.HeaderOf(ask)}, ask)
		},
		"bound": func() {
			h.Point("b").Show(&tap.Record{Direction: tap.ToPeer, Verdict: tap.Dropped, Reason: translate.BindEventUsed, Read: tap.HeaderOf(bind)}, bind)
		},
	}
	for _, c := range []struct {
		cfg  tap.Config
		want string
	}{
		{tap.Config{}, "asked answered unwanted refused bound"},
		{tap.Config{Names: []string{"$.Ask.*"}}, "asked answered refused"},
		{tap.Config{Names: []string{"$.Far.%", "$.KBUS.*"}}, "asked unwanted bound"},
		{tap.Config{Links: []string{"b", "c"}}, "unwanted refused bound"},
		{tap.Config{Direction: tap.FromPeer}, "answered refused"},
		{tap.Config{Kinds: []tap.Kind{tap.Request, tap.BindEvent}}, "asked refused bound"},
		{tap.Config{Kinds: []tap.Kind{tap.Announcement}}, "unwanted"},
		{tap.Config{Reasons: []string{"forwarded"}}, "asked"},
		{tap.Config{Reasons: []string{"delivered", "refused"}}, "answered refused"},
		{tap.Config{Reasons: []string{"dropped"}}, "unwanted refused bound"},
		{tap.Config{Reasons: []string{"lost"}}, "refused"},
		{tap.Config{Names: []string{"$.Ask.*"}, Direction: tap.ToPeer}, "asked"},
	} {
		x := open(t, h, c.cfg)
		var got []string
		for _, name := range []string{"asked", "answered", "unwanted", "refused", "bound"} {
			records[name]()
			if x.Next(func(*tap.Record) {}) {
				got = append(got, name)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s, want %s", c.cfg, s, c.want)
		}
		if x.Lost() != (tap.Lost{}) {
			t.Errorf("%+v: %+v", c.cfg, x.Lost())
		}
		x.Close()
	}
}

func TestBadConfigs(t *testing.T) {
	for _, c := range []struct {
		cfg  tap.Config
		want string
	}{
		{tap.Config{Names: []string{"Weather"}}, `names: "Weather": `},
		{tap.Config{Names: make([]string, tap.MaxNames+1)}, "at most 32"},
		{tap.Config{Links: make([]string, tap.MaxNames+1)}, "at most 32"},
		{tap.Config{Rate: tap.MaxRate + 1}, "records a second"},
		{tap.Config{MaxData: 1 << 30}, "bytes"},
		{tap.Config{Direction: 7}, "direction: 7"},
		{tap.Config{Kinds: []tap.Kind{77}}, "kinds: 77"},
		{tap.Config{Reasons: []string{"lonely"}}, `reasons: "lonely"`},
	} {
		if _, err := new(tap.Hub).Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.100v: %v, want %s", fmt.Sprint(c.cfg), err, c.want)
		}
	}
	if _, err := new(tap.Hub).Open(tap.Config{Reasons: tap.Reasons()}); err != nil {
		t.Error(err)
	}
}

// So many are kept in a second, and the others counted.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(tap.Hub)
		x := open(t, h, tap.Config{Rate: 10})
		p := h.Point("link")
		for range 25 {
			announce(p, "$.A", nil)
		}
		if got := len(all(x)); got != 10 || x.Lost() != (tap.Lost{OverRate: 15}) {
			t.Errorf("%d at once, %+v", got, x.Lost())
		}
		<-time.After(500 * time.Millisecond)
		for range 10 {
			announce(p, "$.A", nil)
		}
		if got := len(all(x)); got != 5 || x.Lost() != (tap.Lost{OverRate: 20}) {
			t.Errorf("%d after half a second, %+v", got, x.Lost())
		}
	})
}

// What is kept is bounded, in records and in bytes, and what is shown together with what is
// lost is what was offered.
func TestRoom(t *testing.T) {
	h := new(tap.Hub)
	heads, wholes := open(t, h, tap.Config{Rate: tap.MaxRate}), open(t, h, tap.Config{Rate: tap.MaxRate, MaxData: 1 << 16})
	p := h.Point("link")
	data := bytes.Repeat([]byte("x"), 100_000)
	const n = 10_000
	for range n {
		announce(p, "$.A", data)
	}
	kept := 0
	for heads.Next(func(r *tap.Record) {
		if kept++; len(r.Data) != 0 || r.Size != len(data) {
			t.Fatalf("%d bytes of %d are kept", len(r.Data), r.Size)
		}
	}) {
	}
	if kept != 8192 || heads.Lost().NoRoom != n-8192 {
		t.Errorf("%d records are kept, %+v", kept, heads.Lost())
	}
	kept = 0
	for wholes.Next(func(r *tap.Record) {
		if kept++; len(r.Data) != 1<<16 {
			t.Fatalf("%d bytes of %d are kept", len(r.Data), r.Size)
		}
	}) {
	}
	if kept != 127 || wholes.Lost().NoRoom != n-127 { // of 8 MiB, with the names
		t.Errorf("%d records with data are kept, %+v", kept, wholes.Lost())
	}
	announce(p, "$.B", data)
	if got := all(wholes); len(got) != 1 {
		t.Errorf("there is no room when all is taken: %q", got)
	}
}

// Data whose name on our bus is not known is not kept.
func TestDataWithoutAName(t *testing.T) {
	h := new(tap.Hub)
	x := open(t, h, tap.Config{MaxData: 10})
	m := &kbusdev.Message{Name: "$.Far", Data: []byte("secret")}
	h.Point("link").Show(&tap.Record{Direction: tap.ToPeer, Verdict: tap.Dropped, Reason: translate.LinkLost, Given: tap.HeaderOf(m)}, m)
	x.Next(func(r *tap.Record) {
		if len(r.Data) != 0 || r.Size != 6 {
			t.Errorf("%+v", r)
		}
	})
}

// Many links at a time, and a reader that is woken: each record is shown once, in the order
// of its link, or is counted.
func TestManyWriters(t *testing.T) {
	h := new(tap.Hub)
	x := open(t, h, tap.Config{Rate: tap.MaxRate, MaxData: 8})
	const writers, each = 4, 5_000
	var writing sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			p := h.Point(fmt.Sprint(w))
			for i := range each {
				announce(p, "$.A", fmt.Appendf(nil, "%d", i))
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	go func() { writing.Wait(); close(done) }()
	last := make(map[string]int)
	shown := uint64(0)
	take := func() {
		for x.Next(func(r *tap.Record) {
			var i int
			_, _ = fmt.Sscan(string(r.Data), &i)
			if i < last[r.Link] {
				t.Errorf("link %s: %d after %d", r.Link, i, last[r.Link])
			}
			last[r.Link] = i + 1
			shown++
		}) {
		}
	}
	for over := false; !over; {
		select {
		case <-x.Wait():
		case <-done:
			over = true
		}
		take()
	}
	lost := x.Lost()
	if shown+lost.NoRoom+lost.OverRate != writers*each || shown == 0 {
		t.Errorf("%d shown and %+v lost of %d", shown, lost, writers*each)
	}
}

func TestHowManyTaps(t *testing.T) {
	h := new(tap.Hub)
	p := h.Point("link")
	var none *tap.Point
	if p.On() || none.On() {
		t.Error("somebody looks")
	}
	var taps []*tap.Tap
	for range tap.MaxTaps {
		taps = append(taps, open(t, h, tap.Config{}))
	}
	if _, err := h.Open(tap.Config{}); !errors.Is(err, tap.TooManyTapsError{}) {
		t.Error(err)
	}
	announce(p, "$.A", nil)
	for _, x := range taps {
		if got := all(x); len(got) != 1 {
			t.Errorf("a tap has %q", got)
		}
		x.Close()
		x.Close()
	}
	if p.On() {
		t.Error("somebody looks still")
	}
	announce(p, "$.A", nil)
	if got := all(taps[0]); len(got) != 0 {
		t.Errorf("a closed tap has %q", got)
	}
}

// A look at whether anybody looks allocates nothing, nor does a record without data.
func TestAllocations(t *testing.T) {
	h := new(tap.Hub)
	p := h.Point("link")
	m := &kbusdev.Message{Name: "$.A", Data: make([]byte, 64)}
	show := func() {
		if p.On() {
			r := tap.Record{Direction: tap.ToPeer, Verdict: tap.Forwarded, Read: tap.HeaderOf(m), Given: tap.HeaderOf(m), Here: m.Name}
			p.Show(&r, m)
		}
	}
	if n := testing.AllocsPerRun(100, show); n != 0 {
		t.Errorf("%v allocations when nobody looks", n)
	}
	x := open(t, h, tap.Config{Rate: tap.MaxRate})
	if n := testing.AllocsPerRun(100, show); n != 0 {
		t.Errorf("%v allocations of a record", n)
	}
	all(x)
}

func BenchmarkShow(b *testing.B) {
	h := new(tap.Hub)
	p := h.Point("link")
	m := &kbusdev.Message{Name: "$.Weather.Rain", Data: make([]byte, 64)}
	show := func(b *testing.B, each func()) {
		b.ReportAllocs()
		for b.Loop() {
			if p.On() {
				r := tap.Record{Direction: tap.ToPeer, Verdict: tap.Forwarded, Read: tap.HeaderOf(m), Given: tap.HeaderOf(m), Here: m.Name}
				p.Show(&r, m)
			}
			each()
		}
	}
	b.Run("nobody", func(b *testing.B) { show(b, func() {}) })
	for name, cfg := range map[string]tap.Config{
		"taken":     {Rate: tap.MaxRate},
		"data":      {Rate: tap.MaxRate, MaxData: 64},
		"left-out":  {Rate: tap.MaxRate, Names: []string{"$.Other.*"}},
		"over-rate": {Rate: 1},
	} {
		b.Run(name, func(b *testing.B) {
			x := open(b, h, cfg)
			defer x.Close()
			show(b, func() { x.Next(func(*tap.Record) {}) })
		})
	}
}
