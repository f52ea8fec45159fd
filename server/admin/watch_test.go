package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/admin"
)

// Links are told as they are, then as they change; the same reason again is no change.
func TestWatchLinks(t *testing.T) {
	node := newNode(t)
	first := node.NewDialled("connect first", limpet.Config{}, false)
	service := &admin.Service{Node: node}
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, service) }))
	all, err := c.WatchLinks(t.Context(), &pb.WatchLinksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.WatchLinks(t.Context(), &pb.WatchLinksRequest{Link: "connect second"})
	if err != nil {
		t.Fatal(err)
	}
	want := func(stream grpc.ServerStreamingClient[pb.WatchLinksResponse], want string) {
		t.Helper()
		r, err := stream.Recv()
		var links []string
		for _, l := range r.GetLinks() {
			links = append(links, l.GetName()+": "+l.GetLastError())
		}
		if got := fmt.Sprint(r.GetRemoved(), links, r.GetWhole()); err != nil || got != want {
			t.Errorf("watched %s, %v; want %s", got, err, want)
		}
	}
	want(all, "[] [connect first: ] true")
	want(one, "[] [] true")
	first.Failed(errors.New("no route"))
	want(all, "[] [connect first: no route] false")
	first.Failed(errors.New("no route"))
	second := node.NewDialled("connect second", limpet.Config{}, false)
	want(all, "[] [connect second: ] false")
	want(one, "[] [connect second: ] false")
	first.Close(t.Context(), "the test takes it away")
	want(all, "[connect first] [] false")
	second.Close(t.Context(), "the test takes it away")
	want(one, "[connect second] [] false")
	service.Close()
	service.Close()
	for err == nil {
		_, err = all.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a watch of a service that is closed ends with %v", err)
	}
}

// Many links come in answers of a bounded size, and the marker comes once.
func TestWatchManyLinks(t *testing.T) {
	node := newNode(t)
	const many = 3000
	reason := errors.New(string(slices.Repeat([]byte{'x'}, 1000)))
	for i := range many {
		node.NewDialled(fmt.Sprintf("connect %d", i), limpet.Config{}, false).Failed(reason)
	}
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, &admin.Service{Node: node}) }))
	w, err := c.WatchLinks(t.Context(), &pb.WatchLinksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	links, answers := 0, 0
	for whole := false; !whole; answers++ {
		r, err := w.Recv() // no more than 4 MiB, or gRPC refuses it
		if err != nil {
			t.Fatal(err)
		}
		links += len(r.GetLinks())
		whole = r.GetWhole()
	}
	if links != many || answers < 3 {
		t.Errorf("%d links in %d answers", links, answers)
	}
}
