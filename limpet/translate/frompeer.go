package translate

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// FromPeer takes a message that the peer brought. It does not change msg.
func (m *Machine) FromPeer(msg *kbusdev.Message, facts Facts) []Effect {
	m.begin()
	switch {
	case msg.Name == kbusdev.NameReplierBindEvent:
		m.bindEventFromPeer(msg)
	case msg.IsReply():
		m.replyFromPeer(msg)
	case msg.ID.Network == m.us:
		m.refuse(msg, CameRound) // ours
	case facts.BroughtBefore:
		m.refuse(msg, BroughtBefore) // ours
	case msg.IsRequest() && !msg.WantsUsToReply():
		// Ours: a copy for listeners. As a request it would want a second answer.
		m.emit(Send, msg)
		m.fx[0].Msg.Flags &^= kbusdev.WantReply
	case msg.IsRequest():
		m.requestFromPeer(msg, facts.Replier)
	default:
		m.emit(Send, msg)
	}
	return m.fx
}

// refuse ends a message that went round; a request among them is answered.
func (m *Machine) refuse(msg *kbusdev.Message, why Reason) {
	if msg.WantsUsToReply() {
		m.bounce(msg, kbusdev.NameReplierGoneAway, why)
		return
	}
	m.drop(why)
}

// bounce answers the peer's request in place of a replier.
func (m *Machine) bounce(msg *kbusdev.Message, name string, why Reason) {
	m.fx = append(m.fx, Effect{Kind: Bounce, Reason: why, Msg: bounced(msg.ID, msg.From, name)})
}

func bounced(request kbusdev.MsgID, from kbusdev.KsockID, name string) kbusdev.Message {
	return kbusdev.Message{Name: name, To: from, InReplyTo: request}
}

func (m *Machine) requestFromPeer(msg *kbusdev.Message, replier kbusdev.KsockID) {
	switch {
	case msg.ID.Network == 0:
		m.drop(Unanswerable)
		return
	case m.asked.open() >= m.cfg.MaxAsked:
		m.bounce(msg, kbusdev.NameRemoteErrorPrefix+"ENOLCK", AnsweredHere)
		return
	}
	if msg.To != 0 {
		lastHop := msg.FinalTo.Network == m.us
		switch {
		case replier == 0:
			m.bounce(msg, kbusdev.NameReplierGoneAway, AnsweredHere)
			return
		case lastHop && replier != msg.FinalTo.Local:
			m.bounce(msg, kbusdev.NameReplierNotSameKsock, AnsweredHere)
			return
		}
		m.emit(Send, msg)
		out := &m.fx[0].Msg
		if lastHop {
			out.FinalTo.Network = 0
		}
		out.To = replier // which is final_to.local on the last hop
	} else {
		m.emit(Send, msg)
	}
	m.asked.add(&m.fx[0].Msg)
}

func (m *Machine) replyFromPeer(msg *kbusdev.Message) {
	id := msg.InReplyTo
	if id.Network == 0 {
		m.drop(UnknownReply) // ours
		return
	}
	if id.Network == m.us {
		id.Network = 0
	}
	asker, ok := m.ledger.settle(id)
	if !ok {
		m.drop(UnknownReply)
		return
	}
	m.emit(Send, msg)
	out := &m.fx[0].Msg
	out.ID, out.InReplyTo, out.To = kbusdev.MsgID{}, id, asker
	out.Flags &^= kbusdev.WantReply | kbusdev.WantYouToReply
}

// SendFailed tells that our bus refused what a Send effect asked for, with this
// errno. EAGAIN means that it was waited for, long enough, and discarded.
func (m *Machine) SendFailed(fx *Effect, errno syscall.Errno) []Effect {
	msg, own := fx.Msg, fx.Own
	m.begin()
	switch {
	case msg.IsReply():
		m.replyRefused(&msg, own, errno)
	case msg.IsRequest():
		m.asked.answered(msg.ID)
		m.bounce(&msg, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(errno), Refused)
	default:
		m.drop(Refused)
	}
	return m.fx
}

// Sent tells that our bus took what a Send effect asked for.
func (m *Machine) Sent(fx *Effect) {
	if fx.Msg.IsReply() {
		m.ledger.done(fx.Own)
	}
}
