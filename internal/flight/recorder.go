// Package flight keeps the latest of what a process has done, as Go's execution trace, and
// writes it to a file when a request is stuck: then it can be seen what the process did, or
// waited for.
package flight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"time"
)

// Bounds of what is kept.
const (
	// maxBytes is about how much of the trace is kept, in memory, and so in a file.
	maxBytes = 16 << 20
	// maxFiles are kept, the latest.
	maxFiles = 8
	// pause is from one file to the next, at least.
	pause = time.Minute
	// lookEvery is how often the oldest request is looked at, at least.
	lookEvery = time.Second
)

// A Request is one that is open.
type Request struct {
	// Link is what it goes over, and ID its id, for people.
	Link, ID string
	// From is the Ksock that asks.
	From uint32
	// Since is when it was taken.
	Since time.Time
}

// is reports whether two are the same.
func (r Request) is(other Request) bool {
	return r.Link == other.Link && r.ID == other.ID && r.Since.Equal(other.Since)
}

// Config is what a Recorder is made with. All fields are required.
type Config struct {
	// Dir is where the files go. It exists.
	Dir string
	// After is from what age on a request is stuck.
	After time.Duration
	// Oldest returns the request that has been open for longest, if it was taken before this
	// time.
	Oldest func(before time.Time) (Request, bool)
	// Log has a line for each file.
	Log *slog.Logger
}

// A Recorder records what the process does, from New to Close. There can be one at a time.
// It is safe for concurrent use.
type Recorder struct {
	cfg      Config
	recorder *trace.FlightRecorder
}

// New starts to record. The error says why files cannot be written, or that another Recorder
// has not been closed.
func New(cfg Config) (*Recorder, error) {
	f, err := os.CreateTemp(cfg.Dir, prefix+"try-*") // to be told of a wrong folder now
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	r := &Recorder{cfg: cfg, recorder: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: cfg.After, MaxBytes: maxBytes})}
	return r, r.recorder.Start()
}

// Close stops recording.
func (r *Recorder) Close() { r.recorder.Stop() }

// WriteTo writes what is recorded now, for go tool trace.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) { return r.recorder.WriteTo(w) }

// Run writes a file when a request is stuck, until ctx ends: one for each request, and one a
// minute at most.
func (r *Recorder) Run(ctx context.Context) {
	every := time.NewTicker(max(min(r.cfg.After/4, lookEvery), time.Millisecond))
	defer every.Stop()
	var last Request
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			oldest, ok := r.cfg.Oldest(now.Add(-r.cfg.After))
			if !ok || oldest.is(last) || !at.IsZero() && now.Sub(at) < pause {
				continue
			}
			last, at = oldest, now
			file, err := r.dump(now)
			if err != nil {
				r.cfg.Log.Error("the flight recorder's file cannot be written", "dir", r.cfg.Dir, "error", err)
				continue
			}
			r.cfg.Log.Warn("a request is stuck", "link", oldest.Link, "id", oldest.ID, "from", oldest.From, "age", now.Sub(oldest.Since), "file", file)
		}
	}
}

const (
	prefix = "limpetd-"
	suffix = ".trace"
)

// dump writes a file, and removes the oldest of those there are too many of.
func (r *Recorder) dump(now time.Time) (path string, err error) {
	path = filepath.Join(r.cfg.Dir, prefix+now.UTC().Format("20060102T150405.000")+suffix)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = r.WriteTo(f)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return path, prune(r.cfg.Dir)
}

// prune removes all files but the latest.
func prune(dir string) error {
	all, err := filepath.Glob(filepath.Join(dir, prefix+"[0-9]*"+suffix))
	if err != nil || len(all) <= maxFiles {
		return err
	}
	slices.Sort(all) // their names are times
	for _, path := range all[:len(all)-maxFiles] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
