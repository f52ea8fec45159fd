package limpet_test

import (
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
