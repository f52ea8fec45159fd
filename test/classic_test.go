package test

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// An oldPeer is the far end of a classic link, in the test's hands.
type oldPeer struct {
	t *testing.T
	*classic.Stream
}

func (p *oldPeer) hello(id uint32) {
	p.t.Helper()
	if err := p.Send(&link.Greeting{NetworkID: id}); err != nil {
		p.t.Fatal(err)
	}
	f, err := p.Recv()
	if g, ok := f.(*link.Greeting); err != nil || !ok || g.NetworkID != 1 {
		p.t.Fatalf("the daemon's hello: %v, %v", f, err)
	}
}

func (p *oldPeer) bring(m *kbusdev.Message) {
	p.t.Helper()
	if err := p.Send(&link.Batch{Messages: []kbusdev.Message{*m}}); err != nil {
		p.t.Fatal(err)
	}
}

// next gives the messages that come next.
func (p *oldPeer) next() []kbusdev.Message {
	p.t.Helper()
	f, err := p.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	if b, ok := f.(*link.Batch); ok {
		return b.Messages
	}
	return nil
}

// request gives the next one; what else comes is let pass.
func (p *oldPeer) request() *kbusdev.Message {
	p.t.Helper()
	for {
		for _, m := range p.next() {
			if m.IsRequest() {
				return &m
			}
		}
	}
}

func (p *oldPeer) bind(name string) {
	p.t.Helper()
	p.bring(&kbusdev.Message{
		ID: kbusdev.MsgID{Network: 2, Serial: 1}, OrigFrom: kbusdev.Address{Network: 2}, Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic,
		Event: &kbusdev.BindEvent{Bound: true, Binder: 5, Name: name},
	})
}

// listensOnly: of a request between two programs of a's bus the peer gets a copy for
// listeners, which does not ask it for anything.
func (p *oldPeer) listensOnly(a *process) {
	p.t.Helper()
	r, err := a.bus.Serve(within(p.t), 0, "$.Local")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	waitReplier(p.t, a, "$.Local", true)
	answer(p.t, r, "here")
	got := call(p.t, a, "$.Local")
	for {
		for _, m := range p.next() {
			if m.Name != "$.Local" {
				continue
			}
			if m.IsRequest() {
				p.t.Errorf("the peer is asked: %+v", m)
			}
			if name := <-got; name != "$.Local" {
				p.t.Errorf("the asker gets %s", name)
			}
			return
		}
	}
}

func acceptOld(t *testing.T, l net.Listener) *oldPeer {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := classic.NewStream(conn, kbusdev.AbsoluteMaxMessageSize)
	t.Cleanup(s.Close)
	return &oldPeer{t: t, Stream: s}
}

// call asks on p's bus, and gives the name of the reply.
func call(t *testing.T, p *process, name string) <-chan string {
	return callFor(t, p, name, patience)
}

func callFor(t *testing.T, p *process, name string, limit time.Duration) <-chan string {
	got := make(chan string, 1)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	go func() {
		got <- said(p.bus.Call(ctx, &kbusdev.Message{Name: name}))
	}()
	return got
}

// A peer of the old protocol answers, refuses with an errno's number, and dies with
// a request open; the daemon dials again.
func TestOldPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := limpetd(t, 1, "--connect-classic", l.Addr().String())
	for range 2 {
		p := acceptOld(t, l)
		p.hello(2)
		p.bind("$.Far")
		waitReplier(t, a, "$.Far", true)
		for _, name := range []string{"$.Far", "$.KBUS.RemoteError.98"} {
			got := call(t, a, "$.Far")
			q := p.request()
			p.bring(&kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 2}, InReplyTo: q.ID, To: q.From, Name: name})
			if r := <-got; r != name {
				t.Errorf("the asker gets %s, want %s", r, name)
			}
		}
		if out, code := ctl(t, a, "--timeout", "10s", "status"); code != 0 || !strings.Contains(out, "connect-classic") {
			t.Errorf("status: %s", out)
		}
		p.listensOnly(a)
		got := call(t, a, "$.Far")
		p.request()
		p.Close()
		if r := <-got; r != "$.KBUS.RemoteError.OutcomeUnknown" {
			t.Errorf("the asker of a peer that died gets %s", r)
		}
		waitReplier(t, a, "$.Far", false)
	}
}

// A peer in another language, that writes each word by itself.
func TestOldPeerInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	a := limpetd(t, 1, "--listen-classic", "127.0.0.1:0")
	news, err := a.bus.Listen(within(t), client.ListenConfig{Names: []string{"$.Python.News"}})
	if err != nil {
		t.Fatal(err)
	}
	defer news.Close()
	host, port, _ := net.SplitHostPort(a.listensAt(t))
	peer := exec.CommandContext(within(t), python, "testdata/oldlimpet.py", host, port, "2")
	said := new(lockedBuffer)
	peer.Stdout, peer.Stderr = said, said
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	waitReplier(t, a, "$.Python.Ask", true)
	m, err := a.bus.Call(within(t), &kbusdev.Message{Name: "$.Python.Ask", Data: []byte("you")})
	if err != nil || string(m.Data) != "Hello you" || m.OrigFrom != (kbusdev.Address{Network: 2, Local: 9}) {
		t.Errorf("the reply is %+v, %v", m, err)
	}
	if m, err := news.Recv(); err != nil || string(m.Data) != "done" || m.ID != (kbusdev.MsgID{Network: 2, Serial: 3}) {
		t.Errorf("the news are %+v, %v", m, err)
	}
	if err := peer.Wait(); err != nil || said.String() != "ok\n" {
		t.Errorf("the peer: %v: %s", err, said)
	}
	waitReplier(t, a, "$.Python.Ask", false)
}

// Whoever says what is wrong is refused, with a line in the log; others do not
// notice.
func TestHostileOldPeers(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "classic.sock")
	a := limpetd(t, 1, "--listen-classic", addr)
	good := limpetd(t, 2, "--connect-classic", addr)
	a.waitLinked(t, 1)
	good.waitLinked(t, 1)
	lie := classic.AppendMessage(nil, &kbusdev.Message{Name: "$.A"})
	copy(lie[56:], "\xff\xff\xff\xff") // the data's length
	for _, c := range []struct{ says, want string }{
		{"GET / HTTP/1.1\r\n\r\n", "for a hello"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it speaks gRPC"},
		{"HELO\x00\x00\x00\x00", "network id 0 cannot be used"},
		{"HELO\x00\x00\x00\x01", "both ends have network id 1"},
		{"HELO\x00\x00\x00\x02", "two daemons have network id 2"},
		{"HELO\x00\x00\x00\x03" + strings.Repeat("\x00", 64), "guards"},
		{"HELO\x00\x00\x00\x03" + string(lie), "4294967295 bytes"},
		{"HELO\x00\x00\x00\x03" + string(lie[:30]), "in the middle of a message"},
	} {
		conn, err := net.Dial("unix", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(c.says)); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.UnixConn).CloseWrite()
		a.says(t, c.want)
		_ = conn.Close()
	}
	announceEverywhere(t, []*process{a, good})
	good.says(t, "link up")
	if n := strings.Count(good.log.String(), "link up"); n != 1 {
		t.Errorf("the good peer had to link %d times", n)
	}
	if code := a.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
