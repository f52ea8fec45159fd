package limpet

import (
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/table"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Names differ at the peer if the link has renames. The rules, and everything else here,
// speak of names as they are on our bus: messages are renamed when they leave for the peer
// and when they come from it, bindings by package translate, and what is to be heard where
// it is told.

// nameThere gives a message of our bus the name that it has at the peer. If it has none it
// ends here, and nameThere returns false: a request is answered. A reply always goes, for
// its asker waits.
func (e *Epoch) nameThere(m *kbusdev.Message) bool {
	name, errno := e.cfg.Renames.There(m.Name)
	switch {
	case errno == 0:
		m.Name = name
	case m.IsReply():
		unnameable(m)
	case m.WantsUsToReply():
		e.abandon(m, kbusdev.NameRemoteErrorPrefix+kbusdev.ErrnoName(errno), translate.NotRenamed)
		return false
	default:
		e.counts.fromBus(translate.NotRenamed, m)
		return false
	}
	return true
}

// nameHere gives a message of the peer's the name that it has on our bus. The errno says
// why it has none, which never keeps a reply back.
func (e *Epoch) nameHere(m *kbusdev.Message) syscall.Errno {
	name, errno := e.cfg.Renames.Here(m.Name)
	switch {
	case errno == 0:
		m.Name = name
	case m.IsReply():
		unnameable(m)
		return 0
	}
	return errno
}

// unnameable makes of a reply whose name cannot cross one that tells the asker so.
func unnameable(m *kbusdev.Message) {
	m.Name, m.Data, m.Flags = kbusdev.NameRemoteErrorPrefix+"EBADMSG", nil, 0
}

// A wish is what the peer is told that is wanted here, by the names that it has there.
type wish struct {
	renames *rename.Map
	told    map[string]uint32 // how many of the names here each stands for; nil without renames
	changes *table.Pending
}

func newWish(renames *rename.Map) wish {
	w := wish{renames: renames, changes: table.NewPending()}
	if renames != nil {
		w.told = make(map[string]uint32)
	}
	return w
}

// want notes that a name is wanted here, or no longer.
func (w *wish) want(name string, wanted bool) {
	if w.renames == nil {
		w.changes.Add(table.Event{Listener: true, Bound: wanted, Name: name})
		return
	}
	for _, there := range w.renames.BindThere(nil, name) {
		n := w.told[there]
		switch {
		case wanted:
			w.told[there] = n + 1
		case n > 1:
			w.told[there] = n - 1
		default:
			delete(w.told, there)
		}
		if n == 0 && wanted || n == 1 && !wanted {
			w.changes.Add(table.Event{Listener: true, Bound: wanted, Name: there})
		}
	}
}
