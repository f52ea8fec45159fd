package bustest

import (
	"context"
	"net"
	"slices"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Ksock of a Model, but for what it writes.

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
