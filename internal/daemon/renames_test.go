package daemon_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

func renamed(t *testing.T, words ...string) limpet.Config {
	t.Helper()
	var all []rename.Rename
	for _, w := range words {
		r, err := rename.Parse(w)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	m, err := rename.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return limpet.Config{Renames: m}
}

func bindAll(t *testing.T, k kbusdev.Ksock, role kbusdev.Role, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := k.Bind(name, role); err != nil {
			t.Fatal(err)
		}
	}
}

// renamedPair is a pair of which b calls $.Site7.Plant what is $.Plant at a.
func renamedPair(t *testing.T, classic bool) (a, b *running) {
	t.Helper()
	at := unix(filepath.Join(t.TempDir(), "link"))
	own := renamed(t, "$.Plant=$.Site7.Plant")
	accept, dial := daemon.Accept(at), daemon.Dial(at)
	accept.Classic, dial.Classic, accept.Limpet = classic, classic, &own
	a = start(t, daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{accept}})
	b = start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{dial}})
	a.wait(limpet.Up)
	b.wait(limpet.Up)
	links, err := a.bus.LinkStatus(t.Context(), "", 0)
	if err != nil || len(links) != 1 || !slices.Equal(links[0].GetRenames(), []string{"$.Plant=$.Site7.Plant"}) {
		t.Errorf("the status of the link is %v, %v", links, err)
	}
	return a, b
}

// Names differ at the two ends of a link, of either protocol: what is said at one is heard at
// the other by its name there, and an answer comes back by the name of the question.
func TestNamesDifferAtTheEnds(t *testing.T) {
	for _, protocol := range []string{"grpc", "classic"} {
		t.Run(protocol, func(t *testing.T) {
			a, b := renamedPair(t, protocol == "classic")
			ctx := t.Context()
			atA, atB := ksock(t, a), ksock(t, b)
			bindAll(t, atA, kbusdev.Replier, "$.Plant.Pump", "$.Plant.All.*", "$.Same")
			bindAll(t, atB, kbusdev.Replier, "$.Site7.Plant.Valve", "$.Site7.Any.*")
			for _, name := range []string{"$.Site7.Plant.Pump", "$.Site7.Plant.All.X", "$.Same"} {
				b.waitBound(name)
			}
			for _, name := range []string{"$.Plant.Valve", "$.Site7.Any.X"} {
				a.waitBound(name)
			}
			if _, ok := b.find(t, "$.Plant.Pump"); ok {
				t.Error("a replier is known by the name that it has not")
			}
			for _, q := range []struct {
				from    *running
				at      kbusdev.Ksock
				name    string
				arrives string
			}{
				{b, atA, "$.Site7.Plant.Pump", "$.Plant.Pump"},
				{b, atA, "$.Site7.Plant.All.A.B", "$.Plant.All.A.B"},
				{b, atA, "$.Same", "$.Same"},
				{a, atB, "$.Plant.Valve", "$.Site7.Plant.Valve"},
				{a, atB, "$.Site7.Any.X", "$.Site7.Any.X"},
			} {
				answer := ask(t, q.from, q.at, q.name, q.arrives, nil)
				if answer.Name != q.name || string(answer.Data) != "answer" {
					t.Errorf("the answer to %s is called %s, and says %q", q.name, answer.Name, answer.Data)
				}
				if strings.HasSuffix(q.name, "Pump") { // who has answered is asked again
					ask(t, q.from, q.at, q.name, q.arrives, answer)
				}
			}

			hearsA, hearsB := ksock(t, a), ksock(t, b)
			bindAll(t, hearsA, kbusdev.Listener, "$.Plant.%", "$.Far.*")
			bindAll(t, hearsB, kbusdev.Listener, "$.Site7.Plant.*", "$.Plant.*")
			await(t, "each wants what the other says", func() bool {
				return protocol == "classic" || a.Node().Peerings()[0].Wants("$.Plant.News") && b.Node().Peerings()[0].Wants("$.Site7.Plant.News") && b.Node().Peerings()[0].Wants("$.Far.News")
			})
			for _, s := range []struct {
				from    *running
				at      kbusdev.Ksock
				name    string
				arrives string
			}{{a, hearsB, "$.Plant.News", "$.Site7.Plant.News"}, {b, hearsA, "$.Site7.Plant.News", "$.Plant.News"}, {b, hearsA, "$.Far.News", "$.Far.News"}} {
				if _, err := s.from.bus.Send(ctx, &kbusdev.Message{Name: s.name}); err != nil {
					t.Fatal(err)
				}
				m := next(t, s.at)
				if m.Name != s.arrives {
					t.Errorf("%s is heard as %s", s.name, m.Name)
				}
				if m.OrigFrom.IsZero() { // it was heard where it was said
					if m = next(t, s.at); m.Name != s.arrives {
						t.Errorf("%s is heard as %s", s.name, m.Name)
					}
				}
			}

			// What would be taken for something else does not cross.
			bindAll(t, ksock(t, a), kbusdev.Listener, "$.*")
			await(t, "everything is wanted", func() bool {
				return protocol == "classic" || b.Node().Peerings()[0].Wants("$.Plant.Other")
			})
			if _, err := b.bus.Send(ctx, &kbusdev.Message{Name: "$.Plant.Other"}); err != nil {
				t.Fatal(err)
			}
			await(t, "it is counted", func() bool {
				c := a.Node().Peerings()[0].Status().Counts
				return c.FromPeerEnded["not_renamed"] == 1 && c.FromPeerInFlight == 0
			})
		})
	}
}

// A wildcard above a prefix brings requests for names that do not exist at the other end:
// they are answered.
func TestRequestsWithoutANameAreAnswered(t *testing.T) {
	a, b := renamedPair(t, false)
	whole := ksock(t, a)
	bindAll(t, whole, kbusdev.Replier, "$.*")
	b.waitBound("$.Site7.Plant.X")
	_, err := b.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Plant.X"})
	if wantErrno(t, "a name that a calls otherwise", err, syscall.EADDRNOTAVAIL); !errors.Is(err, client.ErrNeverRan) {
		t.Errorf("it may have run: %v", err)
	}
	c := a.Node().Peerings()[0].Status().Counts
	if c.FromPeerEnded["not_renamed"] != 1 || c.FromPeerInFlight != 0 {
		t.Errorf("%v", c.FromPeerEnded)
	}

	must(t, whole.Close())                                // or it would be asked until a knows of b's
	bindAll(t, ksock(t, b), kbusdev.Replier, "$.Site7.*") // which covers what a calls $.Plant
	for _, name := range []string{"$.Plant.X", "$.Site7.X"} {
		a.waitBound(name)
	}
	for name, want := range map[string]syscall.Errno{
		"$.Site7.Plant.X": syscall.EADDRNOTAVAIL,
		"$.Plant." + strings.Repeat("a", kbusdev.MaxNameLen-len("$.Plant.")): syscall.ENAMETOOLONG,
	} {
		_, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: name})
		wantErrno(t, name[:10], err, want)
	}
	await(t, "both are counted", func() bool {
		c := a.Node().Peerings()[0].Status().Counts
		return c.FromBusEnded["not_renamed"] == 2 && c.Open == 0
	})
}

// Rules speak of names as they are here, on either side of a rename.
func TestRulesSpeakOfNamesHere(t *testing.T) {
	at := unix(filepath.Join(t.TempDir(), "link"))
	own := renamed(t, "$.Plant=$.Site7.Plant")
	accept := daemon.Accept(at)
	accept.Limpet = &own
	var programs whoever
	programs.is("uid:4001")
	a := start(t, daemon.Config{NetworkID: 1, IdentityOf: programs.of, Links: []daemon.LinkConfig{accept}, Rules: []rules.Rule{
		allow("any", "", "join"), allow("network:2", "$.Plant.Pump", "request"), allow("network:2", "$.Plant.News", "listen"), allow("uid:4001", "", "all"),
	}})
	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}})
	a.wait(limpet.Up)
	b.wait(limpet.Up)
	atA := ksock(t, a)
	bindAll(t, atA, kbusdev.Replier, "$.Plant.Secret", "$.Plant.Pump")
	b.waitBound("$.Site7.Plant.Pump")
	if _, ok := b.find(t, "$.Site7.Plant.Secret"); ok {
		t.Error("what may not be asked for is known")
	}
	ask(t, b, atA, "$.Site7.Plant.Pump", "$.Plant.Pump", nil)
	hears := ksock(t, b)
	bindAll(t, hears, kbusdev.Listener, "$.*")
	await(t, "it is wanted", func() bool { return a.Node().Peerings()[0].Wants("$.Plant.News") })
	for _, name := range []string{"$.Plant.Other", "$.Plant.News"} {
		if _, err := a.bus.Send(t.Context(), &kbusdev.Message{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if m := next(t, hears); m.Name != "$.Site7.Plant.News" {
		t.Errorf("the first that is heard is %s", m.Name)
	}
}

// ask has one daemon ask for a name, and the replier at the other answer; last, unless nil, is
// an answer whose sender is meant.
func ask(t *testing.T, from *running, replier kbusdev.Ksock, name, arrives string, last *kbusdev.Message) *kbusdev.Message {
	t.Helper()
	asker := ksock(t, from)
	q := &kbusdev.Message{Name: name, Flags: kbusdev.WantReply}
	if last != nil {
		q.To, q.FinalTo = last.From, last.OrigFrom
	}
	if _, err := asker.Send(t.Context(), q); err != nil {
		t.Fatalf("asking %s: %v", name, err)
	}
	m := next(t, replier)
	if m.Name != arrives {
		t.Errorf("%s is asked for as %s", name, m.Name)
	}
	if _, err := replier.Send(t.Context(), &kbusdev.Message{Name: m.Name, To: m.From, InReplyTo: m.ID, Data: []byte("answer")}); err != nil {
		t.Fatal(err)
	}
	return next(t, asker)
}

func next(t *testing.T, k kbusdev.Ksock) *kbusdev.Message {
	t.Helper()
	m, err := k.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// find returns who replies to a name.
func (r *running) find(t *testing.T, name string) (kbusdev.KsockID, bool) {
	t.Helper()
	k, _, ok, err := r.bus.FindReplier(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k, ok
}

// waitBound waits until somebody replies to messages of a name.
func (r *running) waitBound(name string) {
	r.t.Helper()
	await(r.t, name+" has a replier", func() bool {
		all, err := r.Node().Bus().Bindings()
		return err == nil && slices.ContainsFunc(all, func(b kbusdev.Binding) bool { return b.Role == kbusdev.Replier && kbusdev.Matches(b.Name, name) })
	})
}
