package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// ErrorDomain is the domain of the google.rpc.ErrorInfo that names an errno.
const ErrorDomain = "kbus"

// codeOf gives the gRPC code of each errno that KBUS answers with.
var codeOf = map[syscall.Errno]codes.Code{
	syscall.EADDRNOTAVAIL: codes.NotFound,
	syscall.EADDRINUSE:    codes.AlreadyExists,
	syscall.EBADMSG:       codes.InvalidArgument,
	syscall.EINVAL:        codes.InvalidArgument,
	syscall.ENAMETOOLONG:  codes.InvalidArgument,
	syscall.EMSGSIZE:      codes.InvalidArgument,
	syscall.EBUSY:         codes.ResourceExhausted,
	syscall.ENOLCK:        codes.ResourceExhausted,
	syscall.EAGAIN:        codes.ResourceExhausted,
	syscall.EPIPE:         codes.FailedPrecondition,
	syscall.ECONNREFUSED:  codes.FailedPrecondition,
	syscall.ENOENT:        codes.Unavailable,
	syscall.EACCES:        codes.PermissionDenied,
}

// refused turns an error of the bus into a status, with the errno in a detail.
func refused(err error) error {
	if errno, ok := kbusdev.ErrnoOf(err); ok {
		code, known := codeOf[errno]
		if !known {
			code = codes.Internal
		}
		return withErrno(code, errno, explain(err, errno))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, errors.ErrUnsupported):
		return status.Error(codes.Unimplemented, err.Error())
	case errors.Is(err, net.ErrClosed):
		return status.Error(codes.Unavailable, "the bus is closed")
	default:
		return status.Error(codes.Internal, err.Error())
	}
}

// explain says the refusal in the caller's terms.
func explain(err error, errno syscall.Errno) string {
	var op *kbusdev.OpError
	name := "that name"
	if errors.As(err, &op) && op.Name != "" {
		name = op.Name
		if len(name) > 60 {
			name = name[:60] + "..."
		}
	}
	switch errno {
	case syscall.EADDRNOTAVAIL:
		switch {
		case op != nil && op.Op == opBind:
			return "the rules of this daemon do not let you bind " + name
		case op != nil && op.Op == opAnnounce:
			return "the rules of this daemon do not let you announce " + name
		}
		return fmt.Sprintf("no replier is bound to %s on this bus", name)
	case syscall.EADDRINUSE:
		return fmt.Sprintf("another replier is bound to %s on this bus", name)
	case syscall.EBADMSG:
		return fmt.Sprintf("%q is not a name that can be used here: \"$\" and words of letters and digits joined by dots; only what is bound may end in * or %%", name)
	case syscall.ENAMETOOLONG:
		return fmt.Sprintf("the name %q is longer than %d bytes", name, kbusdev.MaxNameLen)
	case syscall.EPIPE:
		return fmt.Sprintf("the replier for %s is not the Ksock asked for", name)
	case syscall.ENOLCK:
		if op != nil && op.Op == "bind" {
			return fmt.Sprintf("%s is not bound: programs have bound as many names here as they may, all together or this one alone; unbind some", name)
		}
		return err.Error()
	default:
		return err.Error()
	}
}

func withErrno(code codes.Code, errno syscall.Errno, message string) error {
	return withInfo(status.New(code, message), &errdetails.ErrorInfo{
		Reason:   kbusdev.ErrnoName(errno),
		Domain:   ErrorDomain,
		Metadata: map[string]string{"errno": kbusdev.ErrnoName(errno)},
	})
}

// withInfo returns st as an error with info as its only detail.
func withInfo(st *status.Status, info *errdetails.ErrorInfo) error {
	detailed, err := status.New(st.Code(), st.Message()).WithDetails(info)
	if err != nil {
		return st.Err()
	}
	return detailed.Err()
}

// reasonOf is the reason of an ErrorInfo where there is no errno.
var reasonOf = map[codes.Code]string{
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED",
	codes.Canceled:         "CANCELLED",
	codes.Unavailable:      "BUS_CLOSED",
}

// withOutcome adds to the status of a Call that failed what became of the request.
func withOutcome(err error, o kbusdev.Outcome) error {
	st := status.Convert(err)
	info := &errdetails.ErrorInfo{Reason: cmp.Or(reasonOf[st.Code()], "UNKNOWN"), Domain: ErrorDomain, Metadata: make(map[string]string)}
	for _, d := range st.Details() {
		if has, ok := d.(*errdetails.ErrorInfo); ok {
			info = has
		}
	}
	info.Metadata["outcome"] = o.String()
	return withInfo(st, info)
}

// neverSent returns the outcome of a request that no replier has read when its caller
// gave up, because of err.
func neverSent(err error) kbusdev.Outcome {
	if errors.Is(err, context.DeadlineExceeded) {
		return kbusdev.Expired
	}
	return kbusdev.NeverRan
}

func invalid(format string, args ...any) error {
	return withErrno(codes.InvalidArgument, syscall.EINVAL, fmt.Sprintf(format, args...))
}
