package kbusdev_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

const every = 250 * time.Millisecond

// A listedBus is a bus in this process that tells of its listeners only by its list,
// which a test may make fail, change or take long.
type listedBus struct {
	kbusdev.Bus
	fail  error
	list  func(all []kbusdev.Binding) []kbusdev.Binding
	takes time.Duration
	reads int
	// seen is taken at the end of what a test does and at the start of each reading, for
	// the race detector: the clock of the bubble alone does not order the two.
	seen sync.Mutex
}

func (b *listedBus) Bindings() ([]kbusdev.Binding, error) {
	b.see()
	b.reads++
	<-time.After(b.takes)
	all, err := b.Bus.Bindings()
	if b.list != nil {
		all = b.list(all)
	}
	return all, errors.Join(err, b.fail)
}

func (b *listedBus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	b.see()
	return b.Bus.Open(mode)
}

func (b *listedBus) see() {
	b.seen.Lock()
	defer b.seen.Unlock()
}

func (b *listedBus) LosesUnread() bool { return true }

// A pollTest is a listedBus that is polled, and what was told of it.
type pollTest struct {
	*testing.T
	bus  *listedBus
	now  map[kbusdev.Binding]int
	told []string
	log  bytes.Buffer
	stop func()
}

func newPollTest(t *testing.T) *pollTest {
	return &pollTest{T: t, bus: &listedBus{Bus: membus.New()}, now: make(map[kbusdev.Binding]int)}
}

// polled runs f in a bubble.
func polled(t *testing.T, f func(t *pollTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newPollTest(t)) })
}

func (t *pollTest) watch() {
	t.Helper()
	bus := kbusdev.PollListeners(t.bus, kbusdev.PollConfig{Every: every, Log: slog.New(slog.NewTextHandler(&t.log, nil))})
	t.stop = bus.(interface {
		WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func())
	}).WatchListeners(func(b kbusdev.Binding, bound bool) {
		t.told = append(t.told, fmt.Sprint(b.Ksock, b.Name, bound))
		if bound {
			t.now[b]++
		} else if t.now[b]--; t.now[b] == 0 {
			delete(t.now, b)
		} else if t.now[b] < 0 {
			t.Errorf("%+v is unbound before it is bound", b)
		}
	})
	t.Cleanup(t.stop)
}

// holds says what is listened to, as far as was told.
func (t *pollTest) holds(when string, want ...kbusdev.Binding) {
	t.Helper()
	counts := make(map[kbusdev.Binding]int)
	for _, b := range want {
		counts[b]++
	}
	if !maps.Equal(t.now, counts) {
		t.Errorf("%s: told of %v, want %v", when, t.now, counts)
	}
}

func (t *pollTest) open() kbusdev.Ksock {
	t.Helper()
	k, err := t.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (t *pollTest) listens(k kbusdev.Ksock, name string) kbusdev.Binding {
	t.Helper()
	if err := k.Bind(name, kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	return kbusdev.Binding{Ksock: k.ID(), Name: name}
}

// pass lets time pass, and the poller see what the test has done before.
func (t *pollTest) pass(d time.Duration) {
	t.bus.see()
	<-time.After(d)
	synctest.Wait()
}

var unknown = kbusdev.Binding{Name: "$.*"}

// What is bound and unbound is told one period later, each binding by itself; repliers
// and the poller's own Ksock are not told of.
func TestPolledListeners(t *testing.T) {
	polled(t, func(t *pollTest) {
		k, other := t.open(), t.open()
		a := t.listens(k, "$.A")
		if err := k.Bind("$.B", kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
		t.watch()
		t.holds("at once", a)
		t.listens(k, "$.A")
		all := t.listens(other, "$.*")
		t.holds("before the period is over", a)
		t.pass(every)
		t.holds("after it", a, a, all)
		before := len(t.told)
		t.pass(10 * every)
		if len(t.told) != before {
			t.Errorf("told again: %v", t.told[before:])
		}
		if err := k.Unbind("$.A", kbusdev.Listener); err != nil {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		t.pass(every)
		t.holds("after one is unbound and one closed", a)
		brief := t.open()
		t.listens(brief, "$.Brief")
		if err := brief.Close(); err != nil {
			t.Fatal(err)
		}
		t.pass(every)
		t.holds("after a short one", a)
		if t.log.Len() != 0 {
			t.Errorf("it logs %s", &t.log)
		}
		t.stop()
		t.stop()
		t.listens(k, "$.Late")
		t.pass(10 * every)
		t.holds("after stop", a)
		if all, _ := t.bus.Bindings(); len(all) != 3 {
			t.Errorf("left behind: %+v", all)
		}
	})
}

// When the list fails, at the start or later, the listeners count as wanting everything,
// from that moment until it works again. Each is logged once.
func TestPollingThatFails(t *testing.T) {
	forbidden := errors.New("permission denied")
	for _, atStart := range []bool{true, false} {
		t.Run(fmt.Sprintf("atStart=%t", atStart), func(t *testing.T) {
			polled(t, func(t *pollTest) {
				k := t.open()
				a := t.listens(k, "$.A")
				if !atStart {
					t.watch()
					t.holds("at first", a)
				}
				t.bus.fail = forbidden
				if atStart {
					t.watch()
				} else {
					t.told = nil
					t.pass(every)
					if got, want := strings.Join(t.told, " "), "0$.*true "+fmt.Sprint(a.Ksock, a.Name, false); got != want {
						t.Errorf("told %q, want %q: in between nothing is wanted", got, want)
					}
				}
				t.holds("without a list", unknown)
				t.pass(time.Minute)
				t.holds("still without", unknown)
				if reads := t.bus.reads; reads > 15 {
					t.Errorf("a list that fails is read %d times in a minute", reads)
				}
				if n := strings.Count(t.log.String(), "\n"); n != 1 || !strings.Contains(t.log.String(), "WARN") || !strings.Contains(t.log.String(), "permission denied") {
					t.Errorf("it logs %q", &t.log)
				}
				b := t.listens(k, "$.B")
				t.bus.fail = nil
				t.pass(5 * time.Second)
				t.holds("with the list again", a, b)
				if n := strings.Count(t.log.String(), "\n"); n != 2 || !strings.Contains(t.log.String(), "again") {
					t.Errorf("it logs %q", &t.log)
				}
				b = t.listens(k, "$.C")
				t.pass(every)
				if t.now[b] != 1 {
					t.Errorf("after a failure it is slow: %v", t.now)
				}
			})
		})
	}
}

// A list of another bus says nothing about this one.
func TestPollingAListOfAnotherBus(t *testing.T) {
	polled(t, func(t *pollTest) {
		other := membus.New()
		t.listens(t.open(), "$.A")
		t.bus.list = func([]kbusdev.Binding) []kbusdev.Binding {
			all, _ := other.Bindings()
			return all
		}
		t.watch()
		t.holds("another bus's list", unknown)
		if !strings.Contains(t.log.String(), kbusdev.NameProbe) {
			t.Errorf("it logs %q", &t.log)
		}
	})
}

// A bus that is started again between two readings has other listeners, though their
// Ksocks may have the same ids and names.
func TestPollingABusThatIsStartedAgain(t *testing.T) {
	polled(t, func(t *pollTest) {
		t.listens(t.open(), "$.*")
		t.watch()
		t.bus.Bus = membus.New()
		a := t.listens(t.open(), "$.*")
		t.told = nil
		t.pass(every)
		t.holds("the list has another probe", unknown)
		if got, want := strings.Join(t.told, " "), fmt.Sprintf("0$.*true %[1]d$.*false", a.Ksock); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		t.pass(5 * time.Second)
		t.holds("after a new beginning", a)
	})
}

// Names that cannot cross are left out; a bus with too many listeners wants everything.
func TestPollingStrangeLists(t *testing.T) {
	polled(t, func(t *pollTest) {
		var extra []kbusdev.Binding
		t.bus.list = func(all []kbusdev.Binding) []kbusdev.Binding { return append(all, extra...) }
		a := t.listens(t.open(), "$.A")
		extra = []kbusdev.Binding{{Ksock: 99, Name: "$.Caf\xe9"}, {Ksock: 99, Name: "nonsense"}}
		t.watch()
		t.holds("strange names", a)
		extra = nil
		for i := range kbusdev.MaxPolled {
			extra = append(extra, kbusdev.Binding{Ksock: 99, Name: fmt.Sprintf("$.N%d", i)})
		}
		t.pass(every)
		t.holds("too many", unknown)
		extra = extra[1:]
		t.pass(5 * time.Second)
		if len(t.now) != kbusdev.MaxPolled {
			t.Errorf("as many as there may be: %d", len(t.now))
		}
	})
}

// Reading takes at most about a tenth of the time.
func TestPollingOfASlowBus(t *testing.T) {
	polled(t, func(t *pollTest) {
		t.bus.takes = time.Second
		t.watch()
		t.pass(109 * time.Second)
		if t.bus.reads < 10 || t.bus.reads > 11 {
			t.Errorf("%d readings of a second in 110 s", t.bus.reads)
		}
	})
}

// A bus keeps its other properties when it is polled.
func TestAPolledBusIsTheBus(t *testing.T) {
	lossy := &listedBus{Bus: membus.New()}
	for bus, want := range map[kbusdev.Bus]bool{lossy: true, lossy.Bus: false} {
		p := kbusdev.PollListeners(bus, kbusdev.PollConfig{Every: every})
		if p.String() != bus.String() || p.(interface{ LosesUnread() bool }).LosesUnread() != want {
			t.Errorf("%s loses unread requests: %t", p, !want)
		}
	}
}
