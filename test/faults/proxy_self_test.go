package faults

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Each fault is what it is called, seen from both ends of the cable.
func TestProxy(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			back, at := listenLocal(t, network)
			_, front := localAddress(t, network)
			p := newProxy(t, network, front, at)
			dial := func() (ends [2]net.Conn) {
				var err error
				if ends[0], err = net.Dial(network, p.Address); err != nil {
					t.Fatal(err)
				}
				if ends[1], err = back.Accept(); err != nil {
					t.Fatal(err)
				}
				for _, c := range ends {
					t.Cleanup(func() { _ = c.Close() })
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				}
				say(t, ends[0], ends[1], "there")
				say(t, ends[1], ends[0], "and back")
				return ends
			}
			ends := dial()
			p.cut(false)
			for _, c := range ends {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("after a FIN: %v", err)
				}
				_ = c.Close()
			}
			if refused, err := net.Dial(network, p.Address); err == nil {
				if n, err := refused.Read(make([]byte, 1)); err == nil {
					t.Errorf("a proxy that is down says %d bytes", n)
				}
				_ = refused.Close()
			}
			p.clean()

			ends = dial()
			p.cut(true)
			for _, c := range ends {
				if _, err := c.Read(make([]byte, 1)); err == nil || network == "tcp" && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("after an RST: %v", err)
				}
			}
			p.clean()

			ends = dial()
			for direction, c := range ends {
				p.set(direction, holdBack, 0)
				write(t, c, "late")
				silent(t, ends[1-direction])
				p.clean()
				read(t, ends[1-direction], "late")
				p.set(direction, trickle, 100)
				say(t, c, ends[1-direction], "slow")
				p.clean()
			}
			p.set(toBack, throwOff, 0)
			write(t, ends[0], "lost")
			say(t, ends[1], ends[0], "the other way all is well")
			silent(t, ends[1])
			p.clean()
			if _, err := ends[1].Read(make([]byte, 1)); err == nil {
				t.Error("a connection that lost bytes goes on")
			}

			ends = dial()
			p.leak()
			write(t, ends[0], "lost")
			silent(t, ends[1])
			dial() // another is sound
		})
	}
}

// silent checks that nothing comes for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	var timeout net.Error
	if n, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%d bytes came, %v", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func say(t *testing.T, from, to net.Conn, s string) {
	t.Helper()
	write(t, from, s)
	read(t, to, s)
}

// localAddress gives a folder's or the loopback's address where nobody listens.
func localAddress(t testing.TB, network string) (kind, address string) {
	t.Helper()
	if network == "unix" {
		return network, filepath.Join(t.TempDir(), "s")
	}
	return network, "127.0.0.1:0"
}

func listenLocal(t testing.TB, network string) (net.Listener, string) {
	t.Helper()
	_, at := localAddress(t, network)
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().String()
}
