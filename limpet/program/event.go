package program

import (
	"strings"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// An Event is a message that was read from the Ksock, or a result.
type Event struct {
	// Msg is the message, if Result is nil.
	Msg kbusdev.Message
	// Result is what came of an operation.
	Result *Result
}

// A Result is what came of an operation. Nobody changes it.
type Result struct {
	// Tag is the operation's.
	Tag uint64
	// Errno is empty if the operation was done, else the errno's name, such as "EBUSY";
	// "EIO" if the failure had none.
	Errno string
	// Op is what the bus was doing when it failed, Name what it refused if there is no tag,
	// Message more about an EIO.
	Op, Name, Message string
	// ID is that of what was sent.
	ID kbusdev.MsgID
	// Value is a number.
	Value uint64
	// Found reports that what was asked for is there.
	Found bool
	// Data is what was read.
	Data []byte
	// Given is how many messages the session had given the program when NumMessages and Poll
	// asked the bus; of Unreplied how many of them were requests to it.
	Given uint64
}

// Err returns the failure as a bus says it: the errno, or an error with the text; nil if
// the operation was done.
func (r *Result) Err() error {
	switch {
	case r.Errno == "":
		return nil
	case r.Message != "":
		return remoteError(r.Message)
	}
	if errno, ok := kbusdev.ErrnoFromName(r.Errno); ok {
		return errno
	}
	return remoteError(r.Errno)
}

// A remoteError is what a daemon says of a failure that this side knows no errno for.
type remoteError string

func (e remoteError) Error() string { return string(e) }

// Unwrap returns EIO.
func (e remoteError) Unwrap() error { return syscall.EIO }

// Size is what e counts for in the window, in bytes.
func (e *Event) Size() int {
	if r := e.Result; r != nil {
		return resultSize + len(r.Errno) + len(r.Op) + len(r.Name) + len(r.Message) + len(r.Data)
	}
	return e.Msg.Size()
}

// resultSize is what a result counts for beside its texts and data, in bytes: those that
// nobody takes are bounded by the window, too.
const resultSize = 64

// eventOverhead is the most that an event takes when encoded beyond its size, in bytes.
const eventOverhead = 96

func (e *Event) measure() link.Measure {
	return link.Measure{Size: e.Size(), Overhead: eventOverhead + link.TraceOverhead(&e.Msg)}
}

// Done returns the result of an operation: that it was done if err is nil, else what the
// bus said.
func Done(op *Operation, err error) *Result {
	r := &Result{Tag: op.Tag}
	if err == nil {
		return r
	}
	r.fail(err)
	if op.Tag == 0 {
		r.Name = strings.ToValidUTF8(op.Msg.Name, "?") // it is text now
	}
	return r
}

func (r *Result) fail(err error) {
	if refused, ok := asOpError(err); ok {
		r.Op = refused.Op
	}
	if errno, ok := kbusdev.ErrnoOf(err); ok {
		r.Errno = kbusdev.ErrnoName(errno)
		return
	}
	r.Errno, r.Message = "EIO", strings.ToValidUTF8(err.Error(), "?")
}
