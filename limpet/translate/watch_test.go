package translate_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// kernelModule is a bus that loses what its replier has not read.
func kernelModule(c *translate.Config) { c.LosesUnread = true }

// askStateful sends a request of the peer's for name to Ksock 5.
func askStateful(t *testing.T, m *translate.Machine, name string, serial uint32) *kbusdev.Message {
	t.Helper()
	q := stateful(us, 5)
	q.Name, q.ID.Serial = name, serial
	want(t, m.FromPeer(nil, q, translate.Facts{Replier: m.Replier(name)}), translate.Send)
	return q
}

// next runs the machine from deadline to deadline until something is due.
func next(m *translate.Machine) (time.Duration, []translate.Effect) {
	for at := m.Next(); !at.IsZero(); at = m.Next() {
		if fx := m.Tick(nil, at); len(fx) > 0 {
			return at.Sub(epoch), fx
		}
	}
	return 0, nil
}

// bouncedAt checks the next thing that happens on a quiet bus.
func bouncedAt(t *testing.T, m *translate.Machine, after time.Duration, name string, q *kbusdev.Message) {
	t.Helper()
	at, fx := next(m)
	want(t, fx, translate.Bounce, answers(name, q.ID, q.From))
	if at != after {
		t.Errorf("%s after %v, want %v", name, at, after)
	}
	late := msg("$.A", inReplyTo(q.ID.Network, q.ID.Serial), to(own), id(0, 30))
	want(t, m.FromBus(nil, late), translate.Drop, because(translate.LateReply))
	if s := m.Stats(); s.Asked != 0 || !m.Next().IsZero() {
		t.Errorf("left over: %+v, next %v", s, m.Next())
	}
}

func at(m *translate.Machine, d time.Duration) []translate.Effect { return m.Tick(nil, epoch.Add(d)) }

// Ours. The kernel module loses a stateful request whose replier closes unread.
func TestStatefulRequestWhoseReplierHasGone(t *testing.T) {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.*"))
	q := askStateful(t, m, "$.A", 1)
	at(m, time.Second)
	m.FromBus(nil, bindEvent(false, 5, "$.*"))
	bouncedAt(t, m, 3*time.Second, kbusdev.NameReplierGoneAway, q)
}

// Ours. A replier that still has names lives, and may have read the request.
func TestStatefulRequestWhoseReplierUnbinds(t *testing.T) {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	m.FromBus(nil, bindEvent(true, 5, "$.B"))
	q := askStateful(t, m, "$.A", 1)
	m.FromBus(nil, bindEvent(false, 5, "$.A"))
	bouncedAt(t, m, 30*time.Second, kbusdev.NameOutcomeUnknown, q)
}

func TestStatefulRequestAnsweredWithinTheGrace(t *testing.T) {
	for _, others := range []bool{false, true} {
		m := machine(kernelModule)
		m.FromBus(nil, bindEvent(true, 5, "$.A"))
		if others {
			m.FromBus(nil, bindEvent(true, 5, "$.B"))
		}
		q := askStateful(t, m, "$.A", 1)
		m.FromBus(nil, bindEvent(false, 5, "$.A"))
		at(m, 1999*time.Millisecond)
		want(t, m.FromBus(nil, msg("$.A", inReplyTo(q.ID.Network, q.ID.Serial), to(own), id(0, 30))), translate.Forward)
		if fx := at(m, time.Hour); len(fx) != 0 || !m.Next().IsZero() {
			t.Errorf("answered twice: %+v", fx)
		}
	}
}

// Other buses answer such a request themselves.
func TestNothingIsWatchedOnBusesThatLoseNothing(t *testing.T) {
	m := machine()
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	askStateful(t, m, "$.A", 1)
	m.FromBus(nil, bindEvent(false, 5, "$.A"))
	if at, fx := next(m); len(fx) != 0 {
		t.Errorf("after %v: %+v", at, fx)
	}
}

func TestReplierThatClosesAfterItUnbound(t *testing.T) {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	m.FromBus(nil, bindEvent(true, 5, "$.B"))
	q := askStateful(t, m, "$.A", 1)
	m.FromBus(nil, bindEvent(false, 5, "$.A"))
	at(m, 10*time.Second)
	m.FromBus(nil, bindEvent(false, 5, "$.B"))
	bouncedAt(t, m, 12*time.Second, kbusdev.NameReplierGoneAway, q)
}

// A replier that binds again lives; doing so again and again puts nothing off.
func TestReplierThatBindsAgain(t *testing.T) {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	q := askStateful(t, m, "$.A", 1)
	for after := time.Duration(0); after < 30*time.Second; after += time.Second {
		if fx := at(m, after); len(fx) != 0 {
			t.Fatalf("after %v: %+v", after, fx)
		}
		m.FromBus(nil, bindEvent(false, 5, "$.A"))
		m.FromBus(nil, bindEvent(true, 5, "$.A"))
	}
	bouncedAt(t, m, 30*time.Second, kbusdev.NameOutcomeUnknown, q)
}

func TestUnbindsThatConcernOthers(t *testing.T) {
	m := machine(kernelModule)
	for _, name := range []string{"$.A", "$.B"} {
		m.FromBus(nil, bindEvent(true, 5, name))
	}
	m.FromBus(nil, bindEvent(true, 6, "$.C"))
	askStateful(t, m, "$.B", 1)
	m.FromBus(nil, bindEvent(false, 5, "$.A"))
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	askStateful(t, m, "$.A", 2) // after the unbind
	m.FromBus(nil, bindEvent(false, 6, "$.C"))
	m.FromBus(nil, bindEvent(true, 5, "$.D.*"))
	m.FromBus(nil, bindEvent(false, 5, "$.D.*"))
	if at, fx := next(m); len(fx) != 0 {
		t.Errorf("after %v: %+v", at, fx)
	}
}

// The unbind event was lost: the name's next holder, or a snapshot, tells.
func TestReplierThatWasDisplaced(t *testing.T) {
	m := machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	q := askStateful(t, m, "$.A", 1)
	m.FromBus(nil, bindEvent(true, 6, "$.A"))
	bouncedAt(t, m, 2*time.Second, kbusdev.NameReplierGoneAway, q)

	m = machine(kernelModule)
	m.FromBus(nil, bindEvent(true, 5, "$.A"))
	q = askStateful(t, m, "$.A", 1)
	m.SnapshotAsked(nil, 0)
	bouncedAt(t, m, 2*time.Second, kbusdev.NameReplierGoneAway, q)
}

// Which unbinds a request is concerned by is what kbusdev.Matches says.
func TestUnbindsThatMatch(t *testing.T) {
	names := []string{"$.A", "$.A.B", "$.A.B.C", "$.AB.C", "$.B.A"}
	bindings := append([]string{"$.*", "$.%", "$.A.*", "$.A.%", "$.A.B.*", "$.A.B.%", "$.AB.%", "$.AB.*"}, names...)
	for _, b := range bindings {
		m := machine(kernelModule)
		for _, name := range append([]string{"$.Stays"}, bindings...) {
			m.FromBus(nil, bindEvent(true, 5, name))
		}
		lost := 0
		for i, name := range names {
			askStateful(t, m, name, uint32(i+1))
			if kbusdev.Matches(b, name) {
				lost++
			}
		}
		m.FromBus(nil, bindEvent(false, 5, b))
		if _, fx := next(m); len(fx) != lost {
			t.Errorf("unbinding %s: %d are lost, want %d", b, len(fx), lost)
		}
	}
}

// One program with many names and requests ends; none is forgotten.
func TestReplierWithManyNamesCloses(t *testing.T) {
	const names, requests = 10_000, 1000
	m := machine(kernelModule)
	name := func(i int) string { return "$.N" + strconv.Itoa(i) }
	for i := range names {
		m.FromBus(nil, bindEvent(true, 5, name(i)))
	}
	for i := range requests {
		askStateful(t, m, name(i), uint32(i+1))
	}
	for i := range names {
		m.FromBus(nil, bindEvent(false, 5, name(i)))
	}
	after, fx := next(m)
	if after != 2*time.Second || len(fx) != requests || m.Stats().Asked != 0 || !m.Next().IsZero() {
		t.Errorf("after %v: %d effects, %+v", after, len(fx), m.Stats())
	}
	for i, f := range fx {
		if f.Msg.Name != kbusdev.NameReplierGoneAway || f.Msg.InReplyTo.Serial != uint32(i+1) {
			t.Fatalf("effect %d is %+v", i, f)
		}
	}
}
