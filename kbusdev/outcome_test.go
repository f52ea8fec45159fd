package kbusdev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Every reply that a bus or a limpet makes itself has its outcome and its meaning.
func TestOutcomeOf(t *testing.T) {
	far := kbusdev.Address{Network: 2, Local: 7}
	for _, c := range []struct {
		name     string
		origFrom kbusdev.Address
		outcome  kbusdev.Outcome
		reason   string
	}{
		{"$.Ask", far, kbusdev.Answered, ""},
		{"$.KBUS", far, kbusdev.Answered, ""},
		{"$.KBUS.MyOwnService", far, kbusdev.Answered, ""},
		{kbusdev.NameReplierBindEvent, far, kbusdev.Answered, ""},
		{kbusdev.NameReplierGoneAway, far, kbusdev.NeverRan, "Replier.GoneAway"},
		{kbusdev.NameReplierUnbound, far, kbusdev.NeverRan, "Replier.Unbound"},
		{kbusdev.NameReplierDisappeared, far, kbusdev.NeverRan, "Replier.Disappeared"},
		{kbusdev.NameReplierNotSameKsock, far, kbusdev.NeverRan, "Replier.NotSameKsock"},
		{kbusdev.NameReplierIgnored, kbusdev.Address{}, kbusdev.MayHaveRun, "Replier.Ignored"},
		{kbusdev.NameErrorSending, far, kbusdev.NeverRan, "ErrorSending"},
		{"$.KBUS.Replier.Exploded", kbusdev.Address{}, kbusdev.MayHaveRun, "Replier.Exploded"},
		{kbusdev.NameNotDelivered, far, kbusdev.NeverRan, "RemoteError.NotDelivered"},
		{kbusdev.NameOutcomeUnknown, far, kbusdev.MayHaveRun, "RemoteError.OutcomeUnknown"},
		{kbusdev.NameExpired, far, kbusdev.Expired, "RemoteError.Expired"},
		// Only a request is refused so.
		{"$.KBUS.RemoteError.EADDRNOTAVAIL", far, kbusdev.NeverRan, "RemoteError.EADDRNOTAVAIL"},
		{"$.KBUS.RemoteError.99", far, kbusdev.NeverRan, "RemoteError.EADDRNOTAVAIL"},
		{"$.KBUS.RemoteError.ENOLCK", far, kbusdev.NeverRan, "RemoteError.ENOLCK"},
		{"$.KBUS.RemoteError.EPIPE", far, kbusdev.NeverRan, "RemoteError.EPIPE"},
		// A reply is refused so too.
		{"$.KBUS.RemoteError.EBUSY", kbusdev.Address{}, kbusdev.NeverRan, "RemoteError.EBUSY"},
		{"$.KBUS.RemoteError.EBUSY", far, kbusdev.MayHaveRun, "RemoteError.EBUSY"},
		{"$.KBUS.RemoteError.EMSGSIZE", kbusdev.Address{}, kbusdev.NeverRan, "RemoteError.EMSGSIZE"},
		{"$.KBUS.RemoteError.EMSGSIZE", far, kbusdev.MayHaveRun, "RemoteError.EMSGSIZE"},
		{"$.KBUS.RemoteError.EBADMSG", far, kbusdev.MayHaveRun, "RemoteError.EBADMSG"},
		{"$.KBUS.RemoteError.ENOMEM", kbusdev.Address{}, kbusdev.MayHaveRun, "RemoteError.ENOMEM"},
		{"$.KBUS.RemoteError.77777", kbusdev.Address{}, kbusdev.MayHaveRun, "RemoteError.77777"},
		{"$.KBUS.RemoteError.NewWord", kbusdev.Address{}, kbusdev.MayHaveRun, "RemoteError.NewWord"},
	} {
		o, reason := kbusdev.OutcomeOf(&kbusdev.Message{Name: c.name, OrigFrom: c.origFrom})
		if o != c.outcome || reason != c.reason {
			t.Errorf("%s from %v is %v %q, want %v %q", c.name, c.origFrom, o, reason, c.outcome, c.reason)
		}
		if why := kbusdev.ExplainReason(reason); reason != "" && why == "" {
			t.Errorf("%q has no meaning", reason)
		}
		if back, ok := kbusdev.OutcomeFromName(o.String()); !ok || back != o {
			t.Errorf("%v comes back as %v, %v", o, back, ok)
		}
	}
	if _, ok := kbusdev.OutcomeFromName("OUTCOME_UNSPECIFIED"); ok {
		t.Error("no outcome is taken for one")
	}
	if s := kbusdev.Outcome(99).String(); s != "OUTCOME_UNSPECIFIED" {
		t.Errorf("a bad outcome is %s", s)
	}
}

func TestOutcomeOfRefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		want kbusdev.Outcome
	}{
		{&kbusdev.OpError{Op: "send", Err: syscall.EADDRNOTAVAIL}, kbusdev.NeverRan},
		{&kbusdev.OpError{Op: "send", Err: syscall.ENOLCK}, kbusdev.NeverRan},
		{&kbusdev.OpError{Op: "send", Err: syscall.EBUSY}, kbusdev.NeverRan},
		{&kbusdev.OpError{Op: "write", Err: syscall.EBADMSG}, kbusdev.NeverRan},
		{fmt.Errorf("%w: %w", syscall.EAGAIN, context.DeadlineExceeded), kbusdev.Expired},
		{fmt.Errorf("%w: %w", syscall.EAGAIN, context.Canceled), kbusdev.NeverRan},
		{syscall.ENOTCONN, kbusdev.MayHaveRun},
		{syscall.EIO, kbusdev.MayHaveRun},
		{syscall.ENOMEM, kbusdev.MayHaveRun},
		{net.ErrClosed, kbusdev.MayHaveRun},
		{errors.New("?"), kbusdev.MayHaveRun},
	} {
		if got := kbusdev.OutcomeOfRefusal(c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}
