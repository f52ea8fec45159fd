package daemon_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A net of daemons: 1 and 2 and 3 are a chain, and 2 is a hub: 4 is linked with it too, and 5
// as an upstream limpet would be. 2 and 3 have different names for what is below $.Plant. 4 is
// not let ask for $.Secret by 2, and 3 lets 2 administer nothing.
func foretoldNet(t *testing.T) (d [6]*running) {
	t.Helper()
	dir := t.TempDir()
	link := func(n int) (at daemon.LinkConfig) { return daemon.Accept(unix(filepath.Join(dir, strconv.Itoa(n)))) }
	dial := func(n int) daemon.LinkConfig { return daemon.Dial(unix(filepath.Join(dir, strconv.Itoa(n)))) }
	everything := []string{"join", "announce", "listen", "request", "reply"}
	own := renamed(t, "$.Plant=$.Site7.Plant")
	toThree, classic := link(3), link(5)
	toThree.Limpet, classic.Classic = &own, true
	fromFive := dial(5)
	fromFive.Classic = true
	d[2] = start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{link(1), toThree, link(4), classic}, Rules: []rules.Rule{
		{Deny: []string{"request"}, Who: []string{"network:4"}, Names: []string{"$.Secret.*"}},
		{Allow: everything}, {Allow: []string{"admin"}, Who: []string{"network:1", "network:4", "local"}},
	}})
	d[1] = start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{dial(1)}})
	d[3] = start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{dial(3)}, Rules: []rules.Rule{{Allow: everything}, {Allow: []string{"admin"}, Who: []string{"uid:4001"}}}})
	d[4] = start(t, daemon.Config{NetworkID: 4, Links: []daemon.LinkConfig{dial(4)}})
	d[5] = start(t, daemon.Config{NetworkID: 5, Links: []daemon.LinkConfig{fromFive}})
	for _, n := range []int{1, 3, 4, 5} {
		d[n].wait(limpet.Up)
	}
	return d
}

func (r *running) foretell(q *pb.ExplainRequest) *pb.ExplainResponse {
	r.t.Helper()
	got, err := r.bus.Explain(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// branchTo returns the branch of a hop to a network.
func branchTo(h *pb.ExplainHop, network uint32) *pb.ExplainBranch {
	for _, b := range h.GetBranches() {
		if b.GetNetwork() == network {
			return b
		}
	}
	return nil
}

// What is foretold over a chain, a hub, renames and rules is what becomes of a real message.
func TestForetoldOverLinks(t *testing.T) {
	d := foretoldNet(t)
	ctx := t.Context()
	atThree, atTwo := ksock(t, d[3]), ksock(t, d[2])
	bindAll(t, atThree, kbusdev.Replier, "$.Site7.Plant.*")
	bindAll(t, atTwo, kbusdev.Replier, "$.Secret.Clock", "$.Open.Clock")
	atFive := ksock(t, d[5])
	bindAll(t, atFive, kbusdev.Replier, "$.Old.Clock")
	for _, name := range []string{"$.Plant.Pump", "$.Secret.Clock", "$.Old.Clock"} {
		d[1].waitBound(name)
	}
	d[4].waitBound("$.Open.Clock")

	// Through the hub, where 3 has another name for it, and tells no more than sending would.
	r := d[1].foretell(&pb.ExplainRequest{Name: "$.Plant.Pump"})
	two := branchTo(r.GetHop(), 2)
	if by := r.GetOutcome().GetBy(); by.GetNetwork() != 3 || by.GetKsock() != uint32(atThree.ID()) {
		t.Errorf("the outcome is %v", r.GetOutcome())
	}
	if m := two.GetMessage(); !two.GetRequest() || m.GetIdNetwork() != 1 || m.GetOrigFromNetwork() != 1 || two.GetTook() == nil {
		t.Errorf("over the first link goes %v", two)
	}
	hop := two.GetNext()
	three := branchTo(hop, 3)
	if hop.GetNetwork() != 2 || hop.GetRule().GetRule() != 2 || !hop.GetRule().GetAllowed() || hop.GetReplier().GetBinding() != "$.Plant.*" || three.GetMessage().GetName() != "$.Site7.Plant.Pump" {
		t.Errorf("on network 2 it is %v", hop)
	}
	if told := three.GetNext().GetTold(); told.GetBy().GetNetwork() != 3 || three.GetNext().GetReplier() != nil || three.GetNext().GetRule() != nil {
		t.Errorf("network 3 tells %v", three.GetNext())
	}
	answer := ask(t, d[1], atThree, "$.Plant.Pump", "$.Site7.Plant.Pump", nil)
	if answer.OrigFrom.Network != 3 || answer.OrigFrom.Local != atThree.ID() {
		t.Errorf("it was answered by %v", answer.OrigFrom)
	}

	// Who has answered is asked again.
	r = d[1].foretell(&pb.ExplainRequest{
		Name: "$.Plant.Pump", Kind: pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST, FinalToNetwork: 3, FinalToLocal: uint32(atThree.ID()),
	})
	if by := r.GetOutcome().GetBy(); by.GetNetwork() != 3 || r.GetHop().GetMessage().GetTo() != uint32(answer.From) {
		t.Errorf("the stateful request: %v of %v", r.GetOutcome(), r.GetHop().GetMessage())
	}
	r = d[1].foretell(&pb.ExplainRequest{Name: "$.Plant.Pump", Kind: pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST, FinalToNetwork: 3, FinalToLocal: 99})
	if r.GetOutcome().GetAnswer() != kbusdev.NameReplierNotSameKsock {
		t.Errorf("a stateful request to another: %v", r.GetOutcome())
	}

	// What the rules do not let 4 ask for it does not see, and cannot reach.
	r = d[4].foretell(&pb.ExplainRequest{Name: "$.Secret.Clock"})
	_, err := d[4].bus.Call(ctx, &kbusdev.Message{Name: "$.Secret.Clock"})
	var none *client.NoAnswerError
	if !errors.As(err, &none) || none.Reason != r.GetOutcome().GetErrno() || r.GetOutcome().GetErrno() != "EADDRNOTAVAIL" || r.GetHop().GetStop().GetReason() != "refused" {
		t.Errorf("foretold was %v, and it is %v", r.GetOutcome(), err)
	}
	// 2 says why, of a message that 4 would bring all the same.
	r = d[2].foretell(&pb.ExplainRequest{Name: "$.Secret.Clock", Link: "network 4"})
	if r.GetOutcome().GetAnswer() != kbusdev.NameRemoteErrorPrefix+"EADDRNOTAVAIL" || r.GetHop().GetStop().GetReason() != "denied" || r.GetHop().GetRule().GetRule() != 1 || r.GetHop().GetRule().GetAllowed() {
		t.Errorf("of a denied request 2 tells %v", r)
	}

	// A classic link is the end of sight.
	r = d[1].foretell(&pb.ExplainRequest{Name: "$.Old.Clock"})
	if b := branchTo(branchTo(r.GetHop(), 2).GetNext(), 5); b.GetEnd() != pb.ExplainEnd_EXPLAIN_END_CLASSIC || r.GetOutcome().GetUnseen() != pb.ExplainEnd_EXPLAIN_END_CLASSIC {
		t.Errorf("of a classic link it is told %v", r)
	}

	// An announcement is told of where it is heard, and why it is not sent.
	bindAll(t, atThree, kbusdev.Listener, "$.News.*")
	bindAll(t, ksock(t, d[4]), kbusdev.Listener, "$.News.Rain")
	await(t, "they want it", func() bool { return d[1].Node().Peerings()[0].Wants("$.News.Rain") })
	await(t, "the hub knows of both", func() bool {
		wants := 0
		for _, p := range d[2].Node().Peerings() {
			if p.Wants("$.News.Rain") {
				wants++
			}
		}
		return wants == 3 // with the classic one
	})
	r = d[1].foretell(&pb.ExplainRequest{Name: "$.News.Rain", Kind: pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT})
	hop = branchTo(r.GetHop(), 2).GetNext()
	var heard []uint32
	for _, a := range r.GetHearers() {
		heard = append(heard, a.GetNetwork())
	}
	if !slices.Equal(heard, []uint32{4}) || !r.GetOutcome().GetHeard() || !branchTo(hop, 3).GetNext().GetTold().GetHeard() || branchTo(hop, 5).GetEnd() != pb.ExplainEnd_EXPLAIN_END_CLASSIC {
		t.Errorf("the announcement: %v, by %v of %v", r.GetOutcome(), heard, hop)
	}
	r = d[1].foretell(&pb.ExplainRequest{Name: "$.Nobody.Cares", Kind: pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT})
	if b := branchTo(r.GetHop(), 2); b != nil && b.GetStop().GetReason() != "unwanted" && b.GetNext() == nil {
		t.Errorf("an announcement that nobody wants: %v", r)
	}
}

// Questions that cannot be are refused with the way out.
func TestForetellRefuses(t *testing.T) {
	var now whoever
	now.is("uid:0")
	d := start(t, daemon.Config{IdentityOf: now.of, NetworkID: 1, Rules: []rules.Rule{allow("uid:0", "", "all"), allow("uid:5", "$.Clock.*", "listen", "request")}})
	for _, c := range []struct {
		q    *pb.ExplainRequest
		code codes.Code
		says string
	}{
		{&pb.ExplainRequest{Name: "$.A.*"}, codes.InvalidArgument, "without a wildcard"},
		{&pb.ExplainRequest{Name: "$.A", Kind: 99}, codes.InvalidArgument, "kind 99"},
		{&pb.ExplainRequest{Name: "$.A", Kind: pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST}, codes.InvalidArgument, "final_to_local"},
		{&pb.ExplainRequest{Name: "$.A", To: 5}, codes.InvalidArgument, "only a stateful request"},
		{&pb.ExplainRequest{Name: "$.A", Identity: "uid:x"}, codes.InvalidArgument, `"uid:x"`},
		{&pb.ExplainRequest{Name: "$.A", Identity: "network:3"}, codes.InvalidArgument, "name the link"},
		{&pb.ExplainRequest{Name: "$.A", Identity: "uid:0", Link: "network 2"}, codes.InvalidArgument, "leave out"},
		{&pb.ExplainRequest{Name: "$.A", Network: 3}, codes.InvalidArgument, "name the link"},
		{&pb.ExplainRequest{Name: "$.A", Link: "network 2"}, codes.NotFound, "limpetctl links"},
	} {
		_, err := d.bus.Explain(t.Context(), c.q)
		var st *client.StatusError
		if !errors.As(err, &st) || st.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %v and %q", c.q, err, c.code, c.says)
		}
	}

	// Who sends is judged by what they may, and who listens is too.
	hears := ksock(t, d)
	bindAll(t, hears, kbusdev.Replier, "$.Clock.Now", "$.Other")
	now.is("uid:5")
	restricted := ksock(t, d)
	bindAll(t, restricted, kbusdev.Listener, "$.*")
	_, err := d.bus.Explain(t.Context(), &pb.ExplainRequest{Name: "$.Clock.Now"})
	var st *client.StatusError
	if !errors.As(err, &st) || st.Code != codes.PermissionDenied {
		t.Errorf("somebody who may not administer is told: %v", err)
	}
	now.is("uid:0")
	for _, c := range []struct {
		name, identity string
		kind           pb.ExplainKind
		errno          string
		hearers        int
	}{
		{"$.Clock.Now", "uid:5", pb.ExplainKind_EXPLAIN_KIND_REQUEST, "", 1},
		{"$.Other", "uid:5", pb.ExplainKind_EXPLAIN_KIND_REQUEST, "EADDRNOTAVAIL", 0},
		{"$.Other", "", pb.ExplainKind_EXPLAIN_KIND_REQUEST, "", 0},
		{"$.Clock.Now", "uid:5", pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT, "EADDRNOTAVAIL", 0},
		{"$.Clock.Now", "uid:0", pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT, "", 1},
	} {
		r := d.foretell(&pb.ExplainRequest{Name: c.name, Kind: c.kind, Identity: c.identity})
		if r.GetOutcome().GetErrno() != c.errno || len(r.GetHearers()) != c.hearers {
			t.Errorf("%s %v of %q: %v", c.kind, c.name, c.identity, r)
		}
	}
}
