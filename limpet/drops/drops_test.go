package drops_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/drops"
)

func drop(name, reason string) *drops.Drop {
	return &drops.Drop{Why: drops.Why{Reason: reason}, Message: kbusdev.Message{Name: name, Data: []byte("secret")}}
}

// The latest are told one by one, what came before as counts, and nothing twice.
func TestWatchTellsTheLatestAndCountsTheRest(t *testing.T) {
	l := drops.New()
	p := l.Part(drops.Link, "a")
	if l.Part(drops.Link, "a") != p || l.Part(drops.Bus, "a") == p {
		t.Fatal("a part is not found again")
	}
	for i := range 300 {
		p.Add(drop(fmt.Sprintf("$.N%d", i), "stalled"))
	}
	w := l.Watch()
	defer w.Close()
	look := func() (told []string, untold uint64) {
		err := w.Look(func(from *drops.Part, some []drops.Drop, rest map[drops.Why]uint64) error {
			if from != p || from.Source() != drops.Link || from.Name() != "a" {
				t.Errorf("of %v %s", from.Source(), from.Name())
			}
			for _, d := range some {
				if d.Message.Data != nil || d.Size != len("secret") {
					t.Errorf("%+v", d)
				}
				told = append(told, d.Message.Name)
			}
			for why, n := range rest {
				if why != (drops.Why{Reason: "stalled"}) {
					t.Errorf("%d for %+v", n, why)
				}
				untold += n
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return told, untold
	}
	if told, untold := look(); len(told) != drops.Kept || told[0] != "$.N172" || told[127] != "$.N299" || untold != 172 {
		t.Errorf("first: %v and %d", told, untold)
	}
	if told, untold := look(); len(told) != 0 || untold != 0 {
		t.Errorf("again: %v and %d", told, untold)
	}
	select {
	case <-w.More():
		t.Error("there is more, though nothing was dropped")
	default:
	}
	p.Add(drop("$.Next", "stalled"))
	<-w.More()
	if told, untold := look(); len(told) != 1 || told[0] != "$.Next" || untold != 0 {
		t.Errorf("next: %v and %d", told, untold)
	}
	if all := p.Latest(); len(all) != drops.Kept || all[127].Message.Name != "$.Next" || all[0].Message.Name != "$.N173" {
		t.Errorf("latest: %v", all)
	}
	failed := errors.New("the caller is gone")
	p.Add(drop("$.Last", "stalled"))
	if err := w.Look(func(*drops.Part, []drops.Drop, map[drops.Why]uint64) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// However many drop and look at a time, what each watch has seen is all that was dropped.
func TestSumsAreExact(t *testing.T) {
	l := drops.New()
	reasons := []string{"stalled", "expired", "denied"}
	const parts, each = 3, 2000
	type seer struct {
		w    *drops.Watch
		sums map[drops.Total]uint64
	}
	var seers []*seer
	see := func(s *seer) {
		_ = s.w.Look(func(p *drops.Part, some []drops.Drop, untold map[drops.Why]uint64) error {
			for i := range some {
				s.sums[drops.Total{Source: p.Source(), Name: p.Name(), Why: some[i].Why}]++
			}
			for why, n := range untold {
				s.sums[drops.Total{Source: p.Source(), Name: p.Name(), Why: why}] += n
			}
			return nil
		})
	}
	var adding, watching sync.WaitGroup
	over := make(chan struct{})
	for range 3 {
		s := &seer{l.Watch(), make(map[drops.Total]uint64)}
		seers = append(seers, s)
		watching.Go(func() {
			for {
				select {
				case <-s.w.More():
					see(s)
				case <-over:
					see(s)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	want := make(map[drops.Total]uint64)
	for i := range parts {
		adding.Go(func() {
			p := l.Part(drops.Link, fmt.Sprint(i))
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range each {
				d := drop("$.A", reasons[rng.IntN(len(reasons))])
				d.FromPeer = rng.IntN(2) == 0
				p.Add(d)
				mu.Lock()
				want[drops.Total{Source: drops.Link, Name: p.Name(), Why: d.Why}]++
				mu.Unlock()
			}
		})
	}
	adding.Wait()
	close(over)
	watching.Wait()
	check := func(what string, got map[drops.Total]uint64) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %d sums, want %d", what, len(got), len(want))
		}
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%s: %d of %+v, want %d", what, got[k], k, n)
			}
		}
	}
	for i, s := range seers {
		check(fmt.Sprint("watch ", i), s.sums)
		s.w.Close()
	}
	check("afterwards", l.Sums())
}

// A drop costs the same whether somebody watches or not, but for a word to them.
func BenchmarkAdd(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			l := drops.New()
			if watched {
				defer l.Watch().Close()
			}
			p := l.Part(drops.Link, "a")
			d := drop("$.A", "stalled")
			b.ReportAllocs()
			for b.Loop() {
				p.Add(d)
			}
		})
	}
}
