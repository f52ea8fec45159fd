package tape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// A Tape is bytes that values are written to or read from, see New and Open. Its methods
// take pointers to values: they write what is there, or set it. When reading has failed
// they set nothing any more, or zero, and Err says why. It is not safe for concurrent use.
type Tape struct {
	reading bool
	buf     []byte
	at      int // where the next value is read
	err     error

	base time.Time // times are told as distances from it
	last time.Time // of the event before

	known  map[string]uint64 // the names that are written as a number, while writing
	latest string            // the last name
	number uint64            // its number, 0 if it had none
	names  []string          // likewise, while reading

	whole bool // the data of messages is written, else its length and sum
}

// Bounds of what is read. Nothing that is written is larger.
const (
	// MaxData is the largest message's data, in bytes.
	MaxData = 1 << 20
	// maxNames bounds the names that are written as a number, and maxKnown how long one is.
	maxNames = 1 << 14
	maxKnown = 1 << 12
)

// ErrShort says that a value is cut off.
var ErrShort = errors.New("it ends in the middle of a value")

// New returns a Tape to be written, with times as distances from base. whole has it take
// the data of messages, else it takes how long that is, and a sum of 16 bits.
func New(base time.Time, whole bool) *Tape {
	return &Tape{base: base, last: base, whole: whole, known: make(map[string]uint64)}
}

// Open returns a Tape to be read. base and whole are as they were when it was written;
// Next gives it what is to be read.
func Open(base time.Time, whole bool) *Tape {
	return &Tape{reading: true, base: base, last: base, whole: whole}
}

// Copy returns a Tape to be read that knows what this one knows now.
func (t *Tape) Copy() *Tape {
	c := *t
	c.names = c.names[:len(c.names):len(c.names)]
	return &c
}

// Next has the Tape read b from now on, which is not changed. It forgets an error.
func (t *Tape) Next(b []byte) { t.buf, t.at, t.err = b, 0, nil }

// Reading reports whether values are read.
func (t *Tape) Reading() bool { return t.reading }

// Bytes returns what has been written since the last Reset. It is valid until then.
func (t *Tape) Bytes() []byte { return t.buf }

// Reset forgets what has been written, but not the names in it, nor the time.
func (t *Tape) Reset() {
	if cap(t.buf) > 1<<20 { // a burst does not hold its memory for ever
		t.buf = nil
	}
	t.buf = t.buf[:0]
}

// Err returns why reading has failed; nil if it has not.
func (t *Tape) Err() error { return t.err }

// Left returns how many bytes have not been read.
func (t *Tape) Left() int { return len(t.buf) - t.at }

// End notes an error unless everything has been read.
func (t *Tape) End() {
	if t.reading && t.err == nil && t.Left() > 0 {
		t.Fail("there are %d bytes more than there should be", t.Left())
	}
}

// Fail notes that what is read cannot be right.
func (t *Tape) Fail(format string, args ...any) { t.fail(fmt.Errorf(format, args...)) }

func (t *Tape) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.at = len(t.buf)
}

// Uint64 takes a number; small ones are short.
func (t *Tape) Uint64(v *uint64) {
	if !t.reading {
		t.buf = binary.AppendUvarint(t.buf, *v)
		return
	}
	n, size := binary.Uvarint(t.buf[t.at:])
	if size <= 0 {
		t.fail(ErrShort)
		n, size = 0, 0
	}
	*v = n
	t.at += size
}

// Int64 takes a number that may be negative.
func (t *Tape) Int64(v *int64) {
	u := uint64(*v<<1) ^ uint64(*v>>63)
	t.Uint64(&u)
	*v = int64(u>>1) ^ -int64(u&1)
}

// Uint32 takes a number.
func (t *Tape) Uint32(v *uint32) {
	u := uint64(*v)
	t.atMost(&u, math.MaxUint32)
	*v = uint32(u)
}

// Uint16 takes a number.
func (t *Tape) Uint16(v *uint16) {
	u := uint64(*v)
	t.atMost(&u, math.MaxUint16)
	*v = uint16(u)
}

// Uint8 takes a number that is at most this one.
func (t *Tape) Uint8(v *uint8, most uint8) {
	u := uint64(*v)
	t.atMost(&u, uint64(most))
	*v = uint8(u)
}

// Count takes a number that is not negative.
func (t *Tape) Count(v *int) {
	u := uint64(*v)
	t.atMost(&u, math.MaxInt)
	*v = int(u)
}

// atMost takes a number that is not above most.
func (t *Tape) atMost(u *uint64, most uint64) {
	if t.Uint64(u); t.reading && *u > most {
		t.Fail("%d is more than %d", *u, most)
		*u = 0
	}
}

// Float takes a number.
func (t *Tape) Float(v *float64) {
	u := math.Float64bits(*v)
	t.Uint64(&u)
	*v = math.Float64frombits(u)
}

// Bool takes a truth.
func (t *Tape) Bool(v *bool) {
	if !t.reading {
		t.buf = append(t.buf, bit(*v))
		return
	}
	*v = false
	if t.Left() == 0 {
		t.fail(ErrShort)
		return
	}
	switch t.buf[t.at] {
	case 0:
	case 1:
		*v = true
	default:
		t.Fail("%d is neither true nor false", t.buf[t.at])
		return
	}
	t.at++
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Raw takes bytes, so many as there are in v.
func (t *Tape) Raw(v []byte) {
	if !t.reading {
		t.buf = append(t.buf, v...)
		return
	}
	if t.Left() < len(v) {
		t.fail(ErrShort)
		clear(v)
		return
	}
	t.at += copy(v, t.buf[t.at:])
}

// String takes a text.
func (t *Tape) String(v *string) {
	n := len(*v)
	t.Count(&n)
	if !t.reading {
		t.buf = append(t.buf, *v...)
		return
	}
	if n > t.Left() {
		t.fail(ErrShort)
		n = 0
	}
	*v = string(t.buf[t.at : t.at+n])
	t.at += n
}

// Name takes a text that is likely to come again, which costs a byte or two then.
func (t *Tape) Name(v *string) {
	if t.reading {
		t.readName(v)
		return
	}
	if *v != t.latest || t.number == 0 {
		t.latest, t.number = *v, t.known[*v]
	}
	t.Uint64(&t.number)
	if t.number != 0 {
		return
	}
	t.String(v)
	if len(t.known) < maxNames && len(*v) <= maxKnown {
		t.known[*v] = uint64(len(t.known) + 1)
	}
}

func (t *Tape) readName(v *string) {
	var number uint64
	t.Uint64(&number)
	switch {
	case number > uint64(len(t.names)):
		t.Fail("name %d has not been told", number)
		*v = ""
	case number > 0:
		*v = t.names[number-1]
	default:
		t.String(v)
		if t.err == nil && len(t.names) < maxNames && len(*v) <= maxKnown {
			t.names = append(t.names, *v)
		}
	}
}

// Time takes a time, as a distance from the base; the zero time is itself.
func (t *Tape) Time(v *time.Time) {
	set := !v.IsZero()
	t.Bool(&set)
	if !set {
		*v = time.Time{}
		return
	}
	t.distance(v, t.base)
}

// Now takes the time of an event, as a distance from the one before, which is short.
func (t *Tape) Now(v *time.Time) {
	t.distance(v, t.last)
	t.last = *v
}

// distance takes a time as the distance from another one. Both may have a monotonic clock,
// which is what counts then: in a replay it never goes back either.
func (t *Tape) distance(v *time.Time, from time.Time) {
	var d int64
	if !t.reading {
		d = int64(v.Sub(from))
	}
	t.Int64(&d)
	if t.reading {
		*v = from.Add(time.Duration(d))
	}
}

// Duration takes a duration.
func (t *Tape) Duration(v *time.Duration) { t.Int64((*int64)(v)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is CRC-32C, which processors have an instruction for.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
