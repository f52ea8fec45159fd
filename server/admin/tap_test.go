package admin_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/tap"
	"github.com/kbus-limpet/limpet/server/admin"
)

// tapOf opens a tap of a service, and reads who shows it.
func tapOf(t *testing.T, c pb.AdminServiceClient, q *pb.TapRequest) grpc.ServerStreamingClient[pb.TapResponse] {
	t.Helper()
	stream, err := c.Tap(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.GetStart().GetFormat() != admin.TapFormat || r.GetStart().GetNetworkId() != 1 {
		t.Fatalf("it begins with %v, %v", r, err)
	}
	return stream
}

func tapped(t *testing.T, service *admin.Service) (pb.AdminServiceClient, *tap.Point) {
	t.Helper()
	service.Node = newNode(t)
	return pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, service) })), service.Node.Taps().Point("connect far")
}

// pass shows an announcement that our bus has taken.
func pass(p *tap.Point, name, data string) {
	m := &kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 7}, Name: name, From: 3, OrigFrom: kbusdev.Address{Network: 2, Local: 3}, Data: []byte(data)}
	p.Show(&tap.Record{Direction: tap.FromPeer, Verdict: tap.Delivered, Read: tap.HeaderOf(m), Given: tap.HeaderOf(m), Here: name}, m)
}

// next returns the next records.
func next(t *testing.T, stream grpc.ServerStreamingClient[pb.TapResponse]) []*pb.TapRecord {
	t.Helper()
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r.GetRecords()
}

// Data is for those alone who have the right to it, by names, and for as long as they have.
func TestTapRights(t *testing.T) {
	policy := func(all ...rules.Rule) *rules.Policy {
		set, err := rules.Compile(all)
		if err != nil {
			t.Fatal(err)
		}
		return set.For(rules.Identity{}, 0)
	}
	admins := rules.Rule{Allow: []string{"admin"}}
	var now atomic.Pointer[rules.Policy]
	c, p := tapped(t, &admin.Service{PolicyOf: func(context.Context) *rules.Policy { return now.Load() }})
	stream := tapOf(t, c, &pb.TapRequest{MaxData: 100})
	want := func(name, data string, withheld bool) {
		t.Helper()
		pass(p, name, "secret")
		all := next(t, stream)
		if len(all) != 1 || string(all[0].GetData()) != data || all[0].GetDataWithheld() != withheld || all[0].GetSize() != 6 || all[0].GetRead().GetName() != name {
			t.Errorf("%s: shown are %v", name, all)
		}
	}
	want("$.A", "secret", false) // without rules
	now.Store(policy(admins))
	want("$.A", "", true)
	now.Store(policy(admins, rules.Rule{Allow: []string{"tap"}, Names: []string{"$.A.*"}}))
	want("$.A.B", "secret", false)
	want("$.B", "", true)
	now.Store(policy(admins, rules.Rule{Deny: []string{"tap"}, Names: []string{"$.A.*"}}, rules.Rule{Allow: []string{"all"}}))
	want("$.A.B", "", true)
	want("$.B", "secret", false)
	without := tapOf(t, c, &pb.TapRequest{})
	pass(p, "$.B", "secret")
	if all := next(t, without); len(all) != 1 || all[0].GetData() != nil || all[0].GetDataWithheld() {
		t.Errorf("who has not asked for data is shown %v", all)
	}
	now.Store(policy(rules.Rule{Allow: []string{"tap"}}))
	pass(p, "$.B", "secret")
	for {
		r, err := without.Recv()
		if status.Code(err) == codes.PermissionDenied {
			return
		}
		if err != nil || len(r.GetRecords()) > 0 {
			t.Fatalf("who is no administrator any more is shown %v, %v", r, err)
		}
	}
}

// Who reads slowly slows nothing: what is shown in the end, and what is lost, is what passed.
func TestTapWithoutAReader(t *testing.T) {
	c, p := tapped(t, &admin.Service{})
	stream := tapOf(t, c, &pb.TapRequest{MaxRate: tap.MaxRate, MaxData: 1000})
	const n = 50_000
	data := strings.Repeat("x", 2000)
	for i := range n {
		pass(p, fmt.Sprintf("$.A.N%d", i), data)
	}
	shown, lost := uint64(0), new(pb.TapLost)
	for shown+lost.GetNoRoom() < n {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range r.GetRecords() {
			if len(rec.GetData()) != 1000 || rec.GetSize() != 2000 {
				t.Fatalf("%d bytes of %d", len(rec.GetData()), rec.GetSize())
			}
		}
		shown += uint64(len(r.GetRecords()))
		if r.GetLost() != nil {
			lost = r.GetLost()
		}
	}
	if shown+lost.GetNoRoom() != n || lost.GetNoRoom() == 0 || lost.GetOverRate() != 0 {
		t.Errorf("%d shown, %v lost of %d", shown, lost, n)
	}
}

// What is over the rate is told, also if nothing else is to be shown.
func TestTapTellsWhatIsOverTheRate(t *testing.T) {
	c, p := tapped(t, &admin.Service{})
	stream := tapOf(t, c, &pb.TapRequest{MaxRate: 1})
	for range 10 {
		pass(p, "$.A", "")
	}
	shown, lost := 0, uint64(0)
	for shown == 0 || lost < 10-uint64(shown) {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		shown += len(r.GetRecords())
		lost = max(lost, r.GetLost().GetOverRate())
	}
}

func TestTapEnds(t *testing.T) {
	refused := make(map[string]int)
	service := &admin.Service{Count: func(what string) { refused[what]++ }}
	c, _ := tapped(t, service)
	ends := func(stream grpc.ServerStreamingClient[pb.TapResponse], want codes.Code) {
		t.Helper()
		_, err := stream.Recv()
		if status.Code(err) != want {
			t.Errorf("it ends with %v, want %v", err, want)
		}
	}
	for _, q := range []*pb.TapRequest{
		{Names: []string{"x"}}, {Direction: 3}, {Direction: -1}, {Direction: 257}, {Kinds: []pb.TapKind{5}}, {Kinds: []pb.TapKind{257}},
		{Reasons: []string{"x"}}, {MaxRate: 1 << 31}, {MaxData: 1 << 31},
	} {
		stream, err := c.Tap(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		ends(stream, codes.InvalidArgument)
	}
	var open []grpc.ServerStreamingClient[pb.TapResponse]
	for range tap.MaxTaps {
		open = append(open, tapOf(t, c, &pb.TapRequest{}))
	}
	one, err := c.Tap(t.Context(), &pb.TapRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ends(one, codes.ResourceExhausted)
	if refused["taps"] != 1 {
		t.Errorf("counted are %v", refused)
	}
	service.Close()
	for _, stream := range open {
		ends(stream, codes.Unavailable)
	}
}

// A tap that its caller gives up makes room.
func TestTapMakesRoom(t *testing.T) {
	service := &admin.Service{}
	c, p := tapped(t, service)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := c.Tap(ctx, &pb.TapRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil || !p.On() {
		t.Fatal(err)
	}
	cancel()
	for p.On() { // until the daemon has noticed
		runtime.Gosched()
	}
}
