package membus_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func withdraw(k kbusdev.Ksock, id kbusdev.MsgID) bool { return k.(*membus.Ksock).Withdraw(id) }

func TestWithdraw(t *testing.T) {
	bus := membus.New(membus.WithMaxMessages(1))
	asker, other, replier := open(t, bus), open(t, bus), open(t, bus)
	bind(t, replier, "$.Ask", kbusdev.Replier)
	ask := kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply}
	id := send(t, asker, ask)
	if withdraw(other, id) {
		t.Error("somebody else withdraws it")
	}
	if _, err := other.Send(t.Context(), &ask); err == nil {
		t.Error("there is room beside it")
	}
	if !withdraw(asker, id) || withdraw(asker, id) {
		t.Error("it is not withdrawn, or twice")
	}
	if n, _ := replier.NumMessages(); n != 0 {
		t.Errorf("%d are queued for the replier", n)
	}
	id = send(t, asker, ask) // there is room again, at both
	q := recv(t, replier)
	if q.ID != id || withdraw(asker, id) {
		t.Errorf("%v was read, and is withdrawn", q.ID)
	}
	send(t, replier, kbusdev.Message{Name: "$.Ask", To: q.From, InReplyTo: q.ID})
	if r := recv(t, asker); r.InReplyTo != id || withdraw(asker, id) {
		t.Errorf("%v was answered, and is withdrawn", id)
	}
}

// A withdrawal makes room for a Send that waits.
func TestWithdrawWakesWhoWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.WithMaxMessages(1))
		asker, other, replier := open(t, bus), open(t, bus), open(t, bus)
		bind(t, replier, "$.Ask", kbusdev.Replier)
		id := send(t, asker, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
		sent := make(chan error, 1)
		go func() {
			_, err := other.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply | kbusdev.AllOrWait})
			sent <- err
		}()
		synctest.Wait()
		if !withdraw(asker, id) {
			t.Error("not withdrawn")
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if q := recv(t, replier); q.From != other.ID() {
			t.Errorf("the replier reads a request from %d", q.From)
		}
	})
}

// A Ksock that is closed leaves its request with the replier, as with the module. The
// late reply is refused; no Ksock gets the id again, so it goes to nobody else.
func TestLateReplyGoesToNobody(t *testing.T) {
	bus := membus.New()
	asker, replier := open(t, bus), open(t, bus)
	bind(t, replier, "$.Ask", kbusdev.Replier)
	id := send(t, asker, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
	if err := asker.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, bus)
	q := recv(t, replier)
	if q.ID != id || q.From == next.ID() {
		t.Fatalf("the replier reads %v", q)
	}
	_, err := replier.Send(t.Context(), &kbusdev.Message{Name: "$.Ask", To: q.From, InReplyTo: q.ID})
	if errno, _ := kbusdev.ErrnoOf(err); errno != syscall.EADDRNOTAVAIL {
		t.Errorf("a late reply gives %v", err)
	}
	if n, _ := next.NumMessages(); n != 0 {
		t.Errorf("%d are queued for another", n)
	}
}

// Requests are withdrawn from anywhere in a queue, between urgent ones and those that
// came through another binding; what is left is what a list says, also for an unbind.
func TestWithdrawAgainstAList(t *testing.T) {
	type asked struct {
		id   kbusdev.MsgID
		name string
	}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		bus := membus.New(membus.WithMaxMessages(1000))
		asker, replier := open(t, bus), open(t, bus)
		names := []string{"$.A", "$.B"}
		for _, n := range names {
			bind(t, replier, n, kbusdev.Replier)
		}
		var queue []asked
		for range 300 {
			switch rng.IntN(6) {
			case 0, 1, 2:
				m := kbusdev.Message{Name: names[rng.IntN(2)], Flags: kbusdev.WantReply}
				if rng.IntN(3) == 0 {
					m.Flags |= kbusdev.Urgent
				}
				a := asked{send(t, asker, m), m.Name}
				if m.Flags&kbusdev.Urgent != 0 {
					queue = slices.Insert(queue, 0, a)
				} else {
					queue = append(queue, a)
				}
			case 3, 4:
				if len(queue) > 0 {
					i := rng.IntN(len(queue))
					if !withdraw(asker, queue[i].id) {
						t.Fatalf("seed %d: %v is not withdrawn", seed, queue[i])
					}
					queue = slices.Delete(queue, i, i+1)
				}
			case 5:
				name := names[rng.IntN(2)]
				if err := replier.Unbind(name, kbusdev.Replier); err != nil {
					t.Fatal(err)
				}
				left := len(queue)
				queue = slices.DeleteFunc(queue, func(a asked) bool { return a.name == name })
				for range left - len(queue) {
					recv(t, asker) // Unbound
				}
				bind(t, replier, name, kbusdev.Replier)
			}
		}
		if n, _ := asker.NumMessages(); n != 0 {
			t.Fatalf("seed %d: %d answers to what was withdrawn", seed, n)
		}
		var got []asked
		for range queue {
			m := recv(t, replier)
			got = append(got, asked{m.ID, m.Name})
		}
		if !slices.Equal(got, queue) {
			t.Errorf("seed %d: read %s, want %s", seed, fmt.Sprint(got), fmt.Sprint(queue))
		}
		if n, _ := replier.NumMessages(); n != 0 {
			t.Errorf("seed %d: %d more", seed, n)
		}
	}
}
