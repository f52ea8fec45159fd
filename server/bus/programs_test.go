package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/server/bus"
)

// programsOf returns what a service tells of its programs, a line each, read in pages of a size.
func programsOf(t *testing.T, s *bus.Service, page int) (all []string) {
	t.Helper()
	last := time.Time{}
	for after := uint64(0); ; {
		some, next := s.Programs(after, page, nil)
		for _, p := range some {
			var names []string
			for _, n := range p.GetNames() {
				names = append(names, fmt.Sprint(n.GetName(), n.GetIsReplier()))
			}
			all = append(all, fmt.Sprintf("%s %t %d%v owes %d, %d wait", p.GetCall(), p.GetDetachedSince() != nil, p.GetNamesBound(), names, p.GetOwed(), p.GetQueued()))
			since := p.GetSince().AsTime()
			if since.Before(last) || time.Since(since) > time.Hour || len(p.GetRights()) > 0 || p.GetIdentity() != "unknown" || p.GetSource() == "" || (p.GetKsock() != 0) != (p.GetCall() != "WatchBindings") {
				t.Errorf("a program is %v", p)
			}
			last = since
		}
		if page > 0 && len(some) > page || next == 0 && after == 0 && page == 1 && len(all) > 1 {
			t.Errorf("a page of %d, then %d", len(some), next)
		}
		if after = next; after == 0 {
			return all
		}
	}
}

// awaitPrograms waits until the programs are these.
func awaitPrograms(t *testing.T, s *bus.Service, want ...string) {
	t.Helper()
	limit := time.Now().Add(30 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		got := programsOf(t, s, 0)
		if strings.Join(got, "\n") == strings.Join(want, "\n") {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the programs are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		<-look.C
	}
}

// Programs are told in the order in which they came, each with what it has bound and owes,
// also while it is away.
func TestPrograms(t *testing.T) {
	f := serve(t)
	api := pb.NewBusServiceClient(f.api)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	awaitPrograms(t, f.service)

	serves, err := api.Serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := serves.Send(&pb.ServeRequest{Kind: &pb.ServeRequest_Bind{Bind: &pb.ServeBind{Names: []string{"$.Ask", "$.Other"}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := serves.Recv(); err != nil {
		t.Fatal(err)
	}
	listens, err := api.Listen(ctx, &pb.ListenRequest{Names: []string{"$.A", "$.B", "$.C", "$.D", "$.E", "$.F", "$.G", "$.H", "$.I"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listens.Recv(); err != nil {
		t.Fatal(err)
	}
	watches, err := api.WatchBindings(ctx, &pb.WatchBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watches.Recv(); err != nil {
		t.Fatal(err)
	}
	p := newRawProgram(t, f)
	p.do(op(1, pb.Action_ACTION_BIND, named("$.A")))
	p.want("1")
	asked := make(chan error, 1)
	go func() {
		_, err := api.Call(ctx, &pb.CallRequest{Name: "$.Ask"})
		asked <- err
	}()
	if _, err := serves.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Send(ctx, &pb.SendRequest{Name: "$.A"}); err != nil { // the listener takes it
		t.Fatal(err)
	}
	all := []string{
		"Serve false 2[$.Othertrue $.Asktrue] owes 1, 0 wait",
		"Listen false 9[$.Ifalse $.Hfalse $.Gfalse $.Ffalse $.Efalse $.Dfalse $.Cfalse $.Bfalse] owes 0, 0 wait",
		"WatchBindings false 0[] owes 0, 0 wait",
		"Attach false 1[$.Afalse] owes 0, 1 wait",
		"Call false 0[] owes 0, 0 wait",
	}
	awaitPrograms(t, f.service, all...)
	for _, page := range []int{1, 2, 5} {
		if got := programsOf(t, f.service, page); strings.Join(got, "\n") != strings.Join(all, "\n") {
			t.Errorf("in pages of %d: %q", page, got)
		}
	}

	p.cut()
	all[3] = "Attach true 1[$.Afalse] owes 0, 1 wait"
	awaitPrograms(t, f.service, all...)
	p.attach()
	all[3] = "Attach false 1[$.Afalse] owes 0, 1 wait"
	awaitPrograms(t, f.service, all...)
	cancel()
	<-asked
	awaitPrograms(t, f.service, all[3])
}

// shut is a bus that tells the bindings of all Ksocks only.
type shut struct{ *membus.Bus }

func (b shut) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	k, err := b.Bus.Open(mode)
	return struct{ kbusdev.Ksock }{k}, err
}

// A bus that does not tell what a Ksock has bound is asked for all; somebody's rights are asked
// of who knows.
func TestProgramsOfADevice(t *testing.T) {
	s := bus.New(shut{membus.New()})
	id := rules.Identity{Names: []string{"spiffe://plant/\x1b[2J"}}
	s.IdentityOf = func(context.Context) rules.Identity { return id }
	var all sync.WaitGroup
	defer all.Wait()
	defer s.Close()
	for range 3 {
		stream := noStream[pb.ListenResponse](t)
		all.Go(func() { _ = s.Listen(&pb.ListenRequest{Names: []string{"$.A", "$.B"}}, stream) })
	}
	rights := func(who rules.Identity) []*pb.Right {
		return []*pb.Right{{Action: fmt.Sprint(len(who.Names))}}
	}
	limit := time.Now().Add(30 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for ; ; <-look.C {
		page, _ := s.Programs(0, 0, rights)
		bound := 0
		for _, p := range page {
			bound += int(p.GetNamesBound())
			if p.GetIdentity() != `spiffe://plant/\x1b[2J` || p.GetRights()[0].GetAction() != "1" {
				t.Fatalf("a program is %v", p)
			}
		}
		if len(page) == 3 && bound == 6 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("there are %v", page)
		}
	}
}
