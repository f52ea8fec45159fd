package client_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/leaks"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/wire"
	"github.com/kbus-limpet/limpet/server/bus"
)

var (
	seed    = flag.Uint64("seed", 0, "first seed of the random tests; 0 takes one by chance")
	stories = flag.Int("stories", 15, "how many random stories")
)

func firstSeed(t testing.TB) uint64 {
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	t.Logf("-seed %d -stories %d", first, *stories)
	return first
}

// A host offers a bus in this process.
type host struct {
	bus     *membus.Bus
	address string
	client  *client.Bus
	stop    func()
}

// serve offers an empty bus over a network, which may be "tls", until the test ends.
func serve(t testing.TB, network string, opts ...bus.Option) *host {
	t.Helper()
	before := goleak.IgnoreCurrent()
	d := &host{bus: membus.New(membus.WithLayout(kbusdev.LittleEndian64)), address: "127.0.0.1:0"}
	if network == "unix" {
		d.address = filepath.Join(t.TempDir(), "s")
	}
	credentials, how := identity.Server(nil, nil, nil), []client.Option(nil)
	if network == "tls" {
		network = "tcp"
		files := certificates(t, "localhost,127.0.0.1", "program")
		credentials, how = identity.Server(files.server(t), nil, nil), []client.Option{client.WithTLS(files.program())}
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), network, d.address)
	if err != nil {
		t.Fatal(err)
	}
	d.address = l.Addr().String()
	service := bus.New(d.bus, opts...)
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec), grpc.Creds(credentials))
	pb.RegisterBusServiceServer(server, service)
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	d.stop = sync.OnceFunc(func() {
		service.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	if d.client, err = client.Open(d.address, how...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.client.Close()
		d.stop()
		leaks.Verify(t, before)
	})
	return d
}

func open(t testing.TB, d *host) *client.Ksock {
	t.Helper()
	k, err := d.client.Ksock(t.Context(), kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// The recordings of the real module, each story on a fresh bus.
// Over TCP every story is played with LIMPET_TEST=long only, else one in five.
func TestRecordings(t *testing.T) {
	share := 5
	if os.Getenv("LIMPET_TEST") == "long" {
		share = 1
	}
	files := bustest.Files(t, "../kbusdev/bustest/testdata", "bus-*.jsonl.gz")
	over := func(network string) func(testing.TB) kbusdev.Bus {
		return func(t testing.TB) kbusdev.Bus { return serve(t, network).client.Device() }
	}
	t.Run("unix/steps", func(t *testing.T) { bustest.Replay(t, files, over("unix")) })
	t.Run("tcp/whole", func(t *testing.T) { bustest.Replay(t, files, over("tcp"), bustest.Whole(), bustest.OneIn(share)) })
}

// Random stories, also against the bus that is slow and obviously right.
func TestRandomStories(t *testing.T) {
	first := firstSeed(t)
	bustest.Compare(t, first, *stories, func(t testing.TB) kbusdev.Bus { return serve(t, "unix").client.Device() }, func(testing.TB) kbusdev.Bus { return bustest.NewModel() })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t testing.TB, err error, errno syscall.Errno) {
	t.Helper()
	if !errors.Is(err, errno) {
		t.Errorf("%v, want %v", err, errno)
	}
}

func TestPostAndFlush(t *testing.T) {
	k := open(t, serve(t, "unix"))
	must(t, k.Bind("$.A", kbusdev.Listener))
	_, err := k.MaxMessages(20000)
	must(t, err)
	must(t, k.Flush(t.Context()))
	for range 10000 {
		must(t, k.Post(t.Context(), &kbusdev.Message{Name: "$.A"}))
	}
	for _, name := range []string{"x", "$.A.\xff", "$.Nobody"} {
		must(t, k.Post(t.Context(), &kbusdev.Message{Name: name, Flags: kbusdev.WantReply}))
	}
	err = k.Flush(t.Context())
	wantErrno(t, err, syscall.EBADMSG)
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	var op *kbusdev.OpError
	if !errors.As(err, &op) || op.Name != "x" {
		t.Errorf("%v names %+v", err, op)
	}
	must(t, k.Flush(t.Context()))
	if n, err := k.NumMessages(); n != 10000 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
}

// What Recv has not asked for stays in the queue on the bus; a Recv that is given up takes
// nothing.
func TestNothingIsTakenUnasked(t *testing.T) {
	d := serve(t, "unix")
	k := open(t, d)
	must(t, k.Bind("$.A", kbusdev.Listener))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() { _, err := k.Recv(ctx); got <- err }()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_, err := k.Recv(ctx) // after this one the daemon has cancelled the first
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for range 3 {
		_, err := k.Send(t.Context(), &kbusdev.Message{Name: "$.A"})
		must(t, err)
	}
	if n := d.bus.Stats()[0].Queued; n != 3 {
		t.Errorf("%d messages on the bus", n)
	}
	m, err := k.Recv(ctx)
	if err != nil || m.Name != "$.A" {
		t.Errorf("%v, %v", m, err)
	}
	var two [5]*kbusdev.Message
	if n, err := k.RecvBatch(t.Context(), two[:]); n != 2 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
}

func TestPrefetch(t *testing.T) {
	d := serve(t, "unix")
	k := open(t, d)
	must(t, k.Bind("$.A", kbusdev.Replier))
	must(t, k.Prefetch(true))
	_, err := k.MaxMessages(10000)
	must(t, err)
	for range 5000 { // more than the window
		must(t, k.Post(t.Context(), &kbusdev.Message{Name: "$.A", Flags: kbusdev.WantReply}))
	}
	must(t, k.Flush(t.Context()))
	n, err := k.NumMessages()
	must(t, err)
	owed, err := k.Unreplied()
	if n != 5000 || owed != 0 || err != nil {
		t.Errorf("%d messages, %d owed, %v", n, owed, err)
	}
	for i := range 5000 {
		m, err := k.Recv(t.Context())
		must(t, err)
		if i == 0 && m.ID.Serial == 0 {
			t.Error("no id")
		}
		if i == 4500 {
			must(t, k.Prefetch(false))
		}
	}
	if owed, err := k.Unreplied(); owed != 5000 || err != nil {
		t.Errorf("%d owed, %v", owed, err)
	}
}

// Prefetch can be turned on and off while Recv waits.
func TestPrefetchWhileRecvWaits(t *testing.T) {
	d := serve(t, "unix")
	k := open(t, d)
	must(t, k.Bind("$.A", kbusdev.Listener))
	got := make(chan error, 20)
	for range cap(got) {
		go func() { _, err := k.Recv(t.Context()); got <- err }()
	}
	for i := range cap(got) {
		must(t, k.Prefetch(i%2 == 0))
		must(t, k.Post(t.Context(), &kbusdev.Message{Name: "$.A"}))
		must(t, <-got)
	}
}

// A send that waits for room ends with its context, or when there is room, and holds up no
// other call.
func TestSendWaits(t *testing.T) {
	d := serve(t, "unix")
	k, full := open(t, d), open(t, d)
	must(t, full.Bind("$.A", kbusdev.Listener))
	_, err := full.MaxMessages(1)
	must(t, err)
	m := &kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrWait}
	_, err = k.Send(t.Context(), m)
	must(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = k.Send(ended, m)
	wantErrno(t, err, syscall.EAGAIN)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	id, err := k.Send(ctx, m)
	wantErrno(t, err, syscall.EAGAIN)
	if last, lerr := k.LastSent(); !errors.Is(err, context.DeadlineExceeded) || last != id || lerr != nil {
		t.Errorf("%v, %v, the last one sent is %v, %v", id, err, last, lerr)
	}
	sent := make(chan error)
	go func() { _, err := k.Send(t.Context(), m); sent <- err }()
	_, err = full.Recv(t.Context())
	must(t, err)
	must(t, <-sent)
	go func() { _, err := k.Send(t.Context(), m); sent <- err }()
	must(t, k.Close())
	if err := <-sent; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := k.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
