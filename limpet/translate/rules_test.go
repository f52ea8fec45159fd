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
	m.Tick(nil, epoch)
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
	want(t, m.FromBus(nil, msg("$.Stop")), translate.Stop)
	want(t, machine().FromBus(nil, msg("$.Stop")), translate.Forward)
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
			fx := want(t, m.FromBus(nil, q), translate.Send, answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
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
		want(t, m.FromBus(nil, msg("$.A", toUs, id(7, 5))), translate.Forward)
		want(t, m.FromBus(nil, msg("$.A", toUs, id(7, 5), from(4))), translate.Send, answers(kbusdev.NameReplierGoneAway, kbusdev.MsgID{Network: 7, Serial: 5}, 4))
	})
}

// Ours. Wrong answers: upstream forwards listener copies of replies, and the far
// limpet takes them for answers to its own requests.
func TestListenerCopiesOfRepliesAreIgnored(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A", inReplyTo(0, 3), to(5))), translate.Drop, because(translate.ReplyOfOthers))
}

func TestRepliesToUsAreForwarded(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A", inReplyTo(them, 3), to(own), id(them, 3))), translate.Forward)
}

// Ours. Nothing we asked for a peer has such an id.
func TestRepliesToLocalIdsAreIgnored(t *testing.T) {
	for _, network := range []uint32{0, us} {
		want(t, machine().FromBus(nil, msg("$.A", inReplyTo(network, 3), to(own))), translate.Drop, because(translate.UnknownReply))
	}
}

// Ours. Storms: upstream reads back what it wrote itself and sends it round again.
func TestOwnMessagesAreIgnored(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A", from(own), id(3, 1))), translate.Drop, because(translate.OwnMessage))
}

func TestMessagesOfTheirsComingRoundAreIgnored(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A", id(them, 1))), translate.Drop, because(translate.PeersMessage))
}

// Ours.
func TestMessagesOfOursComingRoundAreDropped(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A", id(us, 1))), translate.Drop, because(translate.CameRound))
	want(t, machine().FromPeer(nil, msg("$.A", id(us, 1)), translate.Facts{}), translate.Drop, because(translate.CameRound))
	q := msg("$.A", id(us, 1), toUs)
	want(t, machine().FromPeer(nil, q, translate.Facts{}), translate.Bounce, because(translate.CameRound), answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
}

// Ours. A loop that does not contain the origin goes round past every check of
// network ids.
func TestMessagesBroughtBeforeAreDropped(t *testing.T) {
	before := translate.Facts{BroughtBefore: true}
	want(t, machine().FromPeer(nil, msg("$.A", id(5, 1)), before), translate.Drop, because(translate.BroughtBefore))
	q := msg("$.A", id(5, 1), toUs)
	want(t, machine().FromPeer(nil, q, before), translate.Bounce, because(translate.BroughtBefore), answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
}

// Ours. Standstill: upstream sends the listener's copy of a request as a
// request, and becomes its own replier for it.
func TestListenerCopiesOfRequestsWantNoReply(t *testing.T) {
	q := msg("$.A", id(them, 4), flags(kbusdev.WantReply|kbusdev.Urgent))
	want(t, machine().FromPeer(nil, q, translate.Facts{}), translate.Send, func(f *translate.Effect) bool { return f.Msg.Flags == kbusdev.Urgent })
	if m := machine(); len(m.FromPeer(nil, q, translate.Facts{})) != 1 || m.Stats().Asked != 0 {
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
	want(t, m.FromBus(nil, msg("$.A", flags(kbusdev.WantReply|kbusdev.Urgent))), translate.Forward, has(kbusdev.Urgent))
	want(t, m.FromBus(nil, msg("$.A", id(0, 8), toUs)), translate.Forward, has(kbusdev.WantReply|kbusdev.WantYouToReply))
	want(t, machine().FromBus(nil, msg("$.A", flags(kbusdev.WantReply))), translate.Forward, has(kbusdev.WantReply))
}

func TestForwardedIdsAreMadeGlobal(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.A")), translate.Forward, func(f *translate.Effect) bool {
		return f.Msg.ID == kbusdev.MsgID{Network: us, Serial: 7} && f.Msg.OrigFrom == kbusdev.Address{Network: us, Local: 3}
	})
}

// ask takes a request from the bus and gives what the peer's reply to it is.
func ask(t *testing.T, m *translate.Machine, serial uint32) (reply *kbusdev.Message) {
	t.Helper()
	q := want(t, m.FromBus(nil, msg("$.A", toUs, id(0, serial))), translate.Forward)
	return msg("$.A", id(them, 50), inReplyTo(q.Msg.ID.Network, q.Msg.ID.Serial), to(3), from(6), flags(kbusdev.WantReply|kbusdev.UserFlags))
}

func TestReplyFindsItsAsker(t *testing.T) {
	m := machine()
	reply := ask(t, m, 7)
	fx := want(t, m.FromPeer(nil, reply, translate.Facts{}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.ID.IsZero() && f.Msg.InReplyTo == kbusdev.MsgID{Serial: 7} && f.Msg.To == 3 && f.Msg.Flags == kbusdev.UserFlags
	})
	m.Sent(&fx)
	if s := m.Stats(); s.Requests != 1 || s.Replies != 1 || s.Open != 0 {
		t.Errorf("ledger: %+v", s)
	}
	want(t, m.FromPeer(nil, reply, translate.Facts{}), translate.Drop, because(translate.UnknownReply))
	// Ours: an id without a network is nobody's here.
	want(t, m.FromPeer(nil, msg("$.A", inReplyTo(0, 7)), translate.Facts{}), translate.Drop, because(translate.UnknownReply))
}

// Ours. The answer that stands in for a refused reply says that the request may have run,
// the one to a request that was refused that it never did.
func TestRefusedReplySaysThatItMayHaveRun(t *testing.T) {
	m := machine()
	reply := ask(t, m, 7)
	reply.OrigFrom = kbusdev.Address{Network: them, Local: 6} // as every reply that comes over a link
	fx := want(t, m.FromPeer(nil, reply, translate.Facts{}), translate.Send)
	failed := m.SendFailed(nil, &fx, syscall.EBUSY)
	if o, _ := kbusdev.OutcomeOf(&failed[1].Msg); o != kbusdev.MayHaveRun {
		t.Errorf("%+v says %v", failed[1].Msg, o)
	}
	q := msg("$.A", id(them, 9), flags(kbusdev.WantReply|kbusdev.WantYouToReply))
	fx = want(t, m.FromPeer(nil, q, translate.Facts{}), translate.Send)
	bounce := want(t, m.SendFailed(nil, &fx, syscall.EBUSY), translate.Bounce)
	if o, _ := kbusdev.OutcomeOf(&bounce.Msg); o != kbusdev.NeverRan {
		t.Errorf("%+v says %v", bounce.Msg, o)
	}
}

// Ours. A reply with no room, or too large, at the asker's bus: the asker waited
// for ever.
func TestRefusedReplyBecomesAnErrorReply(t *testing.T) {
	m := machine()
	fx := want(t, m.FromPeer(nil, ask(t, m, 7), translate.Facts{}), translate.Send)
	failed := m.SendFailed(nil, &fx, syscall.EMSGSIZE)
	if len(failed) != 2 || failed[0].Kind != translate.Drop || failed[1].Kind != translate.Send || !failed[1].Own {
		t.Fatalf("effects of a refused reply: %+v", failed)
	}
	instead := failed[1]
	if !answers("$.KBUS.RemoteError.EMSGSIZE", kbusdev.MsgID{Serial: 7}, 3)(&instead) {
		t.Errorf("instead: %+v", instead)
	}
	// That finds no room either: it is tried on a timer until it does.
	if fx := m.SendFailed(nil, &instead, syscall.EBUSY); len(fx) != 0 || m.Stats().Open != 1 {
		t.Fatalf("no room for the error reply: %+v, %+v", fx, m.Stats())
	}
	if fx := m.Tick(nil, epoch.Add(time.Millisecond)); len(fx) != 0 {
		t.Fatalf("too early: %+v", fx)
	}
	again := want(t, m.Tick(nil, m.Next()), translate.Send)
	m.Sent(&again)
	if s := m.Stats(); s.Open != 0 || s.Synthetic != 1 {
		t.Errorf("ledger: %+v", s)
	}
}

func TestReplyWhoseAskerIsGoneIsDropped(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED} {
		m := machine()
		fx := want(t, m.FromPeer(nil, ask(t, m, 7), translate.Facts{}), translate.Send)
		want(t, m.SendFailed(nil, &fx, errno), translate.Drop, because(translate.AskerGone))
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
	want(t, machine().FromPeer(nil, q, translate.Facts{}), translate.Bounce, answers(kbusdev.NameReplierGoneAway, q.ID, q.From))
	want(t, machine().FromPeer(nil, q, translate.Facts{Replier: 6}), translate.Bounce, answers(kbusdev.NameReplierNotSameKsock, q.ID, q.From))
	want(t, machine().FromPeer(nil, q, translate.Facts{Replier: 5}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.To == 5 && f.Msg.FinalTo == kbusdev.Address{Local: 5}
	})
	want(t, machine().FromPeer(nil, stateful(7, 5), translate.Facts{Replier: 6}), translate.Send, func(f *translate.Effect) bool {
		return f.Msg.To == 6 && f.Msg.FinalTo == kbusdev.Address{Network: 7, Local: 5}
	})
}

func TestRefusedRequestsBounceBySymbol(t *testing.T) {
	m := machine()
	q := msg("$.A", id(them, 4), toUs)
	fx := want(t, m.FromPeer(nil, q, translate.Facts{}), translate.Send)
	want(t, m.SendFailed(nil, &fx, syscall.EADDRNOTAVAIL), translate.Bounce, answers("$.KBUS.RemoteError.EADDRNOTAVAIL", q.ID, q.From))
	if m.Stats().Asked != 0 {
		t.Error("a refused request is still counted as open")
	}
	a := want(t, m.FromPeer(nil, msg("$.A", id(them, 5)), translate.Facts{}), translate.Send)
	want(t, m.SendFailed(nil, &a, syscall.EBUSY), translate.Drop, because(translate.Refused))
}

// Ours. A limpet whose queue is full of its own open requests makes every bind
// and request on its bus fail.
func TestOwnOpenRequestsAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxAsked = 2 })
	for serial := range uint32(2) {
		want(t, m.FromPeer(nil, msg("$.A", id(them, serial+1), toUs), translate.Facts{}), translate.Send)
	}
	q := msg("$.A", id(them, 9), toUs)
	want(t, m.FromPeer(nil, q, translate.Facts{}), translate.Bounce, answers("$.KBUS.RemoteError.ENOLCK", q.ID, q.From))
	want(t, m.FromBus(nil, msg("$.A", inReplyTo(them, 1), to(own))), translate.Forward)
	want(t, m.FromPeer(nil, msg("$.A", id(them, 10), toUs), translate.Facts{}), translate.Send)
}

func TestRememberedRequestsAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxOpen = 1 })
	want(t, m.FromBus(nil, msg("$.A", toUs)), translate.Forward)
	want(t, m.FromBus(nil, msg("$.A", toUs, id(0, 8))), translate.Send, answers("$.KBUS.RemoteError.EBUSY", kbusdev.MsgID{Serial: 8}, 3))
}

func TestEndAnswersEveryOpenRequest(t *testing.T) {
	m := machine()
	ask(t, m, 7)
	ask(t, m, 8)
	never := func(id kbusdev.MsgID) bool { return id == kbusdev.MsgID{Network: us, Serial: 8} }
	got := map[uint32]string{}
	for _, f := range append([]translate.Effect(nil), m.End(nil, never)...) {
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

// Upstream compares names by the shorter length.
func TestNamesAreComparedWhole(t *testing.T) {
	want(t, machine().FromBus(nil, msg("$.K")), translate.Forward)
	want(t, machine().FromPeer(nil, msg("$.K", id(them, 1)), translate.Facts{}), translate.Send)
	want(t, machine(func(c *translate.Config) { c.Termination = "$.Stop.Now" }).FromBus(nil, msg("$.Stop")), translate.Forward)
}

// Ours. A replier that copies the request's id into its reply: the asker waited
// for ever.
func TestReplyThatCopiesTheRequestsIdIsForwarded(t *testing.T) {
	m := machine()
	q := want(t, m.FromPeer(nil, msg("$.A", id(them, 4), toUs), translate.Facts{}), translate.Send)
	reply := msg("$.A", func(r *kbusdev.Message) { r.ID, r.InReplyTo = q.Msg.ID, q.Msg.ID }, to(own))
	want(t, m.FromBus(nil, reply), translate.Forward, func(f *translate.Effect) bool { return f.Msg.InReplyTo == q.Msg.ID })
}

// Ours. A name that cannot cross: the request is answered, the rest ends here.
func TestNamesThatCannotCross(t *testing.T) {
	const latin1 = "$.Caf\xe9"
	q := msg(latin1, toUs)
	m := machine()
	fx := want(t, m.FromBus(nil, q), translate.Send, because(translate.Refused), answers("$.KBUS.RemoteError.EBADMSG", q.ID, q.From))
	m.Sent(&fx)
	if s := m.Stats(); s.Requests != 1 || s.Synthetic != 1 || s.Open != 0 {
		t.Errorf("ledger: %+v", s)
	}
	want(t, m.FromBus(nil, msg(latin1)), translate.Drop, because(translate.Refused))
	reply := msg(latin1, inReplyTo(them, 3), to(own), func(r *kbusdev.Message) { r.Data = []byte("secret") })
	want(t, m.FromBus(nil, reply), translate.Forward, func(f *translate.Effect) bool {
		o, _ := kbusdev.OutcomeOf(&f.Msg)
		return f.Msg.Name == "$.KBUS.RemoteError.EBADMSG" && o == kbusdev.MayHaveRun && f.Msg.InReplyTo == reply.InReplyTo && f.Msg.Data == nil
	})
}

// Ours. What is over before it is given to a replier never runs.
func TestExpiredRequestsAreAnswered(t *testing.T) {
	expires := func(d time.Duration) func(*kbusdev.Message) {
		return func(m *kbusdev.Message) { m.Expires = epoch.Add(d) }
	}
	m := machine()
	q := msg("$.A", toUs, expires(0))
	want(t, m.FromBus(nil, q), translate.Send, because(translate.Expired), answers(kbusdev.NameExpired, q.ID, q.From))
	q = msg("$.A", toUs, id(them, 7), expires(0))
	want(t, m.FromPeer(nil, q, translate.Facts{}), translate.Bounce, because(translate.Expired), answers(kbusdev.NameExpired, q.ID, q.From))
	if s := m.Stats(); s.Asked != 0 {
		t.Errorf("asked: %+v", s)
	}
	same := func(f *translate.Effect) bool { return f.Msg.Expires.Equal(epoch.Add(time.Second)) }
	want(t, m.FromBus(nil, msg("$.A", toUs, id(0, 8), expires(time.Second))), translate.Forward, same)
	want(t, m.FromPeer(nil, msg("$.A", toUs, id(them, 8), expires(time.Second)), translate.Facts{}), translate.Send, same)
	// A listener's copy is no request, so nothing is over.
	want(t, m.FromBus(nil, msg("$.A", flags(kbusdev.WantReply), id(0, 9), expires(0))), translate.Forward)
}

func TestAbandonedRequestsAreAnswered(t *testing.T) {
	m := machine()
	q := want(t, m.FromBus(nil, msg("$.A", toUs)), translate.Forward)
	if fx := m.Abandon(nil, msg("$.A", id(us, 7)), kbusdev.NameNotDelivered, translate.LinkDown); len(fx) != 0 {
		t.Errorf("an announcement with the same id is answered: %+v", fx)
	}
	want(t, m.Abandon(nil, &q.Msg, kbusdev.NameNotDelivered, translate.LinkDown), translate.Send,
		because(translate.LinkDown), answers(kbusdev.NameNotDelivered, kbusdev.MsgID{Serial: 7}, 3))
	if fx := m.Abandon(nil, &q.Msg, kbusdev.NameNotDelivered, translate.LinkDown); len(fx) != 0 {
		t.Errorf("answered twice: %+v", fx)
	}
}

// An answer that waits for room when the epoch ends is tried once more.
func TestEndSendsParkedAnswers(t *testing.T) {
	m := machine()
	fx := want(t, m.FromPeer(nil, ask(t, m, 7), translate.Facts{}), translate.Send)
	instead := m.SendFailed(nil, &fx, syscall.EMSGSIZE)[1]
	m.SendFailed(nil, &instead, syscall.EBUSY)
	again := want(t, m.End(nil, nil), translate.Send, answers("$.KBUS.RemoteError.EMSGSIZE", kbusdev.MsgID{Serial: 7}, 3))
	m.Sent(&again)
	if s := m.Stats(); s.Open != 0 || s.Synthetic != 1 || !m.Next().IsZero() {
		t.Errorf("%+v, next %v", s, m.Next())
	}
}

// Effects are appended: what is in the slice already stays.
func TestEffectsBelongToTheCaller(t *testing.T) {
	m := machine()
	fx := m.FromBus(nil, msg("$.A", id(0, 1)))
	fx = m.FromBus(fx, msg("$.B", id(0, 2), toUs))
	fx = m.FromPeer(fx, msg("$.C", id(them, 3), toUs), translate.Facts{})
	var names []string
	for _, f := range fx {
		names = append(names, f.Kind.String()+" "+f.Msg.Name)
	}
	if diff := cmp.Diff([]string{"forward $.A", "forward $.B", "send $.C"}, names); diff != "" {
		t.Error(diff)
	}
	// The memory of an effect that was refused may be used for what follows from it.
	failed := fx[2:]
	fx = m.SendFailed(failed[:0], &failed[0], syscall.EBUSY)
	want(t, fx, translate.Bounce, answers("$.KBUS.RemoteError.EBUSY", kbusdev.MsgID{Network: them, Serial: 3}, 3))
}
