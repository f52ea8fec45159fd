package counted_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/kbus-limpet/limpet/internal/counted"
)

func listen(t *testing.T) *counted.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := counted.Listen(l)
	t.Cleanup(c.CloseAll)
	return c
}

func pair(t *testing.T, l net.Listener) (dialled, accepted net.Conn) {
	t.Helper()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

func TestBytesAreCounted(t *testing.T) {
	a, b := pair(t, listen(t))
	addr, ok := b.RemoteAddr().(counted.Addr)
	if !ok {
		t.Fatalf("the remote address is a %T", b.RemoteAddr())
	}
	if n := addr.Heard(); n != 0 {
		t.Errorf("%d bytes heard before any came", n)
	}
	if _, err := a.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(b, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if n := addr.Heard(); n != 5 {
		t.Errorf("%d bytes heard, want 5", n)
	}
	if addr.String() != a.LocalAddr().String() {
		t.Errorf("the remote address is %v, want %v", addr, a.LocalAddr())
	}
}

// gRPC sets TCP_USER_TIMEOUT on what it can see to be TCP.
func TestIsNotSeenToBeTCP(t *testing.T) {
	a, b := pair(t, listen(t))
	for _, conn := range []net.Conn{b, counted.Conn(a, new(counted.Counter))} {
		if _, is := conn.(*net.TCPConn); is {
			t.Errorf("%T is a TCP connection", conn)
		}
	}
}

// A connection that says nothing is closed with the listener, and one that has been
// closed is forgotten.
func TestCloseAll(t *testing.T) {
	l := listen(t)
	silent, _ := pair(t, l)
	_, gone := pair(t, l)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	l.CloseAll()
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the silent connection reads %v, want EOF", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after it: %v", err)
	}
	l.CloseAll()
}
