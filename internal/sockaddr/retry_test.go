package sockaddr

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A script is a listener whose Accept gives one error after the other.
type script struct {
	errs   chan error
	closed chan struct{}
}

func (s *script) Accept() (net.Conn, error) {
	select {
	case err := <-s.errs:
		return nil, err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}
func (s *script) Close() error   { close(s.closed); return nil }
func (s *script) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "/s"} }

func retried() (*script, net.Listener, *bytes.Buffer) {
	s := &script{errs: make(chan error, 100), closed: make(chan struct{})}
	said := new(bytes.Buffer)
	return s, Retry(s, slog.New(slog.NewTextHandler(said, nil))), said
}

func TestAcceptIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, said := retried()
		start := time.Now()
		for _, errno := range []syscall.Errno{
			syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
			syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE,
		} {
			s.errs <- fmt.Errorf("accept: %w", errno)
		}
		s.errs <- nil
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		want := (5+10+20+40+80+160+320+640)*time.Millisecond + 2*time.Second
		if d := time.Since(start); d != want {
			t.Errorf("ten failures took %v, want %v", d, want)
		}
		log := said.String()
		if strings.Count(log, "\n") != 2 || !strings.Contains(log, "cannot accept") || !strings.Contains(log, "again") || !strings.Contains(log, "failures=10") {
			t.Errorf("the log has %s", log)
		}
	})
}

// A shortage that comes and goes with each connection does not fill the log.
func TestAcceptFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, said := retried()
		start := time.Now()
		for range 50 {
			s.errs <- syscall.EMFILE
			s.errs <- syscall.EMFILE
			s.errs <- nil
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		if n, d := strings.Count(said.String(), "\n"), time.Since(start); n > 1+int(d/time.Second) {
			t.Errorf("%d lines in %v", n, d)
		}
	})
}

func TestAcceptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := retried()
		s.errs <- syscall.EINVAL
		if _, err := l.Accept(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("an error that stays: %v", err)
		}
		for range 20 {
			s.errs <- syscall.EMFILE
		}
		ended := make(chan error)
		go func() { _, err := l.Accept(); ended <- err }()
		synctest.Wait() // it pauses
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
