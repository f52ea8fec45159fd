package translate

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// FromPeer takes a message that the peer brought, and appends at least one effect
// to fx. It does not change msg, nor keep anything of it but its names.
func (m *Machine) FromPeer(fx []Effect, msg *kbusdev.Message, facts Facts) []Effect {
	switch {
	case msg.Name == kbusdev.NameReplierBindEvent:
		return m.bindEventFromPeer(fx, msg)
	case msg.IsReply():
		return m.replyFromPeer(fx, msg)
	}
	fx = m.otherFromPeer(fx, msg, facts)
	if out := &fx[len(fx)-1]; out.Kind == Send && out.Msg.IsRequest() {
		m.ask(&out.Msg)
	}
	return fx
}

// otherFromPeer judges an announcement, a listeners' copy or a request. It changes nothing.
func (m *Machine) otherFromPeer(fx []Effect, msg *kbusdev.Message, facts Facts) []Effect {
	switch {
	case msg.ID.Network == m.us:
		return refuse(fx, msg, CameRound) // ours
	case facts.Foreign:
		return refuse(fx, msg, ForeignOrigin) // ours
	case facts.Nameless != 0:
		return unnamed(fx, msg, facts.Nameless) // ours
	case facts.Denied:
		return deny(fx, msg) // ours
	case facts.BroughtBefore:
		return refuse(fx, msg, BroughtBefore) // ours
	case msg.IsRequest() && !msg.WantsUsToReply():
		// Ours: a copy for listeners. As a request it would want a second answer.
		fx = emit(fx, Send, msg)
		fx[len(fx)-1].Msg.Flags &^= kbusdev.WantReply
		return fx
	case msg.IsRequest():
		return m.requestFromPeer(fx, msg, facts.Replier)
	default:
		return emit(fx, Send, msg)
	}
}

// refuse ends a message that went round a loop; a request among them is answered.
func refuse(fx []Effect, msg *kbusdev.Message, why Reason) []Effect {
	if msg.WantsUsToReply() {
		return bounce(fx, msg, kbusdev.NameReplierGoneAway, why)
	}
	return drop(fx, why)
}

// bounce answers the peer's request in place of a replier.
func bounce(fx []Effect, msg *kbusdev.Message, name string, why Reason) []Effect {
	return append(fx, Effect{Kind: Bounce, Reason: why, Msg: bounced(msg.ID, msg.From, name)})
}

func (m *Machine) requestFromPeer(fx []Effect, msg *kbusdev.Message, replier kbusdev.KsockID) []Effect {
	stateful := msg.To != 0
	lastHop := stateful && msg.FinalTo.Network == m.us
	switch {
	case msg.ID.Network == 0:
		return drop(fx, Unanswerable)
	case msg.Expired(m.now):
		return bounce(fx, msg, kbusdev.NameExpired, Expired) // ours
	case m.asked.open() >= m.cfg.MaxAsked:
		return bounce(fx, msg, kbusdev.NameRemoteErrorPrefix+"ENOLCK", AnsweredHere) // ours
	case stateful && replier == 0:
		return bounce(fx, msg, kbusdev.NameReplierGoneAway, AnsweredHere)
	case lastHop && replier != msg.FinalTo.Local:
		return bounce(fx, msg, kbusdev.NameReplierNotSameKsock, AnsweredHere)
	}
	fx = emit(fx, Send, msg)
	out := &fx[len(fx)-1].Msg
	if lastHop {
		out.FinalTo.Network = 0
	}
	if stateful {
		out.To = replier // which is final_to.local on the last hop
	}
	return fx
}

func (m *Machine) replyFromPeer(fx []Effect, msg *kbusdev.Message) []Effect {
	id := msg.InReplyTo
	if id.Network == 0 {
		return drop(fx, UnknownReply) // ours
	}
	if id.Network == m.us {
		id.Network = 0
	}
	r, ok := m.ledger.settle(id)
	if !ok {
		return drop(fx, UnknownReply)
	}
	took := m.age() - r.at
	m.cfg.Took.Add(took)
	if m.cfg.Replied != nil {
		m.cfg.Replied(r.name, took)
	}
	fx = emit(fx, Send, msg)
	out := &fx[len(fx)-1].Msg
	out.ID, out.InReplyTo, out.To = kbusdev.MsgID{}, id, r.from
	out.Flags &^= kbusdev.WantReply | kbusdev.WantYouToReply
	return fx
}

// SendFailed tells that our bus refused what the Send effect of asked for, with
// this errno. EAGAIN means that it was waited for, long enough, and discarded, and
// ETIMEDOUT that a request expired meanwhile. of may lie in the memory that fx grows
// into.
func (m *Machine) SendFailed(fx []Effect, of *Effect, errno syscall.Errno) []Effect {
	msg := &of.Msg
	switch {
	case msg.IsReply():
		return m.replyRefused(fx, *of, errno)
	case msg.IsRequest():
		m.answered(msg.ID)
	}
	return refused(fx, msg, errno)
}

// refused ends a message of the peer's, no reply, that our bus has refused.
func refused(fx []Effect, msg *kbusdev.Message, errno syscall.Errno) []Effect {
	switch {
	case !msg.IsRequest():
		return drop(fx, Refused)
	case errno == syscall.ETIMEDOUT:
		return bounce(fx, msg, kbusdev.NameExpired, Expired) // ours
	default:
		return bounce(fx, msg, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(errno), Refused)
	}
}

// Sent tells that our bus took what the Send effect of asked for.
func (m *Machine) Sent(of *Effect) {
	if of.Msg.IsReply() {
		m.ledger.done(of.Own)
	}
}
