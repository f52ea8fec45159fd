package membus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Route tells what Send does, and RouteOf the same of a list of what is bound.
func TestRouteIsWhatSendDoes(t *testing.T) {
	noWait, cancel := context.WithCancel(t.Context())
	cancel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		name := func(wild bool) string {
			words := []string{"$"}
			for range 1 + r.IntN(3) {
				words = append(words, string(rune('A'+r.IntN(2))))
			}
			if wild && r.IntN(2) == 0 {
				words[len(words)-1] = []string{"*", "%"}[r.IntN(2)]
			}
			return strings.Join(words, ".")
		}
		b := membus.New()
		var all []kbusdev.Ksock
		for range 6 {
			k, err := b.Open(kbusdev.ReadWrite)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, k)
			if _, err := k.OnlyOnce(kbusdev.On); err != nil {
				t.Fatal(err)
			}
			for range r.IntN(4) {
				_ = k.Bind(name(true), kbusdev.Role(r.IntN(2) == 0)) // another may have it
			}
		}
		for range 20 {
			m := &kbusdev.Message{Name: name(false)}
			if r.IntN(2) == 0 {
				m.Flags = kbusdev.WantReply
				if r.IntN(3) == 0 {
					m.To = kbusdev.KsockID(1 + r.IntN(6))
				}
			}
			route, foretold := b.Route(all[0].ID(), m)
			list, err := b.Bindings()
			if err != nil {
				t.Fatal(err)
			}
			listed, listedErr := kbusdev.RouteOf(list, m)
			errnoOf := func(err error) syscall.Errno { errno, _ := kbusdev.ErrnoOf(err); return errno }
			if errnoOf(foretold) != errnoOf(listedErr) || listed.Replier != route.Replier {
				t.Fatalf("seed %d: %s: of the list %+v, %v, of the bus %+v, %v", seed, m.Name, listed, listedErr, route, foretold)
			}
			_, err = all[0].Send(t.Context(), m)
			if errnoOf(err) != errnoOf(foretold) {
				t.Fatalf("seed %d: %s is refused with %v, not %v", seed, m.Name, err, foretold)
			}
			told := make(map[kbusdev.KsockID]string)
			for _, l := range route.Listeners {
				told[l.Ksock] = "hears"
			}
			heard := make(map[kbusdev.KsockID]bool)
			for _, l := range listed.Listeners {
				heard[l.Ksock] = true
			}
			for k := range told {
				if !heard[k] {
					t.Errorf("seed %d: the list has %d not hear %s", seed, k, m.Name)
				}
			}
			if route.Replier.Ksock != 0 {
				told[route.Replier.Ksock] = "answers" // with OnlyOnce it gets the request alone
			}
			got := make(map[kbusdev.KsockID]string)
			for _, k := range all {
				for {
					m, err := k.Recv(noWait)
					if err != nil {
						break
					}
					if got[k.ID()] = "hears"; m.WantsUsToReply() {
						got[k.ID()] = "answers"
					}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(told) {
				t.Fatalf("seed %d: %s is got by %v, foretold were %v", seed, m.Name, got, told)
			}
		}
	}
}
