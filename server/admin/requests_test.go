package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/admin"
)

// asking opens two Ksocks, of which one asks the other.
func asking(t *testing.T, node *limpet.Node) (asker, replier kbusdev.Ksock) {
	t.Helper()
	for _, k := range []*kbusdev.Ksock{&asker, &replier} {
		var err error
		if *k, err = node.Bus().Open(kbusdev.ReadWrite); err != nil {
			t.Fatal(err)
		}
		if _, err = (*k).MaxMessages(10_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := replier.Bind("$.Ask.*", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	return asker, replier
}

func ask(t *testing.T, asker kbusdev.Ksock, name string) {
	t.Helper()
	if _, err := asker.Send(t.Context(), &kbusdev.Message{Name: name, Flags: kbusdev.WantReply}); err != nil {
		t.Fatal(err)
	}
}

// Open requests come oldest first, page by page; what is wrong is said.
func TestListOpenRequests(t *testing.T) {
	node := newNode(t)
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, &admin.Service{Node: node}) }))
	asker, replier := asking(t, node)
	const many = 2300
	for i := range many {
		ask(t, asker, fmt.Sprintf("$.Ask.N%d", i))
	}
	if _, err := replier.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, pages := 0, 0
	for q := (&pb.ListOpenRequestsRequest{PageSize: 1 << 31}); ; pages++ {
		r, err := c.ListOpenRequests(t.Context(), q)
		if err != nil || r.GetOpen() != many {
			t.Fatal(r.GetOpen(), err)
		}
		for _, x := range r.GetRequests() {
			state := pb.OpenRequestState_OPEN_REQUEST_STATE_QUEUED
			if n == 0 {
				state = pb.OpenRequestState_OPEN_REQUEST_STATE_READ
			}
			if x.GetName() != fmt.Sprintf("$.Ask.N%d", n) || x.GetState() != state || x.GetAsker() != uint32(asker.ID()) || x.GetReplier() != uint32(replier.ID()) ||
				x.GetAskerLink()+x.GetReplierLink() != "" || x.GetIdSerial() == 0 || x.GetAge().AsDuration() <= 0 || time.Since(x.GetSince().AsTime()) < x.GetAge().AsDuration() {
				t.Fatalf("request %d is %v", n, x)
			}
			n++
		}
		if q.PageToken = r.GetNextPageToken(); q.GetPageToken() == "" {
			break
		}
	}
	if n != many || pages != 2 {
		t.Errorf("%d are listed, after %d pages", n, pages)
	}
	for _, x := range []struct {
		q    *pb.ListOpenRequestsRequest
		want int
	}{
		{&pb.ListOpenRequestsRequest{}, 100},
		{&pb.ListOpenRequestsRequest{Name: "$.Ask.N7"}, 1},
		{&pb.ListOpenRequestsRequest{Link: "network 2"}, 0},
		{&pb.ListOpenRequestsRequest{MinAge: durationpb.New(time.Hour)}, 0},
	} {
		if r, err := c.ListOpenRequests(t.Context(), x.q); err != nil || len(r.GetRequests()) != x.want {
			t.Errorf("%v: %d, %v", x.q, len(r.GetRequests()), err)
		}
	}
	for _, q := range []*pb.ListOpenRequestsRequest{{Name: "no name"}, {PageToken: "7"}, {PageToken: strings.Repeat("x", 1000)}, {MinAge: &durationpb.Duration{Seconds: 1 << 62}}} {
		if _, err := c.ListOpenRequests(t.Context(), q); status.Code(err) != codes.InvalidArgument || len(err.Error()) > 300 {
			t.Errorf("%.50v: %v", q, err)
		}
	}
}

// The slowest are told with what half and 99 of 100 took at most.
func TestListSlowRepliers(t *testing.T) {
	node := newNode(t)
	c := pb.NewAdminServiceClient(serve(t, func(r grpc.ServiceRegistrar) { pb.RegisterAdminServiceServer(r, &admin.Service{Node: node}) }))
	asker, replier := asking(t, node)
	if r, err := c.ListSlowRepliers(t.Context(), &pb.ListSlowRepliersRequest{}); err != nil || len(r.GetRepliers()) != 0 || time.Since(r.GetSince().AsTime()) > time.Minute {
		t.Fatal(r, err)
	}
	for range 200 {
		ask(t, asker, "$.Ask.Often")
		q, err := replier.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := replier.Send(t.Context(), &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.ListSlowRepliers(t.Context(), &pb.ListSlowRepliersRequest{Max: 1})
	if err != nil || len(r.GetRepliers()) != 1 {
		t.Fatal(r, err)
	}
	x := r.GetRepliers()[0]
	p50, p99, most := x.GetP50().AsDuration(), x.GetP99().AsDuration(), x.GetMax().AsDuration()
	if x.GetName() != "$.Ask.Often" || x.GetKsock() != uint32(replier.ID()) || x.GetCount() != 200 || p50 <= 0 || p50 > p99 || p99 > most || most > x.GetSum().AsDuration() {
		t.Errorf("%v", x)
	}
}
