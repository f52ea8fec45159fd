package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/limpet/record"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// open returns a folder until the test ends.
func open(t *testing.T, dir string, bytes, fileBytes int64, create func(string) (io.WriteCloser, error)) *Folder {
	t.Helper()
	f, err := Open(Config{Dir: dir, Bytes: bytes, FileBytes: fileBytes, Software: "v1", Log: slog.New(slog.DiscardHandler), create: create})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func header(link string, part int) *record.Header {
	return &record.Header{Link: link, Session: fmt.Sprintf("%08x", len(link)), Part: part, Begins: record.Begun, First: 1, Base: time.Now(), Epoch: []byte("{}")}
}

// read returns the events of a file as text, and how it ends.
func read(t *testing.T, b []byte) (events []string, ended string) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		event, err := r.Next()
		if err != nil {
			ended, _ = r.Ended()
			return events, ended
		}
		events = append(events, string(event))
	}
}

// What is recorded is in files of this user alone, the oldest of which make room.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	const total, each = 40_000, 10_000
	f := open(t, dir, total, each, nil)
	s := f.Sink()
	part, count := 1, 0
	s.Begin(header("north", part), nil)
	for range 100_000 / 100 {
		switch s.Append([]byte(fmt.Sprintf("%0100d", count))) {
		case record.Taken:
		case record.Full:
			part++
			h := header("north", part)
			h.Begins = record.Rotated
			if !s.Begin(h, []byte("state")) {
				t.Fatal("no file can begin")
			}
		case record.Lost:
			t.Fatal("an event was lost")
		}
		count++
	}
	s.End()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(dir)
	if err != nil || len(files) < 2 || len(files) >= part {
		t.Fatalf("%d files of %d are left, %v", len(files), part, err)
	}
	var sum int64
	next := -1
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() > each {
			t.Errorf("%s has mode %v and %d bytes", path, info.Mode(), info.Size())
		}
		sum += info.Size()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		events, ended := read(t, b)
		if ended != record.EndedWhole {
			t.Errorf("%s ends with %q", path, ended)
		}
		for _, e := range events {
			n, err := strconv.Atoi(e)
			if err != nil || next >= 0 && n != next {
				t.Fatalf("event %q, expected was %d", e, next)
			}
			next = n + 1
		}
	}
	if sum > total || next != count {
		t.Errorf("%d bytes are stored, and %d events of %d were read to the end", sum, next, count)
	}
	if st := f.Stats(); st.Gaps != 0 || st.Bytes < uint64(sum) {
		t.Errorf("the counts are %+v", st)
	}

	// The next daemon counts what is there.
	again := open(t, dir, total, each, nil)
	s = again.Sink()
	s.Begin(header("south", 1), make([]byte, each/4))
	s.End()
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := Files(dir)
	if err != nil || slices.Contains(left, files[0]) {
		t.Errorf("the oldest file is still there, of %d, %v", len(left), err)
	}
}

// A slow disk never holds up who records: events are lost, and the record says so.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{files: make(map[string]*bytes.Buffer), open: make(chan struct{})}
		f := open(t, t.TempDir(), 64<<20, 16<<20, disk.create)
		s := f.Sink()
		s.Begin(header("north", 1), nil)
		lost := 0
		event := bytes.Repeat([]byte("x"), 10_000)
		for range 2000 { // 20 MB, of which 8 MiB may wait
			if s.Append(event) == record.Lost {
				lost++
			}
		}
		if lost == 0 || lost > 1300 {
			t.Errorf("%d events of 2000 were lost", lost)
		}
		if f.waiting.Load() > maxWaiting+1<<20 {
			t.Errorf("%d bytes wait", f.waiting.Load())
		}
		if s.Ready() {
			t.Error("another file can begin though the disk has taken nothing")
		}
		close(disk.open)
		time.Sleep(time.Second) //nolint:forbidigo // in the bubble
		if !s.Ready() {
			t.Fatal("no file can begin though the disk has taken everything")
		}
		h := header("north", 2)
		h.Begins, h.Lost = record.Gap, uint64(lost)
		if !s.Begin(h, nil) || s.Append([]byte("y")) != record.Taken {
			t.Fatal("nothing is taken behind the gap")
		}
		s.End()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := f.Stats(); got.Gaps != 1 || got.Lost != uint64(lost) {
			t.Errorf("the counts are %+v, %d were lost", got, lost)
		}
		if events, ended := read(t, disk.file(t, "-0001")); len(events) != 2000-lost || ended != record.EndedGap {
			t.Errorf("the first file has %d events and ends with %q", len(events), ended)
		}
		if events, ended := read(t, disk.file(t, "-0002")); len(events) != 1 || ended != record.EndedWhole {
			t.Errorf("the second file has %d events and ends with %q", len(events), ended)
		}
	})
}

// A slowDisk takes nothing until it is open.
type slowDisk struct {
	open  chan struct{}
	mu    sync.Mutex
	files map[string]*bytes.Buffer
}

func (d *slowDisk) create(path string) (io.WriteCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := new(bytes.Buffer)
	d.files[path] = b
	return &slowFile{d, b}, nil
}

func (d *slowDisk) file(t *testing.T, with string) []byte {
	t.Helper()
	for path, b := range d.files {
		if strings.Contains(path, with) {
			return b.Bytes()
		}
	}
	t.Fatalf("there is no file %s", with)
	return nil
}

type slowFile struct {
	d *slowDisk
	b *bytes.Buffer
}

func (f *slowFile) Write(b []byte) (int, error) {
	<-f.d.open
	return f.b.Write(b)
}

func (f *slowFile) Close() error { return nil }

// A disk that fails is said once, and tried again.
func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		full := true
		f, err := Open(Config{
			Dir: t.TempDir(), Bytes: 1 << 20, FileBytes: 1 << 18, Log: slog.New(slog.NewTextHandler(&log, nil)),
			create: func(string) (io.WriteCloser, error) {
				if full {
					return nil, fs.ErrInvalid
				}
				return &slowFile{&slowDisk{open: closed()}, new(bytes.Buffer)}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := f.Sink()
		for range 3 {
			if !s.Begin(header("north", 1), nil) {
				t.Fatal("nothing can begin")
			}
			s.Append([]byte("x"))
			time.Sleep(time.Second) //nolint:forbidigo // in the bubble
			if s.Ready() || s.Append([]byte("x")) != record.Lost {
				t.Fatal("a disk that fails takes events")
			}
			time.Sleep(failedPause) //nolint:forbidigo // in the bubble
			if !s.Ready() {
				t.Fatal("it is not tried again")
			}
		}
		full = false
		if !s.Begin(header("north", 1), nil) || s.Append([]byte("x")) != record.Taken {
			t.Fatal("it takes nothing")
		}
		s.End()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "cannot be recorded"); n != 1 || strings.Count(log.String(), "recorded again") != 1 {
			t.Errorf("the log is %s", log.String())
		}
	})
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// More links than there is room for: the first are recorded, of the others it is said.
func TestMoreLinksThanRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := open(t, dir, 4<<16, 1<<16, nil)
		var all []record.Sink
		for i := range 6 {
			s := f.Sink()
			s.Begin(header(strings.Repeat("x", i+1), 1), nil)
			s.Append([]byte("e"))
			all = append(all, s)
		}
		time.Sleep(time.Second) //nolint:forbidigo // in the bubble
		recorded := 0
		for _, s := range all {
			if s.Append([]byte("e")) != record.Lost {
				recorded++
			}
			s.End()
		}
		if recorded != 4 {
			t.Errorf("%d links are recorded, there is room for 4", recorded)
		}
	})
}

// A folder that others can write, or another daemon keeps, is refused.
func TestFolderIsTried(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: filepath.Join(dir, "none"), Bytes: 1 << 20, FileBytes: 1 << 18, Log: slog.New(slog.DiscardHandler)}
	if _, err := Open(cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	cfg.Dir = dir
	f, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := Open(cfg); err == nil {
		_ = other.Close()
		t.Error("two daemons keep their records in one folder")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that everybody can write: %v", err)
	}
}
