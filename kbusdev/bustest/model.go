package bustest

import (
	"context"
	"encoding/binary"
	"net"
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

func (k *modelKsock) ID() kbusdev.KsockID { return k.id }
func (k *modelKsock) String() string      { return "model" }

func (k *modelKsock) Send(_ context.Context, msg *kbusdev.Message) (kbusdev.MsgID, error) {
	if _, err := k.Write(kbusdev.AppendEntire(nil, kbusdev.LittleEndian64, msg)); err != nil {
		return kbusdev.MsgID{}, err
	}
	return k.Commit()
}

func (k *modelKsock) Recv(context.Context) (*kbusdev.Message, error) {
	n, err := k.Next()
	if err != nil || n == 0 {
		return nil, syscall.ENOMSG
	}
	b := make([]byte, n)
	if _, err := k.Read(b); err != nil {
		return nil, err
	}
	return kbusdev.ParseEntire(b, kbusdev.LittleEndian64)
}

func (k *modelKsock) RecvBatch(ctx context.Context, dst []*kbusdev.Message) (n int, err error) {
	dst[0], err = k.Recv(ctx)
	return 1, err
}

func (k *modelKsock) Bind(name string, as kbusdev.Role) error {
	m := k.bus
	if err := kbusdev.CheckBindName(name); err != nil {
		return err
	}
	if as == kbusdev.Replier {
		if name == "$.KBUS.ReplierBindEvent" {
			return syscall.EBADMSG
		}
		for _, b := range m.bindings {
			if b.role == kbusdev.Replier && b.name == name {
				return syscall.EADDRINUSE
			}
		}
		if m.reporting == kbusdev.On {
			event := m.bindEvent(1, k.id, name)
			if m.deliver(k, &event) != nil {
				return syscall.EAGAIN
			}
		}
	}
	m.bindings = slices.Insert(m.bindings, 0, &modelBinding{k, as, name})
	return nil
}

func (k *modelKsock) Unbind(name string, as kbusdev.Role) error {
	if err := kbusdev.CheckBindName(name); err != nil {
		return err
	}
	before := len(k.queue)
	err := k.unbind(name, as)
	if name == "$.KBUS.ReplierBindEvent" {
		k.forgetAside()
	}
	if len(k.queue) < before {
		k.moveIn()
	}
	return err
}

func (k *modelKsock) unbind(name string, as kbusdev.Role) error {
	m := k.bus
	at := slices.IndexFunc(m.bindings, func(b *modelBinding) bool { return b.ksock == k && b.role == as && b.name == name })
	if at < 0 {
		return syscall.EINVAL
	}
	if as == kbusdev.Replier && m.reporting == kbusdev.On {
		event := m.bindEvent(0, k.id, name)
		if m.deliver(k, &event) != nil {
			return syscall.EAGAIN
		}
	}
	for i := 0; i < len(k.queue); {
		c := k.queue[i]
		if c.via != m.bindings[at] {
			i++
			continue
		}
		k.queue = slices.Delete(k.queue, i, i+1)
		if c.msg.Flags&kbusdev.WantYouToReply != 0 {
			m.synthetic("$.KBUS.Replier.Unbound", k.id, c.msg.From, c.msg.ID)
		}
	}
	m.bindings = slices.Delete(m.bindings, at, at+1)
	return nil
}

func (k *modelKsock) Replier(name string) (kbusdev.KsockID, bool, error) {
	if len(name) == 0 || len(name) > 1000 {
		return 0, false, syscall.ENAMETOOLONG
	}
	for _, b := range k.bus.bindings {
		if b.role == kbusdev.Replier && b.name == name {
			return b.ksock.id, true, nil
		}
	}
	return 0, false, nil
}

// Write looks at one byte after the other.
func (k *modelKsock) Write(p []byte) (int, error) {
	if k.mode == kbusdev.ReadOnly {
		return 0, syscall.EBADF
	}
	if k.pending != nil {
		return 0, syscall.EALREADY
	}
	for _, c := range p {
		k.written = append(k.written, c)
		if err := k.judge(); err != nil {
			k.written = nil
			return 0, err
		}
	}
	return len(p), nil
}

func (k *modelKsock) word(at int) uint32 { return binary.LittleEndian.Uint32(k.written[at:]) }

func padded(n uint32) uint32 { return (n + 3) / 4 * 4 }

// size is the entire length that the header written speaks of.
func (k *modelKsock) size() uint64 {
	return modelHeader + uint64(padded(k.word(52)+1)) + (uint64(k.word(56))+3)/4*4 + 4
}

func (k *modelKsock) judge() error {
	n := len(k.written)
	if n < modelHeader {
		return nil
	}
	nameLen := k.word(52)
	dataLen := k.word(56)
	points := binary.LittleEndian.Uint64(k.written[64:]) != 0
	dataPoints := binary.LittleEndian.Uint64(k.written[72:]) != 0
	switch {
	case n == modelHeader:
		switch {
		case k.word(0) != 0x7375624B || k.word(80) != 0x4B627573:
			return syscall.EINVAL
		case nameLen == 0:
			return syscall.EINVAL
		case nameLen > 1000:
			return syscall.ENAMETOOLONG
		case !points && dataPoints, points && dataPoints != (dataLen > 0):
			return syscall.EINVAL
		case k.word(48)&0x300 == 0x300:
			return syscall.EINVAL
		case k.size() > uint64(k.bus.maxSize):
			return syscall.EMSGSIZE
		}
	case points: // pointers are followed at SEND, and nothing stands behind the header
		return syscall.EMSGSIZE
	case n == modelHeader+int(nameLen):
		return kbusdev.CheckName(string(k.written[modelHeader:n]))
	case n == int(k.size()):
		if k.word(n-4) != 0x4B627573 {
			return syscall.EINVAL
		}
	case n > int(k.size()):
		return syscall.EMSGSIZE
	}
	return nil
}

func (k *modelKsock) message() *kbusdev.Message {
	nameLen, dataLen := k.word(52), k.word(56)
	at := modelHeader + padded(nameLen+1)
	w := k.word
	return &kbusdev.Message{
		ID: kbusdev.MsgID{Network: w(4), Serial: w(8)}, InReplyTo: kbusdev.MsgID{Network: w(12), Serial: w(16)},
		To: kbusdev.KsockID(w(20)), From: kbusdev.KsockID(w(24)),
		OrigFrom: kbusdev.Address{Network: w(28), Local: kbusdev.KsockID(w(32))},
		FinalTo:  kbusdev.Address{Network: w(36), Local: kbusdev.KsockID(w(40))},
		Extra:    w(44), Flags: kbusdev.Flags(w(48)),
		Name: string(k.written[modelHeader : modelHeader+nameLen]),
		Data: slices.Clone(k.written[at : at+dataLen]),
	}
}

func (k *modelKsock) Commit() (kbusdev.MsgID, error) {
	if k.pending == nil {
		switch {
		case len(k.written) == 0:
			return kbusdev.MsgID{}, syscall.ENOMSG
		case len(k.written) < modelHeader:
			k.written = nil
			return kbusdev.MsgID{}, syscall.EINVAL
		case binary.LittleEndian.Uint64(k.written[64:]) != 0:
			k.written = nil // a model has nobody's memory to look into
			return kbusdev.MsgID{}, syscall.EFAULT
		case len(k.written) < int(k.size()):
			k.written = nil
			return kbusdev.MsgID{}, syscall.EINVAL
		}
		k.pending, k.numbered = k.message(), false
		k.written = nil
	}
	msg := k.pending
	err := k.try()
	if err != syscall.EAGAIN {
		k.pending = nil
	}
	return msg.ID, err
}

// try sends the pending message, now or not.
func (k *modelKsock) try() error {
	msg := k.pending
	if msg.Flags&kbusdev.WantReply != 0 && k.free() <= 0 {
		return syscall.ENOLCK
	}
	if !k.numbered {
		if msg.ID.Network == 0 {
			msg.ID = k.bus.serial()
		}
		msg.From, msg.Extra = k.id, 0
		msg.Flags &^= kbusdev.Synthetic | kbusdev.WantYouToReply
		k.numbered = true
	}
	k.sent = msg.ID
	return k.bus.deliver(k, msg)
}

func (k *modelKsock) Discard() error {
	k.written, k.pending = nil, nil
	return nil
}

func (k *modelKsock) Next() (int, error) {
	k.reading = nil
	if len(k.queue) == 0 {
		return 0, nil
	}
	c := k.queue[0]
	k.queue = k.queue[1:]
	if c.msg.Flags&kbusdev.WantYouToReply != 0 {
		k.owed = slices.Insert(k.owed, 0, modelRequest{c.msg.ID, c.msg.From})
	}
	k.moveIn()
	k.reading = kbusdev.AppendEntire(nil, kbusdev.LittleEndian64, &c.msg)
	return len(k.reading), nil
}

func (k *modelKsock) Read(b []byte) (int, error) {
	if k.mode == kbusdev.WriteOnly {
		return 0, syscall.EBADF
	}
	n := copy(b, k.reading)
	k.reading = k.reading[n:]
	return n, nil
}

func (k *modelKsock) LenLeft() (int, error) { return len(k.reading), nil }

func (k *modelKsock) Poll() (r kbusdev.Readiness, _ error) {
	r.In = len(k.queue) > 0
	if k.pending != nil {
		id := k.pending.ID
		switch k.try() {
		case syscall.EAGAIN:
			return r, nil
		case nil:
		case syscall.EADDRNOTAVAIL:
			k.bus.synthetic("$.KBUS.Replier.Disappeared", 0, k.id, id)
		default:
			k.bus.synthetic("$.KBUS.ErrorSending", 0, k.id, id)
		}
		k.pending = nil
	}
	r.Out = k.mode != kbusdev.ReadOnly
	return r, nil
}

func (k *modelKsock) LastSent() (kbusdev.MsgID, error) { return k.sent, nil }

func (k *modelKsock) NumMessages() (int, error) {
	n := len(k.queue)
	for _, a := range k.bus.aside {
		if a.to == k {
			n++
		}
	}
	return n, nil
}

func (k *modelKsock) Unreplied() (int, error) { return len(k.owed), nil }

func (k *modelKsock) MaxMessages(n uint32) (uint32, error) {
	if n != 0 {
		k.max = n
	}
	return k.max, nil
}

func (k *modelKsock) MaxMessageSize(n uint32) (uint32, error) {
	switch {
	case n == 0:
		return k.bus.maxSize, nil
	case n == 1:
		return 409600, nil
	case n < 100 || n > 409600:
		return 0, syscall.EINVAL
	}
	k.bus.maxSize = n
	return n, nil
}

func modelSwitch(value *kbusdev.Switch, s kbusdev.Switch) (kbusdev.Switch, error) {
	old := *value
	switch s {
	case 0, 1:
		*value = s
	case 0xFFFFFFFF:
	default:
		return old, syscall.EINVAL
	}
	return old, nil
}

func (k *modelKsock) OnlyOnce(s kbusdev.Switch) (kbusdev.Switch, error) {
	return modelSwitch(&k.once, s)
}

func (k *modelKsock) Verbose(s kbusdev.Switch) (kbusdev.Switch, error) {
	return modelSwitch(&k.bus.verbose, s)
}

func (k *modelKsock) ReportReplierBinds(s kbusdev.Switch) (kbusdev.Switch, error) {
	m := k.bus
	old, err := modelSwitch(&m.reporting, s)
	if err != nil || s != kbusdev.On {
		return old, err
	}
	for _, b := range m.bindings {
		if b.role == kbusdev.Replier {
			event := m.bindEvent(1, b.ksock.id, b.name)
			if k.free() <= 0 {
				return old, syscall.EBUSY
			}
			k.push(event, asRequester, nil)
		}
	}
	return old, nil
}

func (k *modelKsock) NewDevice() (uint32, error) { return 0, syscall.ENOMEM }

func (k *modelKsock) Close() error {
	if k.gone {
		return net.ErrClosed
	}
	m := k.bus
	k.written, k.pending = nil, nil
	for len(k.queue) > 0 {
		c := k.queue[0]
		k.queue = k.queue[1:]
		if c.msg.Flags&kbusdev.WantYouToReply != 0 {
			m.synthetic("$.KBUS.Replier.GoneAway", k.id, c.msg.From, c.msg.ID)
		}
	}
	for i := 0; i < len(m.bindings); {
		b := m.bindings[i]
		if b.ksock != k {
			i++
			continue
		}
		if b.role == kbusdev.Replier && m.reporting == kbusdev.On {
			m.closedReplier(k, b.name)
		}
		m.bindings = slices.Delete(m.bindings, i, i+1)
	}
	k.forgetAside()
	for _, r := range k.owed {
		m.synthetic("$.KBUS.Replier.Ignored", k.id, r.from, r.id)
	}
	m.ksocks = slices.DeleteFunc(m.ksocks, func(o *modelKsock) bool { return o == k })
	k.gone = true
	return nil
}
