package limpet_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/recent"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// reached are the networks that are reached over other links.
type reached []uint32

func (r reached) Changes() uint64               { return 0 }
func (r reached) Elsewhere(network uint32) bool { return slices.Contains(r, network) }

// policy returns what a few rules amount to for anybody.
func policy(t testing.TB, all ...rules.Rule) *rules.Policy {
	t.Helper()
	s, err := rules.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return s.For(rules.Identity{}, 0)
}

func allow(names string, actions ...string) rules.Rule {
	return rules.Rule{Allow: actions, Names: []string{names}}
}

var everybodyJoins = rules.Rule{Allow: []string{"join"}}

// peerOf returns an attached epoch of our network 1 with a peer, and a Ksock with the
// number of the peer's network.
func peerOf(t *testing.T, now time.Time, network uint32, change func(*limpet.EpochConfig)) *limpet.Epoch {
	t.Helper()
	cfg := limpet.EpochConfig{
		Config:    limpet.Config{Pattern: "$.*", MaxMessages: 1000, Grace: 30 * time.Second, RequestHold: 5 * time.Second, StallTimeout: 5 * time.Second, WaitTimeout: time.Second},
		NetworkID: 1, PeerNetworkID: network, Ksock: kbusdev.KsockID(network),
		Session: link.SessionConfig{WindowMessages: 1000, WindowBytes: 1 << 20},
		IDs:     recent.New(now), Totals: new(limpet.Totals), Interest: true,
	}
	if change != nil {
		change(&cfg)
	}
	e := limpet.NewEpoch(cfg, now)
	if err := e.Attach(now, 1); err != nil {
		t.Fatal(err)
	}
	return e
}

// announcements returns numbered ones from a network, as it sends them.
func announcements(network uint32, name string, n int) []kbusdev.Message {
	all := make([]kbusdev.Message, n)
	for i := range all {
		all[i] = kbusdev.Message{ID: kbusdev.MsgID{Network: network, Serial: uint32(i + 1)}, Name: name, From: 4, OrigFrom: kbusdev.Address{Network: network, Local: 4}}
	}
	return all
}

// give gives an epoch messages of its peer's, and returns what it has done with them.
func give(t *testing.T, e *limpet.Epoch, now time.Time, all ...kbusdev.Message) []translate.Effect {
	t.Helper()
	var done []translate.Effect
	_, next := e.Session()
	for len(all) > 0 {
		n := min(len(all), 200)
		if err := e.TakeFrame(now, &link.Batch{First: next, Messages: all[:n]}); err != nil {
			t.Fatal(err)
		}
		all, next = all[n:], next+uint64(n)
	}
	return append(done, carryOut(e, now, allGoesWell)...)
}

// sent returns the messages that an epoch has for its peer, and acknowledges them.
func sent(t *testing.T, e *limpet.Epoch, now time.Time) (all []kbusdev.Message) {
	t.Helper()
	for {
		f, _, _ := e.NextFrame(now)
		if f == nil {
			return all
		}
		if b, ok := f.(*link.Batch); ok {
			b = b.Clone()
			all = append(all, b.Messages...)
			if err := e.TakeFrame(now, &link.Ack{Sequence: b.First + uint64(len(b.Messages)) - 1}); err != nil {
				t.Fatal(err)
			}
		}
		e.Flushed(now)
	}
}

// A peer that sends messages with another network's ids must not have that network's own
// messages taken for copies of them, whatever rules there are.
func TestAPeerThatClaimsTheIDsOfAnotherNetwork(t *testing.T) {
	now := time.Unix(1000, 0)
	ids := recent.New(now)
	share := func(elsewhere reached) func(*limpet.EpochConfig) {
		return func(cfg *limpet.EpochConfig) { cfg.IDs, cfg.Origins = ids, elsewhere }
	}
	forger, honest := peerOf(t, now, 2, share(reached{3})), peerOf(t, now, 3, share(reached{2}))
	if done := give(t, forger, now, announcements(3, "$.Forged", 100)...); len(done) != 0 {
		t.Errorf("%d forged messages come onto the bus", len(done))
	}
	if done := give(t, honest, now, announcements(3, "$.News", 100)...); len(done) != 100 {
		t.Errorf("of 100 messages of the network itself %d come onto the bus: %v", len(done), honest.Counts().FromPeerEnded)
	}
	if c := forger.Counts(); c.FromPeerEnded["foreign_origin"] != 100 || c.FromPeerInFlight != 0 {
		t.Errorf("counts: %+v", c)
	}
	// Its own origin, but an id of another network; and the other way round.
	one := announcements(3, "$.Forged", 1)
	one[0].OrigFrom.Network = 2
	other := announcements(2, "$.Forged", 1)
	other[0].OrigFrom.Network = 3
	our := announcements(2, "$.Forged", 1)
	our[0].OrigFrom.Network = 1
	if done := give(t, forger, now, one[0], other[0], our[0]); len(done) != 0 {
		t.Errorf("%+v", done)
	}
	// Of a network that nothing is known of nobody can say that it is not behind the peer.
	if done := give(t, forger, now, announcements(77, "$.News", 1)...); len(done) != 1 {
		t.Error("a message from a network that has not been told of yet is dropped")
	}
}

// With rules a peer speaks for the networks that it may have, and for no other.
func TestAPeerThatMayNotHaveANetworkDoesNotSpeakForIt(t *testing.T) {
	now := time.Unix(1000, 0)
	e := peerOf(t, now, 2, func(cfg *limpet.EpochConfig) {
		cfg.Rules = policy(t, rules.Rule{Allow: []string{"join"}, Networks: []string{"2", "10-19"}}, allow("$.*", "announce"))
	})
	for network, want := range map[uint32]int{2: 1, 10: 1, 19: 1, 20: 0, 3: 0} {
		if done := give(t, e, now, announcements(network, "$.News", 1)...); len(done) != want {
			t.Errorf("network %d: %d messages come onto the bus", network, len(done))
		}
	}
}

// A reply counts if it comes from the peer that was asked, and once.
func TestAForgedReply(t *testing.T) {
	now := time.Unix(1000, 0)
	asked, forger := peerOf(t, now, 2, nil), peerOf(t, now, 3, nil)
	asked.FromBus(now, []*kbusdev.Message{request(1)})
	reply := kbusdev.Message{ID: kbusdev.MsgID{Network: 2, Serial: 1}, InReplyTo: kbusdev.MsgID{Network: 1, Serial: 1}, Name: "$.Ask", OrigFrom: kbusdev.Address{Network: 2, Local: 4}}
	if done := give(t, forger, now, reply, reply); len(done) != 0 || forger.Counts().FromPeerEnded["unknown_reply"] != 2 {
		t.Errorf("a peer that was not asked replies: %+v", done)
	}
	if done := give(t, asked, now, reply); len(done) != 1 || done[0].Msg.To != 5 {
		t.Errorf("the reply becomes %+v", done)
	}
	if done := give(t, asked, now, reply); len(done) != 0 || asked.Counts().FromPeerEnded["unknown_reply"] != 1 {
		t.Errorf("the second reply becomes %+v", done)
	}
	if c := asked.Counts(); c.Requests != 1 || c.Replies != 1 || c.Open != 0 {
		t.Errorf("counts: %+v", c)
	}
}

// However many messages in a row are dropped, those after them are looked at.
func TestManyThatAreDroppedInARow(t *testing.T) {
	now := time.Unix(1000, 0)
	e := peerOf(t, now, 2, func(cfg *limpet.EpochConfig) { cfg.Rules = policy(t, everybodyJoins, allow("$.Good", "announce")) })
	all := append(announcements(2, "$.Bad", 150), announcements(2, "$.Good", 1)...)
	if done := give(t, e, now, all...); len(done) != 1 || done[0].Msg.Name != "$.Good" {
		t.Errorf("what is done is %+v", done)
	}
	if c := e.Counts(); c.FromPeerEnded["denied"] != 150 || c.FromPeerInFlight != 0 {
		t.Errorf("counts: %+v", c)
	}
}

func TestWhatAPeerMayNotSend(t *testing.T) {
	now := time.Unix(1000, 0)
	e := peerOf(t, now, 2, func(cfg *limpet.EpochConfig) {
		cfg.Rules = policy(t, everybodyJoins, allow("$.Ask.*", "request"), allow("$.News.*", "announce"))
	})
	ask := func(serial uint32, name string, f kbusdev.Flags) kbusdev.Message {
		m := announcements(2, name, 1)[0]
		m.ID.Serial, m.Flags = serial, kbusdev.WantReply|f
		return m
	}
	done := give(t, e, now,
		ask(1, "$.News.A", kbusdev.WantYouToReply), // may be announced, not asked
		ask(2, "$.Ask.A", kbusdev.WantYouToReply),
		ask(3, "$.News.B", 0), // copies for listeners are announcements
		ask(4, "$.Ask.B", 0),
	)
	var names []string
	for _, fx := range done {
		names = append(names, fx.Msg.Name)
	}
	if !slices.Equal(names, []string{"$.Ask.A", "$.News.B"}) {
		t.Errorf("%q come onto the bus", names)
	}
	answers := sent(t, e, now)
	if len(answers) != 1 || answers[0].Name != kbusdev.NameRemoteErrorPrefix+"EADDRNOTAVAIL" || answers[0].InReplyTo != (kbusdev.MsgID{Network: 2, Serial: 1}) {
		t.Errorf("the peer is answered %v", answers)
	}
	if c := e.Counts(); c.FromPeerEnded["denied"] != 2 || c.Asked != 1 {
		t.Errorf("counts: %+v", c)
	}
}

func bindOf(bound bool, binder kbusdev.KsockID, name string) kbusdev.Message {
	return kbusdev.Message{
		Name: kbusdev.NameReplierBindEvent, Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
		Event: &kbusdev.BindEvent{Bound: bound, Binder: binder, Name: name},
	}
}

// A peer's bindings, ours that it knows, and what it hears follow the rules, and the
// change of them.
func TestWhatAPeerMayBindKnowAndHear(t *testing.T) {
	now := time.Unix(1000, 0)
	e := peerOf(t, now, 2, func(cfg *limpet.EpochConfig) {
		cfg.Rules = policy(t, everybodyJoins, allow("$.Theirs.*", "reply"), allow("$.Ours.*", "request"), allow("$.News.Rain", "listen"))
	})
	fromBus := func(all ...kbusdev.Message) {
		for i := range all {
			e.FromBus(now, []*kbusdev.Message{&all[i]})
		}
	}
	binds := func(done []translate.Effect) (all []string) {
		for _, fx := range done {
			all = append(all, fx.Kind.String()+" "+fx.Name)
		}
		return all
	}
	events := func(all []kbusdev.Message) (told []string) {
		for _, m := range all {
			if m.Event != nil {
				told = append(told, map[bool]string{true: "bound ", false: "unbound "}[m.Event.Bound]+m.Event.Name)
			}
		}
		return told
	}
	check := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("bound for the peer", binds(give(t, e, now, bindOf(true, 4, "$.Theirs.A"), bindOf(true, 4, "$.Mine.A"), bindOf(true, 4, "$.*"))), "bind $.Theirs.A")
	fromBus(bindOf(true, 6, "$.Ours.A"), bindOf(true, 6, "$.Secret"), bindOf(true, 6, "$.*"), bindOf(false, 6, "$.Secret"), bindOf(true, 6, "$.Secret"))
	check("told", events(sent(t, e, now)), "bound $.Ours.A", "bound $.*")

	interest := &link.Interest{Restart: true, Wanted: []string{"$.*", "$.News.*", "$.Secret"}, Whole: true}
	if err := e.TakeFrame(now, interest); err != nil {
		t.Fatal(err)
	}
	check("wanted", interest.Wanted, "$.News.Rain")
	fromBus(kbusdev.Message{ID: kbusdev.MsgID{Serial: 1}, Name: "$.News.Rain", From: 5}, kbusdev.Message{ID: kbusdev.MsgID{Serial: 2}, Name: "$.Secret", From: 5})
	if heard := sent(t, e, now); len(heard) != 1 || heard[0].Name != "$.News.Rain" {
		t.Errorf("the peer hears %v", heard)
	}
	interest = &link.Interest{Unwanted: []string{"$.*", "$.News.Unknown"}}
	if err := e.TakeFrame(now, interest); err != nil {
		t.Fatal(err)
	}
	check("unwanted, but by another name", interest.Unwanted)
	if c := e.Counts(); c.FromPeerEnded["denied"] != 2 || c.FromBusEnded["withheld"] != 4 || c.Wishes != 0 {
		t.Errorf("counts: %+v", c)
	}

	changed := e.SetRules(policy(t, everybodyJoins, allow("$.Mine.*", "reply"), allow("$.Secret", "request"), allow("$.News.%", "listen")))
	check("bound by the new rules", binds(carryOut(e, now, allGoesWell)), "bind $.Mine.A", "unbind $.Theirs.A")
	check("wanted by the new rules", changed.Wanted, "$.News.%")
	check("unwanted by the new rules", changed.Unwanted, "$.News.Rain")
	if !e.WantsSnapshot() {
		t.Fatal("the bus is not asked what is bound")
	}
	e.SnapshotAsked(3)
	fromBus(bindOf(true, 6, "$.Ours.A"), bindOf(true, 6, "$.Secret"), bindOf(true, 6, "$.*"))
	check("told by the new rules", events(sent(t, e, now)), "unbound $.Ours.A", "bound $.Secret")

	changed = e.SetRules(nil)
	check("wanted without rules", changed.Wanted, "$.News.*", "$.Secret")
	check("unwanted without rules", changed.Unwanted, "$.News.%")
	check("bound without rules", binds(carryOut(e, now, allGoesWell)), "bind $.*", "bind $.Theirs.A")
	changed = e.SetRules(policy(t, everybodyJoins))
	check("unwanted with rules again", changed.Unwanted, "$.News.*", "$.Secret")
	check("bound with rules again", binds(carryOut(e, now, allGoesWell)), "unbind $.*", "unbind $.Mine.A", "unbind $.Theirs.A")
}

// What the peer may no longer bind while it is being bound is unbound after that.
func TestRulesThatChangeWhileABindIsUnderWay(t *testing.T) {
	now := time.Unix(1000, 0)
	e := peerOf(t, now, 2, nil)
	if err := e.TakeFrame(now, &link.Batch{First: 1, Messages: []kbusdev.Message{bindOf(true, 4, "$.A"), bindOf(true, 4, "$.Held")}}); err != nil {
		t.Fatal(err)
	}
	dos := e.Dos(now, nil)
	e.SetRules(policy(t, everybodyJoins))
	dos[1].Errno = syscall.EADDRINUSE
	e.Outcomes(now, dos)
	if done := carryOut(e, now, allGoesWell); len(done) != 1 || done[0].Kind != translate.Unbind || done[0].Name != "$.A" {
		t.Errorf("%+v", done)
	}
	if done := carryOut(e, now.Add(time.Minute), allGoesWell); len(done) != 0 {
		t.Errorf("what the peer may not bind is tried again: %+v", done)
	}
}
