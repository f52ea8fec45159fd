package sockaddr

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// The pause after a failed Accept doubles from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Retry returns a listener whose Accept retries errors that may pass, such as a
// lack of file descriptors, with a pause that grows from 5 ms to 1 s. The log gets
// a line when Accept starts to fail, and one when it has succeeded and the last
// failure is a second ago; so a shortage that comes and goes does not fill the log.
// Close also ends a pause. Accept must not be called by two goroutines at once.
func Retry(l net.Listener, log *slog.Logger) net.Listener {
	return &retrying{Listener: l, log: log, closed: make(chan struct{})}
}

type retrying struct {
	net.Listener
	log       *slog.Logger
	closeOnce sync.Once
	closed    chan struct{}

	failures int // since Accept last worked properly
	lastFail time.Time
	pause    time.Duration
}

// Accept waits for the next connection. It returns an error that wraps
// net.ErrClosed after Close, and errors that are not worth a retry.
func (r *retrying) Accept() (net.Conn, error) {
	for {
		conn, err := r.Listener.Accept()
		if err == nil {
			r.succeeded()
			return conn, nil
		}
		if !mayPass(err) {
			return nil, err
		}
		r.failed(err)
		timer := time.NewTimer(r.pause)
		select {
		case <-timer.C:
		case <-r.closed:
			timer.Stop()
			return nil, &net.OpError{Op: "accept", Net: r.Addr().Network(), Addr: r.Addr(), Err: net.ErrClosed}
		}
	}
}

func (r *retrying) failed(err error) {
	if r.failures == 0 {
		r.log.Warn("cannot accept connections, retrying", "address", r.Addr().String(), "error", err)
	}
	r.failures++
	r.lastFail = time.Now()
	r.pause = min(max(2*r.pause, firstPause), lastPause)
}

func (r *retrying) succeeded() {
	if r.failures == 0 || time.Since(r.lastFail) < lastPause {
		return
	}
	r.log.Info("accepting connections again", "address", r.Addr().String(), "failures", r.failures)
	r.failures, r.pause = 0, 0
}

// Close closes the listener and ends Accept.
func (r *retrying) Close() error {
	r.closeOnce.Do(func() { close(r.closed) })
	return r.Listener.Close()
}

// mayPass reports whether the cause of an accept error may go away by itself: a
// shortage, or an error of the connection that was to be accepted, which Linux
// reports through accept.
func mayPass(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM, syscall.ETIMEDOUT,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENOPROTOOPT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
