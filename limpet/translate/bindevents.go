package translate

import "github.com/kbus-limpet/limpet/kbusdev"

// A snapshot is being read from our bus: it queued an event for every replier bound.
type snapshot struct {
	left       int    // how many messages may still belong to it
	cut        bool   // the bus had no room for the rest of it
	mark       uint32 // of the bindings it named
	lastSerial uint32 // of its latest event, 0 before the first
}

// forged reports whether a message with the name of a bus's event is not from the bus.
func forged(msg *kbusdev.Message) bool {
	return msg.Flags&kbusdev.Synthetic == 0 || msg.From != 0
}

// unbindEventsLost has our table made again, for it may be wrong now (ours).
func unbindEventsLost(fx []Effect, msg *kbusdev.Message) []Effect {
	if forged(msg) {
		return drop(fx, ForgedBindEvent)
	}
	return append(fx, Effect{Kind: Snapshot, Reason: EventsLost})
}

// bindEventFromBus notes who replies to what, and tells the peer if it may know.
func (m *Machine) bindEventFromBus(fx []Effect, msg *kbusdev.Message) []Effect {
	switch {
	case forged(msg):
		return drop(fx, ForgedBindEvent) // ours
	case msg.Event == nil:
		return drop(fx, BadBindEvent) // ours
	}
	e := *msg.Event
	old := m.ofSnapshot(msg, e)
	m.note(e, old)
	if e.Binder == m.cfg.Ksock {
		return drop(fx, OwnBindEvent)
	}
	fx, why := m.tell(fx, msg, e, old)
	if why != NoReason {
		return drop(fx, why)
	}
	return fx
}

// ofSnapshot reports whether a bind event belongs to the snapshot that is being
// read; the events of one have serial numbers in a row.
func (m *Machine) ofSnapshot(msg *kbusdev.Message, e kbusdev.BindEvent) bool {
	s := &m.snapshot
	if s.left == 0 || !e.Bound || s.lastSerial != 0 && msg.ID.Serial != s.lastSerial+1 {
		return false
	}
	s.lastSerial = msg.ID.Serial
	return true
}

// note keeps the table of repliers, and wakes those who wait for a change in it.
func (m *Machine) note(e kbusdev.BindEvent, old bool) {
	if e.Bound {
		displaced := m.table.bind(e.Name, e.Binder, old, m.snapshot.mark)
		if displaced != 0 {
			m.replierUnbound(e.Name, displaced)
		}
		m.replierBound(e.Binder)
		return
	}
	m.table.unbind(e.Name, e.Binder)
	m.replierUnbound(e.Name, e.Binder)
	m.nameFree(e.Name)
}

// tell forwards what the peer may know of a bind event; why is the reason if that
// is nothing.
func (m *Machine) tell(fx []Effect, msg *kbusdev.Message, e kbusdev.BindEvent, old bool) (_ []Effect, why Reason) {
	e, why = m.outward.narrow(e)
	switch {
	case why != NoReason:
		return fx, why
	case m.cfg.Renames != nil:
		return m.tellRenamed(fx, msg, e, old)
	default:
		return m.tellName(fx, msg, e, old)
	}
}

// tellName is tell for a name as it is at the peer. Of old news, and to a classic peer, only
// what it does not know yet is forwarded: upstream's limpets end on a name that is bound
// twice or was never bound.
func (m *Machine) tellName(fx []Effect, msg *kbusdev.Message, e kbusdev.BindEvent, old bool) (_ []Effect, why Reason) {
	holder := m.told.holder(e.Name)
	if m.withheld(e, holder) {
		return fx, Withheld
	}
	known := e.Bound == (holder == e.Binder)
	if !e.Bound {
		m.told.unbind(e.Name, e.Binder)
	}
	if known && (old || m.cfg.Classic) {
		return fx, BindEventUsed
	}
	if !e.Bound {
		return m.forwardEvent(fx, msg, e), NoReason
	}
	if m.cfg.Classic && holder != 0 {
		fx = m.forwardEvent(fx, msg, kbusdev.BindEvent{Binder: holder, Name: e.Name})
	}
	m.told.bind(e.Name, e.Binder)
	return m.forwardEvent(fx, msg, e), NoReason
}

func (m *Machine) forwardEvent(fx []Effect, msg *kbusdev.Message, e kbusdev.BindEvent) []Effect {
	fx = m.forward(fx, msg)
	if *msg.Event != e {
		narrowed := e
		fx[len(fx)-1].Msg.Event = &narrowed
	}
	return fx
}

// SnapshotAsked tells that the bus has queued an event for every replier bound:
// the next queued messages from it, at most, hold all of them.
func (m *Machine) SnapshotAsked(fx []Effect, queued int) []Effect {
	m.snapshot = snapshot{left: queued, mark: m.snapshot.mark + 1}
	return m.snapshotOver(fx)
}

// SnapshotCut is SnapshotAsked for a bus that had no room for all the events: the first
// part of the snapshot is queued. When that has been read, a Snapshot effect asks again.
// The two must not be mixed up: each tells the newest first.
func (m *Machine) SnapshotCut(fx []Effect, queued int) []Effect {
	m.snapshot = snapshot{left: queued, cut: true, mark: m.snapshot.mark + 1}
	return m.snapshotOver(fx)
}

// snapshotRead counts a message that was read, and ends the snapshot after its last.
func (m *Machine) snapshotRead(fx []Effect) []Effect {
	if m.snapshot.left == 0 {
		return fx
	}
	m.snapshot.left--
	return m.snapshotOver(fx)
}

// snapshotOver does what follows a snapshot once its last message has been read.
func (m *Machine) snapshotOver(fx []Effect) []Effect {
	switch {
	case m.snapshot.left > 0:
		return fx
	case m.snapshot.cut:
		return append(fx, Effect{Kind: Snapshot})
	default:
		return m.reconcile(fx)
	}
}

// reconcile ends a snapshot: what it did not name is gone, here and at the peer.
func (m *Machine) reconcile(fx []Effect) []Effect {
	for _, e := range m.table.unseen(m.snapshot.mark) {
		m.note(e, false)
		if e.Binder == m.cfg.Ksock {
			continue
		}
		fx, _ = m.tell(fx, &kbusdev.Message{
			Flags: kbusdev.Synthetic | kbusdev.AllOrFail,
			Name:  kbusdev.NameReplierBindEvent,
			Event: &e,
		}, e, true)
	}
	return fx
}
