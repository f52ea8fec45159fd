package bus_test

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/server/bus"
)

// outcomeOf returns what the daemon says of a Call that failed.
func outcomeOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()["outcome"]
		}
	}
	return ""
}

func (f *fixture) replier(t *testing.T, name string) kbusdev.Ksock {
	t.Helper()
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	if err := k.Bind(name, kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	return k
}

// Every way in which a Call can end says what became of the request.
func TestOutcomeOfCall(t *testing.T) {
	f := serve(t)
	call := f.service.Call // without a connection, so that nobody but the service ends the call
	ctx := t.Context()
	type ended struct {
		r   *pb.CallResponse
		err error
	}
	for _, c := range []struct {
		name    string
		act     func(k kbusdev.Ksock)
		outcome pb.Outcome
		reason  string
	}{
		{"answered", func(k kbusdev.Ksock) {
			q, err := k.Recv(ctx)
			if err == nil {
				_, err = k.Send(ctx, &kbusdev.Message{Name: "$.Ask", To: q.From, InReplyTo: q.ID})
			}
			if err != nil {
				t.Error(err)
			}
		}, pb.Outcome_OUTCOME_ANSWERED, ""},
		{"gone away", func(k kbusdev.Ksock) { _ = k.Close() }, pb.Outcome_OUTCOME_NEVER_RAN, "Replier.GoneAway"},
		{"unbound", func(k kbusdev.Ksock) { _ = k.Unbind("$.Ask", kbusdev.Replier) }, pb.Outcome_OUTCOME_NEVER_RAN, "Replier.Unbound"},
		{"ignored", func(k kbusdev.Ksock) {
			if _, err := k.Recv(ctx); err != nil {
				t.Error(err)
			}
			_ = k.Close()
		}, pb.Outcome_OUTCOME_MAY_HAVE_RUN, "Replier.Ignored"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := f.replier(t, "$.Ask")
			defer k.Close()
			done := make(chan ended, 1)
			go func() {
				r, err := call(ctx, &pb.CallRequest{Name: "$.Ask"})
				done <- ended{r, err}
			}()
			waitQueued(t, k)
			c.act(k)
			e := <-done
			if e.err != nil || e.r.GetOutcome() != c.outcome || e.r.GetReason() != c.reason {
				t.Errorf("%v %q, %v; want %v %q", e.r.GetOutcome(), e.r.GetReason(), e.err, c.outcome, c.reason)
			}
		})
	}
	for _, r := range []*pb.CallRequest{{Name: "$.Nobody"}, {Name: "$.*"}, {Name: "$.A", UserFlags: 1}} {
		if _, err := call(ctx, r); outcomeOf(err) != "NEVER_RAN" {
			t.Errorf("%v: %q, %v", r, outcomeOf(err), err)
		}
	}
}

// waitQueued blocks until something is queued for k.
func waitQueued(t *testing.T, k kbusdev.Ksock) {
	t.Helper()
	queued := make(chan struct{}, 1)
	k.(interface{ OnChange(f func()) }).OnChange(func() {
		select {
		case queued <- struct{}{}:
		default:
		}
	})
	for {
		if n, err := k.NumMessages(); err != nil || n > 0 {
			return
		}
		<-queued
	}
}

// A call that ends before its replier has read the request takes it back, and says that
// it never ran; afterwards it may have run.
func TestCallThatEndsTakesItsRequestBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		read   bool
		cancel bool
		want   string
	}{
		{"deadline, unread", false, false, "EXPIRED"},
		{"deadline, read", true, false, "MAY_HAVE_RUN"},
		{"cancelled, unread", false, true, "NEVER_RAN"},
		{"cancelled, read", true, true, "MAY_HAVE_RUN"},
	} {
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { endCall(t, c.read, c.cancel, c.want) }) })
	}
}

func endCall(t *testing.T, read, cancelled bool, want string) {
	f := &fixture{bus: membus.New()}
	f.service = bus.New(f.bus)
	defer f.service.Close()
	k := f.replier(t, "$.Ask")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		_, err := f.service.Call(ctx, &pb.CallRequest{Name: "$.Ask"})
		done <- err
	}()
	synctest.Wait()
	var q *kbusdev.Message
	if read {
		var err error
		if q, err = k.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if cancelled {
		cancel()
	}
	if err := <-done; outcomeOf(err) != want {
		t.Errorf("%q, %v; want %s", outcomeOf(err), err, want)
	}
	if took := time.Since(start); took >= time.Minute {
		t.Errorf("the word comes after %v, too late for the caller", took)
	}
	if n, _ := k.NumMessages(); n != 0 {
		t.Errorf("%d requests are left for the replier", n)
	}
	if q == nil {
		return
	}
	_, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", To: q.From, InReplyTo: q.ID})
	if errno, _ := kbusdev.ErrnoOf(err); errno != syscall.EADDRNOTAVAIL {
		t.Errorf("the late reply: %v", err)
	}
}

func TestCallThatHasEndedBefore(t *testing.T) {
	f := serve(t)
	f.replier(t, "$.Ask")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.service.Call(ended, &pb.CallRequest{Name: "$.Ask"}); outcomeOf(err) != "NEVER_RAN" {
		t.Errorf("%q, %v", outcomeOf(err), err)
	}
}
