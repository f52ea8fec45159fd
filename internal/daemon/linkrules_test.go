package daemon_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A link's own rules come before those for everybody, hold for it alone, and are changed by a
// reload without beginning it anew.
func TestRulesOfLinks(t *testing.T) {
	dir := t.TempDir()
	one, two := unix(filepath.Join(dir, "one")), unix(filepath.Join(dir, "two"))
	var programs whoever
	programs.is("uid:4001")
	w := new(written)
	narrow := daemon.Accept(one)
	narrow.Rules = []rules.Rule{{Deny: []string{"request"}, Names: []string{"$.Secret"}}}
	cfg := daemon.Config{NetworkID: 1, IdentityOf: programs.of, Links: []daemon.LinkConfig{narrow, daemon.Accept(two)}, Rules: []rules.Rule{
		allow("any", "", "join"), allow("any", "", "announce", "listen", "request", "reply"), allow("uid:4001", "", "all"),
	}, Load: w.load}
	a := start(t, cfg)
	cfg.Bus, cfg.API = daemon.Embedded, &sockaddr.Address{Network: "unix", Address: a.api}
	w.cfg = cfg
	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(one)}})
	c := start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{daemon.Dial(two)}})
	b.wait(limpet.Up)
	c.wait(limpet.Up)
	bindAll(t, ksock(t, a), kbusdev.Replier, "$.Secret", "$.Other")
	b.waitBound("$.Other")
	c.waitBound("$.Secret")
	if _, ok := b.find(t, "$.Secret"); ok {
		t.Error("the link's own rule does not count")
	}
	said := func(link string) string {
		r, err := a.bus.ExplainLinkRules(t.Context(), link, "network:2", "$.Secret")
		if err != nil {
			t.Fatal(err)
		}
		v := r.GetVerdicts()[2] // request
		if v.GetOfLink() {
			return "its own " + v.GetText()
		}
		return v.GetText()
	}
	if got := said("listen " + one.Address); got != "its own deny: [request], who: [any], names: [$.Secret]" {
		t.Errorf("over the link %s", got)
	}
	if got := said("listen " + two.Address); !strings.HasPrefix(got, "allow: [announce") {
		t.Errorf("over the other link %s", got)
	}
	if _, err := a.bus.ExplainLinkRules(t.Context(), "nowhere", "network:2", "$.Secret"); err == nil || !strings.Contains(err.Error(), "no link") {
		t.Error(err)
	}

	before := a.epochs()
	narrow.Rules = []rules.Rule{{Deny: []string{"request"}, Names: []string{"$.Other"}}}
	w.write(func(c *daemon.Config) { c.Links = []daemon.LinkConfig{narrow, daemon.Accept(two)} })
	changes, err := a.Reload(t.Context(), false)
	if err != nil || !strings.HasPrefix(lines(changes), "change rules of listen "+one.Address+": 1 (") {
		t.Errorf("%s, %v", lines(changes), err)
	}
	b.waitBound("$.Secret")
	await(t, "what is denied now is gone", func() bool { _, ok := b.find(t, "$.Other"); return !ok })
	if now := a.epochs(); now != before {
		t.Errorf("links have begun anew: %d epochs, then %d", before, now)
	}

	narrow.Rules = []rules.Rule{{Deny: []string{"join"}}}
	w.write(func(c *daemon.Config) { c.Links = []daemon.LinkConfig{narrow, daemon.Accept(two)} })
	if _, err := a.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	await(t, "who may not join any more is told why", func() bool {
		st := b.Node().Peerings()[0].Status()
		return st.State == limpet.Connecting && st.LastErr != nil && strings.Contains(st.LastErr.Error(), "rule 1 of the link denies it")
	})
	c.wait(limpet.Up)
}

// epochs returns how many epochs all links have had.
func (r *running) epochs() (n uint64) {
	for _, p := range r.Node().Peerings() {
		n += p.Status().Epochs
	}
	return n
}

// Links have certificates of their own beside those of the daemon; a reload changes them for
// one link alone.
func TestTLSOfLinks(t *testing.T) {
	ours, theirs := newFolder(t, "server", "client"), newFolder(t, "server", "client")
	own := daemon.Accept(anyPort)
	own.TLS = theirs.tls("server")
	w := new(written)
	cfg := daemon.Config{NetworkID: 1, TLS: ours.tls("server"), Links: []daemon.LinkConfig{own}, Load: w.load}
	server := start(t, cfg)
	cfg.Bus, cfg.API = daemon.Embedded, &sockaddr.Address{Network: "unix", Address: server.api}
	w.cfg = cfg
	to := daemon.Dial(addrOf(server))
	to.TLSName = "server"
	stranger := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{to}, TLS: ours.tls("client")})
	to.TLS = theirs.tls("client")
	friend := start(t, daemon.Config{NetworkID: 3, Links: []daemon.LinkConfig{to}, TLS: ours.tls("client")})
	friend.wait(limpet.Up)
	if st := server.wait(limpet.Up).Status(); st.Transport != "tls" || st.Peer.NetworkID != 3 {
		t.Errorf("linked with %+v", st.Peer)
	}
	await(t, "who has the daemon's certificate is refused", func() bool {
		p := stranger.Node().Peerings()
		return len(p) == 1 && p[0].Status().LastErr != nil && p[0].Status().State == limpet.Connecting
	})
	stranger.stop()
	<-stranger.done
	own.TLS = nil
	w.write(func(c *daemon.Config) { c.Links = []daemon.LinkConfig{own} })
	changes, err := server.Reload(t.Context(), false)
	if err != nil || !strings.HasPrefix(lines(changes), "change listen "+anyPort.Address+": tls-cert ") {
		t.Errorf("%s, %v", lines(changes), err)
	}
	to.TLS = nil
	stranger = start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{to}, TLS: ours.tls("client")})
	stranger.wait(limpet.Up)
	await(t, "the old certificate is good no more", func() bool {
		st := friend.Node().Peerings()[0].Status()
		return st.State == limpet.Connecting && st.LastErr != nil
	})
}
