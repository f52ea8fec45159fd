package records

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/limpet/record"
)

// A sink is the record of one epoch: what waits to be written, and the file that is.
type sink struct {
	folder *Folder
	ready  atomic.Bool // Begin has a prospect

	mu      sync.Mutex
	link    string
	queue   []part // that wait
	waiting int64  // bytes of these
	spare   []byte // memory for the next events
	size    int64  // of the file that the latest event is for
	lost    bool   // since the latest event, until the next Begin
	retry   time.Time
	ended   bool
	failing bool // it was said that nothing can be recorded

	// These belong to the writer.
	out     io.WriteCloser // nil if there is no file
	path    string
	written int64
	block   []byte // memory for the next block
}

// A part is events of a file, and its beginning or end.
type part struct {
	path  string // of the file that begins with it; "" is none
	start []byte
	// events are those of a block.
	events []byte
	gap    bool  // the file ends behind them with a gap
	size   int64 // counted as waiting
}

// Begin is record.Sink's, like the methods below.
func (s *sink) Begin(h *record.Header, state []byte) bool {
	f := s.folder
	h.Software = f.cfg.Software
	start, err := record.AppendStart(nil, h, state)
	size := int64(len(start))
	if err == nil && size > f.cfg.FileBytes/2 {
		err = fmt.Errorf("the state takes %d bytes, more than half of a file: raise --record-file-size", size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = h.Link
	switch {
	case err != nil:
		s.lose(failedPause)
		s.failed(err)
		return false
	case s.ended || !s.wait(size, maxAll):
		s.lose(pause)
		return false
	}
	name := fmt.Sprintf("%s-%.8s-%04d%s", h.Base.UTC().Format("20060102T150405.000000Z"), h.Session, h.Part, suffix)
	s.queue = append(s.queue, part{path: filepath.Join(f.cfg.Dir, name), start: start, size: size})
	s.size, s.lost = size, false
	s.ready.Store(false)
	f.lost.Add(h.Lost)
	f.rouse()
	return true
}

// Append takes an event.
func (s *sink) Append(event []byte) record.Verdict {
	size := int64(len(event)) + maxLength
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost || s.ended || size > record.MaxBlock || s.size+size > s.folder.cfg.FileBytes || !s.wait(size, maxWaiting) {
		s.lose(pause)
		return record.Lost
	}
	if n := len(s.queue); n == 0 || s.queue[n-1].gap || len(s.queue[n-1].events)+int(size) > record.MaxBlock {
		s.queue = append(s.queue, part{events: s.spare[:0]})
		s.spare = nil
		s.folder.rouse()
	}
	last := &s.queue[len(s.queue)-1]
	last.events = record.AppendEvent(last.events, event)
	last.size += size
	s.size += size
	if s.size > s.folder.cfg.FileBytes/4*3 {
		return record.Full
	}
	return record.Taken
}

// maxLength is the most that the length of an event takes.
const maxLength = 4

// wait counts what is to wait, if there is room for it. s.mu is held.
func (s *sink) wait(size, most int64) bool {
	f := s.folder
	if s.waiting > 0 && s.waiting+size > most || f.waiting.Add(size) > maxAll && !f.unwait(size) {
		return false
	}
	s.waiting += size
	return true
}

// unwait takes back what wait has counted; it reports false.
func (f *Folder) unwait(size int64) bool {
	f.waiting.Add(-size)
	return false
}

// lose notes that events are lost until the next Begin, which has no prospect for a while.
// s.mu is held.
func (s *sink) lose(d time.Duration) {
	s.ready.Store(false)
	if t := time.Now().Add(d); t.After(s.retry) { // what comes meanwhile does not shorten the pause of a failure
		s.retry = t
	}
	if !s.lost {
		s.lost = true
		s.folder.gaps.Add(1)
		s.queue = append(s.queue, part{gap: true})
		s.folder.rouse()
	}
}

// Ready reports whether Begin has a prospect.
func (s *sink) Ready() bool { return s.ready.Load() }

// End ends the record.
func (s *sink) End() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.folder.rouse()
}

// write writes what waits, and reports whether nothing more will come.
func (s *sink) write() (over bool) {
	s.mu.Lock()
	queue, size := s.queue, s.waiting
	s.queue, s.waiting = nil, 0
	over = s.ended
	s.mu.Unlock()
	var err error
	for i := range queue {
		if err = errors.Join(err, s.writePart(&queue[i])); err != nil {
			break
		}
	}
	s.folder.unwait(size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(queue); n > 0 && cap(queue[n-1].events) <= 1<<20 {
		s.spare = queue[n-1].events
	}
	switch {
	case err != nil:
		s.closeFile(nil)
		s.folder.unwait(s.waiting)
		s.queue, s.waiting = nil, 0
		s.lose(failedPause)
		s.failed(err)
	case s.lost && !over && len(s.queue) == 0 && !time.Now().Before(s.retry):
		s.ready.Store(true)
	}
	return over
}

// writePart writes a part. Events without a file are those behind a failure.
func (s *sink) writePart(p *part) error {
	if p.path != "" {
		if err := s.begin(p); err != nil {
			return err
		}
	}
	if s.out == nil {
		return nil
	}
	s.block = s.block[:0]
	if len(p.events) > 0 {
		s.block = record.AppendEvents(s.block, p.events)
	}
	if err := s.put(s.block); err != nil {
		return err
	}
	if p.gap {
		s.closeFile(record.AppendGap(nil))
	}
	if cap(s.block) > 1<<20 {
		s.block = nil
	}
	return nil
}

// begin begins a file, behind the end of the one before.
func (s *sink) begin(p *part) (err error) {
	s.finish()
	f := s.folder
	if err := f.makeRoom(); err != nil {
		return err
	}
	if s.out, err = f.cfg.create(p.path); err != nil {
		s.out = nil
		return err
	}
	s.path, s.written = p.path, 0
	f.open++
	if err := s.put(p.start); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		s.failing = false
		f.cfg.Log.Info("decisions are recorded again", "link", s.link)
	}
	return nil
}

func (s *sink) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := s.out.Write(b)
	s.written += int64(n)
	s.folder.written.Add(uint64(n))
	return err
}

// finish ends the file in good order, if there is one.
func (s *sink) finish() { s.closeFile(record.AppendEnd(nil)) }

// closeFile closes the file behind some last bytes, if there is one.
func (s *sink) closeFile(last []byte) {
	if s.out == nil {
		return
	}
	_ = s.put(last) // without them the file ends as that of a daemon that was killed
	_ = s.out.Close()
	s.out = nil
	s.folder.open--
	s.folder.close(s.path, s.written)
}

// failed says, once, that nothing can be recorded. s.mu is held.
func (s *sink) failed(err error) {
	if !s.failing {
		s.failing = true
		s.folder.cfg.Log.Error("decisions cannot be recorded", "link", s.link, "error", err)
	}
}
