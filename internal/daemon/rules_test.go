package daemon_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

func allow(who, names string, actions ...string) rules.Rule {
	r := rules.Rule{Allow: actions, Who: []string{who}}
	if names != "" {
		r.Names = []string{names}
	}
	return r
}

// whoever is who makes the calls that are made from now on.
type whoever struct{ atomic.Pointer[rules.Identity] }

func (w *whoever) of(context.Context) rules.Identity { return *w.Load() }

func (w *whoever) is(text string) {
	id, _, err := rules.ParseIdentity(text)
	if err != nil {
		panic(err)
	}
	w.Store(&id)
}

func wantErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if errno, _ := kbusdev.ErrnoOf(err); errno != want {
		t.Errorf("%s: %v, want %s", what, err, kbusdev.ErrnoName(want))
	}
}

func TestProgramsDoWhatTheRulesAllow(t *testing.T) {
	var now whoever
	now.is("uid:0")
	d := start(t, daemon.Config{IdentityOf: now.of, Rules: []rules.Rule{
		allow("uid:0", "", "all"),
		allow("uid:5", "$.Clock.*", "reply", "request"),
		allow("uid:7", "$.Sensor.*", "announce"),
		allow("uid:8", "$.Sensor.*", "listen"),
	}})
	ctx := t.Context()
	root := ksock(t, d)
	if err := root.Bind("$.Other", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}

	now.is("uid:7")
	const gone = syscall.EADDRNOTAVAIL
	if _, err := d.bus.Send(ctx, &kbusdev.Message{Name: "$.Sensor.Rain"}); err != nil {
		t.Errorf("what is allowed: %v", err)
	}
	_, err := d.bus.Send(ctx, &kbusdev.Message{Name: "$.Other"})
	wantErrno(t, "announcing", err, gone)
	if err == nil || !strings.Contains(err.Error(), "do not let you announce $.Other") {
		t.Errorf("it is told as %v", err)
	}
	_, err = d.bus.Send(ctx, &kbusdev.Message{Name: "no name"})
	wantErrno(t, "announcing what is no name", err, syscall.EBADMSG)
	_, err = d.bus.Call(ctx, &kbusdev.Message{Name: "$.Other"})
	if wantErrno(t, "asking", err, gone); !errors.Is(err, client.ErrNeverRan) {
		t.Errorf("the request may have run: %v", err)
	}
	_, err = d.bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Sensor.*"}})
	wantErrno(t, "listening", err, gone)
	_, err = d.bus.Serve(ctx, 0, "$.Sensor.Rain")
	wantErrno(t, "replying", err, gone)
	if _, _, found, err := d.bus.FindReplier(ctx, "$.Other"); err != nil || found {
		t.Errorf("a replier that is hidden is found: %v, %v", found, err)
	}
	if all, err := d.bus.Bindings(ctx); err != nil || len(all) != 0 {
		t.Errorf("bindings that are hidden are listed: %v, %v", all, err)
	}
	var denied *client.StatusError
	if _, err := d.bus.Status(ctx); !errors.As(err, &denied) || denied.Code != codes.PermissionDenied || !strings.Contains(err.Error(), "no rule of the configuration allows it") {
		t.Errorf("an administrator's call: %v", err)
	}
	if err := d.bus.WaitReady(ctx); err != nil {
		t.Errorf("waiting until the daemon answers: %v", err)
	}

	now.is("uid:8")
	hears := ksock(t, d)
	if err := hears.Bind("$.*", kbusdev.Listener); err != nil {
		t.Errorf("listening to what is allowed in part: %v", err)
	}
	wantErrno(t, "listening to what is not allowed", hears.Bind("$.Other", kbusdev.Listener), gone)
	wantErrno(t, "replying", hears.Bind("$.Sensor.Rain", kbusdev.Replier), gone)
	_, err = hears.Write([]byte("x"))
	wantErrno(t, "the device's own steps", err, syscall.EACCES)
	for _, name := range []string{"$.Other", "$.Sensor.Rain"} {
		if _, err := root.Send(ctx, &kbusdev.Message{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := hears.Recv(ctx); err != nil || m.Name != "$.Sensor.Rain" {
		t.Errorf("the first that is heard is %v, %v", m, err)
	}

	now.is("uid:5")
	replier := ksock(t, d)
	if err := replier.Bind("$.Clock.Now", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	wantErrno(t, "replying to more than is allowed", replier.Bind("$.*", kbusdev.Replier), gone)
	asked, err := root.Send(ctx, &kbusdev.Message{Name: "$.Clock.Now", Flags: kbusdev.WantReply})
	if err != nil {
		t.Fatal(err)
	}
	others, err := root.Send(ctx, &kbusdev.Message{Name: "$.Other", Flags: kbusdev.WantReply})
	if err != nil {
		t.Fatal(err)
	}
	if q, err := replier.Recv(ctx); err != nil || q.ID != asked {
		t.Fatalf("%v, %v", q, err)
	}
	_, err = replier.Send(ctx, &kbusdev.Message{Name: "$.Other", To: root.ID(), InReplyTo: others})
	wantErrno(t, "a reply to somebody else's request", err, gone)
	for _, want := range []syscall.Errno{0, gone} {
		_, err = replier.Send(ctx, &kbusdev.Message{Name: "$.Clock.Now", To: root.ID(), InReplyTo: asked})
		wantErrno(t, "a reply, and the same again", err, want)
	}

	// The rules change.
	if err := d.SetRules([]rules.Rule{allow("uid:0", "", "all")}, []rules.Test{{Who: "uid:5", Allow: "admin"}}); err == nil || !strings.Contains(err.Error(), "test 1: uid:5: admin is denied") {
		t.Errorf("a test that does not hold: %v", err)
	}
	if err := d.SetRules([]rules.Rule{allow("uid:0", "", "all")}, nil); err != nil {
		t.Fatal(err)
	}
	now.is("uid:0")
	if _, _, found, err := d.bus.FindReplier(ctx, "$.Clock.Now"); err != nil || found {
		t.Errorf("a replier that may be none any more is bound: %v, %v", found, err)
	}
	wantErrno(t, "binding again", replier.Bind("$.Clock.Now", kbusdev.Replier), gone)
	st, err := d.bus.Status(ctx)
	if err != nil || st.GetApiDenied() != 11 {
		t.Errorf("status counts %d that were denied, %v", st.GetApiDenied(), err)
	}
	r, err := d.bus.ExplainRules(ctx, "uid:5 network:3", "$.Clock.Now")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, v := range r.GetVerdicts() {
		said = append(said, v.GetAction())
		if v.GetAllowed() || v.GetRule() != 0 {
			t.Errorf("explained: %v", v)
		}
	}
	if !slices.Equal(said, []string{"announce", "listen", "request", "reply", "tap", "admin", "join"}) || r.GetRules() != 1 {
		t.Errorf("explained: %v", r)
	}
	if _, err := d.bus.ExplainRules(ctx, "root", "$.A"); !errors.As(err, &denied) || denied.Code != codes.InvalidArgument {
		t.Errorf("explaining nobody: %v", err)
	}
}

// What a peer may do is judged by its network id, and by who it is: here of nobody is
// known who it is, as the rules of programs need not concern peers.
func TestPeersDoWhatTheRulesAllow(t *testing.T) {
	all := func(more ...rules.Rule) []rules.Rule {
		return append(more, allow("uid:4001", "", "all"), rules.Rule{Allow: []string{"join"}, Networks: []string{"2"}})
	}
	var now whoever
	now.is("uid:4001")
	a, b := pair(t, daemon.Config{IdentityOf: now.of, Rules: all(
		allow("network:2", "$.Theirs.*", "reply", "announce"),
		allow("network:2", "$.Ours.*", "request", "listen"),
	)}, daemon.Config{})
	ctx := t.Context()
	ours, theirs := ksock(t, a), ksock(t, b)
	for _, name := range []string{"$.Ours.A", "$.Secret.A"} {
		if err := ours.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"$.Mine.B", "$.Theirs.B"} {
		if err := theirs.Bind(name, kbusdev.Replier); err != nil {
			t.Fatal(err)
		}
	}
	if err := ours.Bind("$.Theirs.News", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	a.waitReplier("$.Theirs.B")
	b.waitReplier("$.Ours.A")
	_, err := a.bus.Call(ctx, &kbusdev.Message{Name: "$.Mine.B"})
	wantErrno(t, "asking a replier that may be none here", err, syscall.EADDRNOTAVAIL)
	_, err = b.bus.Call(ctx, &kbusdev.Message{Name: "$.Secret.A"})
	wantErrno(t, "asking a replier that is hidden", err, syscall.EADDRNOTAVAIL)

	// By other rules, on the same link.
	if err := a.SetRules(all(allow("network:2", "$.Secret.*", "request"), allow("network:2", "$.Mine.*", "reply")), nil); err != nil {
		t.Fatal(err)
	}
	a.waitReplier("$.Mine.B")
	b.waitReplier("$.Secret.A")
	if p := a.wait(limpet.Up); p.Status().Epochs != 1 {
		t.Errorf("the link has been begun %d times", p.Status().Epochs)
	}
	_, err = a.bus.Call(ctx, &kbusdev.Message{Name: "$.Theirs.B"})
	wantErrno(t, "asking a replier that may be none here any more", err, syscall.EADDRNOTAVAIL)

	// A peer that may not join any more.
	if err := a.SetRules([]rules.Rule{allow("uid:4001", "", "all")}, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*running{a, b} {
		p := r.wait(limpet.Connecting)
		if why := p.Status().LastErr; !errors.Is(why, &link.Error{Code: link.NotAuthorised}) || !strings.Contains(why.Error(), "network 2 may not join") {
			t.Errorf("network %d: the link ended with %v", r.Node().NetworkID(), why)
		}
	}
}

func ksock(t *testing.T, r *running) kbusdev.Ksock {
	t.Helper()
	k, err := r.bus.Ksock(t.Context(), kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}
