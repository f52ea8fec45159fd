package membus_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func TestWatchListeners(t *testing.T) {
	bus := membus.New()
	a, b := open(t, bus), open(t, bus)
	bind(t, a, "$.First", kbusdev.Listener)
	bind(t, a, "$.Replier", kbusdev.Replier)
	bind(t, b, "$.*", kbusdev.Listener)
	var told []string
	stop := bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
		told = append(told, fmt.Sprint(b.Ksock, b.Role, b.Name, bound))
	})
	bind(t, a, "$.First", kbusdev.Listener)
	bind(t, b, "$.Other", kbusdev.Replier)
	if err := a.Unbind("$.First", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	if err := b.Unbind("$.Other", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	if err := a.Unbind("$.Never", kbusdev.Listener); err == nil {
		t.Fatal("unbound what was not bound")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	bind(t, b, "$.Unheard", kbusdev.Listener)
	line := func(k kbusdev.Ksock, name string, bound bool) string {
		return fmt.Sprint(k.ID(), kbusdev.Listener, name, bound)
	}
	want := []string{
		line(a, "$.First", true), line(b, "$.*", true),
		line(a, "$.First", true), line(a, "$.First", false), line(a, "$.First", false),
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Watchers that begin in the middle, while many Ksocks bind, unbind and close: each
// ends with what is bound, and never hears an unbind before its bind.
func TestWatchListenersIsCompleteUnderLoad(t *testing.T) {
	bus := membus.New()
	var programs, watching sync.WaitGroup
	for p := range 8 {
		programs.Go(func() {
			for round := range 20 {
				k, err := bus.Open(kbusdev.ReadWrite)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 10 {
					name := fmt.Sprintf("$.P%d.N%d", p%3, i%4)
					if err := k.Bind(name, kbusdev.Listener); err != nil {
						t.Error(err)
					}
					if i%3 == 2 {
						if err := k.Unbind(name, kbusdev.Listener); err != nil {
							t.Error(err)
						}
					}
				}
				if round < 19 {
					if err := k.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	seen := make([]map[kbusdev.Binding]int, 4)
	stops := make([]func(), len(seen))
	for w := range seen {
		watching.Go(func() {
			counts := make(map[kbusdev.Binding]int)
			seen[w] = counts
			stops[w] = bus.WatchListeners(func(b kbusdev.Binding, bound bool) {
				if !bound {
					counts[b]--
				} else {
					counts[b]++
				}
				if counts[b] < 0 {
					t.Errorf("%+v is unbound before it is bound", b)
				}
				if counts[b] == 0 {
					delete(counts, b)
				}
			})
		})
	}
	watching.Wait()
	programs.Wait()
	want := make(map[kbusdev.Binding]int)
	bindings, _ := bus.Bindings()
	for _, b := range bindings {
		want[b]++
	}
	if len(want) == 0 {
		t.Fatal("nothing is bound in the end")
	}
	for w, stop := range stops {
		stop()
		if fmt.Sprint(seen[w]) != fmt.Sprint(want) {
			t.Errorf("watcher %d saw %v, want %v", w, seen[w], want)
		}
	}
}
