package notify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// manager is a service manager's end of the socket.
func manager(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Skip("no sockets for datagrams here: ", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		b := make([]byte, 4096)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestStates(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if Enabled() {
		t.Error("there is a manager without a socket")
	}
	Ready() // nobody listens
	next := manager(t)
	if !Enabled() {
		t.Error("there is no manager with a socket")
	}
	for _, x := range []struct {
		say  func()
		want string
	}{
		{Ready, "READY=1"}, {Stopping, "STOPPING=1"}, {func() { Status("a\nREADY=1") }, "STATUS=a READY=1"},
	} {
		x.say()
		if got := next(); got != x.want {
			t.Errorf("the manager gets %q, want %q", got, x.want)
		}
	}
	Reloading()
	if got := next(); !strings.HasPrefix(got, "RELOADING=1") {
		t.Errorf("a reload begins with %q", got)
	}
}

// The watchdog is fed three times in its interval while the daemon answers, and not while
// it gives an error, or none.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 30 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		var fed atomic.Int64
		var mode atomic.Value
		mode.Store("well")
		alive := func(ctx context.Context) error {
			switch mode.Load() {
			case "well":
				return nil
			case "stuck":
				<-ctx.Done()
				return ctx.Err()
			default:
				return errors.New("the bus is closed")
			}
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watch(ctx, interval, slog.New(slog.NewTextHandler(&out, nil)), alive, func() { fed.Add(1) })
		}()
		<-time.After(interval + time.Second) // off the beats
		for _, x := range []struct {
			mode string
			want int
		}{{"stuck", 0}, {"well", 6}, {"failing", 0}, {"well", 6}} {
			mode.Store(x.mode)
			<-time.After(interval)
			before := fed.Load()
			<-time.After(2 * interval)
			if n := int(fed.Load() - before); n != x.want {
				t.Errorf("%s: fed %d times in two intervals, want %d", x.mode, n, x.want)
			}
		}
		cancel()
		<-ended
		if n := strings.Count(out.String(), "\n"); n != 4 {
			t.Errorf("%d lines in the log, want one for each change:\n%s", n, out.String())
		}
	})
}

func TestWatchdogOfTheManager(t *testing.T) {
	alive := func(context.Context) error { return nil }
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "")
	if err := Watchdog(t.Context(), slog.Default(), alive); err != nil {
		t.Errorf("without a watchdog: %v", err)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := Watchdog(t.Context(), slog.Default(), alive); err == nil {
		t.Error("an interval that is none is taken")
	}
	next := manager(t)
	t.Setenv("WATCHDOG_USEC", "60000000")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watchdog(ctx, slog.Default(), alive) }()
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("the manager gets %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
