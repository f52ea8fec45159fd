package verify_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// A small record: a request that is answered, an announcement, names, a cut.
func small(tb testing.TB, fileBytes int, data bool) *record.Memory {
	tb.Helper()
	now := time.Date(2026, 11, 26, 3, 12, 0, 0, time.UTC)
	m := &record.Memory{Software: "v1", FileBytes: fileBytes}
	e := limpet.NewEpoch(limpet.EpochConfig{
		Config:    limpet.Config{Pattern: "$.*", MaxMessages: 100, Grace: time.Minute, RequestHold: time.Second, WindowMessages: 16, WindowBytes: 1 << 20, MaxNames: 100},
		NetworkID: 1, PeerNetworkID: 2, Ksock: 2, Totals: new(limpet.Totals), IDs: recent.New(now), Interest: true, LosesUnread: true,
		Session: link.SessionConfig{WindowMessages: 16, WindowBytes: 1 << 20},
		Record:  &limpet.Recording{Sink: m, Link: "north", Data: data},
	}, now)
	next := func(d time.Duration) time.Time { now = now.Add(d); return now }
	e.Adopt(now, nil)
	e.WantsSnapshot()
	e.SnapshotAsked(0)
	if err := e.Attach(next(time.Millisecond), 1); err != nil {
		tb.Fatal(err)
	}
	e.Interest([]string{"$.Here.*"})
	event := func(name string, bound bool, binder kbusdev.KsockID) *kbusdev.Message {
		return &kbusdev.Message{ID: kbusdev.MsgID{Serial: 5}, Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic | kbusdev.AllOrFail, Event: &kbusdev.BindEvent{Bound: bound, Binder: binder, Name: name}}
	}
	e.FromBus(next(time.Millisecond), []*kbusdev.Message{
		event("$.Ours", true, 7),
		{ID: kbusdev.MsgID{Serial: 6}, Name: "$.News", From: 3, Data: []byte("rain")},
		{ID: kbusdev.MsgID{Serial: 7}, Name: "$.Ask", From: 3, Flags: kbusdev.WantReply | kbusdev.WantYouToReply, Expires: now.Add(time.Second)},
	})
	frames := func() {
		for {
			f, _, _ := e.NextFrame(next(time.Microsecond))
			if f == nil {
				return
			}
			e.Flushed(now)
		}
	}
	frames()
	if err := e.TakeFrame(next(time.Millisecond), &link.Batch{First: 1, Ack: 2, Messages: []kbusdev.Message{
		{ID: kbusdev.MsgID{Network: 2, Serial: 1}, InReplyTo: kbusdev.MsgID{Network: 1, Serial: 7}, Name: "$.Ask", OrigFrom: kbusdev.Address{Network: 2, Local: 4}, Data: []byte("yes")},
		{ID: kbusdev.MsgID{Network: 2, Serial: 2}, Name: "$.Theirs", Flags: kbusdev.AllOrWait, OrigFrom: kbusdev.Address{Network: 2, Local: 4}},
		{Name: kbusdev.NameReplierBindEvent, Event: &kbusdev.BindEvent{Bound: true, Binder: 9, Name: "$.Remote"}},
		{ID: kbusdev.MsgID{Network: 2, Serial: 3}, Name: "$.Ours", To: 7, FinalTo: kbusdev.Address{Network: 1, Local: 7}, From: 4, Flags: kbusdev.WantReply | kbusdev.WantYouToReply, OrigFrom: kbusdev.Address{Network: 2, Local: 4}},
	}}); err != nil {
		tb.Fatal(err)
	}
	if err := e.TakeFrame(next(time.Millisecond), &link.Interest{Restart: true, Wanted: []string{"$.News"}, Whole: true}); err != nil {
		tb.Fatal(err)
	}
	e.Listening()
	for range 100 {
		dos := e.Dos(next(20*time.Millisecond), nil)
		for i := range dos {
			if dos[i].Effect.Msg.Name == "$.Theirs" {
				dos[i].Errno = 11 // EAGAIN
			}
		}
		e.Outcomes(now, dos)
		frames()
	}
	// The replier unbinds its last name without an answer: it is watched.
	e.FromBus(next(time.Millisecond), []*kbusdev.Message{event("$.Ours", false, 7)})
	e.Detach(next(time.Millisecond), errors.New("cut"))
	e.Tick(next(500 * time.Millisecond))
	if err := e.Attach(next(time.Second), 3); err != nil {
		tb.Fatal(err)
	}
	frames()
	e.Tick(next(3 * time.Second))
	frames()
	e.End(next(time.Second), link.Errorf(link.GoingAway, "bye"), false)
	for dos := e.Dos(now, nil); len(dos) > 0; dos = e.Dos(now, nil) {
		e.Outcomes(now, dos)
	}
	e.Closed()
	return m
}

// Whatever the size of files and with or without data, and cut into files at every event:
// nothing differs, and no state is lost from one file to the next.
func TestFiles(t *testing.T) {
	for _, data := range []bool{false, true} {
		for _, fileBytes := range []int{0, 1, 2000} {
			var before *verify.Result
			m := small(t, fileBytes, data)
			if fileBytes == 1 && len(m.Files) < 300 {
				t.Fatalf("there are %d files", len(m.Files))
			}
			for i, file := range m.Files {
				res, err := verify.File(bytes.NewReader(file), verify.Config{})
				if err != nil {
					t.Fatal(err)
				}
				if res.Difference != nil || res.Ended != record.EndedWhole {
					t.Fatalf("file %d of %d: %+v, it ends with %s %v", i+1, len(m.Files), res.Difference, res.Ended, res.Why)
				}
				if before != nil {
					if follows, same := before.Follows(res); !follows || !same {
						t.Errorf("file %d of %d follows the one before: %t, with the same state: %t", i+1, len(m.Files), follows, same)
					}
				}
				before = res
			}
		}
	}
}

// A file that is cut at any byte, as by kill -9, is played up to the cut, and says that it
// is cut; so does one with a flipped bit.
func TestCutAnywhere(t *testing.T) {
	file := small(t, 0, false).Files[0]
	events := uint64(0)
	for n := 0; n < len(file); n += 1 + min(n/8, 22) { // at each byte at first
		res, err := verify.File(bytes.NewReader(file[:n]), verify.Config{})
		switch {
		case errors.Is(err, record.ErrCutStart):
			if events > 0 {
				t.Fatalf("cut at %d of %d: %v", n, len(file), err)
			}
			continue
		case err != nil:
			t.Fatalf("cut at %d of %d: %v", n, len(file), err)
		}
		if res.Difference != nil || res.Events < events || res.Ended != record.EndedCut && res.Ended != record.EndedOpen {
			t.Fatalf("cut at %d of %d: %d events, %+v, it ends with %q", n, len(file), res.Events, res.Difference, res.Ended)
		}
		events = res.Events
	}
	if events < 200 {
		t.Errorf("%d events were played", events)
	}
	for n := 0; n < len(file); n += 101 {
		flipped := bytes.Clone(file)
		flipped[n] ^= 0x10
		if res, err := verify.File(bytes.NewReader(flipped), verify.Config{}); err == nil && (res.Ended == record.EndedWhole || res.Difference != nil) {
			t.Errorf("bit of byte %d flipped: %+v, it ends with %q", n, res.Difference, res.Ended)
		}
	}
}

// FuzzRecord gives the reader and the machines what may be no record: nothing panics but
// the machines, which is said, and memory is bounded.
func FuzzRecord(f *testing.F) {
	m := small(f, 3000, false)
	for _, i := range []int{0, len(m.Files) / 2, len(m.Files) - 1} {
		f.Add(m.Files[i])
	}
	f.Add(small(f, 0, true).Files[0])
	f.Add([]byte("limpet record\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		res, err := verify.File(bytes.NewReader(mended(file)), verify.Config{})
		if err == nil && res.Difference == nil && res.Ended == "" {
			t.Error("it does not say how it ends")
		}
	})
}

// The corpus is as the seeds above were when the format was made: it must be read for as
// long as that is the format. UPDATE_CORPUS=1 writes it.
func TestRecordsOfThisFormat(t *testing.T) {
	for name, want := range map[string][]byte{"small.rec": small(t, 0, false).Files[0], "data.rec": small(t, 0, true).Files[0]} {
		path := filepath.Join("testdata", name)
		if os.Getenv("UPDATE_CORPUS") != "" {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		res, err := verify.File(f, verify.Config{})
		_ = f.Close()
		if err != nil {
			t.Fatalf("%s: %v; if the format has changed on purpose, so must record.Format", name, err)
		}
		if res.Difference != nil {
			t.Errorf("%s: %+v", name, res.Difference)
		}
	}
}
