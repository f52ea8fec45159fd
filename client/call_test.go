package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// start runs a daemon with an embedded bus until stop or the end of the test.
func start(t *testing.T) (bus *client.Bus, d *daemon.Daemon, stop func()) {
	t.Helper()
	api := filepath.Join(t.TempDir(), "api")
	ctx, cancel := context.WithCancel(t.Context())
	d, err := daemon.Open(ctx, daemon.Config{Bus: daemon.Embedded, API: &sockaddr.Address{Network: "unix", Address: api}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx, nil); err != nil {
			t.Error(err)
		}
	}()
	if bus, err = client.Open(api); err != nil {
		t.Fatal(err)
	}
	stop = func() { cancel(); <-done }
	t.Cleanup(func() { _ = bus.Close(); stop() })
	return bus, d, stop
}

// wantOutcome checks what errors.Is finds.
func wantOutcome(t *testing.T, err error, outcome kbusdev.Outcome, reason string, is ...error) {
	t.Helper()
	var none *client.NoAnswerError
	if !errors.As(err, &none) || none.Outcome != outcome || none.Reason != reason || none.Error() == "" {
		t.Errorf("got %+v, want %v for %q", err, outcome, reason)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	never := outcome == kbusdev.NeverRan || outcome == kbusdev.Expired
	if errors.Is(err, client.ErrNeverRan) != never || errors.Is(err, client.ErrMayHaveRun) == never || errors.Is(err, client.ErrExpired) != (outcome == kbusdev.Expired) {
		t.Errorf("%v with outcome %v: never %v, may %v, expired %v", err, outcome,
			errors.Is(err, client.ErrNeverRan), errors.Is(err, client.ErrMayHaveRun), errors.Is(err, client.ErrExpired))
	}
}

// A callFunc is Bus.Call or Caller.Call.
type callFunc func(context.Context, *kbusdev.Message) (*kbusdev.Message, error)

// bothCalls runs a test with Bus.Call and with Caller.Call.
func bothCalls(t *testing.T, test func(*testing.T, func(*client.Bus) callFunc)) {
	t.Run("Bus", func(t *testing.T) {
		test(t, func(b *client.Bus) callFunc { return b.Call })
	})
	t.Run("Caller", func(t *testing.T) {
		test(t, func(b *client.Bus) callFunc {
			c := b.Caller()
			t.Cleanup(func() { _ = c.Close() })
			return c.Call
		})
	})
}

func TestCallSaysWhatBecameOfTheRequest(t *testing.T) {
	bothCalls(t, testCallSays)
}

func testCallSays(t *testing.T, with func(*client.Bus) callFunc) {
	bus, _, stop := start(t)
	callOf := with(bus)
	ctx := t.Context()
	ask := &kbusdev.Message{Name: "$.Ask"}
	_, err := callOf(ctx, ask)
	wantOutcome(t, err, kbusdev.NeverRan, "EADDRNOTAVAIL", syscall.EADDRNOTAVAIL)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = callOf(ended, ask)
	wantOutcome(t, err, kbusdev.NeverRan, "", context.Canceled)

	serve := func() *client.Replier {
		r, err := bus.Serve(ctx, 0, "$.Ask")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	call := func(ctx context.Context) <-chan error {
		got := make(chan error, 1)
		go func() { _, err := callOf(ctx, ask); got <- err }()
		return got
	}
	r := serve()
	got := call(ctx)
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	wantOutcome(t, <-got, kbusdev.MayHaveRun, "Replier.Ignored")

	// The caller gives up, and then the daemon stops, with the request read.
	for bound := true; bound; { // until the daemon knows that the replier has gone
		if _, _, bound, err = bus.FindReplier(ctx, "$.Ask"); err != nil {
			t.Fatal(err)
		}
	}
	r = serve()
	ended, cancel = context.WithCancel(ctx)
	got = call(ended)
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	wantOutcome(t, <-got, kbusdev.MayHaveRun, "", context.Canceled)
	got = call(ctx)
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-got; !errors.Is(err, client.ErrMayHaveRun) {
		t.Errorf("the daemon has stopped: %v", err)
	}
	// Nobody is there: it cannot have left, once the connection is known to be lost.
	for gone := false; !gone; gone = !errors.Is(err, client.ErrMayHaveRun) {
		_, err = callOf(ctx, ask)
	}
	wantOutcome(t, err, kbusdev.NeverRan, "")
	var st *client.StatusError
	var op *kbusdev.OpError
	if !errors.As(err, &st) && !errors.As(err, &op) {
		t.Errorf("it is no StatusError and no OpError: %v", err)
	}
}

// A request that nobody reads expires on the bus, and the caller hears so.
func TestExpiredCall(t *testing.T) { bothCalls(t, testExpiredCall) }

func testExpiredCall(t *testing.T, with func(*client.Bus) callFunc) {
	bus, d, _ := start(t)
	callOf := with(bus)
	k, err := d.Node().Bus().Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Bind("$.Ask", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = callOf(ctx, &kbusdev.Message{Name: "$.Ask"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	// On a machine that is very busy the daemon's word may come too late.
	if !errors.Is(err, client.ErrMayHaveRun) {
		wantOutcome(t, err, kbusdev.Expired, "", client.ErrNeverRan)
	}
	if n, _ := k.NumMessages(); n != 0 && errors.Is(err, client.ErrExpired) {
		t.Error("it is still there for the replier")
	}
}
