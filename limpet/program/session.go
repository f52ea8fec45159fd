package program

import (
	"errors"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// The sessions of the two sides.
type (
	// A Session is the program's side.
	Session = link.SessionOf[Operation, Event]
	// A DaemonSession is the daemon's side.
	DaemonSession = link.SessionOf[Event, Operation]
)

// The batches of the two sides.
type (
	// An OperationBatch is what a program sends.
	OperationBatch = link.BatchOf[Operation]
	// An EventBatch is what a daemon sends.
	EventBatch = link.BatchOf[Event]
)

// NewSession returns the program's side of a session.
func NewSession(cfg link.SessionConfig) *Session {
	return link.NewSessionOf(cfg, (*Operation).measure, (*Event).Size)
}

// NewDaemonSession returns the daemon's side of a session.
func NewDaemonSession(cfg link.SessionConfig) *DaemonSession {
	return link.NewSessionOf(cfg, (*Event).measure, (*Operation).Size)
}

func asOpError(err error) (*kbusdev.OpError, bool) {
	var op *kbusdev.OpError
	ok := errors.As(err, &op)
	return op, ok
}
