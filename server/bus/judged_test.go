package bus_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// judge makes the service judge by rules whoever the result says is calling.
func judge(t *testing.T, f *fixture, all ...rules.Rule) (now *atomic.Uint32) {
	t.Helper()
	set, err := rules.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	now = new(atomic.Uint32)
	policies := make(map[uint32]*rules.Policy)
	for uid := range uint32(10) {
		policies[uid] = set.For(rules.Identity{Process: &rules.Process{UID: uid}}, 0)
	}
	f.service.IdentityOf = func(context.Context) rules.Identity { return rules.Identity{Process: &rules.Process{UID: now.Load()}} }
	f.service.PolicyOf = func(id rules.Identity) *rules.Policy { return policies[id.Process.UID] }
	return now
}

// A session is resumed by nobody who may do other things than the one who began it.
func TestAttachResumesForTheSameRightsOnly(t *testing.T) {
	f := serve(t)
	now := judge(t, f,
		rules.Rule{Allow: []string{"announce"}, Who: []string{"uid:5", "uid:6"}, Names: []string{"$.A"}},
		rules.Rule{Allow: []string{"announce"}, Who: []string{"uid:7"}, Names: []string{"$.B"}},
	)
	now.Store(5)
	p := newRawProgram(t, f)
	p.do(op(1, pb.Action_ACTION_SEND, func(o *pb.Operation) { o.Message = announcement("$.A") }), op(2, pb.Action_ACTION_SEND, func(o *pb.Operation) { o.Message = announcement("$.B") }))
	p.want("1", "2:EADDRNOTAVAIL")
	p.cut()
	now.Store(7)
	r, err := p.dial()
	if e := r.GetError(); e == nil || e.GetCode() != pb.ErrorCode_ERROR_CODE_NOT_AUTHORISED || !strings.Contains(e.GetMessage(), "somebody who may do other things") {
		t.Errorf("somebody else is answered %v, %v", r, err)
	}
	if err := p.ends("other things"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the status is %v", err)
	}
	now.Store(6)
	p.attach()
	p.do(op(3, pb.Action_ACTION_FLUSH))
	p.want("3")
	if n := f.service.Denied(); n != 1 {
		t.Errorf("%d were denied", n)
	}
}

// Who watches is told of what it may know of.
func TestWatchersAreToldOfWhatTheyMayKnow(t *testing.T) {
	f := serve(t)
	now := judge(t, f, rules.Rule{Allow: []string{"request"}, Who: []string{"uid:5"}, Names: []string{"$.A.*"}})
	now.Store(5)
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"$.B", "$.A.B", "$.*", "$.C.*"} {
		if err := k.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
	}
	api := pb.NewBusServiceClient(f.api)
	w, err := api.WatchBindings(t.Context(), &pb.WatchBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for whole := false; !whole; {
		c, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range c.GetBound() {
			told = append(told, b.GetName())
		}
		whole = c.GetWhole()
	}
	list, err := api.ListBindings(t.Context(), &pb.ListBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.GetBindings() {
		told = append(told, b.GetName())
	}
	if got := strings.Join(told, " "); got != "$.* $.A.B $.* $.A.B" && got != "$.A.B $.* $.* $.A.B" {
		t.Errorf("told of %s", got)
	}
}

// New rules reach a call that watches: it is told anew what it may know of now.
func TestNewRulesReachWatchers(t *testing.T) {
	f := serve(t)
	f.service.IdentityOf = func(context.Context) rules.Identity { return rules.Identity{} }
	var policy atomic.Pointer[rules.Policy]
	f.service.PolicyOf = func(rules.Identity) *rules.Policy { return policy.Load() }
	change := func(names ...string) {
		set, err := rules.Compile([]rules.Rule{{Allow: []string{"request"}, Names: names}})
		if err != nil {
			t.Fatal(err)
		}
		policy.Store(set.For(rules.Identity{}, 0))
		f.service.RulesChanged()
	}
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"$.A.X", "$.B.X"} {
		if err := k.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
	}
	change("$.A.*")
	w, err := pb.NewBusServiceClient(f.api).WatchBindings(t.Context(), &pb.WatchBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() string {
		var words []string
		for {
			c, err := w.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if c.GetRestart() {
				words = append(words, "restart")
			}
			for _, b := range c.GetBound() {
				words = append(words, b.GetName())
			}
			if c.GetWhole() {
				return strings.Join(words, " ")
			}
		}
	}
	if got := next(); got != "$.A.X" {
		t.Errorf("at first told of %q", got)
	}
	change("$.A.*") // the same again
	change("$.B.*")
	if got := next(); got != "restart $.B.X" {
		t.Errorf("with other rules told of %q", got)
	}
	policy.Store(nil)
	f.service.RulesChanged()
	if got := next(); got != "restart $.A.X $.B.X" {
		t.Errorf("without rules told of %q", got)
	}
}

// The bus's own events tell a program of the names that it may know of, and no others.
func TestBindEventsOfHiddenNamesAreNotHeard(t *testing.T) {
	f := serve(t)
	judge(t, f, rules.Rule{Allow: []string{"listen"}, Names: []string{"$.KBUS.*"}}, rules.Rule{Allow: []string{"request"}, Names: []string{"$.A.*"}})
	p := newRawProgram(t, f)
	p.do(op(1, pb.Action_ACTION_BIND, named(kbusdev.NameReplierBindEvent)), op(2, pb.Action_ACTION_REPORT_REPLIER_BINDS, valued(1)))
	p.want("1", "2")
	k, err := f.bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, name := range []string{"$.Hidden.A", "$.A.B", "$.Hidden.B"} {
		if err := k.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
	}
	p.do(op(3, pb.Action_ACTION_RECEIVE, valued(10)))
	p.want(kbusdev.NameReplierBindEvent, "3")
	p.do(op(4, pb.Action_ACTION_FIND_REPLIER, named("$.Hidden.A")), op(5, pb.Action_ACTION_RECEIVE, valued(10)))
	p.want("4", "5")
}
