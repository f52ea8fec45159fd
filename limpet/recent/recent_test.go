package recent_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/recent"
)

var start = time.Unix(1_000_000, 0)

func id(network, serial uint32) kbusdev.MsgID { return kbusdev.MsgID{Network: network, Serial: serial} }

// A copy is a copy, whoever brings it.
func TestSecondClaimIsBefore(t *testing.T) {
	r := recent.New(start)
	for i, c := range []struct {
		id    kbusdev.MsgID
		after time.Duration
		want  bool
	}{
		{id(2, 7), 0, false},
		{id(2, 7), 0, true},
		{id(3, 7), 0, false},
		{id(2, 8), 0, false},
		{id(2, 7+131072), 0, false}, // takes the place of 7
		{id(2, 7+131072), 0, true},
		{id(2, 8), recent.For, true},
		{id(2, 8), recent.For + time.Second, false},
		{id(2, 8), recent.For + 2*time.Second, true},
		{id(2, 0), recent.For, false},
		{id(2, 0), recent.For, true},
	} {
		if got := r.Claim(c.id, start.Add(c.after)); got != c.want {
			t.Errorf("claim %d of %v after %v: before %v, want %v", i, c.id, c.after, got, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	r := recent.New(start)
	r.Serve(5)
	r.Read(id(2, 1), 5, start) // a limpet brought it, and has claimed it
	if r.Claim(id(2, 1), start) {
		t.Error("what a limpet wrote counts as a program's")
	}
	r.Read(id(2, 2), 6, start)
	if !r.Claim(id(2, 2), start) {
		t.Error("an id that a program chose passes for new")
	}
}

func TestForget(t *testing.T) {
	r := recent.New(start)
	for n := range uint32(131072) {
		r.Claim(id(2, n), start)
	}
	r.Claim(id(3, 1), start)
	r.Forget(2)
	for _, n := range []uint32{0, 511, 512, 131071} {
		if r.Claim(id(2, n), start) {
			t.Errorf("serial %d is still remembered", n)
		}
	}
	if !r.Claim(id(3, 1), start) {
		t.Error("another network was forgotten too")
	}
}

func TestForgetWhatWasUsedLast(t *testing.T) {
	r := recent.New(start)
	for _, network := range []uint32{2, 3, 2} {
		r.Claim(id(network, 1), start)
	}
	r.Forget(2)
	if r.Claim(id(2, 1), start) || !r.Claim(id(3, 1), start) {
		t.Error("the network used last is still remembered, or the other is not")
	}
}

// What a limpet's Ksock has sent is known for a limpet's when the Ksock is closed.
func TestReadFromAClosedLimpet(t *testing.T) {
	r := recent.New(start)
	r.Serve(9)
	r.Unserve(9)
	r.Read(id(2, 1), 9, start)
	if r.Claim(id(2, 1), start) {
		t.Error("what a limpet had sent counts as a program's")
	}
	for k := range kbusdev.KsockID(1024) {
		r.Serve(100 + k)
		r.Unserve(100 + k)
	}
	r.Read(id(2, 2), 9, start)
	if !r.Claim(id(2, 2), start) {
		t.Error("a Ksock that was closed long ago is still known")
	}
}

// TestTwin compares with a plain map, while everything fits.
func TestTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r, twin := recent.New(start), map[kbusdev.MsgID]time.Time{}
	now, latest := start, uint32(1)
	for i := range 300_000 {
		if rng.IntN(1000) == 0 {
			now = now.Add(time.Duration(rng.IntN(70)) * time.Second)
		}
		if rng.IntN(500) == 0 {
			network := uint32(1 + rng.IntN(100))
			if rng.IntN(2) == 0 {
				network = latest
			}
			r.Forget(network)
			for other := range twin {
				if other.Network == network {
					delete(twin, other)
				}
			}
		}
		at := id(uint32(1+rng.IntN(100)), uint32(rng.IntN(2000)))
		latest = at.Network
		was, ok := twin[at]
		want := ok && now.Sub(was) <= recent.For
		if got := r.Claim(at, now); got != want {
			t.Fatalf("step %d: claim of %v: before %v, want %v", i, at, got, want)
		}
		if !want {
			twin[at] = now
		}
	}
}

// A stranger who makes ids up cannot make the memory larger than its bound, nor
// push out what a network brought just now.
func TestMemoryIsBounded(t *testing.T) {
	r := recent.New(start)
	before := heap()
	for i := range uint32(200_000) {
		r.Claim(id(100+i%5000, i*2654435761), start)
		if i%100 == 0 && !r.Claim(id(2, 1), start) && i > 0 {
			t.Fatalf("the id of a busy network was pushed out at %d", i)
		}
	}
	if grown := heap() - before; grown > 72<<20 {
		t.Errorf("%d MiB are kept, at most 64 MiB and the index are wanted", grown>>20)
	}
	runtime.KeepAlive(r)
}

// A page that goes to another network takes nothing of the old one along.
func TestReusedPageIsEmpty(t *testing.T) {
	r := recent.New(start)
	for network := range uint32(20_000) {
		if r.Claim(id(network, 5), start) {
			t.Fatalf("network %d has not brought this id", network)
		}
	}
}

// A page that was used within the minute stays, however old it is.
func TestBusyPageStays(t *testing.T) {
	r := recent.New(start)
	r.Claim(id(2, 1), start)
	r.Claim(id(2, 2), start.Add(61*time.Second))
	r.Claim(id(3, 1), start.Add(62*time.Second))
	if !r.Claim(id(2, 2), start.Add(63*time.Second)) {
		t.Error("an id two seconds old is forgotten")
	}
}

// A network that was silent for a minute gives its pages to others.
func TestOldPagesAreReused(t *testing.T) {
	r := recent.New(start)
	serial, now := uint32(0), start
	claim := func() {
		for range 512 {
			serial++
			now = now.Add(time.Second)
			r.Claim(id(1+serial/512, serial), now)
		}
	}
	for range 4 {
		claim()
	}
	if n := testing.AllocsPerRun(100, claim); n > 0 {
		t.Errorf("%v allocations for 512 ids of a new network, none is wanted", n)
	}
}

func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func BenchmarkClaim(b *testing.B) {
	for _, networks := range []uint32{1, 10, 300} {
		b.Run(map[uint32]string{1: "one network", 10: "10 in turn", 300: "300 in turn"}[networks], func(b *testing.B) {
			b.ReportAllocs()
			r := recent.New(start)
			for i := range uint32(b.N) {
				r.Claim(id(i%networks, i/networks), start)
			}
		})
	}
}
