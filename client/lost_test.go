package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/server/bus"
)

// Whatever is posted, sent and read over streams that break comes once, and in order; and
// what the bus refuses is told once.
func TestOnceAndInOrderOverStreamsThatBreak(t *testing.T) {
	seed := firstSeed(t)
	for _, prefetch := range []bool{false, true} {
		t.Run(fmt.Sprintf("prefetch=%v", prefetch), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			d := serve(t, "unix")
			c := newCutter(seed, 10)
			d.client.Break(c.wrap)
			from, to := open(t, d), open(t, d)
			must(t, to.Bind("$.A", kbusdev.Listener))
			_, err := to.MaxMessages(100000)
			must(t, err)
			must(t, to.Prefetch(prefetch))
			const rounds = 3000
			refused := make(chan int, 1)
			go func() {
				defer close(refused)
				n := 0
				for i := range rounds {
					m := &kbusdev.Message{Name: "$.A", Data: fmt.Append(nil, i)}
					bad := i%100 == 7
					if bad {
						m.Name = "bad"
					}
					if i%50 != 0 {
						err = from.Post(t.Context(), m)
					} else if _, err = from.Send(t.Context(), m); bad && err != nil {
						n, err = n+1, nil
					}
					if err == nil && i%500 == 499 {
						err = from.Flush(t.Context())
						n += strings.Count(fmt.Sprint(err), "EBADMSG")
						err = nil
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
				refused <- n
			}()
			memory := make([]*kbusdev.Message, 20)
			for next := 0; next < rounds; {
				n, err := to.RecvBatch(t.Context(), memory[:1+r.IntN(len(memory))])
				must(t, err)
				for _, m := range memory[:n] {
					if next%100 == 7 {
						next++
					}
					if got := string(m.Data); got != fmt.Sprint(next) {
						t.Fatalf("got %q, want %d (-seed %d)", got, next, seed)
					}
					next++
				}
			}
			if n := <-refused; n != rounds/100 {
				t.Errorf("%d were refused, want %d", n, rounds/100)
			}
			if left, err := to.NumMessages(); left != 0 || err != nil || c.made() < 10 {
				t.Errorf("%d are left, %v, %d cuts", left, err, c.made())
			}
		})
	}
}

// A request that a program has taken, and its reply, survive streams that break, however
// many ask and reply at once.
func TestRequestsOverStreamsThatBreak(t *testing.T) {
	seed := firstSeed(t)
	d := serve(t, "unix")
	c := newCutter(seed, 15)
	d.client.Break(c.wrap)
	replier := open(t, d)
	must(t, replier.Bind("$.Ask.*", kbusdev.Replier))
	ctx, cancel := context.WithCancel(t.Context())
	var serving, asking sync.WaitGroup
	serving.Go(func() {
		for {
			q, err := replier.Recv(ctx)
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			if err := replier.Post(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for i := range 3 {
		k := open(t, d)
		asking.Go(func() {
			for j := range 100 {
				data := fmt.Sprintf("%d.%d", i, j)
				id, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.Ask.x", Flags: kbusdev.WantReply, Data: []byte(data)})
				if err != nil {
					t.Error(err)
					return
				}
				m, err := k.Recv(t.Context())
				if err != nil || m.InReplyTo != id || string(m.Data) != data {
					t.Errorf("%+v, %v, want the reply to %v (-seed %d)", m, err, id, seed)
					return
				}
			}
		})
	}
	asking.Wait()
	must(t, replier.Flush(t.Context()))
	cancel()
	serving.Wait()
}

// A daemon that stops, or that is another one than before, ends the Ksock: everything that
// waits fails and says why.
func TestDaemonIsGone(t *testing.T) {
	wantLost := func(t *testing.T, err error, words string) {
		t.Helper()
		var op *kbusdev.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "may have happened") {
			t.Errorf("%v, want net.ErrClosed and %q", err, words)
		}
	}
	waiting := func(t *testing.T, k *client.Ksock) <-chan error {
		t.Helper()
		got := make(chan error, 1)
		go func() { _, err := k.Recv(t.Context()); got <- err }()
		return got
	}
	t.Run("stops", func(t *testing.T) {
		d := serve(t, "unix")
		k := open(t, d)
		got := waiting(t, k)
		d.stop()
		wantLost(t, <-got, "the daemon is stopping")
		_, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.A"})
		wantLost(t, err, "the daemon is stopping")
		wantLost(t, k.Bind("$.A", kbusdev.Listener), "")
		wantLost(t, k.Post(t.Context(), &kbusdev.Message{Name: "$.A"}), "")
		wantLost(t, k.Flush(t.Context()), "")
		wantLost(t, k.Close(), "")
		if err := k.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is another one", func(t *testing.T) {
		d, other := serve(t, "tcp"), serve(t, "tcp")
		defer d.stop()
		p := newProxy(t, d.address)
		through, err := client.Open(p.address)
		must(t, err)
		defer through.Close()
		k, err := through.Ksock(t.Context(), kbusdev.ReadWrite)
		must(t, err)
		got := waiting(t, k)
		p.turn(other.address)
		wantLost(t, <-got, "it was restarted")
		wantLost(t, k.Close(), "")
	})
	t.Run("grace is over", func(t *testing.T) {
		d := serve(t, "tcp", bus.WithProgramGrace(0))
		p := newProxy(t, d.address)
		through, err := client.Open(p.address)
		must(t, err)
		defer through.Close()
		k, err := through.Ksock(t.Context(), kbusdev.ReadWrite)
		must(t, err)
		got := waiting(t, k)
		p.turn("") // until the daemon has noticed
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for len(d.bus.Stats()) > 0 {
			<-look.C
		}
		p.turn(d.address)
		wantLost(t, <-got, "within the grace of 0s")
		wantLost(t, k.Close(), "")
	})
}

// What is under way when a daemon stops fails with net.ErrClosed, and not with what the
// daemon's bus says when its Ksock is taken away.
func TestUnderWayWhenTheDaemonStops(t *testing.T) {
	d := serve(t, "unix")
	full, err := d.bus.Open(kbusdev.ReadWrite) // not a program's: if it were closed first, there would be room
	must(t, err)
	must(t, full.Bind("$.Full", kbusdev.Listener))
	_, err = full.MaxMessages(1)
	must(t, err)
	waits := &kbusdev.Message{Name: "$.Full", Flags: kbusdev.AllOrWait}
	_, err = full.Send(t.Context(), waits)
	must(t, err)
	const many = 20
	failed := make(chan error, 2*many)
	for range many {
		waiting, busy := open(t, d), open(t, d)
		go func() { _, err := waiting.Send(t.Context(), waits); failed <- err }()
		for {
			id, err := waiting.LastSent()
			must(t, err)
			if !id.IsZero() {
				break // it has been tried
			}
		}
		go func() {
			for {
				if _, err := busy.Send(t.Context(), &kbusdev.Message{Name: "$.Else"}); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	d.stop()
	for range 2 * many {
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want net.ErrClosed", err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	b, err := client.Open(t.TempDir() + "/nobody")
	must(t, err)
	defer b.Close()
	_, err = b.Ksock(t.Context(), kbusdev.ReadWrite)
	wantErrno(t, err, syscall.ENOENT)
	// One that answers nothing.
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	if b, err = client.Open(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.Ksock(ctx, kbusdev.ReadWrite); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A proxy carries TCP connections to whoever it is turned to.
type proxy struct {
	address string

	mu    sync.Mutex
	to    string // "" is nobody
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{address: l.Addr().String(), to: to}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			to := p.to
			p.mu.Unlock()
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
			if to == "" || err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				running.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_, _ = way[0].Close(), way[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.turn("")
		running.Wait()
	})
	return p
}

// turn cuts every connection, and carries the next ones to another address.
func (p *proxy) turn(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
