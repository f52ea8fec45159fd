package record

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kbus-limpet/limpet/limpet/tape"
)

// ErrNoRecord says that a file is no record.
var ErrNoRecord = errors.New("this is no record of decisions")

// ErrCutStart says that a record is cut off before its first event, as one is whose writer
// was killed just then: there is nothing in it to be played.
var ErrCutStart = errors.New("the record is cut off before its first event")

// errCut says that a block is cut off.
var errCut = errors.New("a block is cut off")

// A FormatError says that a file has another version than this package reads.
type FormatError struct{ Format int }

// Error says which.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the record has format %d, this version reads format %d; use the limpetctl of the version that has written it", e.Format, Format)
}

// How a file ends.
const (
	// EndedCut: in the middle of a block, as after kill -9 or a full disk.
	EndedCut = "cut"
	// EndedOpen: behind a whole block, without a word: the daemon was killed, or runs.
	EndedOpen = "open"
	// EndedGap: with the word that events were lost.
	EndedGap = "gap"
	// EndedWhole: in good order.
	EndedWhole = "end"
)

// A Reader reads a file. Its memory is bounded by MaxBlock.
type Reader struct {
	r      *bufio.Reader
	block  []byte // the rest of it
	ended  string
	why    error // what is wrong where it is cut
	header Header
	state  []byte
}

// NewReader reads the beginning of a file. The error is a *FormatError if it is of another
// version, and wraps ErrNoRecord if it is something else.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{r: bufio.NewReaderSize(from, 1<<16)}
	start := make([]byte, len(magic))
	if n, err := io.ReadFull(r.r, start); err != nil && strings.HasPrefix(magic, string(start[:n])) {
		return nil, ErrCutStart
	} else if string(start) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrNoRecord, magic)
	}
	header, err := r.start(headerBlock)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(header, &r.header); err != nil {
		return nil, fmt.Errorf("%w: its header is damaged: %w", ErrNoRecord, err)
	}
	if r.header.Format != Format {
		return nil, &FormatError{r.header.Format}
	}
	if r.state, err = r.start(stateBlock); err != nil {
		return nil, err
	}
	return r, nil
}

// start reads one of the blocks that a file begins with.
func (r *Reader) start(want byte) ([]byte, error) {
	kind, b, err := r.next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errCut):
		return nil, ErrCutStart
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	case kind != want:
		return nil, fmt.Errorf("%w: it begins with a block of kind %d, in place of %d", ErrNoRecord, kind, want)
	}
	return b, nil
}

// Header returns the header.
func (r *Reader) Header() *Header { return &r.header }

// State returns the state that the file begins with.
func (r *Reader) State() []byte { return r.state }

// Next returns the next event, which is valid until the next call; io.EOF at the end,
// however the file ends: see Ended.
func (r *Reader) Next() ([]byte, error) {
	for len(r.block) == 0 {
		if r.ended != "" {
			return nil, io.EOF
		}
		kind, block, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			r.ended = EndedOpen
		case err != nil:
			r.ended, r.why = EndedCut, err
		case kind == eventsBlock:
			r.block = block
		case kind == gapBlock:
			r.ended = EndedGap
		case kind == endBlock:
			r.ended = EndedWhole
		default:
			r.ended, r.why = EndedCut, fmt.Errorf("a block of kind %d, which there is not", kind)
		}
	}
	n, size := binary.Uvarint(r.block)
	if size <= 0 || n > uint64(len(r.block)-size) {
		r.block, r.ended, r.why = nil, EndedCut, errors.New("an event is longer than its block")
		return nil, io.EOF
	}
	event := r.block[size : size+int(n)]
	r.block = r.block[size+int(n):]
	return event, nil
}

// Ended says how the file ends, once Next has returned io.EOF, and what is wrong there if it
// is cut.
func (r *Reader) Ended() (how string, why error) { return r.ended, r.why }

// next reads a block. The error is io.EOF where a block could begin.
func (r *Reader) next() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r.r, head[:1]); err != nil {
		return 0, nil, err
	}
	if _, err := io.ReadFull(r.r, head[1:]); err != nil {
		return 0, nil, errCut
	}
	kind, n := head[0], binary.LittleEndian.Uint32(head[1:])
	if n > MaxBlock {
		return 0, nil, fmt.Errorf("a block says that it has %d bytes, which none has", n)
	}
	// What a file says of its length is believed as far as there is something.
	whole := append(make([]byte, 0, min(int(n)+blockOverhead, 1<<16)), head[:]...)
	whole, err = readMore(r.r, whole, int(n)+4)
	if err != nil {
		return 0, nil, errCut
	}
	end := len(whole) - 4
	if binary.LittleEndian.Uint32(whole[end:]) != tape.Checksum(whole[:end]) {
		return 0, nil, errors.New("the checksum of a block is wrong")
	}
	return kind, whole[5:end], nil
}

// readMore appends n bytes of r to b, in steps, so that memory grows with what there is.
func readMore(r io.Reader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, max(1<<16, len(b)))
		at := len(b)
		b = append(b, make([]byte, step)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
		n -= step
	}
	return b, nil
}
