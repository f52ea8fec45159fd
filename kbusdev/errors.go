package kbusdev

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
)

// An OpError is an operation that a bus refused. It unwraps to the errno, so
// errors.Is(err, unix.EADDRNOTAVAIL) holds for every kind of bus.
type OpError struct {
	// Op is what was being done: "open", "bind", "unbind", "write", "send",
	// "recv", "read", "replier", or the name of a setting.
	Op string
	// Name is the message or binding name concerned, or the device; may be empty.
	Name string
	// Err is a syscall.Errno, net.ErrClosed or a context's error.
	Err error
}

// Error gives the operation, the name if there is one, and the reason.
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString("kbus ")
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteString(" ")
		b.WriteString(e.Name)
	}
	b.WriteString(": ")
	if errno, ok := ErrnoOf(e.Err); ok {
		if why, known := explain[errno]; known {
			b.WriteString(why + " (" + ErrnoName(errno) + ")")
			return b.String()
		}
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap gives the errno, net.ErrClosed or context error inside.
func (e *OpError) Unwrap() error { return e.Err }

// ErrnoOf finds the errno an error carries.
func ErrnoOf(err error) (syscall.Errno, bool) {
	var errno syscall.Errno
	ok := errors.As(err, &errno)
	return errno, ok
}

// What an errno means when a KBUS bus says it.
var explain = map[syscall.Errno]string{
	syscall.EADDRNOTAVAIL: "nobody is there to take it: no replier is bound, or the requester has gone",
	syscall.EACCES:        "the rules of the daemon do not allow it",
	syscall.EADDRINUSE:    "another replier is bound to that name",
	syscall.EAGAIN:        "somebody's queue is full; still waiting, or try again",
	syscall.EALREADY:      "an earlier send is still pending; wait for it or discard it",
	syscall.EBADF:         "the Ksock was not opened for that",
	syscall.EBADMSG:       "not a valid message name",
	syscall.EBUSY:         "a recipient's queue is full",
	syscall.ECONNREFUSED:  "the requester is not waiting for that reply",
	syscall.EINVAL:        "not a valid argument, or no such binding",
	syscall.EMSGSIZE:      "the message is too large for this bus",
	syscall.ENAMETOOLONG:  "the name is too long",
	syscall.ENOLCK:        "our own queue has no room for the reply",
	syscall.ENOMSG:        "there is no message to send",
	syscall.EPIPE:         "the replier is no longer the Ksock asked for",
}

// The errnos KBUS can answer with, by name and by the number that Linux gives
// them on most machines: a C limpet sends that number in its RemoteError names.
var errnos = []struct {
	name   string
	errno  syscall.Errno
	number int
}{
	{"EACCES", syscall.EACCES, 13},
	{"EADDRINUSE", syscall.EADDRINUSE, 98},
	{"EADDRNOTAVAIL", syscall.EADDRNOTAVAIL, 99},
	{"EAGAIN", syscall.EAGAIN, 11},
	{"EALREADY", syscall.EALREADY, 114},
	{"EBADF", syscall.EBADF, 9},
	{"EBADMSG", syscall.EBADMSG, 74},
	{"EBUSY", syscall.EBUSY, 16},
	{"ECONNREFUSED", syscall.ECONNREFUSED, 111},
	{"EFAULT", syscall.EFAULT, 14},
	{"EINTR", syscall.EINTR, 4},
	{"EINVAL", syscall.EINVAL, 22},
	{"EIO", syscall.EIO, 5},
	{"EMSGSIZE", syscall.EMSGSIZE, 90},
	{"ENAMETOOLONG", syscall.ENAMETOOLONG, 36},
	{"ENOENT", syscall.ENOENT, 2},
	{"ENOLCK", syscall.ENOLCK, 37},
	{"ENOMEM", syscall.ENOMEM, 12},
	{"ENOMSG", syscall.ENOMSG, 42},
	{"ENOTTY", syscall.ENOTTY, 25},
	{"EPIPE", syscall.EPIPE, 32},
}

// ErrnoName gives an errno's symbol, "EBUSY", or "E" and its number when KBUS
// has no use for it.
func ErrnoName(errno syscall.Errno) string {
	for _, e := range errnos {
		if e.errno == errno {
			return e.name
		}
	}
	return "E" + strconv.Itoa(int(errno))
}

// ErrnoFromName understands what follows $.KBUS.RemoteError. in a name: the
// symbol, or the Linux number that a C limpet sends.
func ErrnoFromName(word string) (syscall.Errno, bool) {
	n, err := strconv.Atoi(word)
	for _, e := range errnos {
		if e.name == word || err == nil && e.number == n {
			return e.errno, true
		}
	}
	return 0, false
}
