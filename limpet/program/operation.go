package program

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// An Action is what an operation does. Its numbers are those of the protocol, which tells
// what each one means.
type Action uint8

// The actions.
const (
	Send Action = iota + 1
	Receive
	Cancel
	Bind
	Unbind
	FindReplier
	MaxMessages
	MaxMessageSize
	OnlyOnce
	Verbose
	ReportReplierBinds
	LastSent
	NumMessages
	Unreplied
	NewDevice
	Write
	Commit
	Discard
	Next
	Read
	LenLeft
	Poll
	Flush
	Stream
	Close
	Withdraw

	// LastAction is the last one that there is.
	LastAction = Withdraw
)

// An Operation is something that a program wants done with its Ksock.
type Operation struct {
	// Msg is what Send sends. Of the other actions its Name is the name concerned, and its
	// Data what Write writes.
	Msg kbusdev.Message
	// Tag is echoed in the result; 0 wants no result unless the operation fails.
	Tag uint64
	// Value is the operation's number, if it has one.
	Value uint64
	// Action is what is done.
	Action Action
	// Role is how Bind and Unbind bind.
	Role kbusdev.Role
	// Wait has Receive wait for a message, and Send with AllOrWait for room.
	Wait bool
}

// Plain reports whether op is a message to be sent without a result, which is encoded in
// a shorter way.
func (op *Operation) Plain() bool {
	return op.Action == Send && op.Tag == 0 && (op.Wait || op.Msg.Flags&kbusdev.AllOrWait == 0)
}

// Settle has a message that came in the longer way be as if it had come in the shorter one:
// the role and the number count for nothing in it, and it has nothing to wait for, or waits.
func (op *Operation) Settle() {
	if op.Plain() {
		op.Role, op.Value, op.Wait = kbusdev.Listener, 0, true
	}
}

// Size is what op counts for in the window, in bytes.
func (op *Operation) Size() int { return op.Msg.Size() }

// operationOverhead is the most that the fields of an operation and its message other than
// names and data take when encoded, in bytes.
const operationOverhead = 144

func (op *Operation) measure() link.Measure {
	return link.Measure{Size: op.Size(), Overhead: operationOverhead + link.TraceOverhead(&op.Msg)}
}
