package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// FromBus takes a message read from our bus. It does not keep or change msg.
func (m *Machine) FromBus(msg *kbusdev.Message) []Effect {
	m.begin()
	m.fromBus(msg)
	if m.snapshotLeft > 0 {
		if m.snapshotLeft--; m.snapshotLeft == 0 {
			m.reconcile()
		}
	}
	return m.fx
}

// fromBus is the table "From the bus" of the rules: the first that fits.
func (m *Machine) fromBus(msg *kbusdev.Message) {
	switch {
	case msg.Name == m.cfg.Termination && msg.Name != "":
		m.fx = append(m.fx, Effect{Kind: Stop, Reason: Terminated})
	case msg.Name == kbusdev.NameReplierBindEvent && !msg.WantsUsToReply():
		m.bindEventFromBus(msg)
	case msg.Name == kbusdev.NameUnbindEventsLost && !msg.WantsUsToReply():
		m.unbindEventsLost(msg)
	case msg.WantsUsToReply() && m.cannotBeTaken(msg):
		// Ours: we are its replier, so it must not go unanswered.
		m.answer(msg, kbusdev.NameReplierGoneAway)
	case msg.IsReply() && msg.To == m.cfg.Ksock:
		m.replyFromBus(msg)
	case msg.IsReply():
		m.drop(ReplyOfOthers) // ours
	case msg.From == m.cfg.Ksock:
		m.drop(OwnMessage) // ours
	case msg.ID.Network == m.them:
		m.drop(PeersMessage)
	case msg.ID.Network == m.us:
		m.drop(CameRound) // ours
	case msg.WantsUsToReply() && m.ledger.open() >= m.cfg.MaxOpen:
		m.answer(msg, kbusdev.NameRemoteErrorPrefix+"EBUSY")
	case msg.WantsUsToReply():
		m.ledger.take(msg.ID, msg.From)
		m.forward(msg)
	default:
		m.forward(msg)
	}
}

// cannotBeTaken: a request to us that came round, or that could not be told
// from another one when its reply comes, or that has the name of a bus's event.
func (m *Machine) cannotBeTaken(msg *kbusdev.Message) bool {
	return msg.From == m.cfg.Ksock || msg.ID.Network == m.them || msg.ID.Network == m.us ||
		m.ledger.has(msg.ID) || msg.IsReply() ||
		msg.Name == kbusdev.NameReplierBindEvent || msg.Name == kbusdev.NameUnbindEventsLost
}

func (m *Machine) replyFromBus(msg *kbusdev.Message) {
	late := m.asked.answered(msg.InReplyTo)
	switch {
	case msg.InReplyTo.Network == 0 || msg.InReplyTo.Network == m.us:
		m.drop(UnknownReply) // ours: nothing we asked for a peer has such an id
	case late:
		m.drop(LateReply)
	default:
		m.forward(msg)
	}
}

// forward gives msg to the peer with the ids of this bus made global.
func (m *Machine) forward(msg *kbusdev.Message) {
	m.emit(Forward, msg)
	out := &m.fx[len(m.fx)-1].Msg
	if out.ID.Network == 0 {
		out.ID.Network = m.us
	}
	if out.OrigFrom.Network == 0 {
		out.OrigFrom = kbusdev.Address{Network: m.us, Local: out.From}
	}
	if m.cfg.Classic && !out.IsReply() && !out.WantsUsToReply() {
		out.Flags &^= kbusdev.WantReply // ours does that for itself
	}
}

// unbindEventsLost: our table may be wrong now, so it is made again (ours).
func (m *Machine) unbindEventsLost(msg *kbusdev.Message) {
	if msg.Flags&kbusdev.Synthetic == 0 || msg.From != 0 {
		m.drop(ForgedBindEvent)
		return
	}
	m.fx = append(m.fx, Effect{Kind: Snapshot, Reason: EventsLost})
}

// bindEventFromBus notes who replies to what, and passes it on if it may cross.
func (m *Machine) bindEventFromBus(msg *kbusdev.Message) {
	if msg.Flags&kbusdev.Synthetic == 0 || msg.From != 0 {
		m.drop(ForgedBindEvent) // ours
		return
	}
	if msg.Event == nil {
		m.drop(BadBindEvent) // ours
		return
	}
	e := *msg.Event
	old := false
	if m.snapshotLeft > 0 && e.Bound && (m.lastSnapshot == 0 || msg.ID.Serial == m.lastSnapshot+1) {
		m.lastSnapshot, old = msg.ID.Serial, true
	}
	m.note(e, old)
	if e.Binder == m.cfg.Ksock {
		m.drop(OwnBindEvent)
		return
	}
	m.cross(msg, e)
}

func (m *Machine) note(e kbusdev.BindEvent, old bool) {
	if e.Bound {
		m.table.bind(e.Name, e.Binder, old, m.snapshotSeen)
		return
	}
	m.table.unbind(e.Name, e.Binder)
	m.replierLeft(e)
	m.nameFree(e.Name)
}

// cross passes a bind event on: as it is, or for the pattern when the bound name
// reaches beyond it. Of several such names one stands for all at the far side.
func (m *Machine) cross(msg *kbusdev.Message, e kbusdev.BindEvent) {
	far, ok := kbusdev.Narrower(m.cfg.Pattern, e.Name)
	switch {
	case !ok:
		m.drop(OutsidePattern)
		return
	case far == e.Name && far != m.cfg.Pattern:
		m.forward(msg)
		return
	}
	held := len(m.covering) > 0
	var holder kbusdev.BindEvent
	if held {
		holder = m.covering[0]
	}
	m.cover(e)
	switch {
	case len(m.covering) == 0, !held, holder.Name == e.Name && e.Bound:
		// The first, the last, or the same name again: it crosses as what it is.
		e.Name = far
	case m.covering[0] != holder:
		// The one that stood for all has left; the next takes its place.
		e = kbusdev.BindEvent{Bound: true, Binder: m.covering[0].Binder, Name: far}
	default:
		m.drop(BindEventUsed)
		return
	}
	m.forward(msg)
	m.fx[len(m.fx)-1].Msg.Event = &e
}

// cover keeps the list of local bindings that reach to or beyond the pattern.
func (m *Machine) cover(e kbusdev.BindEvent) {
	for i, c := range m.covering {
		if c.Name == e.Name {
			if e.Bound {
				m.covering[i] = e
			} else if c.Binder == e.Binder {
				m.covering = append(m.covering[:i], m.covering[i+1:]...)
			}
			return
		}
	}
	if e.Bound {
		m.covering = append(m.covering, e)
	}
}

// SnapshotAsked tells that the bus has queued an event for every replier bound:
// the next queued messages from it, at most, hold all of them.
func (m *Machine) SnapshotAsked(queued int) []Effect {
	m.begin()
	m.snapshotSeen++
	m.lastSnapshot = 0
	if m.snapshotLeft = queued; queued == 0 {
		m.reconcile()
	}
	return m.fx
}

// reconcile ends a snapshot: what it did not mention is gone, here and at the peer.
func (m *Machine) reconcile() {
	m.table.unseen(m.snapshotSeen, func(name string, binder kbusdev.KsockID) {
		e := kbusdev.BindEvent{Binder: binder, Name: name}
		m.note(e, false)
		if binder == m.cfg.Ksock {
			return
		}
		msg := &kbusdev.Message{
			Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
			Name:  kbusdev.NameReplierBindEvent,
			Event: &e,
		}
		m.cross(msg, e)
	})
}
