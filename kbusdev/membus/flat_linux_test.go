package membus

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/trap"
)

// An operation looks at nothing of the others on the bus, so that its cost does not grow
// with them: here they are in memory that cannot be read, and the lists of them lead there.
// What finds its way by an index or a map does not come by; what walks along them faults.
func TestOperationsDoNotLookAtOthers(t *testing.T) {
	const others = 1000
	bus := New(WithMaxMessages(math.MaxInt32))
	sender, receiver := openFor(t, bus), openFor(t, bus)
	must(t, receiver.Bind("$.A.News", kbusdev.Listener), receiver.Bind("$.A.Ask", kbusdev.Replier))
	crowd(t, bus, sender, receiver, others)
	trapOthers(t, bus, sender, receiver)

	pass := func(from, to *Ksock, m kbusdev.Message) *kbusdev.Message {
		t.Helper()
		_, err := from.Send(t.Context(), &m)
		must(t, err)
		got, err := to.Recv(t.Context())
		must(t, err)
		return got
	}
	for what, op := range map[string]func(){
		"send and recv": func() { pass(sender, receiver, kbusdev.Message{Name: "$.A.News"}) },
		"request and reply": func() {
			q := pass(sender, receiver, kbusdev.Message{Name: "$.A.Ask", Flags: kbusdev.WantReply})
			pass(receiver, sender, kbusdev.Message{Name: "$.A.Ask", InReplyTo: q.ID, To: q.From})
		},
		"request and withdraw": func() {
			id, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.A.Ask", Flags: kbusdev.WantReply})
			must(t, err)
			if !sender.Withdraw(id) {
				t.Error("it is not withdrawn")
			}
		},
		"open and close": func() { must(t, openFor(t, bus).Close()) },
		"close with an open request": func() {
			k := openFor(t, bus)
			must(t, k.Bind("$.A.Own", kbusdev.Replier))
			pass(sender, k, kbusdev.Message{Name: "$.A.Own", Flags: kbusdev.WantReply})
			must(t, k.Close())
			_, err := sender.Recv(t.Context())
			must(t, err)
		},
		"bind and unbind": func() {
			for _, as := range []kbusdev.Role{kbusdev.Listener, kbusdev.Replier} {
				must(t, receiver.Bind("$.A.New.*", as), receiver.Unbind("$.A.New.*", as))
			}
		},
		"unbind and bind": func() { // older than the others
			must(t, receiver.Unbind("$.A.News", kbusdev.Listener), receiver.Bind("$.A.News", kbusdev.Listener))
		},
		"find a replier": func() {
			if r, ok := bus.FindReplier("$.A.Ask"); !ok || r.Ksock != receiver.id {
				t.Errorf("%+v", r)
			}
		},
		"counts": func() {
			_, _ = receiver.NumMessages()
			_, _ = receiver.Unreplied()
			_, _ = bus.CountBindings()
		},
	} {
		t.Log(what) // a fault ends the process
		op()
	}
}

// crowd puts Ksocks, bindings, open requests and queued messages on the bus, also of the
// two Ksocks.
func crowd(t *testing.T, bus *Bus, sender, receiver *Ksock, n int) {
	t.Helper()
	send := func(from *Ksock, m kbusdev.Message) {
		t.Helper()
		_, err := from.Send(t.Context(), &m)
		must(t, err)
	}
	for i := range n {
		k := openFor(t, bus)
		must(t,
			k.Bind(fmt.Sprintf("$.A.N%d", i), kbusdev.Replier),
			k.Bind(fmt.Sprintf("$.N%d.*", i), kbusdev.Listener),
			k.Bind("$.A.Other", kbusdev.Listener),
			receiver.Bind(fmt.Sprintf("$.A.Own%d", i), kbusdev.Listener))
		send(sender, kbusdev.Message{Name: fmt.Sprintf("$.A.N%d", i), Flags: kbusdev.WantReply}) // not read
		send(sender, kbusdev.Message{Name: "$.A.Ask", Flags: kbusdev.WantReply})
		_, err := receiver.Recv(t.Context())
		must(t, err)
	}
	send(sender, kbusdev.Message{Name: "$.A.Other"})
}

// trapOthers puts traps in the place of the others.
func trapOthers(t *testing.T, bus *Bus, sender, receiver *Ksock) {
	t.Helper()
	aKsock, aBinding, aDebt, aNode, aSlot := trap.New[Ksock](t), trap.New[binding](t), trap.New[debt](t), trap.New[node](t), trap.New[slot](t)
	middle := bus.names.newest
	for range bus.names.count / 2 {
		middle = middle.older
	}
	middle.newer, middle.older = aBinding, aBinding
	for i := range bus.names.ages.entries[10:] {
		bus.names.ages.entries[10+i].binding = aBinding
	}
	middle = receiver.bound.newest.ownOlder.ownOlder
	middle.ownOlder = aBinding
	for name := range receiver.bound.listening {
		if name != "$.A.News" {
			receiver.bound.listening[name] = aBinding
		}
	}
	words := bus.names.root.children
	for word := range words {
		if word != "A" {
			words[word] = aNode
		}
	}
	words = words["A"].children
	for word := range words {
		if word != "News" && word != "Ask" {
			words[word] = aNode
		}
	}
	for _, b := range bus.ksocks.blocks {
		for i, k := range b.values {
			if k != nil && k != sender && k != receiver {
				b.values[i] = aKsock
			}
		}
	}
	receiver.debts.newest.older.older = aDebt
	for _, b := range receiver.debts.byID.blocks {
		for i, d := range b.values {
			if d != nil && d != receiver.debts.newest && d != receiver.debts.newest.older {
				b.values[i] = aDebt
			}
		}
	}
	for _, b := range sender.awaited.byID.blocks {
		for i := range b.values {
			b.values[i].request = aSlot
		}
	}
}

func openFor(t *testing.T, bus *Bus) *Ksock {
	t.Helper()
	k, err := bus.Open(kbusdev.ReadWrite)
	must(t, err)
	return k.(*Ksock)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
