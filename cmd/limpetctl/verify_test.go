package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/sim"
	"github.com/kbus-limpet/limpet/limpet/tape"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// recordsOf writes the records of one epoch of a simulator's run to a folder.
func recordsOf(t *testing.T) (dir string, files []string) {
	t.Helper()
	var all []*record.Memory
	w := sim.NewRecorded(4, nil, func(string) record.Sink {
		all = append(all, &record.Memory{Software: "v1", FileBytes: 20_000})
		return all[len(all)-1]
	})
	if wrong := w.Run(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	dir = t.TempDir()
	longest := all[0]
	for _, m := range all {
		if len(m.Files) > len(longest.Files) {
			longest = m
		}
	}
	for i, file := range longest.Files[:3] {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.rec", i+1)))
		writeFile(t, files[i], file)
	}
	return dir, files
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// verifying runs the command, and returns what it prints.
func verifying(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if got := run(t.Context(), append([]string{"verify"}, args...), &out, &errOut); got != code {
		t.Errorf("verify %q ends with %d, not %d: %s%s", args, got, code, &out, &errOut)
	}
	return out.String() + errOut.String()
}

func wantWords(t *testing.T, said string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("it does not say %q, but:\n%s", w, said)
		}
	}
}

// changed returns a file with one byte of an event changed, and the checksum right: of the
// first event, from a number on, that can be read then.
func changed(t *testing.T, file []byte, number int) []byte {
	t.Helper()
	for ; ; number++ {
		b := changedAt(t, file, number)
		if _, err := verify.File(bytes.NewReader(b), verify.Config{}); err == nil {
			return b
		}
	}
}

func changedAt(t *testing.T, file []byte, number int) []byte {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := record.AppendStart(nil, r.Header(), r.State())
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; ; i++ {
		event, err := r.Next()
		if err != nil {
			return record.AppendEnd(b)
		}
		if event = bytes.Clone(event); i == number {
			event[len(event)-1] ^= 1
		}
		b = record.AppendEvents(b, record.AppendEvent(nil, event))
	}
}

func TestVerify(t *testing.T) {
	dir, files := recordsOf(t)
	whole, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, verifying(t, exitOK, dir), "3 files", "0 differences", "no difference")
	wantWords(t, verifying(t, exitOK, files[0], files[2]), "part 2 is not here")
	wantWords(t, verifying(t, exitUsage), "requires at least 1 arg")
	wantWords(t, verifying(t, exitFailed, t.TempDir()), "there are no records")
	wantWords(t, verifying(t, exitFailed, filepath.Join(dir, "none")), "no such file")

	cut := filepath.Join(t.TempDir(), "cut.rec")
	writeFile(t, cut, whole[:len(whole)-20])
	wantWords(t, verifying(t, exitOK, cut), "it is cut off", "no difference")
	writeFile(t, cut, whole[:20])
	wantWords(t, verifying(t, exitOK, cut), "cut off before its first event")

	other := filepath.Join(t.TempDir(), "other.rec")
	writeFile(t, other, []byte("#!/bin/sh\n"))
	wantWords(t, verifying(t, exitFailed, other), "this is no record of decisions")
	differs := changed(t, whole, 40)
	writeFile(t, other, differs)
	said := verifying(t, int(exitDiffers), dir, other)
	wantWords(t, said, "then a difference", "then was recorded:", "and now comes:", "1 differences", "event ")
	wantWords(t, verifying(t, int(exitDiffers), "--json", other), `"difference":{"event":`, `"recorded":[`, `"now":[`)

	header := fmt.Sprintf(`{"format":%d}`, record.Format+1)
	block := append(binary.LittleEndian.AppendUint32([]byte{1}, uint32(len(header))), header...)
	block = binary.LittleEndian.AppendUint32(block, tape.Checksum(block))
	writeFile(t, other, append([]byte("limpet record\n"), block...))
	wantWords(t, verifying(t, int(exitOtherFormat), other), fmt.Sprintf("has format %d, this version reads format %d", record.Format+1, record.Format))
}

// What comes from a record is shown escaped.
func TestVerifyShowsNothingHostile(t *testing.T) {
	_, files := recordsOf(t)
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	h := *r.Header()
	h.Link = "\x1b[2Jclear\nforged line"
	if b, err = record.AppendStart(nil, &h, r.State()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, files[0], b)
	if said := verifying(t, exitOK, files[0]); strings.Contains(said, "\x1b") || strings.Contains(said, "\nforged") {
		t.Errorf("it prints %q", said)
	}
}

// A record is made a test: of its last events, up to the difference.
func TestVerifyMakesATest(t *testing.T) {
	dir, files := recordsOf(t)
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"same": whole, "other": changed(t, whole, 60)} {
		from := filepath.Join(t.TempDir(), "from.rec")
		writeFile(t, from, file)
		want, err := verify.File(bytes.NewReader(file), verify.Config{})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+"_reply_test.go")
		wantWords(t, verifying(t, exitOK, "--test", path, "--events", "10", from), "go test ", "-run TestRecord")
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if formatted, err := format.Source(source); err != nil || !bytes.Equal(formatted, source) {
			t.Errorf("%v, or it is not formatted:\n%s", err, source)
		}
		b, err := os.ReadFile(filepath.Join(dir, "testdata", name+"_reply.rec"))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(file) {
			t.Errorf("the record was cut from %d to %d bytes", len(file), len(b))
		}
		got, err := verify.File(bytes.NewReader(b), verify.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var differs uint64
		if d := want.Difference; d != nil {
			if differs = d.Event; got.Difference == nil || got.Difference.Event != differs {
				t.Errorf("the difference is %+v, it was %+v", got.Difference, d)
			}
		} else if got.Difference != nil || got.Events < 10 {
			t.Errorf("of %d events the difference is %+v", got.Events, got.Difference)
		}
		wantWords(t, string(source), fmt.Sprintf("const differs = %d ", differs), "_reply.rec")
		verifying(t, exitFailed, "--test", path, from) // it is there already
	}
	verifying(t, exitUsage, "--test", filepath.Join(dir, "x.go"), files[0])
	verifying(t, exitUsage, "--test", filepath.Join(dir, "y_test.go"), dir)
}
