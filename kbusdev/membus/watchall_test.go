package membus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// A view is what a watcher knows.
type view struct {
	t        *testing.T
	w        kbusdev.BindingWatch
	bound    map[kbusdev.Binding]int
	whole    bool
	restarts int
}

func newView(t *testing.T, w kbusdev.BindingWatch) *view {
	t.Cleanup(w.Close)
	return &view{t: t, w: w, bound: make(map[kbusdev.Binding]int)}
}

// next takes what is told next.
func (v *view) next(ctx context.Context) error {
	c, err := v.w.Next(ctx)
	if err != nil {
		return err
	}
	if c.Restart {
		clear(v.bound)
		v.whole = false
		v.restarts++
	}
	for _, b := range c.Unbound {
		if v.bound[b]--; v.bound[b] < 0 {
			v.t.Errorf("%v is gone and never was there", b)
		}
		if v.bound[b] == 0 {
			delete(v.bound, b)
		}
	}
	for _, b := range c.Bound {
		v.bound[b]++
	}
	if c.Whole && v.whole {
		v.t.Error("whole twice")
	}
	v.whole = v.whole || c.Whole
	return nil
}

// drain takes all there is.
func (v *view) drain() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for v.next(ctx) == nil {
	}
}

func (v *view) want(bus *membus.Bus, accept func(kbusdev.Binding) bool) {
	v.t.Helper()
	want := make(map[kbusdev.Binding]int)
	all, _ := bus.Bindings()
	for _, b := range all {
		if accept == nil || accept(b) {
			want[b]++
		}
	}
	if fmt.Sprint(want) != fmt.Sprint(v.bound) {
		v.t.Errorf("watched %v, bound are %v", v.bound, want)
	}
}

// Watchers that take what is told at any time know in the end what is bound.
func TestWatchBindingsAgainstTheList(t *testing.T) {
	onlyA := func(b kbusdev.Binding) bool { return strings.HasPrefix(b.Name, "$.A") }
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		bus := membus.New()
		ks := []kbusdev.Ksock{open(t, bus), open(t, bus), open(t, bus)}
		views := []*view{newView(t, bus.WatchBindings(nil)), newView(t, bus.WatchBindings(onlyA))}
		for range 300 {
			i := rng.IntN(len(ks))
			name, role := fmt.Sprintf("$.%c.N%d", 'A'+rng.IntN(2), rng.IntN(8)), kbusdev.Role(rng.IntN(2) == 0)
			switch rng.IntN(8) {
			case 0, 1, 2, 3:
				_ = ks[i].Bind(name, role)
			case 4, 5:
				_ = ks[i].Unbind(name, role)
			case 6:
				views[rng.IntN(2)].drain()
			case 7:
				if rng.IntN(4) == 0 {
					_ = ks[i].Close()
					ks[i] = open(t, bus)
				}
			}
		}
		for i, accept := range []func(kbusdev.Binding) bool{nil, onlyA} {
			views[i].drain()
			views[i].want(bus, accept)
			if !views[i].whole || views[i].restarts > 0 {
				t.Errorf("seed %d: whole %v, %d restarts", seed, views[i].whole, views[i].restarts)
			}
		}
	}
}

// A watcher that is too slow starts again, and is told nothing that is gone meanwhile.
func TestSlowWatcherStartsAgain(t *testing.T) {
	bus := membus.New()
	k := open(t, bus)
	const many = 20_000
	for i := range many {
		bind(t, k, fmt.Sprintf("$.N%d", i), kbusdev.Listener)
	}
	v := newView(t, bus.WatchBindings(nil))
	v.drain()
	v.want(bus, nil)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	bind(t, open(t, bus), "$.Left", kbusdev.Replier)
	v.drain()
	v.want(bus, nil)
	if v.restarts != 1 || !v.whole {
		t.Errorf("%d restarts, whole %v", v.restarts, v.whole)
	}
}

// A watcher that waits is woken by each change, and by Close.
func TestWatchBindingsWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		k := open(t, bus)
		w := bus.WatchBindings(func(b kbusdev.Binding) bool { return b.Name == "$.A" })
		v := newView(t, w)
		ended := make(chan error, 1)
		told := 0
		go func() {
			for {
				if err := v.next(context.Background()); err != nil {
					ended <- err
					return
				}
				told++
			}
		}()
		for i, do := range []func(){
			func() {},
			func() { bind(t, k, "$.A", kbusdev.Listener) },
			func() { bind(t, k, "$.B", kbusdev.Listener) }, // not watched
			func() { _ = k.Unbind("$.A", kbusdev.Listener) },
			func() { bind(t, k, "$.A", kbusdev.Replier) },
			func() { _ = k.Close() },
		} {
			do()
			synctest.Wait()
			if want := []int{1, 2, 2, 3, 4, 5}[i]; told != want {
				t.Errorf("after step %d it was told %d times, not %d", i, told, want)
			}
		}
		w.Close()
		w.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed watch says %v", err)
		}
	})
}

func TestWatchBindingsUnderLoad(t *testing.T) {
	bus := membus.New()
	var programs sync.WaitGroup
	for p := range 4 {
		programs.Go(func() {
			for range 20 {
				k, err := bus.Open(kbusdev.ReadWrite)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 50 {
					if err := k.Bind(fmt.Sprintf("$.P%d.N%d", p, i), kbusdev.Replier); err != nil {
						t.Error(err)
					}
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	v := newView(t, bus.WatchBindings(nil))
	stop, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for v.next(stop) == nil {
		}
	}()
	programs.Wait()
	cancel()
	<-watched
	v.drain()
	v.want(bus, nil)
}
