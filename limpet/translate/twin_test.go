package translate_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// A farBus is a slow, plain twin of what two limpets make of the bindings of one
// bus at the other: who has bound what there, and what that should bind here.
type farBus map[string]kbusdev.KsockID

// seen returns the names that are seen through a pattern.
func (b farBus) seen(pattern string) map[string]bool {
	names := map[string]bool{}
	for name := range b {
		if narrow, ok := kbusdev.Narrower(pattern, name); ok {
			names[narrow] = true
		}
	}
	return names
}

// A nearBus is our own bus: what is bound there, by local repliers and by us.
type nearBus struct {
	rnd    *rand.Rand
	holder map[string]kbusdev.KsockID
	m      *translate.Machine
}

// do performs the effects, some of them badly, and reports them to the machine.
func (b *nearBus) do(fx []translate.Effect) {
	for len(fx) > 0 {
		f := fx[0]
		fx = fx[1:]
		busy := b.rnd.IntN(8) == 0
		switch {
		case f.Kind == translate.Bind && busy:
			fx = b.m.BindDone(fx, f.Name, syscall.EAGAIN)
		case f.Kind == translate.Unbind && busy:
			fx = b.m.UnbindDone(fx, f.Name, syscall.EAGAIN)
		case f.Kind == translate.Bind && b.holder[f.Name] != 0:
			fx = b.m.BindDone(fx, f.Name, syscall.EADDRINUSE)
		case f.Kind == translate.Bind:
			b.holder[f.Name] = own
			fx = b.m.FromBus(b.m.BindDone(fx, f.Name, 0), bindEvent(true, own, f.Name))
		case f.Kind == translate.Unbind:
			if b.holder[f.Name] != own {
				panic("unbinds what is not its own: " + f.Name)
			}
			delete(b.holder, f.Name)
			fx = b.m.FromBus(b.m.UnbindDone(fx, f.Name, 0), bindEvent(false, own, f.Name))
		}
	}
}

// local lets a local replier take or leave a name.
func (b *nearBus) local(name string) {
	switch b.holder[name] {
	case 0:
		b.holder[name] = 3
		b.do(b.m.FromBus(nil, bindEvent(true, 3, name)))
	case 3:
		delete(b.holder, name)
		b.do(b.m.FromBus(nil, bindEvent(false, 3, name)))
	}
}

// Random bindings at a far bus cross two limpets, each with a pattern of its own.
// Whatever is lost, late, refused or contested on the way: after a snapshot, and
// when all timers have run, our bus has what the twin says.
func TestProxiesAgreeWithTheirTwin(t *testing.T) {
	names := []string{"$.A", "$.B", "$.A.B", "$.A.C", "$.A.B.C", "$.*", "$.%", "$.A.*", "$.A.%", "$.A.B.*", "$.A.B.%"}
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			pick := func() string { return names[rnd.IntN(len(names))] }
			theirs, ours := pick(), pick()
			far := farBus{}
			lossy := seed%2 == 1
			there := machine(func(c *translate.Config) { c.NetworkID, c.PeerNetworkID, c.Pattern = them, us, theirs })
			m := machine(withPattern(ours))
			near := nearBus{rnd: rnd, holder: map[string]kbusdev.KsockID{}, m: m}
			bring := func(e kbusdev.BindEvent) {
				near.do(m.FromPeer(nil, bindEvent(e.Bound, e.Binder, e.Name), translate.Facts{}))
			}
			event := func(bound bool, binder kbusdev.KsockID, name string) {
				for _, f := range there.FromBus(nil, bindEvent(bound, binder, name)) {
					lost := lossy && rnd.IntN(4) == 0
					if f.Kind == translate.Forward && !lost {
						bring(*f.Msg.Event)
					}
				}
			}
			now := epoch
			for range 200 {
				name, binder := pick(), kbusdev.KsockID(4+rnd.IntN(3))
				switch holder := far[name]; {
				case rnd.IntN(4) == 0:
					near.local(pick())
				case holder == 0:
					far[name] = binder
					event(true, binder, name)
				case rnd.IntN(6) == 0: // its unbind comes late, or twice
					far[name] = binder
					event(true, binder, name)
					if holder != binder {
						event(false, holder, name)
					}
				default:
					delete(far, name)
					event(false, holder, name)
				}
				now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
				near.do(m.Tick(nil, now))
			}
			if lossy {
				near.do(m.PeerSnapshot(nil, true))
				there.Told(func(e kbusdev.BindEvent) bool { bring(e); return true })
				near.do(m.PeerSnapshot(nil, false))
			}
			for name, holder := range maps.Clone(near.holder) {
				if holder == 3 && rnd.IntN(2) == 0 {
					near.local(name)
				}
			}
			for range 1000 { // wishes are looked at again for ever
				now = now.Add(time.Second)
				near.do(m.Tick(nil, now))
			}

			told := map[string]bool{}
			for e := range there.Told {
				told[e.Name] = true
			}
			if diff := cmp.Diff(far.seen(theirs), told); diff != "" {
				t.Errorf("through %s is told (want, got): %s", theirs, diff)
			}
			if heard, whole := m.HeardDigest(); !whole || heard != there.ToldDigest() {
				t.Errorf("heard %+v, told %+v", heard, there.ToldDigest())
			}
			bound, want := map[string]bool{}, map[string]bool{}
			wishes := 0
			for name, holder := range near.holder {
				if holder == own {
					bound[name] = true
				}
			}
			crossed := farBus{}
			for name := range told {
				crossed[name] = 1
			}
			for name := range crossed.seen(ours) {
				if near.holder[name] == 3 {
					wishes++
				} else {
					want[name] = true
				}
			}
			if diff := cmp.Diff(want, bound); diff != "" {
				t.Errorf("through %s and %s is bound (want, got): %s", theirs, ours, diff)
			}
			if s := m.Stats(); int(s.Proxies) != len(want) || int(s.Wishes) != wishes {
				t.Errorf("%d proxies and %d wishes, the machine counts %d and %d", len(want), wishes, s.Proxies, s.Wishes)
			}
		})
	}
}
