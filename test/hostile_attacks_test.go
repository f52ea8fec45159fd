package test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// attacks are those of TestHostile, each past a bound of docs/bounds.md.
var attacks = []attack{
	{"peer resets streams", resets("peers", pb.LinkService_Link_FullMethodName, 8)},
	{"program resets calls", resets("api", pb.BusService_Call_FullMethodName, 8)},
	{"program watches health", opens("api", healthpb.Health_Watch_FullMethodName, &healthpb.HealthCheckRequest{}, 50, 1000)},
	{"peer watches health", opens("peers", healthpb.Health_Watch_FullMethodName, &healthpb.HealthCheckRequest{}, 1000, 50)},
	{"peer says no hello", opens("peers", pb.LinkService_Link_FullMethodName, nil, 100, 50)},
	{"program says no hello", opens("api", pb.BusService_Attach_FullMethodName, nil, 50, 400)},
	{"peer connects again and again", connects("peers")},
	{"program does not read bindings", unread(pb.BusService_ListBindings_FullMethodName, &pb.ListBindingsRequest{}, 100)},
	{"program does not read changes", unread(pb.BusService_WatchBindings_FullMethodName, &pb.WatchBindingsRequest{}, 100)},
	{"peer binds a million names", bindsMany},
	{"peer wants a million names", wantsMany},
	{"programs attach and do not read", hoards},
}

// A target is where an attacked daemon is reached.
type target struct{ api, peers string }

func (s *target) address(where string) string {
	if where == "api" {
		return s.api
	}
	return s.peers
}

// attackVariable names the attack that this process is to make in place of the tests, on the
// target that its arguments are, until it is killed.
const attackVariable = "LIMPET_ATTACK"

// makeAttack makes the attack that the environment asks for, if it does.
func makeAttack() {
	for _, a := range attacks {
		if os.Getenv(attackVariable) == a.name {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19) // its own work is not what costs others time
			a.run(context.Background(), &target{os.Args[1], os.Args[2]})
			<-context.Background().Done()
		}
	}
}

// dial returns a connection of its own.
func (s *target) dial(where string, more ...grpc.DialOption) *grpc.ClientConn {
	conn, err := grpc.NewClient("unix://"+s.address(where), append(more, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond}}))...)
	if err != nil {
		panic(err) // of the options
	}
	return conn
}

// inParallel runs f n times, and waits for all.
func inParallel(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

var anyStream = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// resets opens calls and gives them up at once.
func resets(where, method string, conns int) func(context.Context, *target) {
	return func(ctx context.Context, s *target) {
		inParallel(conns, func(int) {
			conn := s.dial(where)
			defer conn.Close()
			for ctx.Err() == nil {
				call, cancel := context.WithCancel(ctx)
				if st, err := conn.NewStream(call, &anyStream, method); err == nil {
					_ = st.SendMsg(&pb.CallRequest{Name: "$.Ordinary"})
				}
				cancel()
			}
		})
	}
}

// opens opens as many calls as it can on so many connections, says q if it is not nil, and
// keeps them.
func opens(where, method string, q proto.Message, conns, each int) func(context.Context, *target) {
	return func(ctx context.Context, s *target) {
		inParallel(conns, func(int) {
			conn := s.dial(where)
			defer conn.Close()
			for n := 0; n < each && ctx.Err() == nil; n++ {
				// It waits while the server allows no more.
				st, err := conn.NewStream(ctx, &anyStream, method)
				if err != nil || q == nil {
					continue
				}
				_ = st.SendMsg(q)
			}
			<-ctx.Done()
		})
	}
}

// connects opens connections that say nothing, and others that greet and close.
func connects(where string) func(context.Context, *target) {
	return func(ctx context.Context, s *target) {
		inParallel(8, func(i int) {
			for ctx.Err() == nil {
				conn := s.dial(where)
				conn.Connect()
				st := conn.GetState()
				conn.WaitForStateChange(ctx, st)
				if i%2 == 0 {
					defer conn.Close()
					continue
				}
				_ = conn.Close()
			}
		})
	}
}

// unread asks for much, and reads none of it.
func unread(method string, q proto.Message, conns int) func(context.Context, *target) {
	return func(ctx context.Context, s *target) {
		if p := attachBy(ctx, s); p != nil {
			p.bindAll(20_000, "$.Unread.%060d")
		}
		inParallel(conns, func(int) {
			conn := s.dial("api", grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
			defer conn.Close()
			for n := 0; n < 200 && ctx.Err() == nil; n++ {
				if st, err := conn.NewStream(ctx, &anyStream, method); err == nil {
					_ = st.SendMsg(q)
					_ = st.CloseSend()
				}
			}
			<-ctx.Done()
		})
	}
}

// A forger is a hostile peer that has greeted.
type forger struct {
	grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse]
	sent uint64
}

// link greets as network id.
func (s *target) link(ctx context.Context, id uint32) (*forger, error) {
	st, err := pb.NewLinkServiceClient(s.dial("peers")).Link(ctx)
	if err != nil {
		return nil, err
	}
	instance := make([]byte, 16)
	_, _ = rand.Read(instance)
	f := &forger{BidiStreamingClient: st}
	err = f.say(&pb.Frame{Kind: &pb.Frame_Greeting{Greeting: &pb.Greeting{
		ProtocolVersion: 1, NetworkId: id, InstanceId: instance, LinkId: instance, Pattern: "$.*", MaxMessageSize: 1 << 20,
		WindowMessages: 4096, WindowBytes: 16 << 20, ExpectedSequence: 1, Features: []string{"interest", "drain", "topology-changes"},
	}}})
	if err == nil {
		_, err = st.Recv()
	}
	return f, err
}

func (f *forger) say(frame *pb.Frame) error { return f.Send(&pb.LinkRequest{Frame: frame}) }

func (f *forger) batch(messages ...*pb.Message) error {
	b := &pb.Batch{FirstSequence: f.sent + 1, Messages: messages}
	f.sent += uint64(len(messages))
	return f.say(&pb.Frame{Kind: &pb.Frame_Batch{Batch: b}})
}

// read reads what comes, keeps acknowledgements of the daemon's, and acknowledges nothing.
func (f *forger) read(acked chan<- uint64) {
	defer close(acked)
	for {
		r, err := f.Recv()
		if err != nil {
			return
		}
		if n := max(r.GetFrame().GetAck().GetSequence(), r.GetFrame().GetBatch().GetAck()); n > 0 {
			acked <- n
		}
	}
}

// bindsMany says that there are repliers to a million names.
func bindsMany(ctx context.Context, s *target) {
	inParallel(4, func(i int) {
		f, err := s.link(ctx, uint32(100+i))
		if err != nil {
			return
		}
		acked := make(chan uint64)
		go f.read(acked)
		for n := 0; ctx.Err() == nil; {
			var batch []*pb.Message
			for range 256 {
				batch = append(batch, &pb.Message{IdNetwork: uint32(100 + i), Name: "$.KBUS.ReplierBindEvent", BindEvent: &pb.BindEvent{IsBind: true, Binder: 7, Name: fmt.Sprintf("$.Forged.%d.%040d", i, n)}})
				n++
			}
			if f.batch(batch...) != nil {
				return
			}
			for last := uint64(0); f.sent-last > 2048; {
				n, ok := <-acked
				if !ok {
					return
				}
				last = n
			}
		}
	})
}

// wantsMany says that somebody listens to a million names.
func wantsMany(ctx context.Context, s *target) {
	inParallel(4, func(i int) {
		f, err := s.link(ctx, uint32(200+i))
		if err != nil {
			return
		}
		acked := make(chan uint64)
		go f.read(acked)
		go func() {
			for range acked {
			}
		}()
		for n := 0; ctx.Err() == nil; {
			w := &pb.Interest{Restart: n == 0}
			for range 256 {
				w.Wanted = append(w.Wanted, fmt.Sprintf("$.Wanted.%d.%0100d", i, n))
				n++
			}
			if f.say(&pb.Frame{Kind: &pb.Frame_Interest{Interest: w}}) != nil {
				return
			}
		}
	})
}

// A hoarder is a hostile program that has said hello.
type hoarder struct {
	grpc.BidiStreamingClient[pb.AttachRequest, pb.AttachResponse]
	sent uint64
}

// attachBy says hello on a connection of its own; nil if that is refused.
func attachBy(ctx context.Context, s *target) *hoarder {
	st, err := pb.NewBusServiceClient(s.dial("api", grpc.WithInitialWindowSize(64<<10))).Attach(ctx)
	if err != nil {
		return nil
	}
	h := &hoarder{BidiStreamingClient: st}
	_ = st.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Hello{Hello: &pb.AttachHello{
		ProtocolVersion: 1, Mode: pb.KsockMode_KSOCK_MODE_BOTH, ExpectedSequence: 1, WindowMessages: 4096, WindowBytes: 1 << 20,
	}}})
	if r, err := st.Recv(); err != nil || r.GetWelcome() == nil {
		return nil
	}
	return h
}

func (h *hoarder) do(b *pb.OperationBatch) error {
	b.FirstSequence = h.sent + 1
	h.sent += uint64(len(b.GetMessages()) + len(b.GetOperations()))
	return h.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Batch{Batch: b}})
}

// bindAll binds so many names, in batches, until that fails.
func (h *hoarder) bindAll(n int, format string) {
	for i := 0; i < n; {
		var ops []*pb.Operation
		for range 250 {
			ops = append(ops, &pb.Operation{Action: pb.Action_ACTION_BIND, Name: fmt.Appendf(nil, format, i)})
			i++
		}
		ops = append(ops, &pb.Operation{Tag: 1, Action: pb.Action_ACTION_POLL})
		if h.do(&pb.OperationBatch{Operations: ops}) != nil || h.awaitResult() != nil {
			return
		}
	}
}

// awaitResult waits for a result without an errno; errors are acknowledged, and ignored.
func (h *hoarder) awaitResult() error {
	for {
		r, err := h.Recv()
		if err != nil {
			return err
		}
		b := r.GetBatch()
		if b == nil {
			continue
		}
		last := b.GetFirstSequence() + uint64(len(b.GetResults())+len(b.GetMessages())) - 1
		if err := h.Send(&pb.AttachRequest{Kind: &pb.AttachRequest_Ack{Ack: &pb.Ack{Sequence: last}}}); err != nil {
			return err
		}
		for _, x := range b.GetResults() {
			if x.GetErrno() == "" {
				return nil
			}
		}
	}
}

// hoards attaches programs that have much queued for them, and take none of it.
func hoards(ctx context.Context, s *target) {
	inParallel(1000, func(i int) {
		h := attachBy(ctx, s)
		if h == nil {
			return
		}
		name := fmt.Sprintf("$.Hoard.N%d", i)
		_ = h.do(&pb.OperationBatch{Operations: []*pb.Operation{
			{Action: pb.Action_ACTION_BIND, Name: []byte(name)}, {Action: pb.Action_ACTION_MAX_MESSAGES, Value: 1 << 20}, {Action: pb.Action_ACTION_STREAM, Value: 1},
		}})
		for ctx.Err() == nil {
			if h.do(&pb.OperationBatch{Messages: []*pb.Message{{Name: name, Data: make([]byte, 200_000)}}}) != nil {
				return
			}
		}
	})
}
