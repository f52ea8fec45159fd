package client_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A cutter breaks the streams of Ksocks at about every so many frames.
type cutter struct {
	every int

	mu   sync.Mutex
	rnd  *rand.Rand
	left int
	cuts int
}

func newCutter(seed uint64, every int) *cutter {
	c := &cutter{every: every, rnd: rand.New(rand.NewPCG(seed, 7))}
	c.left = every
	return c
}

// due reports whether the stream is to be cut at this frame, and whether that still gets
// there.
func (c *cutter) due() (cut, arrives bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left > 0 {
		return false, true
	}
	c.left = 1 + c.rnd.IntN(2*c.every)
	c.cuts++
	return true, c.rnd.IntN(2) == 0
}

// made returns how many cuts there were; streams may still run.
func (c *cutter) made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

func (c *cutter) wrap(s link.Stream) link.Stream { return &cutStream{s, c} }

type cutStream struct {
	link.Stream
	cutter *cutter
}

var errCut = errors.New("cut by the test")

func (s *cutStream) Send(f link.Frame) error {
	cut, arrives := s.cutter.due()
	if !cut {
		return s.Stream.Send(f)
	}
	if arrives {
		_ = s.Stream.Send(f)
		_ = s.CloseSend() // unlike Close this lets it out
		return errCut
	}
	s.Close()
	return errCut
}

func (s *cutStream) Recv() (link.Frame, error) {
	f, err := s.Stream.Recv()
	if err != nil {
		return f, err
	}
	if cut, _ := s.cutter.due(); cut {
		s.Close()
		return nil, errCut
	}
	return f, nil
}

// cutBuses offers buses whose Ksocks' streams are cut at about every tenth frame, and
// checks in the end that some were.
func cutBuses(t *testing.T) func(testing.TB) kbusdev.Bus {
	seed, cuts := firstSeed(t), 0
	t.Cleanup(func() {
		if t.Logf("%d cuts", cuts); cuts < 100 {
			t.Error("these are too few")
		}
	})
	return func(t testing.TB) kbusdev.Bus {
		d := serve(t, "unix")
		c := newCutter(seed, 10)
		seed++
		d.client.Break(c.wrap)
		t.Cleanup(func() { cuts += c.made() })
		return d.client.Device()
	}
}

// Streams that break change nothing: neither in what the real module did,
func TestRecordingsOverStreamsThatBreak(t *testing.T) {
	bustest.Replay(t, bustest.Files(t, "../kbusdev/bustest/testdata", "bus-103.jsonl.gz"), cutBuses(t))
}

// nor in random stories.
func TestRandomStoriesOverStreamsThatBreak(t *testing.T) {
	bustest.Compare(t, firstSeed(t), *stories, cutBuses(t), func(testing.TB) kbusdev.Bus { return bustest.NewModel() })
}
