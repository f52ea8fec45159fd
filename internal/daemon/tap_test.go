package daemon_test

import (
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Administrators see what passes, and its data if the rules of their daemon let them.
func TestTapByTheRules(t *testing.T) {
	var now whoever
	now.is("uid:1")
	at := unix(filepath.Join(t.TempDir(), "link"))
	near := start(t, daemon.Config{IdentityOf: now.of, NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(at)}, Rules: []rules.Rule{
		{Allow: []string{"join", "listen", "announce", "admin"}}, allow("uid:1", "$.A.*", "tap"),
	}})
	far := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}})
	ctx := t.Context()
	if err := far.bus.WaitLinked(ctx, 1); err != nil {
		t.Fatal(err)
	}
	heard, err := far.bus.Listen(ctx, client.ListenConfig{Names: []string{"$.A.*", "$.B"}})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	for _, name := range []string{"$.A.B", "$.B"} {
		if err := near.bus.WaitInterest(ctx, name, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ who, name, data string }{{"uid:1", "$.A.B", "secret"}, {"uid:1", "$.B", ""}, {"uid:2", "$.A.B", ""}} {
		now.is(c.who)
		x, err := near.bus.Tap(ctx, &pb.TapRequest{Names: []string{c.name}, MaxData: 100})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := x.Recv(); err != nil || r.GetStart() == nil {
			t.Fatal(r, err)
		}
		if _, err := near.bus.Send(ctx, &kbusdev.Message{Name: c.name, Data: []byte("secret")}); err != nil {
			t.Fatal(err)
		}
		r, err := x.Recv()
		if err != nil || len(r.GetRecords()) != 1 {
			t.Fatal(r, err)
		}
		if m := r.GetRecords()[0]; string(m.GetData()) != c.data || m.GetDataWithheld() != (c.data == "") || m.GetSize() != 6 || m.GetLink() != "network 2" {
			t.Errorf("%v: shown is %v", c, m)
		}
		x.Close()
	}
}
