package membus

import (
	"fmt"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

const errInvalid = syscall.EINVAL

// A Ksock is one open of a Bus. Everything in it is guarded by the bus's mutex.
type Ksock struct {
	bus  *Bus
	id   kbusdev.KsockID
	mode kbusdev.Mode

	gone        bool
	queue       queue
	maxMessages int
	maxBytes    int
	onlyOnce    kbusdev.Switch
	notOwn      bool
	lastQueued  kbusdev.MsgID // for only-once
	lastSent    kbusdev.MsgID
	awaited     awaited // replies we wait for
	debts       debts   // replies we owe
	reading     []byte  // what is left of the message taken by Next
	taken       *kbusdev.Message
	takenEver   uint64
	missed      uint64
	lastMissed  kbusdev.MsgID
	writing     writing
	pending     *outgoing // a send that waits for room
	waiters     waiters   // sends of others that wait for us
	bound       bound
	setAside    setAside

	judge   Judge // nil lets it do everything; see JudgedBy
	denied  func(op, name string, m *kbusdev.Message)
	refused uint64 // what the judge did not allow

	onChange func() // told when poll would answer otherwise; see OnChange

	readable chan struct{} // signalled when something is queued
	room     chan struct{} // signalled when the Send that waits is finished
	closed   chan struct{}
}

// ID is the Ksock's id, from 1.
func (k *Ksock) ID() kbusdev.KsockID { return k.id }

// String gives the bus and the id.
func (k *Ksock) String() string { return fmt.Sprintf("%s ksock %d", k.bus, k.id) }

// locked runs f under the bus's mutex, unless the Ksock is closed, and wraps its
// error. It is how every simple operation is made.
func (k *Ksock) locked(op, name string, f func() error) error {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	if k.gone {
		return opError(op, name, errClosed)
	}
	if err := f(); err != nil {
		return opError(op, name, err)
	}
	return nil
}

// hasRoom says whether one more message may be queued here. reserved counts the
// slots already kept for it.
func (k *Ksock) hasRoom(reserved int) bool {
	q := &k.queue
	return q.n+k.awaited.n-reserved < k.maxMessages && q.bytes < k.maxBytes && (q.bytes == 0 || q.bytes < k.bus.set.opts.maxAll-k.bus.queued.bytes)
}

// miss counts a message that found no room here.
func (k *Ksock) miss(m *kbusdev.Message) {
	if k.onlyOnce == kbusdev.On && k.lastMissed == m.ID {
		return
	}
	k.lastMissed = m.ID
	k.missed++
	why := k.full()
	k.bus.counts.missed[why]++
	if k.bus.onMiss != nil {
		k.bus.onMiss(m, k.id, MissedReasons[why])
	}
}

// Missed counts what this Ksock would have heard as listener since it was opened,
// had there been room in its queue. Each copy counts, but with OnlyOnce a message
// counts once. What ALL_OR_FAIL or ALL_OR_WAIT refused to the sender does not count.
func (k *Ksock) Missed() uint64 {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	return k.missed
}

// LastSent is the id of the last message this Ksock tried to send.
func (k *Ksock) LastSent() (id kbusdev.MsgID, err error) {
	err = k.locked("lastsent", "", func() error { id = k.lastSent; return nil })
	return id, err
}

// NumMessages counts what is queued, and the unbind events set aside for us.
func (k *Ksock) NumMessages() (n int, err error) {
	err = k.locked("nummsgs", "", func() error { n = k.queue.n + len(k.setAside.entries); return nil })
	return n, err
}

// Unreplied counts the requests we have read and owe a reply.
func (k *Ksock) Unreplied() (n int, err error) {
	err = k.locked("unrepliedto", "", func() error { n = k.debts.n; return nil })
	return n, err
}

// MaxMessages sets the bound of our queue, in messages; 0 asks.
func (k *Ksock) MaxMessages(n uint32) (now uint32, err error) {
	err = k.locked("maxmsgs", "", func() error {
		if n != 0 {
			k.maxMessages = int(min(n, 1<<31-1))
			k.bus.roomAt(k)
		}
		now = uint32(k.maxMessages)
		return nil
	})
	return now, err
}

// MaxMessageSize sets the bus's bound on entire messages, in bytes.
func (k *Ksock) MaxMessageSize(n uint32) (now uint32, err error) {
	err = k.locked("maxmsgsize", "", func() error {
		switch {
		case n == 0:
			now = k.bus.maxSize
		case n == 1:
			now = kbusdev.AbsoluteMaxMessageSize
		case n < kbusdev.MinMaxMessageSize || n > kbusdev.AbsoluteMaxMessageSize:
			return errInvalid
		default:
			if err := k.mayChange("maxmsgsize"); err != nil {
				return err
			}
			k.bus.maxSize, now = n, n
		}
		return nil
	})
	return now, err
}

// OnlyOnce turns on that each message reaches us once.
func (k *Ksock) OnlyOnce(s kbusdev.Switch) (old kbusdev.Switch, err error) {
	err = k.locked("msgonlyonce", "", func() error { return flip(&k.onlyOnce, s, &old) })
	return old, err
}

// NotOwn turns off that the Ksock hears as listener what it has sent itself. The module
// has nothing like it; a limpet, which listens to everything, would only throw it away.
func (k *Ksock) NotOwn() {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	k.notOwn = true
}

// Verbose remembers the switch and does nothing else: this bus has no log.
func (k *Ksock) Verbose(s kbusdev.Switch) (old kbusdev.Switch, err error) {
	err = k.locked("verbose", "", func() error {
		if s != kbusdev.Ask {
			if err := k.mayChange("verbose"); err != nil {
				return err
			}
		}
		return flip(&k.bus.verbose, s, &old)
	})
	return old, err
}

// ReportReplierBinds turns bind events on for the bus.
func (k *Ksock) ReportReplierBinds(s kbusdev.Switch) (old kbusdev.Switch, err error) {
	err = k.locked("reportreplierbinds", "", func() error {
		if s != kbusdev.Ask {
			if err := k.mayChange("reportreplierbinds"); err != nil {
				return err
			}
		}
		if err := flip(&k.bus.reporting, s, &old); err != nil || s != kbusdev.On {
			return err
		}
		return k.bus.snapshot(k)
	})
	return old, err
}

func flip(value *kbusdev.Switch, s kbusdev.Switch, old *kbusdev.Switch) error {
	*old = *value
	switch s {
	case kbusdev.On, kbusdev.Off:
		*value = s
	case kbusdev.Ask:
	default:
		return errInvalid
	}
	return nil
}

// NewDevice adds a bus to the set and returns its number; ENOMEM when the set
// has all it may have.
func (k *Ksock) NewDevice() (n uint32, err error) {
	err = k.locked("newdevice", "", func() error {
		if err := k.mayChange("newdevice"); err != nil {
			return err
		}
		var ok bool
		if n, ok = k.bus.set.Add(); !ok {
			return syscall.ENOMEM
		}
		return nil
	})
	return n, err
}

// Close gives everything back, in the module's order: what was being written,
// GoneAway for requests not read, the bindings, Ignored for requests not answered.
func (k *Ksock) Close() error {
	b := k.bus
	return k.locked("close", "", func() error {
		b.unpark(k)
		k.writing = writing{}
		for k.queue.n > 0 {
			if e := k.queue.pop(); e.request {
				b.synthetic(kbusdev.NameReplierGoneAway, k.id, e.msg.From, e.msg.ID)
			}
		}
		b.unbindAll(k)
		b.dropSetAside(k)
		for d := k.debts.newest; d != nil; d = d.older {
			b.synthetic(kbusdev.NameReplierIgnored, k.id, d.requester, d.id)
		}
		b.ksocks.set(ksockKey(k.id), nil)
		b.counts.ksocks--
		b.judge(k, nil, nil)
		b.counts.awaited -= k.awaited.n
		k.queue, k.debts, k.awaited = queue{}, debts{}, awaited{}
		k.gone = true
		close(k.closed)
		b.tryAgain("", k.waiters.all()...)
		return nil
	})
}
