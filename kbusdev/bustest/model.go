package bustest

import (
	"encoding/binary"
	"slices"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Model is a bus that is slow and obviously right: the rules of the module as
// they are written down, with plain slices and linear scans. It shares no code
// with the buses that it judges. One goroutine drives it; nothing waits in it:
// Send and Recv are the device's own steps. It speaks kbusdev.LittleEndian64, and
// keeps the one promise that the module breaks: a stateful request whose replier
// goes away unread is answered.
type Model struct {
	// MaxBytes leaves a Ksock no room while the names and data in its queue make so
	// many bytes or more; 0 means without such a bound, as the module is.
	MaxBytes int

	ksocks     []*modelKsock
	bindings   []*modelBinding // newest first
	lastKsock  kbusdev.KsockID
	lastSerial uint32
	maxSize    uint32
	reporting  kbusdev.Switch
	verbose    kbusdev.Switch
	aside      []modelAside // the unbind events set aside, for all Ksocks
	lost       bool
}

type modelBinding struct {
	ksock *modelKsock
	role  kbusdev.Role
	name  string
}

// A modelCopy is what one recipient has in its queue.
type modelCopy struct {
	msg kbusdev.Message
	via *modelBinding
}

type modelAside struct {
	to *modelKsock
	modelCopy
}

type modelRequest struct {
	id   kbusdev.MsgID
	from kbusdev.KsockID
}

type modelKsock struct {
	bus      *Model
	id       kbusdev.KsockID
	mode     kbusdev.Mode
	gone     bool
	max      uint32
	once     kbusdev.Switch
	queue    []modelCopy
	pushed   kbusdev.MsgID // last queued here
	sent     kbusdev.MsgID
	open     []kbusdev.MsgID // our requests without a reply
	owed     []modelRequest  // what we have read and not answered, latest first
	written  []byte
	pending  *kbusdev.Message
	numbered bool   // the pending message has its id
	reading  []byte // what Read has still to give
}

const (
	modelMaxAside = 1000
	modelHeader   = 88
)

// NewModel makes a bus without Ksocks.
func NewModel() *Model { return &Model{maxSize: kbusdev.AbsoluteMaxMessageSize} }

// Open makes a Ksock with the next id.
func (m *Model) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	m.lastKsock++
	k := &modelKsock{bus: m, id: m.lastKsock, mode: mode, max: kbusdev.DefaultMaxMessages}
	m.ksocks = append(m.ksocks, k)
	return k, nil
}

// Bindings lists what is bound, newest first.
func (m *Model) Bindings() (all []kbusdev.Binding, _ error) {
	for _, b := range m.bindings {
		all = append(all, kbusdev.Binding{Ksock: b.ksock.id, Role: b.role, Name: b.name})
	}
	return all, nil
}

// String names it "model".
func (m *Model) String() string { return "model" }

func (m *Model) ksock(id kbusdev.KsockID) *modelKsock {
	for _, k := range m.ksocks {
		if k.id == id {
			return k
		}
	}
	return nil
}

func (m *Model) serial() kbusdev.MsgID {
	m.lastSerial++
	return kbusdev.MsgID{Serial: m.lastSerial}
}

// recipients are judged binding by binding.
func (m *Model) recipients(name string) (replier *modelBinding, listeners []*modelBinding) {
	for _, b := range m.bindings {
		switch {
		case !kbusdev.Matches(b.name, name):
		case b.role == kbusdev.Listener:
			listeners = append(listeners, b)
		case replier == nil || kbusdev.Specificity(b.name) > kbusdev.Specificity(replier.name):
			replier = b
		}
	}
	return replier, listeners
}

// free is how many messages more may be queued at k; it may be negative.
func (k *modelKsock) free() int {
	bytes := 0
	for _, c := range k.queue {
		bytes += len(c.msg.Name) + len(c.msg.Data)
	}
	if k.bus.MaxBytes > 0 && bytes >= k.bus.MaxBytes {
		return -1 // not even for a reply, which has a slot
	}
	return int(k.max) - len(k.queue) - len(k.open)
}

type modelReason int

const (
	asListener modelReason = iota
	asReplier
	asRequester
)

func (k *modelKsock) push(msg kbusdev.Message, why modelReason, via *modelBinding) {
	if why == asListener && k.once == kbusdev.On && k.pushed == msg.ID {
		return
	}
	if why == asReplier {
		msg.Flags |= kbusdev.WantYouToReply
	}
	if why == asRequester {
		if i := slices.Index(k.open, msg.InReplyTo); i >= 0 {
			k.open = slices.Delete(k.open, i, i+1)
		}
	}
	k.pushed = msg.ID
	c := modelCopy{msg: msg, via: via}
	if msg.Flags&kbusdev.Urgent != 0 {
		k.queue = slices.Insert(k.queue, 0, c)
	} else {
		k.queue = append(k.queue, c)
	}
}

func (m *Model) synthetic(name string, from, to kbusdev.KsockID, request kbusdev.MsgID) {
	if k := m.ksock(to); k != nil {
		k.push(kbusdev.Message{ID: m.serial(), InReplyTo: request, To: to, From: from, Flags: kbusdev.Synthetic, Name: name}, asRequester, nil)
	}
}

// deliver judges a message that has its id, and sends it if it may be sent.
func (m *Model) deliver(k *modelKsock, msg *kbusdev.Message) error {
	replier, listeners := m.recipients(msg.Name)
	noRoom := syscall.EBUSY
	if msg.Flags&kbusdev.AllOrWait != 0 {
		noRoom = syscall.EAGAIN
	}
	request := msg.Flags&kbusdev.WantReply != 0
	reply := msg.InReplyTo != kbusdev.MsgID{}
	if request && replier == nil {
		return syscall.EADDRNOTAVAIL
	}
	var requester *modelKsock
	if reply {
		requester = m.ksock(msg.To)
		if requester == nil {
			return syscall.EADDRNOTAVAIL
		}
		if !slices.Contains(requester.open, msg.InReplyTo) {
			return syscall.ECONNREFUSED
		}
		if requester.free()+1 <= 0 {
			return noRoom
		}
	}
	if request {
		if msg.To != 0 && msg.To != replier.ksock.id {
			return syscall.EPIPE
		}
		if replier.ksock.free() <= 0 {
			return noRoom
		}
	}
	var hear []*modelBinding
	for _, l := range listeners {
		if l.ksock.free() > 0 {
			hear = append(hear, l)
		} else if msg.Flags&(kbusdev.AllOrFail|kbusdev.AllOrWait) != 0 {
			return noRoom
		}
	}
	if reply {
		requester.push(*msg, asRequester, nil)
		for i, r := range k.owed {
			if r.id == msg.InReplyTo {
				k.owed = slices.Delete(k.owed, i, i+1)
				break
			}
		}
	}
	if request {
		replier.ksock.push(*msg, asReplier, replier)
		k.open = append(k.open, msg.ID)
	}
	for _, l := range hear {
		l.ksock.push(*msg, asListener, l)
	}
	return nil
}

func (m *Model) bindEvent(bound uint32, binder kbusdev.KsockID, name string) kbusdev.Message {
	data := binary.LittleEndian.AppendUint32(nil, bound)
	data = binary.LittleEndian.AppendUint32(data, uint32(binder))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(name)))
	data = append(append(data, name...), 0)
	for len(data)%4 != 0 {
		data = append(data, 0)
	}
	return kbusdev.Message{ID: m.serial(), Flags: kbusdev.Synthetic | kbusdev.AllOrFail, Name: "$.KBUS.ReplierBindEvent", Data: data}
}

// closedReplier announces what a Close has unbound, or sets it aside.
func (m *Model) closedReplier(k *modelKsock, name string) {
	event := m.bindEvent(0, k.id, name)
	if m.deliver(k, &event) == nil {
		return
	}
	_, listeners := m.recipients(event.Name)
	if !m.lost && len(m.aside)+len(listeners) <= modelMaxAside {
		for _, l := range listeners {
			m.aside = append(m.aside, modelAside{l.ksock, modelCopy{event, l}})
		}
		return
	}
	m.lost = true
	lost := kbusdev.Message{ID: m.serial(), Flags: kbusdev.Synthetic, Name: "$.KBUS.UnbindEventsLost"}
	for _, l := range listeners {
		has := false
		for i := len(m.aside) - 1; i >= 0 && m.aside[i].msg.Name == lost.Name; i-- {
			has = has || m.aside[i].to == l.ksock
		}
		if !has {
			m.aside = append(m.aside, modelAside{l.ksock, modelCopy{lost, l}})
		}
	}
}

func (k *modelKsock) moveIn() {
	m := k.bus
	for i, a := range m.aside {
		if a.to == k {
			m.aside = slices.Delete(m.aside, i, i+1)
			k.push(a.msg, asListener, a.via)
			break
		}
	}
	m.lost = m.lost && len(m.aside) > 0
}

func (k *modelKsock) forgetAside() {
	m := k.bus
	m.aside = slices.DeleteFunc(m.aside, func(a modelAside) bool { return a.to == k })
	m.lost = m.lost && len(m.aside) > 0
}
