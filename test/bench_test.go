package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// The benchmarks of a link, each beside what bounds it, in one run:
//
//	go test ./test -run '^$' -bench Link -benchtime 2s -cpu 2
//
// "ceiling" is a bare gRPC stream of the same batches; "link" is a session over
// such a stream, with sequence numbers, window and acks; "buses" is the whole way
// from a program on one embedded bus to a program on another; "tls" is that over TLS, and
// "classic" over the socket protocol of upstream's limpets.

var (
	transports = []string{"unix", "tcp"}
	sizes      = []struct {
		name string
		n    int
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}}
)

func BenchmarkLinkOneWay(b *testing.B) {
	for _, network := range transports {
		for _, size := range sizes {
			for _, kind := range []struct {
				name string
				run  func(*testing.B, string, int)
			}{{"ceiling", ceiling}, {"link", linkOneWay}, {"buses", busesOneWay}, {"tls", tlsOneWay}, {"classic", classicOneWay}} {
				if kind.name == "tls" && network == "unix" {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/%s", network, size.name, kind.name), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(size.n))
					before := ownCPU(b)
					kind.run(b, network, size.n)
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
					b.ReportMetric(float64((ownCPU(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/msg")
				})
			}
		}
	}
}

// ownCPU returns the CPU time that this process has had.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// perBatch is how many messages of a size a link puts into one batch.
func perBatch(size int) int { return min(link.MaxBatchMessages, max(1, link.MaxBatchBytes/size)) }

func message(size int) kbusdev.Message {
	return kbusdev.Message{
		ID: kbusdev.MsgID{Network: 1, Serial: 100000}, From: 3, OrigFrom: kbusdev.Address{Network: 1, Local: 3},
		Name: "$.Sensors.Kitchen", Data: make([]byte, size),
	}
}

// A stub serves LinkService with a function, and dials it.
type stub struct {
	pb.UnimplementedLinkServiceServer
	serve func(grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error
}

func (s *stub) Link(stream grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
	return s.serve(stream)
}

func dialStub(b *testing.B, network string, serve func(grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error) grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse] {
	b.Helper()
	addr := sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}
	if network == "unix" {
		addr = sockaddr.Address{Network: "unix", Address: filepath.Join(b.TempDir(), "s")}
	}
	l := listenOn(b, addr)
	server := grpc.NewServer()
	pb.RegisterLinkServiceServer(server, &stub{serve: serve})
	go server.Serve(l)
	b.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bench", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, l.Addr().Network(), l.Addr().String())
		}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	stream, err := pb.NewLinkServiceClient(conn).Link(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return stream
}

func ceiling(b *testing.B, network string, size int) {
	got := make(chan int, 1)
	stream := dialStub(b, network, func(s grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
		n := 0
		for {
			r, err := s.Recv()
			if errors.Is(err, io.EOF) {
				got <- n
				return nil
			}
			if err != nil {
				return err
			}
			n += len(r.GetFrame().GetBatch().GetMessages())
		}
	})
	m := message(size)
	batch := &pb.Batch{FirstSequence: 1}
	for range perBatch(size) {
		p := new(pb.Message)
		wire.ToProto(p, &m, time.Now())
		batch.Messages = append(batch.Messages, p)
	}
	request := &pb.LinkRequest{Frame: &pb.Frame{Kind: &pb.Frame_Batch{Batch: batch}}}
	i := 0
	for b.Loop() {
		if i++; i%len(batch.Messages) == 0 {
			if err := stream.Send(request); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := stream.CloseSend(); err != nil {
		b.Fatal(err)
	}
	if n := <-got; n != i/len(batch.Messages)*len(batch.Messages) {
		b.Fatalf("%d of %d messages arrived", n, i)
	}
}

func pairOf(b *testing.B, protocol, network string) (x, y *node) {
	b.Helper()
	y = start(b, 2, limpet.Config{}, protocol+network)
	x = start(b, 1, limpet.Config{}, protocol, y.peer)
	x.waitUp(b, 1)
	y.waitUp(b, 1)
	return x, y
}

func open(b *testing.B, bus kbusdev.Bus, names []string, as kbusdev.Role) kbusdev.Ksock {
	b.Helper()
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := k.MaxMessages(1 << 20); err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		err := k.Bind(name, as)
		for errors.Is(err, syscall.EAGAIN) { // the limpet has not read all earlier bind events
			runtime.Gosched()
			err = k.Bind(name, as)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return k
}

func busesOneWay(b *testing.B, network string, size int)   { oneWay(b, "", network, size) }
func tlsOneWay(b *testing.B, network string, size int)     { oneWay(b, overTLS, network, size) }
func classicOneWay(b *testing.B, network string, size int) { oneWay(b, overClassic, network, size) }

// oneWay keeps the sender at most some thousands of messages and 32 MiB ahead, so that
// no queue on the way is ever full and nothing is dropped.
func oneWay(b *testing.B, protocol, network string, size int) {
	x, y := pairOf(b, protocol, network)
	oneWayBetween(b, x, y, size)
}

func oneWayBetween(b *testing.B, x, y *node, size int) {
	b.Helper()
	ahead := min(16384, 32<<20/size)
	sender := open(b, x.bus, nil, kbusdev.Listener)
	listener := open(b, y.bus, []string{"$.Sensors.*"}, kbusdev.Listener)
	for !x.node.Peerings()[0].Wants("$.Sensors.Kitchen") {
		runtime.Gosched()
	}
	credit := make(chan int, ahead)
	go func() {
		msgs := make([]*kbusdev.Message, 256)
		for {
			n, err := listener.RecvBatch(context.Background(), msgs)
			if err != nil {
				return
			}
			credit <- n
		}
	}()
	b.Cleanup(func() { _ = listener.Close() })
	m := &kbusdev.Message{Name: "$.Sensors.Kitchen", Data: make([]byte, size)}
	inFlight := 0
	arrived := func() {
		select {
		case n := <-credit:
			inFlight -= n
		case <-time.After(20 * time.Second):
			b.Fatalf("%d messages have not arrived: here %+v, there %+v, the buses %+v %+v", inFlight,
				x.node.Peerings()[0].Status().Counts, y.node.Peerings()[0].Status().Counts, x.bus.Stats(), y.bus.Stats())
		}
	}
	for b.Loop() {
		for inFlight >= ahead {
			arrived()
		}
		if _, err := sender.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
		inFlight++
	}
	for inFlight > 0 {
		arrived()
	}
}

// Round trips: a request on one bus, its reply from the other, one at a time.
func BenchmarkLinkRoundTrip(b *testing.B) {
	for _, network := range transports {
		b.Run(network+"/ceiling", func(b *testing.B) { roundTrips(b, bareEcho(b, network)) })
		for _, kind := range []struct{ name, protocol string }{{"buses", ""}, {"tls", overTLS}, {"classic", overClassic}} {
			if kind.protocol == overTLS && network == "unix" {
				continue
			}
			b.Run(network+"/"+kind.name, func(b *testing.B) {
				x, y := pairOf(b, kind.protocol, network)
				roundTrips(b, busEcho(b, x.bus, y.bus, "$.Ask"))
			})
		}
	}
	for _, bindings := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("unix/buses/bindings=%d", bindings), func(b *testing.B) {
			x, y := pairOf(b, "", "unix")
			var names []string
			for i := range bindings - 1 {
				names = append(names, fmt.Sprintf("$.Other.Name%d", i))
			}
			open(b, y.bus, names, kbusdev.Replier)
			roundTrips(b, busEcho(b, x.bus, y.bus, "$.Ask"))
		})
	}
}

func roundTrips(b *testing.B, trip func()) {
	times := make([]time.Duration, 0, 1<<16)
	for b.Loop() {
		start := time.Now()
		trip()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1000, "p99-µs")
}

// bareEcho is a gRPC stream that sends each frame back.
func bareEcho(b *testing.B, network string) func() {
	stream := dialStub(b, network, func(s grpc.BidiStreamingServer[pb.LinkRequest, pb.LinkResponse]) error {
		for {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			if err := s.Send(&pb.LinkResponse{Frame: r.GetFrame()}); err != nil {
				return err
			}
		}
	})
	m := message(64)
	p := new(pb.Message)
	wire.ToProto(p, &m, time.Now())
	request := &pb.LinkRequest{Frame: &pb.Frame{Kind: &pb.Frame_Batch{Batch: &pb.Batch{FirstSequence: 1, Messages: []*pb.Message{p}}}}}
	return func() {
		if err := stream.Send(request); err != nil {
			b.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}

func busEcho(b *testing.B, x, y kbusdev.Bus, name string) func() {
	b.Helper()
	ctx := context.Background()
	replier := open(b, y, []string{name}, kbusdev.Replier)
	go func() {
		for {
			q, err := replier.Recv(ctx)
			if err != nil {
				return
			}
			_, _ = replier.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data})
		}
	}()
	b.Cleanup(func() { _ = replier.Close() })
	asker := open(b, x, nil, kbusdev.Listener)
	b.Cleanup(func() { _ = asker.Close() })
	for { // until the replier's name has crossed
		if _, ok, err := asker.Replier(name); err != nil {
			b.Fatal(err)
		} else if ok {
			break
		}
		runtime.Gosched()
	}
	q := &kbusdev.Message{Name: name, Flags: kbusdev.WantReply, Data: make([]byte, 64)}
	return func() {
		if _, err := asker.Send(ctx, q); err != nil {
			b.Fatal(err)
		}
		if _, err := asker.Recv(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
