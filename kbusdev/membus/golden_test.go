package membus_test

import (
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func recordings(t *testing.T) []string {
	return bustest.Files(t, "../bustest/testdata", "bus-*.jsonl.gz")
}

func newBus(testing.TB) kbusdev.Bus {
	return membus.New(membus.WithLayout(kbusdev.LittleEndian64))
}

func TestGoldenBySteps(t *testing.T) {
	bustest.Replay(t, recordings(t), newBus)
}

func TestGoldenByWholeMessages(t *testing.T) {
	bustest.Replay(t, recordings(t), newBus, bustest.Whole())
}

// Every Ksock is used from a goroutine of its own: the race detector watches.
func TestGoldenFromManyGoroutines(t *testing.T) {
	bustest.Replay(t, recordings(t), newBus, bustest.On(func() (bustest.Runner, func()) {
		workers := make(map[int]chan func())
		run := func(k int, step func()) {
			w := workers[k]
			if w == nil {
				w = make(chan func())
				workers[k] = w
				go func() {
					for f := range w {
						f()
					}
				}()
			}
			done := make(chan struct{})
			w <- func() { step(); close(done) }
			<-done
		}
		return run, func() {
			for _, w := range workers {
				close(w)
			}
		}
	}))
}
