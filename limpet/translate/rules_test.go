package translate_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// In these tests our network is 1, theirs 2, and our own Ksock is 9.
const (
	us, them = 1, 2
	own      = 9
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func machine(change ...func(*translate.Config)) *translate.Machine {
	cfg := translate.Config{NetworkID: us, PeerNetworkID: them, Ksock: own}
	for _, f := range change {
		f(&cfg)
	}
	m := translate.New(cfg)
	m.Tick(epoch)
	return m
}

func msg(name string, change ...func(*kbusdev.Message)) *kbusdev.Message {
	m := &kbusdev.Message{Name: name, ID: kbusdev.MsgID{Serial: 7}, From: 3}
	for _, f := range change {
		f(m)
	}
	return m
}

func id(network, serial uint32) func(*kbusdev.Message) {
	return func(m *kbusdev.Message) { m.ID = kbusdev.MsgID{Network: network, Serial: serial} }
}

func inReplyTo(network, serial uint32) func(*kbusdev.Message) {
	return func(m *kbusdev.Message) { m.InReplyTo = kbusdev.MsgID{Network: network, Serial: serial} }
}

func from(k kbusdev.KsockID) func(*kbusdev.Message) { return func(m *kbusdev.Message) { m.From = k } }
func to(k kbusdev.KsockID) func(*kbusdev.Message)   { return func(m *kbusdev.Message) { m.To = k } }

func flags(f kbusdev.Flags) func(*kbusdev.Message) {
	return func(m *kbusdev.Message) { m.Flags = f }
}

// toUs is a request for which we are the replier.
var toUs = flags(kbusdev.WantReply | kbusdev.WantYouToReply)

func bindEvent(bound bool, binder kbusdev.KsockID, name string, change ...func(*kbusdev.Message)) *kbusdev.Message {
	m := msg(kbusdev.NameReplierBindEvent, flags(kbusdev.Synthetic|kbusdev.AllOrFail), from(0))
	m.Event = &kbusdev.BindEvent{Bound: bound, Binder: binder, Name: name}
	for _, f := range change {
		f(m)
	}
	return m
}

// want checks that there is one effect, and what it is.
func want(t *testing.T, fx []translate.Effect, kind translate.Kind, check ...func(*translate.Effect) bool) translate.Effect {
	t.Helper()
	if len(fx) != 1 || fx[0].Kind != kind {
		t.Fatalf("effects are %+v, want one %v", fx, kind)
	}
	for i, c := range check {
		if !c(&fx[0]) {
			t.Fatalf("effect is %+v: check %d fails", fx[0], i)
		}
	}
	return fx[0]
}

func because(r translate.Reason) func(*translate.Effect) bool {
	return func(f *translate.Effect) bool { return f.Reason == r }
}

// answers checks a reply with this name to this request.
func answers(name string, request kbusdev.MsgID, asker kbusdev.KsockID) func(*translate.Effect) bool {
	return func(f *translate.Effect) bool {
		return cmp.Equal(f.Msg, kbusdev.Message{Name: name, InReplyTo: request, To: asker})
	}
}

func TestTerminationMessageStops(t *testing.T) {
	m := machine(func(c *translate.Config) { c.Termination = "$.Stop" })
	want(t, m.FromBus(msg("$.Stop")), translate.Stop)
	want(t, machine().FromBus(msg("$.Stop")), translate.Forward)
}

// Ours. Forged bind events make the far limpet bind any name.
func TestForgedBindEventsAreIgnored(t *testing.T) {
	for what, m := range map[string]*kbusdev.Message{
		"not synthetic": bindEvent(true, 3, "$.A", flags(0)),
		"not from 0":    bindEvent(true, 3, "$.A", from(3)),
		"malformed":     bindEvent(true, 3, "$.A", func(m *kbusdev.Message) { m.Event = nil }),
	} {
		t.Run(what, func(t *testing.T) {
			want(t, machine().FromBus(m), translate.Drop)
		})
	}
	want(t, machine().FromBus(bindEvent(true, 3, "$.A")), translate.Forward)
}

func TestOwnProxyBindsDoNotGoBack(t *testing.T) {
	want(t, machine().FromBus(bindEvent(true, own, "$.A")), translate.Drop, because(translate.OwnBindEvent))
}

// Ours. Upstream does not know the event.
func TestUnbindEventsLostMakesASnapshotAndReconciles(t *testing.T) {
	m := machine()
	want(t, m.FromBus(bindEvent(true, 3, "$.Stays")), translate.Forward)
	want(t, m.FromBus(bindEvent(true, 4, "$.Goes")), translate.Forward)
	want(t, m.FromBus(msg(kbusdev.NameUnbindEventsLost, flags(kbusdev.Synthetic), from(0))), translate.Snapshot)
	want(t, m.FromBus(msg(kbusdev.NameUnbindEventsLost)), translate.Drop, because(translate.ForgedBindEvent))
	if fx := m.SnapshotAsked(1); len(fx) != 0 {
		t.Fatalf("effects before the snapshot was read: %+v", fx)
	}
	fx := m.FromBus(bindEvent(true, 3, "$.Stays"))
	if len(fx) != 2 || fx[0].Kind != translate.Forward || fx[1].Kind != translate.Forward {
		t.Fatalf("effects at the end of the snapshot: %+v", fx)
	}
	if e := fx[1].Msg.Event; e == nil || *e != (kbusdev.BindEvent{Binder: 4, Name: "$.Goes"}) {
		t.Errorf("the peer is told %+v", e)
	}
	if m.Replier("$.Goes") != 0 || m.Replier("$.Stays") != 3 {
		t.Errorf("the table has %d and %d", m.Replier("$.Goes"), m.Replier("$.Stays"))
	}
}

// Ours. No request is left without an answer: not one that came round, not one
// whose reply could not be told apart.
func TestRequestsThatCannotBeTakenAreAnswered(t *testing.T) {
	for what, q := range map[string]*kbusdev.Message{
		"from our own Ksock":    msg("$.A", toUs, from(own)),
		"from their network":    msg("$.A", toUs, id(them, 5)),
		"from our network":      msg("$.A", toUs, id(us, 5)),
		"itself a reply":        msg("$.A", toUs, inReplyTo(0, 1), to(own)),
		"named like an event":   msg(kbusdev.NameReplierBindEvent, toUs),
		"named like lost event": msg(kbusdev.NameUnbindEventsLost, toUs),
	} {
		t.Run(what, func(t *testing.T) {
			m := machine()
			fx := want(t, m.FromBus(q), translate.Send, answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
			if s := m.Stats(); s.Requests != 1 || s.Open != 1 {
				t.Errorf("before it is sent: %+v", s)
			}
			m.Sent(&fx)
			if s := m.Stats(); s.Requests != 1 || s.Synthetic != 1 || s.Open != 0 {
				t.Errorf("after it was sent: %+v", s)
			}
		})
	}
	t.Run("id in the ledger", func(t *testing.T) {
		m := machine()
		want(t, m.FromBus(msg("$.A", toUs, id(7, 5))), translate.Forward)
		want(t, m.FromBus(msg("$.A", toUs, id(7, 5), from(4))), translate.Send, answers(kbusdev.NameReplierGoneAway, kbusdev.MsgID{Network: 7, Serial: 5}, 4))
	})
}

// Ours. Wrong answers: upstream forwards listener copies of replies, and the far
// limpet takes them for answers to its own requests.
func TestListenerCopiesOfRepliesAreIgnored(t *testing.T) {
	want(t, machine().FromBus(msg("$.A", inReplyTo(0, 3), to(5))), translate.Drop, because(translate.ReplyOfOthers))
}

func TestRepliesToUsAreForwarded(t *testing.T) {
	want(t, machine().FromBus(msg("$.A", inReplyTo(them, 3), to(own), id(them, 3))), translate.Forward)
}

// Ours. Nothing we asked for a peer has such an id.
func TestRepliesToLocalIdsAreIgnored(t *testing.T) {
	for _, network := range []uint32{0, us} {
		want(t, machine().FromBus(msg("$.A", inReplyTo(network, 3), to(own))), translate.Drop, because(translate.UnknownReply))
	}
}

// Ours. Storms: upstream reads back what it wrote itself and sends it round again.
func TestOwnMessagesAreIgnored(t *testing.T) {
	want(t, machine().FromBus(msg("$.A", from(own), id(3, 1))), translate.Drop, because(translate.OwnMessage))
}

func TestMessagesOfTheirsComingRoundAreIgnored(t *testing.T) {
	want(t, machine().FromBus(msg("$.A", id(them, 1))), translate.Drop, because(translate.PeersMessage))
}

// Ours.
func TestMessagesOfOursComingRoundAreDropped(t *testing.T) {
	want(t, machine().FromBus(msg("$.A", id(us, 1))), translate.Drop, because(translate.CameRound))
	want(t, machine().FromPeer(msg("$.A", id(us, 1)), translate.Facts{}), translate.Drop, because(translate.CameRound))
	q := msg("$.A", id(us, 1), toUs)
	want(t, machine().FromPeer(q, translate.Facts{}), translate.Bounce, because(translate.CameRound), answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
}

// Ours. A loop that does not contain the origin goes round past every check of
// network ids.
func TestMessagesBroughtBeforeAreDropped(t *testing.T) {
	before := translate.Facts{BroughtBefore: true}
	want(t, machine().FromPeer(msg("$.A", id(5, 1)), before), translate.Drop, because(translate.BroughtBefore))
	q := msg("$.A", id(5, 1), toUs)
	want(t, machine().FromPeer(q, before), translate.Bounce, because(translate.BroughtBefore), answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
}

// Ours. Standstill: upstream sends the listener's copy of a request as a
// request, and becomes its own replier for it.
func TestListenerCopiesOfRequestsWantNoReply(t *testing.T) {
	q := msg("$.A", id(them, 4), flags(kbusdev.WantReply|kbusdev.Urgent))
	want(t, machine().FromPeer(q, translate.Facts{}), translate.Send, func(f *translate.Effect) bool { return f.Msg.Flags == kbusdev.Urgent })
	if m := machine(); len(m.FromPeer(q, translate.Facts{})) != 1 || m.Stats().Asked != 0 {
		t.Error("the copy counts as a request of ours")
	}
}

// Ours. The same standstill at the other end: one of upstream's limpets must not be
// sent such a copy as a request.
func TestAnOldPeerGetsNoCopiesOfRequests(t *testing.T) {
	m := machine(func(c *translate.Config) { c.Classic = true })
	has := func(f kbusdev.Flags) func(*translate.Effect) bool {
		return func(e *translate.Effect) bool { return e.Msg.Flags == f }
	}
	want(t, m.FromBus(msg("$.A", flags(kbusdev.WantReply|kbusdev.Urgent))), translate.Forward, has(kbusdev.Urgent))
	want(t, m.FromBus(msg("$.A", id(0, 8), toUs)), translate.Forward, has(kbusdev.WantReply|kbusdev.WantYouToReply))
	want(t, machine().FromBus(msg("$.A", flags(kbusdev.WantReply))), translate.Forward, has(kbusdev.WantReply))
}

func TestForwardedIdsAreMadeGlobal(t *testing.T) {
	want(t, machine().FromBus(msg("$.A")), translate.Forward, func(f *translate.Effect) bool {
		return f.Msg.ID == kbusdev.MsgID{Network: us, Serial: 7} && f.Msg.OrigFrom == kbusdev.Address{Network: us, Local: 3}
	})
}

// ask takes a request from the bus and gives what the peer's reply to it is.
func ask(t *testing.T, m *translate.Machine, serial uint32) (reply *kbusdev.Message) {
	t.Helper()
	q := want(t, m.FromBus(msg("$.A", toUs, id(0, serial))), translate.Forward)
	return msg("$.A", id(them, 50), inReplyTo(q.Msg.ID.Network, q.Msg.ID.Serial), to(3), from(6), flags(kbusdev.WantReply|kbusdev.UserFlags))
}

func TestReplyFindsItsAsker(t *testing.T) {
	m := machine()
	reply := ask(t, m, 7)
	fx := want(t, m.FromPeer(reply, translate.Facts{}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.ID.IsZero() && f.Msg.InReplyTo == kbusdev.MsgID{Serial: 7} && f.Msg.To == 3 && f.Msg.Flags == kbusdev.UserFlags
	})
	m.Sent(&fx)
	if s := m.Stats(); s.Requests != 1 || s.Replies != 1 || s.Open != 0 {
		t.Errorf("ledger: %+v", s)
	}
	want(t, m.FromPeer(reply, translate.Facts{}), translate.Drop, because(translate.UnknownReply))
	// Ours: an id without a network is nobody's here.
	want(t, m.FromPeer(msg("$.A", inReplyTo(0, 7)), translate.Facts{}), translate.Drop, because(translate.UnknownReply))
}

// Ours. A reply with no room, or too large, at the asker's bus: the asker waited
// for ever.
func TestRefusedReplyBecomesAnErrorReply(t *testing.T) {
	m := machine()
	fx := want(t, m.FromPeer(ask(t, m, 7), translate.Facts{}), translate.Send)
	failed := m.SendFailed(&fx, syscall.EMSGSIZE)
	if len(failed) != 2 || failed[0].Kind != translate.Drop || failed[1].Kind != translate.Send || !failed[1].Own {
		t.Fatalf("effects of a refused reply: %+v", failed)
	}
	instead := failed[1]
	if !answers("$.KBUS.RemoteError.EMSGSIZE", kbusdev.MsgID{Serial: 7}, 3)(&instead) {
		t.Errorf("instead: %+v", instead)
	}
	// That finds no room either: it is tried on a timer until it does.
	if fx := m.SendFailed(&instead, syscall.EBUSY); len(fx) != 0 || m.Stats().Open != 1 {
		t.Fatalf("no room for the error reply: %+v, %+v", fx, m.Stats())
	}
	if fx := m.Tick(epoch.Add(time.Millisecond)); len(fx) != 0 {
		t.Fatalf("too early: %+v", fx)
	}
	again := want(t, m.Tick(m.Next()), translate.Send)
	m.Sent(&again)
	if s := m.Stats(); s.Open != 0 || s.Synthetic != 1 {
		t.Errorf("ledger: %+v", s)
	}
}

func TestReplyWhoseAskerIsGoneIsDropped(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED} {
		m := machine()
		fx := want(t, m.FromPeer(ask(t, m, 7), translate.Facts{}), translate.Send)
		want(t, m.SendFailed(&fx, errno), translate.Drop, because(translate.AskerGone))
		if s := m.Stats(); s.Requests != 1 || s.Replies != 1 || s.Open != 0 {
			t.Errorf("ledger: %+v", s)
		}
	}
}

func stateful(network uint32, final kbusdev.KsockID) *kbusdev.Message {
	m := msg("$.A", id(them, 4), toUs, to(20))
	m.FinalTo = kbusdev.Address{Network: network, Local: final}
	return m
}

func TestStatefulRequests(t *testing.T) {
	q := stateful(us, 5)
	want(t, machine().FromPeer(q, translate.Facts{}), translate.Bounce, answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
	want(t, machine().FromPeer(q, translate.Facts{Replier: 6}), translate.Bounce, answers(kbusdev.NameReplierNotSameKsock, q.ID, q.From))
	want(t, machine().FromPeer(q, translate.Facts{Replier: 5}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.To == 5 && f.Msg.FinalTo == kbusdev.Address{Local: 5}
	})
	want(t, machine().FromPeer(stateful(7, 5), translate.Facts{Replier: 6}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.To == 6 && f.Msg.FinalTo == kbusdev.Address{Network: 7, Local: 5}
	})
}

// The bus's own query compares exactly; upstream bounces every stateful request
// to a wildcard replier.
func TestRepliersAreFoundByWildcard(t *testing.T) {
	m := machine()
	m.FromBus(bindEvent(true, 3, "$.A.*"))
	m.FromBus(bindEvent(true, 4, "$.*"))
	if got := m.Replier("$.A.B.C"); got != 4 {
		t.Errorf("of two wildcards %d replies, want the newer one, 4", got)
	}
	m.FromBus(bindEvent(true, 5, "$.A.%"))
	if got := m.Replier("$.A.B"); got != 5 {
		t.Errorf("%d replies, want the one-level wildcard, 5", got)
	}
	m.FromBus(bindEvent(true, own, "$.A.B"))
	if got := m.Replier("$.A.B"); got != 0 {
		t.Errorf("%d replies, want 0: it is ourselves", got)
	}
	m.FromBus(bindEvent(false, 5, "$.A.%"))
	if got := m.Replier("$.A.X"); got != 4 {
		t.Errorf("%d replies, want 4", got)
	}
}

// A snapshot tells the newest first, so its later events are older.
func TestSnapshotKeepsTheOrderOfBindings(t *testing.T) {
	m := machine()
	m.SnapshotAsked(2)
	m.FromBus(bindEvent(true, 4, "$.*", id(0, 10)))
	m.FromBus(bindEvent(true, 3, "$.A.*", id(0, 11)))
	if got := m.Replier("$.A.B"); got != 4 {
		t.Errorf("%d replies, want the newest, 4", got)
	}
	m.FromBus(bindEvent(true, 5, "$.A.B.*", id(0, 12)))
	if got := m.Replier("$.A.B.C"); got != 5 {
		t.Errorf("%d replies, want the newest, 5", got)
	}
}

// The real module loses a stateful request whose replier leaves unread.
func TestStatefulRequestWhoseReplierLeavesIsAnsweredAfterAGrace(t *testing.T) {
	m := machine()
	m.FromBus(bindEvent(true, 5, "$.*"))
	q := stateful(us, 5)
	want(t, m.FromPeer(q, translate.Facts{Replier: m.Replier(q.Name)}), translate.Send)
	m.FromBus(bindEvent(false, 5, "$.*"))
	if fx := m.Tick(epoch.Add(1999 * time.Millisecond)); len(fx) != 0 {
		t.Fatalf("before the grace has run out: %+v", fx)
	}
	want(t, m.Tick(epoch.Add(2*time.Second)), translate.Bounce, answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
	late := msg("$.A", inReplyTo(q.ID.Network, q.ID.Serial), to(own), id(0, 30))
	want(t, m.FromBus(late), translate.Drop, because(translate.LateReply))
}

func TestStatefulRequestAnsweredWithinTheGrace(t *testing.T) {
	m := machine()
	m.FromBus(bindEvent(true, 5, "$.A"))
	q := stateful(us, 5)
	want(t, m.FromPeer(q, translate.Facts{Replier: 5}), translate.Send)
	m.FromBus(bindEvent(false, 5, "$.A"))
	want(t, m.FromBus(msg("$.A", inReplyTo(q.ID.Network, q.ID.Serial), to(own), id(0, 30))), translate.Forward)
	if fx := m.Tick(epoch.Add(time.Minute)); len(fx) != 0 {
		t.Errorf("answered twice: %+v", fx)
	}
}

func TestRefusedRequestsBounceBySymbol(t *testing.T) {
	m := machine()
	q := msg("$.A", id(them, 4), toUs)
	fx := want(t, m.FromPeer(q, translate.Facts{}), translate.Send)
	want(t, m.SendFailed(&fx, syscall.EADDRNOTAVAIL), translate.Bounce, answers("$.KBUS.RemoteError.EADDRNOTAVAIL", q.ID, q.From))
	if m.Stats().Asked != 0 {
		t.Error("a refused request is still counted as open")
	}
	a := want(t, m.FromPeer(msg("$.A", id(them, 5)), translate.Facts{}), translate.Send)
	want(t, m.SendFailed(&a, syscall.EBUSY), translate.Drop, because(translate.Refused))
}

// Ours. A limpet whose queue is full of its own open requests makes every bind
// and request on its bus fail.
func TestOwnOpenRequestsAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxAsked = 2 })
	for serial := range uint32(2) {
		want(t, m.FromPeer(msg("$.A", id(them, serial+1), toUs), translate.Facts{}), translate.Send)
	}
	q := msg("$.A", id(them, 9), toUs)
	want(t, m.FromPeer(q, translate.Facts{}), translate.Bounce, answers("$.KBUS.RemoteError.ENOLCK", q.ID, q.From))
	want(t, m.FromBus(msg("$.A", inReplyTo(them, 1), to(own))), translate.Forward)
	want(t, m.FromPeer(msg("$.A", id(them, 10), toUs), translate.Facts{}), translate.Send)
}

func TestRememberedRequestsAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxOpen = 1 })
	want(t, m.FromBus(msg("$.A", toUs)), translate.Forward)
	want(t, m.FromBus(msg("$.A", toUs, id(0, 8))), translate.Send, answers("$.KBUS.RemoteError.EBUSY", kbusdev.MsgID{Serial: 8}, 3))
}

func TestProxyBindings(t *testing.T) {
	m := machine()
	bind := func(bound bool, binder kbusdev.KsockID) []translate.Effect {
		return m.FromPeer(bindEvent(bound, binder, "$.A", id(them, 1)), translate.Facts{})
	}
	want(t, bind(true, 4), translate.Bind)
	m.BindDone("$.A", 0)
	want(t, bind(true, 4), translate.Drop)  // the same again: nothing
	want(t, bind(false, 5), translate.Drop) // another binder's unbind does not count
	want(t, bind(false, 4), translate.Unbind)
	m.UnbindDone("$.A", 0)
	if s := m.Stats(); s.Proxies != 0 || s.Wishes != 0 {
		t.Errorf("left over: %+v", s)
	}
	want(t, bind(false, 4), translate.Drop) // an unknown name
}

// Ours. C dies on EADDRINUSE.
func TestLocalReplierWinsAndTheWishComesTrueLater(t *testing.T) {
	m := machine()
	m.FromBus(bindEvent(true, 3, "$.A"))
	want(t, m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	if fx := m.BindDone("$.A", syscall.EADDRINUSE); len(fx) != 0 {
		t.Fatalf("effects of EADDRINUSE: %+v", fx)
	}
	m.FromBus(bindEvent(false, 3, "$.A"))
	if fx := m.Tick(epoch.Add(time.Millisecond)); len(fx) != 0 {
		t.Fatalf("the name is taken at once: in a loop a ghost would: %+v", fx)
	}
	want(t, m.Tick(epoch.Add(200*time.Millisecond)), translate.Bind)
	m.BindDone("$.A", 0)
	if s := m.Stats(); s.Proxies != 1 || s.Wishes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBindsWithoutRoomAreRetried(t *testing.T) {
	m := machine()
	want(t, m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	m.BindDone("$.A", syscall.EAGAIN)
	want(t, m.Tick(epoch.Add(50*time.Millisecond)), translate.Bind)
	m.BindDone("$.A", 0)
	want(t, m.FromPeer(bindEvent(false, 4, "$.A"), translate.Facts{}), translate.Unbind)
	m.UnbindDone("$.A", syscall.EAGAIN)
	want(t, m.Tick(epoch.Add(time.Second)), translate.Unbind)
}

func TestProxiesAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxProxies = 1 })
	want(t, m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	want(t, m.FromPeer(bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Drop, because(translate.TooManyBinds))
}

// The narrower of pattern and bound name crosses; of several names that reach
// beyond the pattern one stands for all.
func TestNarrowerPattern(t *testing.T) {
	m := machine(func(c *translate.Config) { c.Pattern = "$.A.*" })
	crosses := func(fx []translate.Effect, e kbusdev.BindEvent) {
		t.Helper()
		f := want(t, fx, translate.Forward)
		if got := f.Msg.Event; got == nil || *got != e {
			t.Errorf("crosses as %+v, want %+v", got, e)
		}
	}
	crosses(m.FromBus(bindEvent(true, 3, "$.A.B")), kbusdev.BindEvent{Bound: true, Binder: 3, Name: "$.A.B"})
	want(t, m.FromBus(bindEvent(true, 3, "$.B")), translate.Drop, because(translate.OutsidePattern))
	want(t, m.FromBus(bindEvent(true, 3, "$.%")), translate.Drop, because(translate.OutsidePattern))
	crosses(m.FromBus(bindEvent(true, 4, "$.*")), kbusdev.BindEvent{Bound: true, Binder: 4, Name: "$.A.*"})
	want(t, m.FromBus(bindEvent(true, 5, "$.A.*")), translate.Drop)
	crosses(m.FromBus(bindEvent(false, 4, "$.*")), kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.A.*"})
	crosses(m.FromBus(bindEvent(false, 5, "$.A.*")), kbusdev.BindEvent{Binder: 5, Name: "$.A.*"})
}

func TestEndAnswersEveryOpenRequest(t *testing.T) {
	m := machine()
	ask(t, m, 7)
	ask(t, m, 8)
	never := func(id kbusdev.MsgID) bool { return id == kbusdev.MsgID{Network: us, Serial: 8} }
	got := map[uint32]string{}
	for _, f := range append([]translate.Effect(nil), m.End(never)...) {
		got[f.Msg.InReplyTo.Serial] = strings.TrimPrefix(f.Msg.Name, kbusdev.NameRemoteErrorPrefix)
		m.Sent(&f)
	}
	if diff := cmp.Diff(map[uint32]string{7: "OutcomeUnknown", 8: "NotDelivered"}, got); diff != "" {
		t.Error(diff)
	}
	if s := m.Stats(); s.Requests != 2 || s.Synthetic != 2 || s.Open != 0 {
		t.Errorf("ledger: %+v", s)
	}
}

func TestAbandonedRequestsAreAnsweredBusy(t *testing.T) {
	m := machine()
	q := want(t, m.FromBus(msg("$.A", toUs)), translate.Forward)
	want(t, m.Abandon(&q.Msg), translate.Send, answers("$.KBUS.RemoteError.EBUSY", kbusdev.MsgID{Serial: 7}, 3))
}

func TestDrainUnbindsAndBindsNoMore(t *testing.T) {
	m := machine()
	m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{})
	m.BindDone("$.A", 0)
	want(t, m.Drain(), translate.Unbind)
	m.UnbindDone("$.A", 0)
	want(t, m.FromPeer(bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Drop)
}

func TestNoAllocations(t *testing.T) {
	m := machine()
	a, b, q := msg("$.A"), msg("$.B", id(them, 3)), msg("$.A", toUs)
	reply := msg("$.A", id(them, 50), inReplyTo(us, 7))
	round := func() {
		m.FromBus(a)
		m.FromPeer(b, translate.Facts{})
		m.FromBus(q)
		fx := m.FromPeer(reply, translate.Facts{})
		m.Sent(&fx[0])
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTranslate(b *testing.B) {
	announcement, brought, q := msg("$.Sensors.Kitchen"), msg("$.Sensors.Kitchen", id(them, 3)), msg("$.Ask", toUs)
	reply := msg("$.Ask", id(them, 50), inReplyTo(us, 7))
	for _, c := range []struct {
		name string
		step func(*translate.Machine)
	}{
		{"announcement from bus", func(m *translate.Machine) { m.FromBus(announcement) }},
		{"announcement from peer", func(m *translate.Machine) { m.FromPeer(brought, translate.Facts{}) }},
		{"request and reply", func(m *translate.Machine) {
			m.FromBus(q)
			fx := m.FromPeer(reply, translate.Facts{})
			m.Sent(&fx[0])
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := machine()
			b.ReportAllocs()
			for b.Loop() {
				c.step(m)
			}
		})
	}
	for _, open := range []int{10, 100_000} {
		b.Run(map[int]string{10: "10 requests open", 100_000: "100000 requests open"}[open], func(b *testing.B) {
			m := machine(func(c *translate.Config) { c.MaxOpen = 1 << 20 })
			for i := range open {
				m.FromBus(msg("$.Ask", toUs, id(0, uint32(1000+i))))
			}
			b.ReportAllocs()
			for b.Loop() {
				m.FromBus(q)
				fx := m.FromPeer(reply, translate.Facts{})
				m.Sent(&fx[0])
			}
		})
	}
}

// Ours. In a loop the news of a bind and its unbind chase each other for ever.
func TestNamesBoundTooOftenWait(t *testing.T) {
	m := machine()
	for range 16 {
		want(t, m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
		m.BindDone("$.A", 0)
		want(t, m.FromPeer(bindEvent(false, 4, "$.A"), translate.Facts{}), translate.Unbind)
		m.UnbindDone("$.A", 0)
	}
	want(t, m.FromPeer(bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Drop, because(translate.BindEventUsed))
	want(t, m.Tick(epoch.Add(200*time.Millisecond)), translate.Bind)
	m.BindDone("$.A", 0)
	want(t, m.FromPeer(bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Bind)
}

// Upstream compares names by the shorter length.
func TestNamesAreComparedWhole(t *testing.T) {
	want(t, machine().FromBus(msg("$.K")), translate.Forward)
	want(t, machine().FromPeer(msg("$.K", id(them, 1)), translate.Facts{}), translate.Send)
	want(t, machine(func(c *translate.Config) { c.Termination = "$.Stop.Now" }).FromBus(msg("$.Stop")), translate.Forward)
}

// Ours. A replier that copies the request's id into its reply: the asker waited
// for ever.
func TestReplyThatCopiesTheRequestsIdIsForwarded(t *testing.T) {
	m := machine()
	q := want(t, m.FromPeer(msg("$.A", id(them, 4), toUs), translate.Facts{}), translate.Send)
	reply := msg("$.A", func(r *kbusdev.Message) { r.ID, r.InReplyTo = q.Msg.ID, q.Msg.ID }, to(own))
	want(t, m.FromBus(reply), translate.Forward, func(f *translate.Effect) bool { return f.Msg.InReplyTo == q.Msg.ID })
}
