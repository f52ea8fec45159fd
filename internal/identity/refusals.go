package identity

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Refusals are logged, but not without bound: the same of one host once in sameAfter, and
// one line in a second.
const (
	sameAfter   = 10 * time.Minute
	maxRefusals = 128
)

// refusals counts and logs the connections that were not let in. It is safe for concurrent use.
type refusals struct {
	log   *slog.Logger
	count func()

	mu       sync.Mutex
	last     time.Time
	unlogged int
	said     map[refusal]time.Time // at most maxRefusals
}

type refusal struct{ host, reason string }

// add counts one, and logs it unless there were too many.
func (r *refusals) add(from net.Addr, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // somebody who only looks whether the port is open
		return
	}
	r.count()
	host := from.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	it, now := refusal{host, err.Error()}, time.Now()
	if errors.Is(err, os.ErrDeadlineExceeded) { // its text has the ports
		it.reason = "the handshake of TLS took too long"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.said[it]) < sameAfter {
		return
	}
	if now.Sub(r.last) < time.Second {
		r.unlogged++
		return
	}
	if r.said == nil || len(r.said) >= maxRefusals {
		r.said = make(map[refusal]time.Time)
	}
	r.said[it], r.last = now, now
	r.log.Warn("refusing a connection", "from", host, "reason", it.reason, "others_not_logged", r.unlogged)
	r.unlogged = 0
}
