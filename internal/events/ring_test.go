package events

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// readAll returns the events from one on, and how many of them are kept no more.
func readAll(r *Ring, from uint64) (all []Event, missed uint64) {
	for {
		p := r.Read(from)
		all, missed, from = append(all, p.Events...), missed+p.Missed, p.Next
		if p.Added != nil {
			return all, missed
		}
	}
}

// A ring has the same as a plain list from which the oldest is taken.
func TestRingIsAList(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := New()
		begin := time.Now()
		var want []Event
		bytes, most := 0, 1+rng.IntN(2*maxValue)
		for n := range uint64(2*MaxEvents + 100) {
			e := Event{Number: n + 1, Time: begin.Add(time.Duration(n)), Name: "a name", Attributes: []Attribute{{"reason", strings.Repeat("x", rng.IntN(most))}}}
			r.add(e)
			want = append(want, e)
			bytes += e.size()
			for len(want) > MaxEvents || bytes > MaxBytes {
				bytes -= want[0].size()
				want = want[1:]
			}
			if n%257 != 0 {
				continue
			}
			from := 1 + rng.Uint64N(n+2)
			left := slices.IndexFunc(want, func(e Event) bool { return e.Number >= from })
			got, missed := readAll(r, from)
			if left < 0 {
				left = len(want)
			}
			if !slices.EqualFunc(got, want[left:], func(a, b Event) bool { return a.Number == b.Number && a.Attributes[0] == b.Attributes[0] }) {
				t.Fatalf("seed %d: from %d of %d events: %d are told, want %d", seed, from, n+1, len(got), len(want[left:]))
			}
			if lost := max(want[0].Number, from) - from; missed != lost {
				t.Fatalf("seed %d: from %d of %d events %d are missed, want %d", seed, from, n+1, missed, lost)
			}
			since, oldest := r.KeptSince()
			if oldest != want[0].Number || oldest > 1 && !since.Equal(want[0].Time.Add(-1)) || oldest == 1 && since.After(time.Now()) {
				t.Fatalf("seed %d: kept since %v, from %d on", seed, since, oldest)
			}
		}
		if bytes > MaxBytes || r.bytes != bytes || len(r.entries) != MaxEvents {
			t.Errorf("seed %d: %d bytes in %d entries, want %d", seed, r.bytes, len(r.entries), bytes)
		}
	}
}

// Who reads is told when there is more.
func TestReadAsTheyCome(t *testing.T) {
	r := New()
	p := r.Read(1)
	select {
	case <-p.Added:
		t.Fatal("nothing was added")
	default:
	}
	if p.Next != 1 || len(p.Events) > 0 {
		t.Fatalf("a page of nothing: %+v", p)
	}
	go r.add(Event{Name: "one"})
	<-p.Added
	if p = r.Read(p.Next); len(p.Events) != 1 || p.Events[0].Name != "one" || p.Next != 2 {
		t.Fatalf("then %+v", p)
	}
	if p = r.Read(9); p.Next != 9 || p.Missed != 0 || p.Added == nil {
		t.Errorf("of the future: %+v", p)
	}
}

// The mark of the latest reload stays, whatever is forgotten.
func TestReloaded(t *testing.T) {
	r := New()
	r.add(Event{})
	if n := r.LatestReload(); n != 1 {
		t.Errorf("before any it is %d", n)
	}
	begins := r.Next()
	for range MaxEvents + 10 {
		r.add(Event{})
	}
	r.Reloaded(begins)
	if n := r.LatestReload(); n != 2 {
		t.Errorf("it began with %d", n)
	}
	if all, missed := readAll(r, r.LatestReload()); missed != 10 || len(all) != MaxEvents {
		t.Errorf("since then %d, and %d missed", len(all), missed)
	}
}

// Many log at once.
func TestRingAtOnce(t *testing.T) {
	r := New()
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			for n := range 500 {
				r.add(Event{Name: fmt.Sprint(i), Attributes: []Attribute{{"n", fmt.Sprint(n)}}})
			}
			done <- struct{}{}
		}()
	}
	next, got := uint64(1), make(map[string]int)
	for total := 0; total < 2000; {
		p := r.Read(next)
		for _, e := range p.Events {
			if e.Attributes[0].Value != fmt.Sprint(got[e.Name]) {
				t.Fatalf("event %d of %s has come as %d", got[e.Name], e.Name, e.Number)
			}
			got[e.Name]++
			total++
		}
		if next = p.Next; p.Added != nil && total < 2000 {
			<-p.Added
		}
	}
	for range 4 {
		<-done
	}
}
