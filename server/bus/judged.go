package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A judged is the Ksock of a program, which does with it what the rules let it do. What
// they do not looks absent: it is refused EADDRNOTAVAIL, or not heard.
type judged struct {
	kbusdev.Ksock
	visit
	service *Service
	policy  atomic.Pointer[rules.Policy] // nil is everything

	mu   sync.Mutex
	owed map[kbusdev.MsgID]struct{} // the requests that it was given, and has not answered; nil if that is not known
}

// open opens a Ksock for somebody who comes.
func (s *Service) open(v visit, mode kbusdev.Mode) (*judged, error) {
	inner, err := s.bus.Open(mode)
	if err != nil {
		return nil, err
	}
	k := &judged{Ksock: inner, visit: v, service: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.come(&k.visit)
	k.setPolicy(s.policyOf(v.identity)) // under the lock, so that RulesChanged misses nobody
	if k.policy.Load() != nil {
		k.owed = make(map[kbusdev.MsgID]struct{})
	}
	s.ksocks[inner.ID()] = k
	return k, nil
}

// Close closes the Ksock.
func (k *judged) Close() error {
	k.service.mu.Lock()
	if k.service.ksocks[k.ID()] == k {
		delete(k.service.ksocks, k.ID())
	}
	k.service.mu.Unlock()
	return k.Ksock.Close()
}

// setPolicy notes what the program may do. One that may do everything needs no judging.
func (k *judged) setPolicy(p *rules.Policy) {
	if p.Unlimited() {
		p = nil
	}
	k.policy.Store(p)
}

func (k *judged) denied(op, name string) error {
	k.service.denied.Add(1)
	return &kbusdev.OpError{Op: op, Name: name, Err: syscall.EADDRNOTAVAIL}
}

// deniedMessage is denied of a message that may not be sent. It has no sender yet.
func (k *judged) deniedMessage(op string, m *kbusdev.Message) error {
	k.service.deniedMessages.Add(1)
	if k.service.OnDenied != nil {
		said := *m
		said.From = k.ID()
		k.service.OnDenied(k.identity, &said)
	}
	return k.denied(op, m.Name)
}

// Send is kbusdev.Ksock's, like the methods below.
func (k *judged) Send(ctx context.Context, m *kbusdev.Message) (kbusdev.MsgID, error) {
	if p := k.policy.Load(); p != nil {
		if err := k.judge(p, m); err != nil {
			return kbusdev.MsgID{}, err
		}
	}
	id, err := k.Ksock.Send(ctx, m)
	if m.IsReply() && (err == nil || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ECONNREFUSED)) { // or the asker has gone
		k.answered(m.InReplyTo)
	}
	return id, err
}

// judge returns why a message may not be sent. What is no name is left to the bus.
func (k *judged) judge(p *rules.Policy, m *kbusdev.Message) error {
	switch {
	case m.IsReply() && !k.owes(m.InReplyTo):
		return k.deniedMessage("send", m)
	case m.IsRequest() && !p.Sends(m) && kbusdev.CheckName(m.Name) == nil:
		return k.deniedMessage("send", m)
	case !p.Sends(m) && kbusdev.CheckName(m.Name) == nil:
		return k.deniedMessage(opAnnounce, m)
	}
	return nil
}

// opAnnounce is the operation of an announcement that was denied, for which there need be
// no replier.
const opAnnounce = "announce"

func (k *judged) owes(id kbusdev.MsgID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, owed := k.owed[id]
	return owed || k.owed == nil
}

func (k *judged) answered(id kbusdev.MsgID) {
	if k.owed == nil { // it does not change
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.owed, id)
}

// Recv waits for a message that the program may have.
func (k *judged) Recv(ctx context.Context) (*kbusdev.Message, error) {
	for {
		m, err := k.Ksock.Recv(ctx)
		if err != nil || k.takes(m) {
			return m, err
		}
	}
}

// RecvBatch waits for messages that the program may have.
func (k *judged) RecvBatch(ctx context.Context, dst []*kbusdev.Message) (int, error) {
	for {
		n, err := k.Ksock.RecvBatch(ctx, dst)
		if k.owed == nil && k.policy.Load() == nil || err != nil {
			return n, err
		}
		kept := dst[:0]
		for _, m := range dst[:n] {
			if k.takes(m) {
				kept = append(kept, m)
			}
		}
		clear(dst[len(kept):n])
		if len(kept) > 0 {
			return len(kept), nil
		}
	}
}

// takes reports whether the program may have a message. It owes the answer to a request.
func (k *judged) takes(m *kbusdev.Message) bool {
	p := k.policy.Load()
	switch {
	case m.WantsUsToReply():
		if k.owed != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.owed[m.ID] = struct{}{}
		}
		return true
	case p == nil, m.IsReply() && m.To == k.ID():
		return true
	default:
		return p.Hears(m)
	}
}

// Bind binds a name: as replier if the program may bind all that it matches, as listener if
// it may hear any of it.
func (k *judged) Bind(name string, as kbusdev.Role) error {
	if p := k.policy.Load(); p != nil && kbusdev.CheckBindName(name) == nil && !p.Binds(name, as) {
		return k.denied(opBind, name)
	}
	return k.Ksock.Bind(name, as)
}

const opBind = "bind"

// Replier looks for a replier of which the program may know.
func (k *judged) Replier(name string) (kbusdev.KsockID, bool, error) {
	id, found, err := k.Ksock.Replier(name)
	if found && !k.policy.Load().Sees(name) {
		return 0, false, nil
	}
	return id, found, err
}

// The device's own steps move bytes, which are not judged: a program that may not do
// everything cannot use them.

func (k *judged) step(op string) error {
	if k.policy.Load() == nil {
		return nil
	}
	k.service.denied.Add(1)
	return &kbusdev.OpError{Op: op, Err: syscall.EACCES}
}

func (k *judged) Write(b []byte) (int, error) {
	if err := k.step("write"); err != nil {
		return 0, err
	}
	return k.Ksock.Write(b)
}

func (k *judged) Commit() (kbusdev.MsgID, error) {
	if err := k.step("send"); err != nil {
		return kbusdev.MsgID{}, err
	}
	return k.Ksock.Commit()
}

func (k *judged) Next() (int, error) {
	if err := k.step("next"); err != nil {
		return 0, err
	}
	return k.Ksock.Next()
}

func (k *judged) Read(b []byte) (int, error) {
	if err := k.step("read"); err != nil {
		return 0, err
	}
	return k.Ksock.Read(b)
}

// Withdraw is membus's.
func (k *judged) Withdraw(id kbusdev.MsgID) bool {
	w, ok := k.Ksock.(withdrawer)
	return ok && w.Withdraw(id)
}

// Missed is membus's.
func (k *judged) Missed() uint64 {
	if k, ok := k.Ksock.(interface{ Missed() uint64 }); ok {
		return k.Missed()
	}
	return 0
}
