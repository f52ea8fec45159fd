package daemon_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// manyRules are n of them, the last of which allows everything that those before do not
// deny: none of what is sent here.
func manyRules(n int) []rules.Rule {
	var all []rules.Rule
	for i := range n {
		if i == n-1 {
			return append(all, rules.Rule{Allow: []string{"all"}})
		}
		all = append(all, rules.Rule{Deny: []string{"announce", "listen", "request", "reply"}, Names: []string{fmt.Sprintf("$.Plant.Hall%d.*", i)}})
	}
	return all
}

// What a message costs from one attached program to another, on one daemon or over a link
// between two, by how many rules each daemon has.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{0, 10, 1000} {
		b.Run(fmt.Sprintf("attach/rules=%d", n), func(b *testing.B) {
			d := start(b, daemon.Config{Rules: manyRules(n)})
			carry(b, d.bus, d.bus)
		})
	}
	for _, n := range []int{0, 10, 1000} {
		b.Run(fmt.Sprintf("link/rules=%d", n), func(b *testing.B) {
			at := unix(filepath.Join(b.TempDir(), "link"))
			from := start(b, daemon.Config{Rules: manyRules(n), NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(at)}})
			to := start(b, daemon.Config{Rules: manyRules(n), NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}})
			if err := to.bus.WaitLinked(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
			carry(b, from.bus, to.bus)
		})
	}
}

// carry carries b.N announcements from a program on one bus to one on another.
func carry(b *testing.B, from, to *client.Bus) {
	carries := carrier(b, from, to)
	b.ResetTimer()
	carries(b.N)
	b.StopTimer()
}

// carrier returns what carries so many announcements from a program on one bus to one on
// another.
func carrier(b *testing.B, from, to *client.Bus) func(n int) {
	b.Helper()
	const name, window = "$.Plant.Sensor.Rain", 2000
	sender, receiver := benchKsock(b, from), benchKsock(b, to)
	if err := receiver.Bind(name, kbusdev.Listener); err != nil {
		b.Fatal(err)
	}
	if _, err := receiver.MaxMessages(65536); err != nil {
		b.Fatal(err)
	}
	if err := receiver.Prefetch(true); err != nil {
		b.Fatal(err)
	}
	if from != to {
		if err := from.WaitInterest(b.Context(), name, 1); err != nil {
			b.Fatal(err)
		}
	}
	m := &kbusdev.Message{Name: name, Data: make([]byte, 64)}
	batch := make([]*kbusdev.Message, 256)
	return func(all int) {
		for sent, got := 0, 0; got < all; {
			for ; sent < all && sent-got < window; sent++ {
				if err := sender.Post(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			n, err := receiver.RecvBatch(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}

func benchKsock(b *testing.B, bus *client.Bus) *client.Ksock {
	b.Helper()
	k, err := bus.Ksock(b.Context(), kbusdev.ReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = k.Close() })
	return k
}
