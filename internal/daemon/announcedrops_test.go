package daemon_test

import (
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// narrow opens a Ksock that listens, and has room for one message.
func narrow(t *testing.T, r *running, name string) kbusdev.Ksock {
	t.Helper()
	k := ksock(t, r)
	_, err := k.MaxMessages(1)
	must(t, err)
	must(t, k.Bind(name, kbusdev.Listener))
	return k
}

// Dropped messages are announced, some by themselves and the others as a count: all of them
// together, and none that was about drops itself, on this bus and over links.
func TestDropsAreAnnounced(t *testing.T) {
	a, b := pair(t, daemon.Config{AnnounceDrops: true}, daemon.Config{AnnounceDrops: true})
	ctx := t.Context()
	said, err := a.bus.Listen(ctx, client.ListenConfig{Names: []string{daemon.NameDropped}, MaxMessages: 10_000})
	must(t, err)
	defer said.Close()
	// These have room for nothing of what is said of drops, so that it is dropped too.
	for _, r := range []*running{a, a, b, b} {
		narrow(t, r, "$.Limpet.*")
		k := narrow(t, r, "$.Much")
		must(t, k.Bind("$.Limpet.Dropped", kbusdev.Listener))
	}
	must(t, b.bus.WaitInterest(ctx, daemon.NameDropped, 1))
	must(t, a.bus.WaitInterest(ctx, "$.Much", 1))
	const each, listeners = 700, 2
	for range each {
		_, err := a.bus.Send(ctx, &kbusdev.Message{Name: "$.Much", Data: []byte("secret")})
		must(t, err)
	}
	alone, leftOut := make(map[uint32]uint64), make(map[uint32]uint64)
	missed := func(r *running) uint64 { return r.Node().Bus().(*membus.Bus).Totals().Missed[membus.QueueFull] }
	for want := uint64(each-1) * listeners; alone[1]+leftOut[1] < want || alone[2]+leftOut[2] < want; {
		m, err := said.Recv()
		must(t, err)
		if strings.Contains(string(m.Data), "secret") {
			t.Fatalf("it says %s", m.Data)
		}
		d := decode[daemon.Dropped](t, m)
		if d.LeftOut != nil {
			leftOut[d.Network] += d.LeftOut[membus.QueueFull]
			if len(d.LeftOut) != 1 || d.Name != "" || d.Time.IsZero() {
				t.Errorf("it says %s", m.Data)
			}
			continue
		}
		alone[d.Network]++
		if d.Name != "$.Much" || d.Source != "bus" || d.Reason != membus.QueueFull || d.Size != 6 || d.MissedBy == 0 || d.ID == "" || d.Network == 2 && d.OrigFrom == "" {
			t.Errorf("it says %s", m.Data)
		}
		if alone[1]+leftOut[1] > want || alone[2]+leftOut[2] > want {
			t.Fatalf("of %d there are said %v alone and %v left out", want, alone, leftOut)
		}
	}
	if alone[1] == 0 || leftOut[1] == 0 || missed(a) <= (each-1)*listeners {
		t.Errorf("%v are said alone, %v left out, and %d in all were missed", alone, leftOut, missed(a))
	}
}
