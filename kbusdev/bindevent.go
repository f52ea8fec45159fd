package kbusdev

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A BindEvent is what a $.KBUS.ReplierBindEvent carries as data.
type BindEvent struct {
	// Bound is true when the replier was bound, false when it was unbound.
	Bound bool
	// Binder is the Ksock that did it.
	Binder KsockID
	// Name is the name it replies to, perhaps a wildcard.
	Name string
}

// ErrBadBindEvent is wrapped by what ParseBindEvent returns.
var ErrBadBindEvent = errors.New("malformed replier bind event")

const bindEventHeader = 12

// AppendBindEvent appends e as KBUS lays it out: three u32 in the given order
// (is_bind, binder, name_len), then the name padded with NULs to a multiple of
// 4, at least one NUL. The module uses host byte order (binary.NativeEndian).
func AppendBindEvent(dst []byte, e BindEvent, order binary.AppendByteOrder) []byte {
	var bound uint32
	if e.Bound {
		bound = 1
	}
	dst = order.AppendUint32(dst, bound)
	dst = order.AppendUint32(dst, uint32(e.Binder))
	dst = order.AppendUint32(dst, uint32(len(e.Name)))
	dst = append(dst, e.Name...)
	for range paddedLen(len(e.Name)) - len(e.Name) {
		dst = append(dst, 0)
	}
	return dst
}

// ParseBindEvent reads what AppendBindEvent writes. It refuses, with an error
// wrapping ErrBadBindEvent, any other length, a first word that is not 0 or 1,
// and a name that cannot be bound. The name is copied; data may be reused.
func ParseBindEvent(data []byte, order binary.ByteOrder) (BindEvent, error) {
	if len(data) < bindEventHeader {
		return BindEvent{}, fmt.Errorf("%w: %d bytes, at least %d are needed", ErrBadBindEvent, len(data), bindEventHeader)
	}
	bound, binder, n := order.Uint32(data), order.Uint32(data[4:]), order.Uint32(data[8:])
	if bound > 1 {
		return BindEvent{}, fmt.Errorf("%w: is_bind is %d", ErrBadBindEvent, bound)
	}
	if n > MaxNameLen || len(data) != bindEventHeader+paddedLen(int(n)) {
		return BindEvent{}, fmt.Errorf("%w: name length %d in %d bytes", ErrBadBindEvent, n, len(data))
	}
	name := string(data[bindEventHeader : bindEventHeader+int(n)])
	if err := CheckBindName(name); err != nil {
		return BindEvent{}, fmt.Errorf("%w: name %q: %w", ErrBadBindEvent, name, err)
	}
	return BindEvent{Bound: bound == 1, Binder: KsockID(binder), Name: name}, nil
}

// paddedLen is the room KBUS gives a name of n bytes: at least one NUL, and a
// multiple of four.
func paddedLen(n int) int { return (n + 4) &^ 3 }
