package client

import (
	"context"
	"fmt"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A StatusError is what the daemon, or gRPC in its place, says of an operation that
// failed. It unwraps to the errno if the bus gave one, and to the context's error for the
// codes of those.
type StatusError struct {
	// Op and Name say what was being done.
	Op, Name string
	// Code and Message are the status's.
	Code    codes.Code
	Message string
	err     error
}

// Error returns the daemon's message, which names what was refused.
func (e *StatusError) Error() string { return e.Message }

// Unwrap returns the errno or context error; gRPC's own error if there is neither.
func (e *StatusError) Unwrap() error { return e.err }

// errNil is the error of an operation that was given nil. It wraps EINVAL.
func errNil(op, what string) error {
	return fmt.Errorf("%s: the %s is nil: %w", op, what, syscall.EINVAL)
}

func statusError(op, name string, err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	e := &StatusError{Op: op, Name: name, Code: st.Code(), Message: rpcstream.Words(st.Message()), err: err}
	if errno, ok := kbusdev.ErrnoFromName(infoOf(err).GetMetadata()["errno"]); ok {
		e.err = errno
	}
	switch st.Code() {
	case codes.DeadlineExceeded:
		e.err = context.DeadlineExceeded
	case codes.Canceled:
		e.err = context.Canceled
	default: // the errno says it, if there is one
	}
	return e
}

// infoOf returns the bus's own detail of a status; nil if there is none.
func infoOf(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "kbus" {
			return info
		}
	}
	return nil
}
