package sim_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/sim"
	"github.com/kbus-limpet/limpet/limpet/translate"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// recorded runs a seed, and returns the record of each epoch, in files of about so many
// bytes, 0 is any. lose is record.Memory's.
func recorded(t *testing.T, seed uint64, fileBytes int, lose func() bool) (all []*record.Memory) {
	t.Helper()
	w := sim.NewRecorded(seed, nil, func(string) record.Sink {
		m := &record.Memory{FileBytes: fileBytes, Lose: lose}
		all = append(all, m)
		return m
	})
	for _, wrong := range w.Run() {
		t.Errorf("seed %d: %s", seed, wrong)
	}
	return all
}

// verified plays a file in which the machines must find no difference.
func verified(t *testing.T, seed uint64, file []byte) *verify.Result {
	t.Helper()
	res, err := verify.File(bytes.NewReader(file), verify.Config{})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if d := res.Difference; d != nil {
		t.Fatalf("seed %d, link %s, part %d: event %d, %v: recorded %q, now %q", seed, res.Header.Link, res.Header.Part, d.Event, d.What, d.Recorded, d.Now)
	}
	return res
}

// What the machines have decided in a run they decide again, from the state at the
// beginning of each file; and the state at its end is that with which the next begins.
func TestRecordedSeeds(t *testing.T) {
	n := uint64(3)
	if os.Getenv("LIMPET_TEST") == "long" {
		n = 300
	}
	var files, events uint64
	for seed := *first; seed < *first+n; seed++ {
		for _, epoch := range recorded(t, seed, 4096<<(seed%4), nil) {
			var before *verify.Result
			for _, file := range epoch.Files {
				res := verified(t, seed, file)
				if before != nil {
					if follows, same := before.Follows(res); !follows || !same {
						t.Fatalf("seed %d, link %s: part %d follows part %d: %t, with the state in which that ends: %t", seed, res.Header.Link, res.Header.Part, before.Header.Part, follows, same)
					}
				}
				before = res
				files++
				events += res.Events
			}
		}
	}
	t.Logf("%d seeds: %d files, %d events, 0 differences", n, files, events)
	if files < 10*n || events < 1000*n {
		t.Errorf("%d seeds: %d files and %d events are too few", n, files, events)
	}
}

// Behind a gap the next file begins with the state as it is then, and says what is missing.
func TestRecordWithGaps(t *testing.T) {
	const seed = 3
	events, gaps := 0, 0
	for _, epoch := range recorded(t, seed, 0, func() bool { events++; return events%500 == 0 }) {
		next := uint64(1)
		for i, file := range epoch.Files {
			res := verified(t, seed, file)
			if h := &res.Header; h.First != next+h.Lost || (h.Begins == record.Gap) != (i > 0) || i > 0 && h.Lost == 0 {
				t.Errorf("part %d begins with event %d, for %q, and %d were lost; expected was %d", h.Part, h.First, h.Begins, h.Lost, next)
			}
			if i+1 < len(epoch.Files) {
				gaps++
				if res.Ended != record.EndedGap {
					t.Errorf("part %d ends with %q", res.Header.Part, res.Ended)
				}
			}
			next = res.Header.First + res.Events
		}
	}
	if gaps < 3 {
		t.Errorf("there were %d gaps", gaps)
	}
}

// Machines with a rule of their own are caught at the first event in which it counts.
func TestOtherMachinesAreCaught(t *testing.T) {
	const seed = 2
	sabotages := map[string]func(where string, m *kbusdev.Message, fx *translate.Effect) bool{
		"an announcement is dropped": func(where string, _ *kbusdev.Message, fx *translate.Effect) bool {
			if where != "from bus" || fx.Kind != translate.Forward || fx.Msg.Event != nil || fx.Msg.IsReply() || fx.Msg.WantsUsToReply() {
				return false
			}
			*fx = translate.Effect{Kind: translate.Drop, Reason: translate.PeersMessage}
			return true
		},
		"a reply goes to somebody else": func(where string, _ *kbusdev.Message, fx *translate.Effect) bool {
			if where != "from peer" || fx.Kind != translate.Send || !fx.Msg.IsReply() {
				return false
			}
			fx.Msg.To++
			return true
		},
		"data is swapped": func(where string, _ *kbusdev.Message, fx *translate.Effect) bool {
			if where != "from peer" || fx.Kind != translate.Send || len(fx.Msg.Data) == 0 {
				return false
			}
			fx.Msg.Data = bytes.Repeat([]byte{'x'}, len(fx.Msg.Data))
			return true
		},
	}
	epochs := recorded(t, seed, 0, nil)
	for what, sabotage := range sabotages {
		t.Run(what, func(t *testing.T) {
			caught := 0
			for _, epoch := range epochs {
				for _, file := range epoch.Files {
					done := 0
					res, err := verify.File(bytes.NewReader(file), verify.Config{Inspect: func(where string, m *kbusdev.Message, fx *translate.Effect) {
						if done == 0 && sabotage(where, m, fx) {
							done++
						}
					}})
					if err != nil {
						t.Fatal(err)
					}
					if (res.Difference != nil) != (done > 0) {
						t.Fatalf("something was changed: %t, the difference is %+v", done > 0, res.Difference)
					}
					if d := res.Difference; d != nil {
						caught++
						if d.Event != res.Header.First+res.Events || d.At.IsZero() || len(d.Recorded) == 0 || len(d.Now) == 0 || d.Recorded[0] == d.Now[0] || len(res.Before) > verify.Context {
							t.Errorf("the difference is %+v, after %d events, with %d before it", d, res.Events, len(res.Before))
						}
					}
				}
			}
			if caught == 0 {
				t.Error("nothing was caught")
			}
		})
	}
}

// A record in which one event was changed by hand differs in that event, or cannot be read
// there.
func TestChangedRecordIsCaught(t *testing.T) {
	file := recorded(t, 1, 0, nil)[0].Files[0]
	r, err := record.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var events [][]byte
	for {
		event, err := r.Next()
		if err != nil {
			break
		}
		events = append(events, bytes.Clone(event))
	}
	for changed := 0; changed < len(events); changed += len(events)/20 + 1 {
		other, err := record.AppendStart(nil, r.Header(), r.State())
		if err != nil {
			t.Fatal(err)
		}
		for i, event := range events {
			if i == changed {
				event = bytes.Clone(event)
				event[len(event)-1] ^= 1
			}
			other = record.AppendEvents(other, record.AppendEvent(nil, event))
		}
		res, err := verify.File(bytes.NewReader(other), verify.Config{})
		switch {
		case err != nil && strings.Contains(err.Error(), "event "):
		case err != nil:
			t.Fatal(err)
		case res.Difference == nil:
			t.Errorf("event %d was changed, and nothing differs", changed+1)
		case res.Difference.Event > uint64(changed+2): // what it was told may show in the next one
			t.Errorf("event %d was changed, event %d differs", changed+1, res.Difference.Event)
		}
	}
}
