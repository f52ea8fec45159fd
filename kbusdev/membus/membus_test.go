package membus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func open(t testing.TB, b kbusdev.Bus) kbusdev.Ksock {
	t.Helper()
	k, err := b.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bind(t testing.TB, k kbusdev.Ksock, name string, as kbusdev.Role) {
	t.Helper()
	if err := k.Bind(name, as); err != nil {
		t.Fatal(err)
	}
}

func send(t testing.TB, k kbusdev.Ksock, m kbusdev.Message) kbusdev.MsgID {
	t.Helper()
	id, err := k.Send(t.Context(), &m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func recv(t testing.TB, k kbusdev.Ksock) *kbusdev.Message {
	t.Helper()
	m, err := k.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The module loses this answer (and the slot kept for it); this bus promises it.
func TestStatefulRequestWhoseReplierGoesUnreadIsAnswered(t *testing.T) {
	for _, how := range []string{"unbind", "close"} {
		t.Run(how, func(t *testing.T) {
			bus := membus.New()
			asker, replier := open(t, bus), open(t, bus)
			bind(t, replier, "$.Ask", kbusdev.Replier)
			id := send(t, asker, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply, To: replier.ID()})
			want := kbusdev.NameReplierGoneAway
			if how == "unbind" {
				want = kbusdev.NameReplierUnbound
				if err := replier.Unbind("$.Ask", kbusdev.Replier); err != nil {
					t.Fatal(err)
				}
			} else if err := replier.Close(); err != nil {
				t.Fatal(err)
			}
			if m := recv(t, asker); m.Name != want || m.InReplyTo != id || m.Flags != kbusdev.Synthetic {
				t.Errorf("got %+v, want %s in reply to %v", m, want, id)
			}
		})
	}
}

// The module oopses or loses the pending send here; this bus promises neither.
func TestWriteDuringPendingSendLosesNothing(t *testing.T) {
	bus := membus.New()
	sender, full := open(t, bus), open(t, bus)
	bind(t, full, "$.A", kbusdev.Listener)
	if _, err := full.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	send(t, sender, kbusdev.Message{Name: "$.A", Data: []byte("first")})
	waiting := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrWait, Data: []byte("second")})
	if _, err := sender.Write(waiting); err != nil {
		t.Fatal(err)
	}
	if _, err := sender.Commit(); !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("commit with no room: %v", err)
	}
	if _, err := sender.Write(waiting); !errors.Is(err, syscall.EALREADY) {
		t.Errorf("write while pending: %v", err)
	}
	if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A"}); !errors.Is(err, syscall.EALREADY) {
		t.Errorf("send while pending: %v", err)
	}
	if m := recv(t, full); string(m.Data) != "first" {
		t.Fatalf("got %q", m.Data)
	}
	if r, err := sender.Poll(); err != nil || !r.Out {
		t.Fatalf("poll with room: %+v %v", r, err)
	}
	if m := recv(t, full); string(m.Data) != "second" {
		t.Errorf("the pending send arrived as %q", m.Data)
	}
}

func TestSendWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		sender, full := open(t, bus), open(t, bus)
		bind(t, full, "$.A", kbusdev.Listener)
		if _, err := full.MaxMessages(1); err != nil {
			t.Fatal(err)
		}
		send(t, sender, kbusdev.Message{Name: "$.A"})
		waits := &kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrWait}

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := sender.Send(short, waits)
		if !errors.Is(err, syscall.EAGAIN) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		sent := make(chan error)
		go func() {
			_, err := sender.Send(t.Context(), waits)
			sent <- err
		}()
		synctest.Wait()
		recv(t, full)
		if err := <-sent; err != nil {
			t.Errorf("with room again: %v", err)
		}
		go func() {
			_, err := sender.Send(t.Context(), waits)
			sent <- err
		}()
		synctest.Wait()
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Errorf("with the full listener gone: %v", err)
		}
	})
}

func TestCloseAndContextUnblockRecv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, membus.New())
		got := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		for _, c := range []context.Context{ctx, t.Context()} {
			go func() {
				_, err := k.Recv(c)
				got <- err
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := k.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
	})
}

// With many goroutines on few Ksocks each request has one answer, and nothing
// is heard twice.
func TestConcurrentRequests(t *testing.T) {
	const askers, each = 8, 200
	bus := membus.New(membus.WithMaxMessages(askers * each * 2))
	replier, listener := open(t, bus), open(t, bus)
	bind(t, replier, "$.Ask", kbusdev.Replier)
	bind(t, listener, "$.*", kbusdev.Listener)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				m, err := replier.Recv(t.Context())
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := replier.Send(t.Context(), &kbusdev.Message{Name: m.Name, InReplyTo: m.ID, To: m.From, Data: m.Data}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var asking sync.WaitGroup
	for a := range askers {
		asking.Go(func() {
			k := open(t, bus)
			want := make(map[kbusdev.MsgID]string)
			for i := range each {
				data := fmt.Sprintf("%d/%d", a, i)
				want[send(t, k, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply, Data: []byte(data)})] = data
			}
			for range each {
				m := recv(t, k)
				if want[m.InReplyTo] != string(m.Data) {
					t.Errorf("reply to %v is %q, want %q", m.InReplyTo, m.Data, want[m.InReplyTo])
				}
				delete(want, m.InReplyTo)
			}
			if len(want) != 0 {
				t.Errorf("%d requests have no reply", len(want))
			}
		})
	}
	asking.Wait()
	if err := replier.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n, _ := listener.NumMessages(); n != 2*askers*each {
		t.Errorf("the listener has %d messages, want %d", n, 2*askers*each)
	}
}

func TestSetAsideUnbindEventsAndLostOnes(t *testing.T) {
	bus := membus.New()
	deaf, many := open(t, bus), open(t, bus)
	bind(t, deaf, kbusdev.NameReplierBindEvent, kbusdev.Listener)
	for i := range 1100 {
		bind(t, many, fmt.Sprintf("$.R%d", i), kbusdev.Replier)
	}
	if _, err := deaf.ReportReplierBinds(kbusdev.On); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("a snapshot that does not fit: %v", err)
	}
	if err := many.Close(); err != nil {
		t.Fatal(err)
	}
	if n, _ := deaf.NumMessages(); n != 100+1001 {
		t.Errorf("%d messages wait, want 1101", n)
	}
	for i := range 1101 {
		m := recv(t, deaf)
		if want := i == 1100; (m.Name == kbusdev.NameUnbindEventsLost) != want {
			t.Fatalf("message %d is %s", i, m.Name)
		}
	}
}

func TestNewDevice(t *testing.T) {
	set := membus.NewSet()
	k := open(t, set.Bus(0))
	n, err := k.NewDevice()
	if err != nil || n != 1 || set.Bus(1) == nil || set.Bus(2) != nil {
		t.Fatalf("NewDevice = %d, %v", n, err)
	}
	if other := open(t, set.Bus(1)); other.ID() != 1 {
		t.Errorf("first Ksock of the new device is %d", other.ID())
	}
}

func TestDataIsShared(t *testing.T) {
	bus := membus.New()
	sender, a, b := open(t, bus), open(t, bus), open(t, bus)
	bind(t, a, "$.A", kbusdev.Listener)
	bind(t, b, "$.A", kbusdev.Listener)
	data := make([]byte, 1000)
	send(t, sender, kbusdev.Message{Name: "$.A", Data: data})
	if x, y := recv(t, a), recv(t, b); &x.Data[0] != &data[0] || &y.Data[0] != &data[0] {
		t.Error("data was copied")
	}
}

func BenchmarkSendRecv(b *testing.B) {
	for _, listeners := range []int{1, 10} {
		b.Run(fmt.Sprintf("listeners=%d", listeners), func(b *testing.B) {
			bus := membus.New()
			sender := open(b, bus)
			ks := make([]kbusdev.Ksock, listeners)
			for i := range ks {
				ks[i] = open(b, bus)
				bind(b, ks[i], "$.Sensors.Kitchen.Temp", kbusdev.Listener)
			}
			m := &kbusdev.Message{Name: "$.Sensors.Kitchen.Temp", Data: make([]byte, 64)}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sender.Send(ctx, m); err != nil {
					b.Fatal(err)
				}
				for _, k := range ks {
					if _, err := k.Recv(ctx); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func BenchmarkRequestReply(b *testing.B) {
	for _, others := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("bindings=%d", others), func(b *testing.B) {
			bus := membus.New()
			asker, replier := open(b, bus), open(b, bus)
			for i := range others {
				bind(b, replier, fmt.Sprintf("$.Other.Name%d.*", i), kbusdev.Replier)
			}
			bind(b, replier, "$.Ask.*", kbusdev.Replier)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := asker.Send(ctx, &kbusdev.Message{Name: "$.Ask.Me", Flags: kbusdev.WantReply}); err != nil {
					b.Fatal(err)
				}
				q, err := replier.Recv(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := replier.Send(ctx, &kbusdev.Message{Name: q.Name, InReplyTo: q.ID, To: q.From}); err != nil {
					b.Fatal(err)
				}
				if _, err := asker.Recv(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The end of the message is judged before the bytes behind it, in whatever pieces
// they come.
func TestWrongFinalGuardComesBeforeBytesBehindIt(t *testing.T) {
	whole := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &kbusdev.Message{Name: "$.A"})
	behind := append(whole[:len(whole):len(whole)], 0)
	broken := append([]byte(nil), behind...)
	broken[len(whole)-1] ^= 1
	for _, c := range []struct {
		bytes []byte
		want  error
	}{{behind, syscall.EMSGSIZE}, {broken, syscall.EINVAL}} {
		for _, first := range []int{len(c.bytes), 90, 1} {
			k := open(t, membus.New())
			_, err := k.Write(c.bytes[:first])
			if err == nil {
				_, err = k.Write(c.bytes[first:])
			}
			if !errors.Is(err, c.want) {
				t.Errorf("in pieces of %d and %d bytes: %v, want %v", first, len(c.bytes)-first, err, c.want)
			}
		}
	}
}
