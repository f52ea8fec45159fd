package identity

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of connections that are refused does not fill the log or the memory.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := newLog()
		counted := 0
		r := &refusals{log: log, count: func() { counted++ }}
		from := func(host int) net.Addr {
			return &net.TCPAddr{IP: net.IPv4(10, 0, byte(host>>8), byte(host)), Port: 1 + host%1000}
		}
		why := errors.New("a stranger")
		for range 1000 {
			r.add(from(1), why)
		}
		if got := said.take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `from=10.0.0.1 reason="a stranger"`) {
			t.Errorf("the same a thousand times: %s", got)
		}
		for i := range 10_000 {
			r.add(from(i), fmt.Errorf("reason %d", i))
			time.Sleep(time.Millisecond) //nolint:forbidigo // time is the test's own
		}
		if got := strings.Count(said.take(), "\n"); got < 9 || got > 11 || len(r.said) > maxRefusals {
			t.Errorf("10 000 in 10 s: %d lines, %d remembered", got, len(r.said))
		}
		time.Sleep(sameAfter) //nolint:forbidigo // time is the test's own
		r.add(from(1), why)
		if got := said.take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "others_not_logged=999") {
			t.Errorf("the same much later: %s", got)
		}
		r.add(from(2), fmt.Errorf("reading: %w", io.EOF))
		r.add(from(3), fmt.Errorf("reading: %w", syscall.ECONNRESET))
		if got := said.take(); got != "" {
			t.Errorf("somebody who only looked: %s", got)
		}
		if counted != 11_001 {
			t.Errorf("%d are counted", counted)
		}
	})
}
