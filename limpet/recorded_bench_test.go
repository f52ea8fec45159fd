package limpet_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/record"
)

// forgetful takes events, and keeps none.
type forgetful struct{}

func (forgetful) Begin(*record.Header, []byte) bool { return true }
func (forgetful) Append([]byte) record.Verdict      { return record.Taken }
func (forgetful) Ready() bool                       { return true }
func (forgetful) End()                              {}

// ownCPU returns the CPU time that this process has had.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// What an announcement costs the epochs at both ends, without buses and streams: batches of
// 64 as they are read from a bus. What is recorded goes nowhere.
func BenchmarkRecordedEpochs(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		name := "off"
		if recorded {
			name = "on"
		}
		b.Run(name, func(b *testing.B) {
			now := time.Now()
			epoch := func(us, them uint32) *limpet.Epoch {
				cfg := limpet.EpochConfig{
					Config:    limpet.Config{Pattern: "$.*", MaxMessages: 1000, Grace: time.Minute, WindowMessages: 4096, WindowBytes: 16 << 20},
					NetworkID: us, PeerNetworkID: them, Ksock: 2, Totals: new(limpet.Totals), IDs: recent.New(now),
					Session: link.SessionConfig{WindowMessages: 4096, WindowBytes: 16 << 20},
				}
				if recorded {
					cfg.Record = &limpet.Recording{Sink: forgetful{}}
				}
				e := limpet.NewEpoch(cfg, now)
				e.WantsSnapshot()
				e.SnapshotAsked(0)
				if err := e.Attach(now, 1); err != nil {
					b.Fatal(err)
				}
				return e
			}
			from, to := epoch(1, 2), epoch(2, 1)
			msgs := make([]*kbusdev.Message, 64)
			data := make([]byte, 64)
			for i := range msgs {
				msgs[i] = &kbusdev.Message{Name: "$.Sensors.Kitchen", From: 3, Data: data}
			}
			var dos []limpet.Do
			serial := uint32(0)
			carry := func(from, to *limpet.Epoch) {
				for {
					f, _, _ := from.NextFrame(now)
					if f == nil {
						return
					}
					if batch, ok := f.(*link.Batch); ok {
						f = batch.Clone()
					}
					from.Flushed(now)
					if err := to.TakeFrame(now, f); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			before := ownCPU(b)
			for b.Loop() {
				now = now.Add(10 * time.Millisecond)
				for _, m := range msgs {
					serial++
					m.ID = kbusdev.MsgID{Serial: serial}
				}
				from.FromBus(now, msgs)
				carry(from, to)
				for {
					if dos = to.Dos(now, dos[:0]); len(dos) == 0 {
						break
					}
					to.Outcomes(now, dos)
				}
				now = now.Add(10 * time.Millisecond)
				carry(to, from)
			}
			b.ReportMetric(float64((ownCPU(b)-before).Nanoseconds())/float64(64*b.N), "cpu-ns/msg")
		})
	}
}

// What it costs to write down the state with which a file begins, of a link with names that
// are bound and wanted, and messages in flight.
func BenchmarkRecordedState(b *testing.B) {
	for _, names := range []int{0, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			now := time.Now()
			sink := &counting{}
			e := limpet.NewEpoch(limpet.EpochConfig{
				Config:    limpet.Config{Pattern: "$.*", MaxMessages: 1000, Grace: time.Minute, WindowMessages: 4096, WindowBytes: 16 << 20, MaxNames: 1 << 18},
				NetworkID: 1, PeerNetworkID: 2, Ksock: 2, Totals: new(limpet.Totals), IDs: recent.New(now), Interest: true,
				Session: link.SessionConfig{WindowMessages: 4096, WindowBytes: 16 << 20},
				Record:  &limpet.Recording{Sink: sink},
			}, now)
			if err := e.Attach(now, 1); err != nil {
				b.Fatal(err)
			}
			var msgs []*kbusdev.Message
			for i := range names {
				msgs = append(msgs, &kbusdev.Message{
					ID: kbusdev.MsgID{Serial: uint32(i + 1)}, Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic,
					Event: &kbusdev.BindEvent{Bound: true, Binder: 7, Name: fmt.Sprintf("$.Plant.Hall%d.Sensor%d", i%100, i)},
				})
			}
			e.FromBus(now, msgs)
			msgs = nil
			for i := range 1000 {
				msgs = append(msgs, &kbusdev.Message{ID: kbusdev.MsgID{Serial: uint32(names + i)}, From: 3, Name: "$.News", Data: make([]byte, 64)})
			}
			e.FromBus(now, msgs)
			sink.full = true
			b.ResetTimer()
			for b.Loop() {
				e.Flushed(now) // then another file begins
			}
			b.ReportMetric(float64(sink.bytes)/float64(sink.files), "bytes")
		})
	}
}

// counting has another file begin after each event.
type counting struct {
	full         bool
	files, bytes int
}

func (c *counting) Begin(_ *record.Header, state []byte) bool {
	c.files++
	c.bytes = c.files * len(state)
	return true
}

func (c *counting) Append([]byte) record.Verdict {
	if c.full {
		return record.Full
	}
	return record.Taken
}
func (c *counting) Ready() bool { return true }
func (c *counting) End()        {}
