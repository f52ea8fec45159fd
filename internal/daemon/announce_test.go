package daemon_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func decode[T any](t *testing.T, m *kbusdev.Message) (v T) {
	t.Helper()
	if err := json.Unmarshal(m.Data, &v); err != nil {
		t.Fatalf("%s says %q: %v", m.Name, m.Data, err)
	}
	return v
}

func TestLinksAreAnnounced(t *testing.T) {
	link := unix(filepath.Join(t.TempDir(), "link"))
	a := start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Dial(link)}, AnnounceLinks: true})
	l, err := a.bus.Listen(t.Context(), client.ListenConfig{Names: []string{"$.Limpet.*"}, MaxMessages: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := "connect " + link.Address
	// next returns what is said until a state is announced.
	next := func(message, state string) daemon.Link {
		t.Helper()
		for {
			m, err := l.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if m.Name == daemon.NameLost || m.IsRequest() || m.IsReply() {
				continue
			}
			said := decode[daemon.Link](t, m)
			if said.Network == 2 {
				continue // what b says crosses the link
			}
			if said.Name != name || said.Network != 1 || said.Peer != 2 {
				t.Errorf("%s says %s", m.Name, m.Data)
			}
			if said.State == state {
				if m.Name != message {
					t.Errorf("the state %s is announced as %s", state, m.Name)
				}
				return said
			}
		}
	}

	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Accept(link)}, AnnounceLinks: true})
	if up := next(daemon.NameLinkUp, "up"); up.Epochs != 1 {
		t.Errorf("up for the first time: %+v", up)
	}
	// Each name is answered by its daemon, from either bus.
	a.waitReplier(daemon.NameLinksOf(2))
	for asked, network := range map[string]uint32{daemon.NameLinks: 1, daemon.NameLinksOf(1): 1, daemon.NameLinksOf(2): 2} {
		m, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: asked})
		if err != nil {
			t.Fatal(err)
		}
		all := decode[daemon.Links](t, m)
		if all.Network != network || len(all.Links) != 1 || all.Links[0].State != "up" {
			t.Errorf("%s is answered %s", asked, m.Data)
		}
	}
	b.stop()
	<-b.done
	if down := next(daemon.NameLinkDown, "connecting"); down.Reason == "" {
		t.Errorf("down without a reason: %+v", down)
	}
}

// What a link loses is announced.
func TestLossesAreAnnounced(t *testing.T) {
	a, b := pair(t,
		daemon.Config{},
		daemon.Config{AnnounceLinks: true})
	l, err := b.bus.Listen(t.Context(), client.ListenConfig{Names: []string{daemon.NameLost}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// A program on b asks, and waits no more when the answer comes.
	replier, err := a.bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	b.waitReplier("$.Ask")
	k, err := b.Node().Bus().Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
	if err != nil {
		t.Fatal(err)
	}
	q, err := replier.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := replier.Reply(q, "", nil); err != nil {
		t.Fatal(err)
	}
	m, err := l.Recv()
	if err != nil {
		t.Fatal(err)
	}
	said := decode[daemon.Lost](t, m)
	if said.Network != 2 || !strings.HasPrefix(said.Name, "connect ") || len(said.Counts) == 0 || said.First == "" || said.Last == "" {
		t.Errorf("the loss is announced as %s", m.Data)
	}
}
