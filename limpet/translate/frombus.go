package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// FromBus takes a message read from our bus, and appends at least one effect to
// fx. The first one is what becomes of msg; others have other causes. FromBus does
// not keep or change msg.
func (m *Machine) FromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	fx = m.fromBus(fx, msg)
	return m.snapshotRead(fx)
}

// fromBus is the table "From the bus" of the rules: the first that fits.
func (m *Machine) fromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	switch {
	case msg.Name == m.cfg.Termination && msg.Name != "":
		return append(fx, Effect{Kind: Stop, Reason: Terminated})
	case msg.WantsUsToReply():
		return m.requestFromBus(fx, msg)
	case msg.Name == kbusdev.NameReplierBindEvent:
		return m.bindEventFromBus(fx, msg)
	case msg.Name == kbusdev.NameUnbindEventsLost:
		return unbindEventsLost(fx, msg)
	case msg.IsReply() && msg.To == m.cfg.Ksock:
		return m.replyFromBus(fx, msg)
	case msg.IsReply():
		return drop(fx, ReplyOfOthers) // ours
	default:
		return m.otherFromBus(fx, msg)
	}
}

// otherFromBus judges an announcement, or a listeners' copy of a request. It changes nothing.
func (m *Machine) otherFromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	switch {
	case msg.From == m.cfg.Ksock:
		return drop(fx, OwnMessage) // ours
	case msg.ID.Network == m.them:
		return drop(fx, PeersMessage)
	case msg.ID.Network == m.us:
		return drop(fx, CameRound) // ours
	case kbusdev.CheckName(msg.Name) != nil:
		return drop(fx, Refused) // ours
	case m.cfg.Rights != nil && !m.cfg.Rights.Hears(msg.Name):
		return drop(fx, Withheld) // ours
	default:
		return m.forward(fx, msg)
	}
}

// requestFromBus takes a request that we are the replier of, so it must not go
// unanswered, whatever becomes of it.
func (m *Machine) requestFromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	fx = m.judgeRequest(fx, msg)
	if fx[len(fx)-1].Kind == Forward {
		m.ledger.take(msg, m.age())
	} else {
		m.ledger.answerNow()
	}
	return fx
}

// judgeRequest is requestFromBus, but it changes nothing.
func (m *Machine) judgeRequest(fx []Effect, msg *kbusdev.Message) []Effect {
	switch {
	case m.cannotBeTaken(msg):
		return answer(fx, msg, kbusdev.NameReplierGoneAway, AnsweredHere) // ours
	case msg.Expired(m.now):
		return answer(fx, msg, kbusdev.NameExpired, Expired) // ours
	case kbusdev.CheckName(msg.Name) != nil:
		// The module lets Latin-1 letters pass; a name on a link is ASCII.
		return answer(fx, msg, kbusdev.NameRemoteErrorPrefix+"EBADMSG", Refused) // ours
	case m.ledger.open() >= m.cfg.MaxOpen:
		return answer(fx, msg, kbusdev.NameRemoteErrorPrefix+"EBUSY", AnsweredHere)
	}
	return m.forward(fx, msg)
}

// cannotBeTaken reports whether msg is a request to us that went round a loop, or
// could not be told from another one when its reply comes, or has the name of an
// event of the bus.
func (m *Machine) cannotBeTaken(msg *kbusdev.Message) bool {
	return msg.From == m.cfg.Ksock || msg.ID.Network == m.them || msg.ID.Network == m.us ||
		m.ledger.has(msg.ID) || msg.IsReply() ||
		msg.Name == kbusdev.NameReplierBindEvent || msg.Name == kbusdev.NameUnbindEventsLost
}

func (m *Machine) replyFromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	asked, was := m.asked.byID[msg.InReplyTo]
	late := m.answered(msg.InReplyTo)
	if was {
		took := m.age() - asked.at
		m.cfg.AskedTook.Add(took)
		if m.cfg.AskedReplied != nil {
			m.cfg.AskedReplied(asked.name, took)
		}
	}
	switch {
	case msg.InReplyTo.Network == 0 || msg.InReplyTo.Network == m.us:
		return drop(fx, UnknownReply) // ours: nothing we asked for a peer has such an id
	case late:
		return drop(fx, LateReply)
	}
	fx = m.forward(fx, msg)
	if out := &fx[len(fx)-1].Msg; kbusdev.CheckName(out.Name) != nil {
		// Ours: the reply cannot cross, but its requester must still be answered.
		out.Name, out.Data, out.Flags = kbusdev.NameRemoteErrorPrefix+"EBADMSG", nil, 0
	}
	return fx
}

// forward gives msg to the peer with the ids of this bus made global.
func (m *Machine) forward(fx []Effect, msg *kbusdev.Message) []Effect {
	fx = emit(fx, Forward, msg)
	out := &fx[len(fx)-1].Msg
	if out.ID.Network == 0 {
		out.ID.Network = m.us
	}
	if out.OrigFrom.Network == 0 {
		out.OrigFrom = kbusdev.Address{Network: m.us, Local: out.From}
	}
	if m.cfg.Classic && !out.IsReply() && !out.WantsUsToReply() {
		out.Flags &^= kbusdev.WantReply // ours does that for itself
	}
	return fx
}
