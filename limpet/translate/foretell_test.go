package translate_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// someRights let a peer do what has to do with $.A.
type someRights struct{}

func (someRights) Announces(name string) bool      { return kbusdev.Matches("$.A.*", name) }
func (someRights) Hears(name string) bool          { return kbusdev.Matches("$.A.*", name) }
func (someRights) Requests(name string) bool       { return kbusdev.Matches("$.A.*", name) }
func (someRights) RequestsAny(binding string) bool { return kbusdev.Overlap("$.A.*", binding) }
func (someRights) Replies(binding string) bool     { return kbusdev.Covers("$.A.*", binding) }

// What is foretold of a message is what happens when it comes, whatever has come before, and
// to foretell it changes nothing.
func TestForetoldIsWhatHappens(t *testing.T) {
	kinds := make(map[translate.Kind]int)
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		const us, them, own = 1, 2, 3
		pick := func(n ...uint32) uint32 { return n[rnd.IntN(len(n))] }
		cfg := translate.Config{NetworkID: us, PeerNetworkID: them, Ksock: own, MaxOpen: 5, MaxAsked: 5, Classic: rnd.IntN(3) == 0, LosesUnread: rnd.IntN(2) == 0}
		if rnd.IntN(2) == 0 {
			cfg.Rights = someRights{}
		}
		if rnd.IntN(4) == 0 {
			cfg.Termination = "$.A.B"
		}
		m := translate.New(cfg)
		now := time.Unix(1e9, 0)
		for range 60 {
			now = now.Add(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			m.Tick(nil, now)
			names := []string{"$.A.B", "$.A.C", "$.B", "$.KBUS.ReplierBindEvent", "$.KBUS.UnbindEventsLost", "nonsense"}
			q := &kbusdev.Message{
				ID: kbusdev.MsgID{Network: pick(0, us, them, 5), Serial: pick(1, 2, 3, 4, 5, 6, 7, 8)}, From: kbusdev.KsockID(pick(own, 7, 8)), Name: names[rnd.IntN(len(names))],
			}
			if rnd.IntN(3) > 0 {
				q.Flags = kbusdev.WantReply
				if rnd.IntN(3) > 0 {
					q.Flags |= kbusdev.WantYouToReply
				}
				if rnd.IntN(3) == 0 {
					q.To, q.FinalTo = kbusdev.KsockID(pick(own, 7)), kbusdev.Address{Network: pick(0, us, 5), Local: kbusdev.KsockID(pick(7, 8))}
				}
			}
			if rnd.IntN(5) == 0 {
				q.Expires = now.Add(time.Duration(rnd.IntN(2)-1) * time.Second)
			}
			before := m.Stats()
			if rnd.IntN(2) == 0 {
				foretold := m.ForetellFromBus(q)
				if m.Stats() != before {
					t.Fatalf("seed %d: to foretell %v changes what is counted", seed, q)
				}
				if !q.WantsUsToReply() && foretold.Reason == translate.ForgedBindEvent {
					q.From = 7 // else it is from a bus
				}
				fx := m.FromBus(nil, q)
				if diff := cmp.Diff(foretold, fx[0]); diff != "" {
					t.Fatalf("seed %d: of %v from the bus (foretold, happened): %s", seed, q, diff)
				}
				kinds[fx[0].Kind]++
				continue
			}
			facts := translate.Facts{Denied: !m.Admits(q), Foreign: rnd.IntN(6) == 0, BroughtBefore: rnd.IntN(6) == 0, Replier: kbusdev.KsockID(pick(0, 7, 8))}
			if rnd.IntN(6) == 0 {
				facts.Nameless = syscall.EADDRNOTAVAIL
			}
			foretold := m.ForetellFromPeer(q, facts)
			if m.Stats() != before {
				t.Fatalf("seed %d: to foretell %v changes what is counted", seed, q)
			}
			fx := m.FromPeer(nil, q, facts)
			if diff := cmp.Diff(foretold, fx[0]); diff != "" {
				t.Fatalf("seed %d: of %v from the peer (foretold, happened): %s", seed, q, diff)
			}
			kinds[fx[0].Kind]++
			if fx[0].Kind == translate.Send {
				refused := m.ForetellRefusal(&fx[0], syscall.EBUSY)
				if after := m.SendFailed(nil, &fx[0], syscall.EBUSY); !cmp.Equal(refused, after[0]) {
					t.Fatalf("seed %d: %v is refused (foretold, happened): %s", seed, q, cmp.Diff(refused, after[0]))
				}
			}
		}
	}
	for _, k := range []translate.Kind{translate.Drop, translate.Forward, translate.Bounce, translate.Send, translate.Stop} {
		if kinds[k] == 0 {
			t.Errorf("no message is to %v", k)
		}
	}
}

// Of what a peer has bound and is not bound here, the most specific name is told.
func TestUnbound(t *testing.T) {
	m := translate.New(translate.Config{NetworkID: 1, PeerNetworkID: 2, Ksock: 3, Rights: someRights{}})
	bind := func(name string) {
		for _, fx := range m.FromPeer(nil, bindEvent(true, 9, name), translate.Facts{}) {
			if fx.Kind == translate.Bind {
				m.BindDone(nil, fx.Name, syscall.EADDRINUSE) // a replier of our own has it
			}
		}
	}
	for _, name := range []string{"$.*", "$.A.%", "$.B.C", "$.B.%"} {
		bind(name)
	}
	for name, want := range map[string]translate.Claim{
		"$.B.C":   {Name: "$.B.C", Denied: true},
		"$.B.D":   {Name: "$.B.%", Denied: true},
		"$.A.B":   {Name: "$.A.%"},
		"$.A.B.C": {Name: "$.*", Denied: true},
		"$.X":     {Name: "$.*", Denied: true},
	} {
		if got, ok := m.Unbound(name); !ok || got != want {
			t.Errorf("of %s: %+v, want %+v", name, got, want)
		}
	}
	if got, ok := translate.New(translate.Config{NetworkID: 1, PeerNetworkID: 2, Ksock: 3}).Unbound("$.A.B"); ok {
		t.Errorf("of nothing: %+v", got)
	}
}
