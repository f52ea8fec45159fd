package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/drops"
	"github.com/kbus-limpet/limpet/server/admin"
)

// drop has a node drop a message.
func drop(node *limpet.Node, source drops.Source, link, reason, name string) {
	node.Drops().Part(source, link).Add(&drops.Drop{Why: drops.Why{Reason: reason}, Link: link, Message: kbusdev.Message{Name: name, Data: []byte("secret")}})
}

// said returns what a response tells, in short.
func said(r *pb.WatchDropsResponse) string {
	var words []string
	for _, d := range r.GetDrops() {
		words = append(words, fmt.Sprintf("%s%s %s %s", d.GetSource(), d.GetLink(), d.GetReason(), d.GetMessage().GetName()))
		if len(d.GetMessage().GetData()) > 0 || d.GetDataSize() != 6 {
			words = append(words, "with data")
		}
	}
	for _, n := range r.GetUntold() {
		words = append(words, fmt.Sprintf("%s%s %s %d", n.GetSource(), n.GetLink(), n.GetReason(), n.GetCount()))
	}
	if r.GetWhole() {
		words = append(words, "whole")
	}
	return strings.ReplaceAll(strings.Join(words, "; "), "DROP_SOURCE_", "")
}

// What is kept is told first, then what is dropped, to each caller what it has asked for.
func TestWatchDrops(t *testing.T) {
	node := newNode(t)
	service := &admin.Service{Node: node}
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, service) }))
	for i := range drops.Kept + 2 { // more than are kept
		drop(node, drops.Link, "a", "stalled", fmt.Sprintf("$.Old.N%d", i))
	}
	drop(node, drops.Link, "b\xff", "expired", "$.B")
	drop(node, drops.Bus, "", "queue_messages", "$.Heard.Late")
	drop(node, drops.Rules, "", "denied", "$.Secret\xff")
	watch := func(q *pb.WatchDropsRequest) grpc.ServerStreamingClient[pb.WatchDropsResponse] {
		t.Helper()
		w, err := c.WatchDrops(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	want := func(w grpc.ServerStreamingClient[pb.WatchDropsResponse], want string) {
		t.Helper()
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := said(r); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	all := watch(&pb.WatchDropsRequest{})
	r, err := all.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.GetDrops()); n != drops.Kept+3 || r.GetDrops()[0].GetMessage().GetName() != "$.Old.N2" {
		t.Errorf("%d are told, the first is %v", n, r.GetDrops()[0])
	}
	r.Drops = r.Drops[drops.Kept:]
	if got := said(r); got != `LINKb\xff expired $.B; BUS queue_messages $.Heard.Late; RULES denied $.Secret\xff; LINKa stalled 2; whole` {
		t.Errorf("told %q", got)
	}
	ofLink := watch(&pb.WatchDropsRequest{Link: "c"})
	want(ofLink, "whole")
	ofName := watch(&pb.WatchDropsRequest{Name: "$.Heard.*"})
	want(ofName, "BUS queue_messages $.Heard.Late; LINKa stalled 2; whole")
	ofReasons := watch(&pb.WatchDropsRequest{Reasons: []string{"denied", "expired"}})
	want(ofReasons, `LINKb\xff expired $.B; RULES denied $.Secret\xff; whole`)

	drop(node, drops.Link, "c", "link_lost", "$.C")
	want(all, "LINKc link_lost $.C")
	want(ofLink, "LINKc link_lost $.C")
	drop(node, drops.Link, "c", "expired", "$.Heard.D")
	want(all, "LINKc expired $.Heard.D")
	want(ofLink, "LINKc expired $.Heard.D")
	want(ofName, "LINKc expired $.Heard.D")
	want(ofReasons, "LINKc expired $.Heard.D")

	for _, q := range []*pb.WatchDropsRequest{{Name: "Heard"}, {Reasons: make([]string, 1000)}} {
		if _, err := watch(q).Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%.50v: %v", q, err)
		}
	}
	service.Close()
	if _, err := all.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a watch of a service that is closed ends with %v", err)
	}
}

// Answers have a bounded size, however much is kept.
func TestWatchManyDrops(t *testing.T) {
	node := newNode(t)
	const links = 60
	name := "$." + strings.Repeat("x", kbusdev.MaxNameLen-2)
	for i := range links {
		for range drops.Kept + 1 {
			drop(node, drops.Link, fmt.Sprint(i), "stalled", name)
		}
	}
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, &admin.Service{Node: node}) }))
	w, err := c.WatchDrops(t.Context(), &pb.WatchDropsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	told, untold, answers := 0, uint64(0), 0
	for whole := false; !whole; answers++ {
		r, err := w.Recv() // no more than 4 MiB, or gRPC refuses it
		if err != nil {
			t.Fatal(err)
		}
		told += len(r.GetDrops())
		for _, n := range r.GetUntold() {
			untold += n.GetCount()
		}
		whole = r.GetWhole()
	}
	if told != links*drops.Kept || untold != links || answers < 2 {
		t.Errorf("%d and %d are told in %d answers", told, untold, answers)
	}
}
