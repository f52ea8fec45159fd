package records

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet/record"
)

// Config is how a folder is kept.
type Config struct {
	// Dir is the folder, which must be there, and nobody else's.
	Dir string
	// Bytes is the most that all files have together, FileBytes what one has: at most a
	// quarter of Bytes.
	Bytes, FileBytes int64
	// Software is the version of the program, which files tell.
	Software string
	// Log gets a line when the folder cannot be written, and when it can again. Required.
	Log *slog.Logger

	create func(path string) (io.WriteCloser, error) // for tests
}

// Bounds of what waits for the disk, in bytes.
const (
	maxWaiting = 8 << 20  // of one epoch
	maxAll     = 64 << 20 // of all
)

// gather is how long events wait for others before they are written: what a daemon that is
// killed may lose.
const gather = 10 * time.Millisecond

// pause is how long nothing is recorded of an epoch after a gap, and after the disk has
// failed.
const (
	pause       = 100 * time.Millisecond
	failedPause = 5 * time.Second
)

const suffix = ".rec"

// A Folder keeps records. Its methods are safe for concurrent use.
type Folder struct {
	cfg  Config
	lock *os.File

	waiting    atomic.Int64 // bytes, of all sinks
	written    atomic.Uint64
	gaps, lost atomic.Uint64

	wake chan struct{}
	done chan struct{} // closed when the writer has ended

	mu      sync.Mutex
	sinks   map[*sink]struct{}
	closing bool

	// These belong to the writer.
	closed []file // oldest first
	stored int64  // bytes of these
	open   int64  // files that are being written
}

// A file is one that is not written any more.
type file struct {
	path string
	size int64
}

// Open returns a folder, in which the files of the daemon before count. Close ends it. The
// error says what is wrong with the folder.
func Open(cfg Config) (*Folder, error) {
	if cfg.create == nil {
		cfg.create = func(path string) (io.WriteCloser, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		}
	}
	if err := sockaddr.TrustFolder("records of decisions", cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := claim(cfg.Dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{cfg: cfg, lock: lock, wake: make(chan struct{}, 1), done: make(chan struct{}), sinks: make(map[*sink]struct{})}
	if err := f.look(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	go f.run()
	return f, nil
}

// look finds the files that are there.
func (f *Folder) look() error {
	entries, err := os.ReadDir(f.cfg.Dir) // sorted by name, and names begin with the time
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.close(filepath.Join(f.cfg.Dir, e.Name()), info.Size())
	}
	return nil
}

func (f *Folder) close(path string, size int64) {
	f.closed = append(f.closed, file{path, size})
	f.stored += size
}

// Files returns the paths of the records in a folder, in the order in which they began.
func Files(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	slices.Sort(all)
	return all, err
}

// Sink returns where one epoch is recorded.
func (f *Folder) Sink() record.Sink {
	s := &sink{folder: f}
	s.ready.Store(true)
	f.mu.Lock()
	f.sinks[s] = struct{}{}
	f.mu.Unlock()
	return s
}

// Stats are the counts of a folder since it was opened.
type Stats struct {
	// Bytes were written. Gaps is how often events were lost, and Lost how many, as far as
	// the record has gone on since.
	Bytes, Gaps, Lost uint64
}

// Stats returns the counts now.
func (f *Folder) Stats() Stats {
	return Stats{Bytes: f.written.Load(), Gaps: f.gaps.Load(), Lost: f.lost.Load()}
}

// Close writes what waits, and ends all files. Nothing is recorded after it.
func (f *Folder) Close() error {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	f.rouse()
	<-f.done
	return f.lock.Close()
}

func (f *Folder) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run writes what waits, until Close.
func (f *Folder) run() {
	defer close(f.done)
	look := time.NewTicker(pause)
	defer look.Stop()
	for {
		select {
		case <-f.wake:
			time.Sleep(gather) //nolint:forbidigo // others are to come too; who closes waits no longer than this
		case <-look.C:
		}
		f.mu.Lock()
		closing := f.closing
		all := slices.Collect(maps.Keys(f.sinks))
		f.mu.Unlock()
		for _, s := range all {
			if s.write() || closing {
				s.finish()
				f.mu.Lock()
				delete(f.sinks, s)
				f.mu.Unlock()
			}
		}
		if closing {
			return
		}
	}
}

// makeRoom removes the oldest files until there is room for one more.
func (f *Folder) makeRoom() error {
	for f.stored+(f.open+1)*f.cfg.FileBytes > f.cfg.Bytes {
		if len(f.closed) == 0 {
			return fmt.Errorf("%d files of %d bytes are being written, and all together may have %d: raise --record-size, or lower --record-file-size", f.open, f.cfg.FileBytes, f.cfg.Bytes)
		}
		oldest := f.closed[0]
		if err := os.Remove(oldest.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.closed = f.closed[1:]
		f.stored -= oldest.size
	}
	return nil
}
