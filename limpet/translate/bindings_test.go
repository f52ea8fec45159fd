package translate_test

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Ours. Forged bind events make the far limpet bind any name.
func TestForgedBindEventsAreIgnored(t *testing.T) {
	for what, m := range map[string]*kbusdev.Message{
		"not synthetic": bindEvent(true, 3, "$.A", flags(0)),
		"not from 0":    bindEvent(true, 3, "$.A", from(3)),
		"malformed":     bindEvent(true, 3, "$.A", func(m *kbusdev.Message) { m.Event = nil }),
	} {
		t.Run(what, func(t *testing.T) {
			want(t, machine().FromBus(nil, m), translate.Drop)
		})
	}
	want(t, machine().FromBus(nil, bindEvent(true, 3, "$.A")), translate.Forward)
}

func TestOwnProxyBindsDoNotGoBack(t *testing.T) {
	want(t, machine().FromBus(nil, bindEvent(true, own, "$.A")), translate.Drop, because(translate.OwnBindEvent))
}

// The bus's own query compares exactly; upstream bounces every stateful request
// to a wildcard replier.
func TestRepliersAreFoundByWildcard(t *testing.T) {
	m := machine()
	m.FromBus(nil, bindEvent(true, 3, "$.A.*"))
	m.FromBus(nil, bindEvent(true, 4, "$.*"))
	if got := m.Replier("$.A.B.C"); got != 4 {
		t.Errorf("of two wildcards %d replies, want the newer one, 4", got)
	}
	m.FromBus(nil, bindEvent(true, 5, "$.A.%"))
	if got := m.Replier("$.A.B"); got != 5 {
		t.Errorf("%d replies, want the one-level wildcard, 5", got)
	}
	m.FromBus(nil, bindEvent(true, own, "$.A.B"))
	if got := m.Replier("$.A.B"); got != 0 {
		t.Errorf("%d replies, want 0: it is ourselves", got)
	}
	m.FromBus(nil, bindEvent(false, 5, "$.A.%"))
	if got := m.Replier("$.A.X"); got != 4 {
		t.Errorf("%d replies, want 4", got)
	}
}

// A snapshot tells the newest first, so its later events are older.
func TestSnapshotKeepsTheOrderOfBindings(t *testing.T) {
	m := machine()
	m.SnapshotAsked(nil, 2)
	m.FromBus(nil, bindEvent(true, 4, "$.*", id(0, 10)))
	m.FromBus(nil, bindEvent(true, 3, "$.A.*", id(0, 11)))
	if got := m.Replier("$.A.B"); got != 4 {
		t.Errorf("%d replies, want the newest, 4", got)
	}
	m.FromBus(nil, bindEvent(true, 5, "$.A.B.*", id(0, 12)))
	if got := m.Replier("$.A.B.C"); got != 5 {
		t.Errorf("%d replies, want the newest, 5", got)
	}
}

// A bus that has no room for a whole snapshot queues its first part, and is asked again
// once that has been read. The order stays right, and the peer hears nothing twice.
func TestASnapshotThatIsCut(t *testing.T) {
	m := machine()
	m.SnapshotCut(nil, 1)
	fx := m.FromBus(nil, bindEvent(true, 4, "$.*", id(0, 10)))
	if len(fx) != 2 || fx[0].Kind != translate.Forward || fx[1].Kind != translate.Snapshot {
		t.Fatalf("after the first part: %+v", fx)
	}
	m.SnapshotAsked(nil, 2)
	want(t, m.FromBus(nil, bindEvent(true, 4, "$.*", id(0, 12))), translate.Drop, because(translate.BindEventUsed))
	want(t, m.FromBus(nil, bindEvent(true, 3, "$.A.*", id(0, 13))), translate.Forward)
	if got := m.Replier("$.A.B"); got != 4 {
		t.Errorf("%d replies, want the newest, 4", got)
	}
	if fx := m.SnapshotCut(nil, 0); len(fx) != 1 || fx[0].Kind != translate.Snapshot {
		t.Errorf("a snapshot of which nothing was queued: %+v", fx)
	}
}

func TestProxyBindings(t *testing.T) {
	m := machine()
	bind := func(bound bool, binder kbusdev.KsockID) []translate.Effect {
		return m.FromPeer(nil, bindEvent(bound, binder, "$.A", id(them, 1)), translate.Facts{})
	}
	want(t, bind(true, 4), translate.Bind)
	m.BindDone(nil, "$.A", 0)
	want(t, bind(true, 4), translate.Drop)  // the same again: nothing
	want(t, bind(false, 5), translate.Drop) // another binder's unbind does not count
	want(t, bind(false, 4), translate.Unbind)
	m.UnbindDone(nil, "$.A", 0)
	if s := m.Stats(); s.Proxies != 0 || s.Wishes != 0 {
		t.Errorf("left over: %+v", s)
	}
	want(t, bind(false, 4), translate.Drop) // an unknown name
}

// Ours. C dies on EADDRINUSE.
func TestLocalReplierWinsAndTheWishComesTrueLater(t *testing.T) {
	m := machine()
	m.FromBus(nil, bindEvent(true, 3, "$.A"))
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	if fx := m.BindDone(nil, "$.A", syscall.EADDRINUSE); len(fx) != 0 {
		t.Fatalf("effects of EADDRINUSE: %+v", fx)
	}
	m.FromBus(nil, bindEvent(false, 3, "$.A"))
	if fx := m.Tick(nil, epoch.Add(time.Millisecond)); len(fx) != 0 {
		t.Fatalf("the name is taken at once: in a loop a ghost would: %+v", fx)
	}
	want(t, m.Tick(nil, epoch.Add(200*time.Millisecond)), translate.Bind)
	m.BindDone(nil, "$.A", 0)
	if s := m.Stats(); s.Proxies != 1 || s.Wishes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBindsWithoutRoomAreRetried(t *testing.T) {
	m := machine()
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	m.BindDone(nil, "$.A", syscall.EAGAIN)
	want(t, m.Tick(nil, epoch.Add(50*time.Millisecond)), translate.Bind)
	m.BindDone(nil, "$.A", 0)
	want(t, m.FromPeer(nil, bindEvent(false, 4, "$.A"), translate.Facts{}), translate.Unbind)
	m.UnbindDone(nil, "$.A", syscall.EAGAIN)
	want(t, m.Tick(nil, epoch.Add(time.Second)), translate.Unbind)
}

func TestProxiesAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxProxies = 1 })
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Drop, because(translate.TooManyBinds))
}

// Ours. In a loop the news of a bind and its unbind chase each other for ever.
func TestNamesBoundTooOftenWait(t *testing.T) {
	m := machine()
	for range 16 {
		want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
		m.BindDone(nil, "$.A", 0)
		want(t, m.FromPeer(nil, bindEvent(false, 4, "$.A"), translate.Facts{}), translate.Unbind)
		m.UnbindDone(nil, "$.A", 0)
	}
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Drop, because(translate.BindEventUsed))
	want(t, m.Tick(nil, epoch.Add(200*time.Millisecond)), translate.Bind)
	m.BindDone(nil, "$.A", 0)
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Bind)
}

// The same for news that overtake what is being done on the bus: the next bind comes
// while the unbind before it is still under way.
func TestNamesBoundTooOftenWaitWhileOneIsUnderWay(t *testing.T) {
	m := machine()
	binds := 0
	do := func(fx []translate.Effect) []translate.Effect {
		for _, e := range fx {
			if e.Kind == translate.Bind {
				binds++
				return m.BindDone(nil, e.Name, 0)
			}
		}
		return nil
	}
	do(m.FromPeer(nil, bindEvent(true, 3, "$.A"), translate.Facts{}))
	for range 100 {
		m.FromPeer(nil, bindEvent(false, 3, "$.A"), translate.Facts{})
		m.FromPeer(nil, bindEvent(true, 3, "$.A"), translate.Facts{})
		do(m.UnbindDone(nil, "$.A", 0))
	}
	if binds > 17 {
		t.Errorf("the name was bound %d times at once", binds)
	}
	if do(m.Tick(nil, epoch.Add(time.Second))); m.Stats().Proxies != 1 {
		t.Error("the name is not bound later")
	}
}

func withPattern(p string) func(*translate.Config) {
	return func(c *translate.Config) { c.Pattern = p }
}

// Ours. Upstream does not know the event. The peer is told only what has changed.
func TestUnbindEventsLostMakesASnapshotAndReconciles(t *testing.T) {
	m := machine()
	want(t, m.FromBus(nil, bindEvent(true, 3, "$.Stays")), translate.Forward)
	want(t, m.FromBus(nil, bindEvent(true, 4, "$.Goes")), translate.Forward)
	want(t, m.FromBus(nil, msg(kbusdev.NameUnbindEventsLost, flags(kbusdev.Synthetic), from(0))), translate.Snapshot)
	want(t, m.FromBus(nil, msg(kbusdev.NameUnbindEventsLost)), translate.Drop, because(translate.ForgedBindEvent))
	if fx := m.SnapshotAsked(nil, 1); len(fx) != 0 {
		t.Fatalf("effects before the snapshot was read: %+v", fx)
	}
	fx := m.FromBus(nil, bindEvent(true, 3, "$.Stays"))
	if len(fx) != 2 || fx[0].Reason != translate.BindEventUsed || fx[1].Kind != translate.Forward {
		t.Fatalf("effects at the end of the snapshot: %+v", fx)
	}
	if e := fx[1].Msg.Event; e == nil || *e != (kbusdev.BindEvent{Binder: 4, Name: "$.Goes"}) {
		t.Errorf("the peer is told %+v", e)
	}
	if m.Replier("$.Goes") != 0 || m.Replier("$.Stays") != 3 {
		t.Errorf("the table has %d and %d", m.Replier("$.Goes"), m.Replier("$.Stays"))
	}
}

func TestDrainUnbindsAndBindsNoMore(t *testing.T) {
	m := machine()
	m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{})
	m.BindDone(nil, "$.A", 0)
	want(t, m.Drain(nil), translate.Unbind)
	m.UnbindDone(nil, "$.A", 0)
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.B"), translate.Facts{}), translate.Drop)
}

// The narrower of pattern and bound name crosses; of several names that reach
// beyond the pattern one stands for all.
func TestNarrowerPatternOutward(t *testing.T) {
	m := machine(withPattern("$.A.*"))
	crosses := func(fx []translate.Effect, e kbusdev.BindEvent) {
		t.Helper()
		f := want(t, fx, translate.Forward)
		if got := f.Msg.Event; got == nil || *got != e {
			t.Errorf("crosses as %+v, want %+v", got, e)
		}
	}
	crosses(m.FromBus(nil, bindEvent(true, 3, "$.A.B")), kbusdev.BindEvent{Bound: true, Binder: 3, Name: "$.A.B"})
	want(t, m.FromBus(nil, bindEvent(true, 3, "$.B")), translate.Drop, because(translate.OutsidePattern))
	want(t, m.FromBus(nil, bindEvent(true, 3, "$.%")), translate.Drop, because(translate.OutsidePattern))
	crosses(m.FromBus(nil, bindEvent(true, 4, "$.*")), kbusdev.BindEvent{Bound: true, Binder: 4, Name: "$.A.*"})
	want(t, m.FromBus(nil, bindEvent(true, 5, "$.A.*")), translate.Drop)
	crosses(m.FromBus(nil, bindEvent(false, 4, "$.*")), kbusdev.BindEvent{Bound: true, Binder: 5, Name: "$.A.*"})
	crosses(m.FromBus(nil, bindEvent(false, 5, "$.A.*")), kbusdev.BindEvent{Binder: 5, Name: "$.A.*"})
}

// Ours. A pattern limits requests too: what it excludes is not bound here.
func TestNarrowerPatternInward(t *testing.T) {
	m := machine(withPattern("$.A.*"))
	hear := func(bound bool, binder kbusdev.KsockID, name string) []translate.Effect {
		return m.FromPeer(nil, bindEvent(bound, binder, name), translate.Facts{})
	}
	named := func(name string) func(*translate.Effect) bool {
		return func(f *translate.Effect) bool { return f.Name == name }
	}
	want(t, hear(true, 3, "$.B"), translate.Drop, because(translate.OutsidePattern))
	want(t, hear(true, 3, "$.A.B"), translate.Bind, named("$.A.B"))
	want(t, hear(true, 4, "$.*"), translate.Bind, named("$.A.*"))
	m.BindDone(nil, "$.A.*", 0)
	want(t, hear(true, 5, "$.A.*"), translate.Drop) // the same proxy serves both
	want(t, hear(false, 4, "$.*"), translate.Drop)
	want(t, hear(false, 5, "$.A.*"), translate.Unbind, named("$.A.*"))
}

// Upstream's limpets end on a name that is bound twice or was never bound.
func TestAClassicPeerHearsNothingTwice(t *testing.T) {
	m := machine(withPattern("$.A.*"), func(c *translate.Config) { c.Classic = true })
	want(t, m.FromBus(nil, bindEvent(true, 4, "$.*")), translate.Forward)
	want(t, m.FromBus(nil, bindEvent(true, 4, "$.*")), translate.Drop)
	want(t, m.FromBus(nil, bindEvent(true, 5, "$.A.*")), translate.Drop)
	var told []kbusdev.BindEvent
	for _, f := range m.FromBus(nil, bindEvent(false, 4, "$.*")) {
		told = append(told, *f.Msg.Event)
	}
	if diff := cmp.Diff([]kbusdev.BindEvent{{Binder: 4, Name: "$.A.*"}, {Bound: true, Binder: 5, Name: "$.A.*"}}, told); diff != "" {
		t.Error(diff)
	}
	want(t, m.FromBus(nil, bindEvent(false, 9999, "$.A.C")), translate.Drop, because(translate.BindEventUsed))
}

// Ours. Contested names: a late unbind never removes a newer replier.
func TestALateUnbindDoesNotRemoveANewerReplier(t *testing.T) {
	m := machine()
	hear := func(bound bool, binder kbusdev.KsockID) []translate.Effect {
		return m.FromPeer(nil, bindEvent(bound, binder, "$.A"), translate.Facts{})
	}
	want(t, hear(true, 4), translate.Bind)
	m.BindDone(nil, "$.A", 0)
	want(t, hear(true, 5), translate.Drop)
	want(t, hear(false, 4), translate.Drop)
	want(t, hear(false, 5), translate.Unbind)
}

// The name may have become free while a Bind was out that finds it taken.
func TestAWishMissesNoUnbind(t *testing.T) {
	m := machine()
	m.FromBus(nil, bindEvent(true, 3, "$.A"))
	want(t, m.FromPeer(nil, bindEvent(true, 4, "$.A"), translate.Facts{}), translate.Bind)
	m.FromBus(nil, bindEvent(false, 3, "$.A"))
	m.BindDone(nil, "$.A", syscall.EADDRINUSE)
	if want := epoch.Add(200 * time.Millisecond); !m.Next().Equal(want) {
		t.Errorf("tried again at %v, want %v", m.Next(), want)
	}
	// Nor one that the bus never told of.
	want(t, m.Tick(nil, m.Next()), translate.Bind)
	m.FromBus(nil, bindEvent(true, 3, "$.A"))
	m.BindDone(nil, "$.A", syscall.EADDRINUSE)
	want(t, m.Tick(nil, epoch.Add(time.Minute)), translate.Bind)
}

// Tables converge: what was lost on the way is found by digest and sent again.
func TestPeerSnapshotMendsWhatWasLost(t *testing.T) {
	here, there := machine(), machine(func(c *translate.Config) {
		c.NetworkID, c.PeerNetworkID, c.MaxProxies, c.MaxHeard, c.Pattern = them, us, 2, 8, "$.A.*"
	})
	equal := func() bool {
		heard, whole := there.HeardDigest()
		return whole && heard == here.ToldDigest()
	}
	cross := func(bound bool, name string, arrives bool) {
		f := want(t, here.FromBus(nil, bindEvent(bound, 3, name)), translate.Forward)
		if arrives {
			there.FromPeer(nil, &f.Msg, translate.Facts{})
		}
	}
	cross(true, "$.A.Stays", true)
	there.BindDone(nil, "$.A.Stays", 0)
	cross(true, "$.B", true) // outside
	cross(true, "$.A.C", true)
	cross(true, "$.A.D", true) // too many
	there.BindDone(nil, "$.A.C", 0)
	if !equal() {
		t.Fatal("nothing was lost, but the digests differ")
	}
	cross(false, "$.A.C", false)
	cross(true, "$.A.New", false)
	if equal() {
		t.Fatal("the digests do not show what was lost")
	}
	var fx []translate.Effect
	fx = there.PeerSnapshot(fx, true)
	for e := range here.Told {
		fx = there.FromPeer(fx, bindEvent(true, e.Binder, e.Name), translate.Facts{})
	}
	fx = there.PeerSnapshot(fx, false)
	last := fx[len(fx)-1]
	if last.Kind != translate.Unbind || last.Name != "$.A.C" || !equal() {
		t.Errorf("after the snapshot: %+v", fx)
	}
	if fx := there.PeerSnapshot(nil, false); len(fx) != 0 {
		t.Errorf("an end without a beginning: %+v", fx)
	}
}

func TestNamesHeardAreBounded(t *testing.T) {
	m := machine(func(c *translate.Config) { c.MaxHeard = 2 })
	hear := func(bound bool, name string) []translate.Effect {
		return m.FromPeer(nil, bindEvent(bound, 4, name), translate.Facts{})
	}
	want(t, hear(true, "$.A"), translate.Bind)
	want(t, hear(true, "$."+strings.Repeat("B", 126)), translate.Drop, because(translate.TooManyBinds)) // 131 bytes of 128
	want(t, hear(true, "$.C"), translate.Bind)
	want(t, hear(true, "$.D"), translate.Drop, because(translate.TooManyBinds))
	if d, whole := m.HeardDigest(); whole || d.Names != 2 {
		t.Errorf("%+v, whole: %v", d, whole)
	}
	want(t, hear(false, "$.D"), translate.Drop)
	m.PeerSnapshot(nil, true)
	if _, whole := m.HeardDigest(); !whole {
		t.Error("a new snapshot does not start over")
	}
}

// The definition of the digest, for peers that are not this program.
func TestDigestIsFNV(t *testing.T) {
	m := machine()
	var sum uint64
	for binder, name := range map[kbusdev.KsockID]string{0x01020304: "$.A", 5: "$.B.*"} {
		m.FromPeer(nil, bindEvent(true, binder, name), translate.Facts{})
		h := fnv.New64a()
		h.Write(binary.LittleEndian.AppendUint32([]byte(name), uint32(binder)))
		sum ^= h.Sum64()
	}
	if d, _ := m.HeardDigest(); d != (translate.Digest{Names: 2, Sum: sum}) {
		t.Errorf("%+v, want %x", d, sum)
	}
}
