package membus_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// sending starts a Send with ALL_OR_WAIT, and gives its end.
func sending(t *testing.T, k kbusdev.Ksock, m kbusdev.Message) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	m.Flags |= kbusdev.AllOrWait
	go func() {
		_, err := k.Send(t.Context(), &m)
		done <- err
	}()
	synctest.Wait()
	return done
}

func fill(t *testing.T, bus kbusdev.Bus, k kbusdev.Ksock, name string) {
	t.Helper()
	if _, err := k.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	send(t, open(t, bus), kbusdev.Message{Name: name})
}

func finished(t *testing.T, what string, sends ...<-chan error) {
	t.Helper()
	synctest.Wait()
	for i, s := range sends {
		select {
		case err := <-s:
			if err != nil {
				t.Errorf("%s: send %d: %v", what, i, err)
			}
		default:
			t.Errorf("%s: send %d still waits", what, i)
		}
	}
}

func waits(t *testing.T, what string, sends ...<-chan error) {
	t.Helper()
	synctest.Wait()
	for i, s := range sends {
		select {
		case err := <-s:
			t.Errorf("%s: send %d does not wait: %v", what, i, err)
		default:
		}
	}
}

// Each slot that gets free finishes one Send, the one that waits longest.
func TestSendsThatWaitGoInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		full := open(t, bus)
		bind(t, full, "$.A", kbusdev.Listener)
		fill(t, bus, full, "$.A")
		var sends []<-chan error
		for i := range 5 {
			sends = append(sends, sending(t, open(t, bus), kbusdev.Message{Name: "$.A", Data: []byte{byte(i)}}))
		}
		recv(t, full)
		for i := range sends {
			finished(t, fmt.Sprintf("message %d is read", i), sends[i])
			waits(t, "the others", sends[i+1:]...)
			if m := recv(t, full); m.Data[0] != byte(i) {
				t.Errorf("message %d came as number %d", m.Data[0], i)
			}
		}
	})
}

func TestWhatEndsAWait(t *testing.T) {
	type scene struct {
		bus                  *membus.Bus
		full, sender, helper kbusdev.Ksock
	}
	listening := func(t *testing.T, s *scene) kbusdev.Message {
		bind(t, s.full, "$.A", kbusdev.Listener)
		fill(t, s.bus, s.full, "$.A")
		return kbusdev.Message{Name: "$.A"}
	}
	asking := func(t *testing.T, s *scene) kbusdev.Message {
		bind(t, s.full, "$.Fill", kbusdev.Listener)
		bind(t, s.full, "$.A.B", kbusdev.Replier)
		fill(t, s.bus, s.full, "$.Fill")
		return kbusdev.Message{Name: "$.A.B", Flags: kbusdev.WantReply}
	}
	// The replier has room, but a listener has none.
	heldUp := func(t *testing.T, s *scene) kbusdev.Message {
		bind(t, s.helper, "$.A.B", kbusdev.Replier)
		bind(t, s.full, "$.A.B", kbusdev.Listener)
		fill(t, s.bus, s.full, "$.A.B")
		return kbusdev.Message{Name: "$.A.B", Flags: kbusdev.WantReply}
	}
	for _, c := range []struct {
		name  string
		start func(*testing.T, *scene) kbusdev.Message
		then  func(*testing.T, *scene)
		told  string // what the sender is told instead, if the send fails
	}{
		{"read", listening, func(t *testing.T, s *scene) { recv(t, s.full) }, ""},
		{"batch read", listening, func(t *testing.T, s *scene) { _, _ = s.full.RecvBatch(t.Context(), make([]*kbusdev.Message, 9)) }, ""},
		{"NEXTMSG", listening, func(t *testing.T, s *scene) { _, _ = s.full.Next() }, ""},
		{"MAXMSGS", listening, func(t *testing.T, s *scene) { _, _ = s.full.MaxMessages(2) }, ""},
		{"listener unbinds", listening, func(t *testing.T, s *scene) { _ = s.full.Unbind("$.A", kbusdev.Listener) }, ""},
		{"listener closes", listening, func(t *testing.T, s *scene) { _ = s.full.Close() }, ""},
		{"replier reads", asking, func(t *testing.T, s *scene) { recv(t, s.full) }, ""},
		{"replier unbinds", asking, func(t *testing.T, s *scene) { _ = s.full.Unbind("$.A.B", kbusdev.Replier) }, kbusdev.NameReplierDisappeared},
		{"replier closes", asking, func(t *testing.T, s *scene) { _ = s.full.Close() }, kbusdev.NameReplierDisappeared},
		{"idle replier unbinds", heldUp, func(t *testing.T, s *scene) { _ = s.helper.Unbind("$.A.B", kbusdev.Replier) }, kbusdev.NameReplierDisappeared},
		{"idle replier closes", heldUp, func(t *testing.T, s *scene) { _ = s.helper.Close() }, kbusdev.NameReplierDisappeared},
		{"another replier, with room", func(t *testing.T, s *scene) kbusdev.Message {
			bind(t, s.full, "$.Fill", kbusdev.Listener)
			bind(t, s.full, "$.*", kbusdev.Replier)
			fill(t, s.bus, s.full, "$.Fill")
			return kbusdev.Message{Name: "$.A.B", Flags: kbusdev.WantReply}
		}, func(t *testing.T, s *scene) { bind(t, s.helper, "$.A.B", kbusdev.Replier) }, ""},
		{"another wildcard replier", func(t *testing.T, s *scene) kbusdev.Message {
			bind(t, s.full, "$.Fill", kbusdev.Listener)
			bind(t, s.full, "$.*", kbusdev.Replier)
			fill(t, s.bus, s.full, "$.Fill")
			return kbusdev.Message{Name: "$.A.B", Flags: kbusdev.WantReply}
		}, func(t *testing.T, s *scene) { bind(t, s.helper, "$.A.%", kbusdev.Replier) }, ""},
		{"requester of a reply closes", func(t *testing.T, s *scene) kbusdev.Message {
			bind(t, s.full, "$.A", kbusdev.Listener)
			fill(t, s.bus, s.full, "$.A")
			bind(t, s.sender, "$.Q", kbusdev.Replier)
			q := send(t, s.helper, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
			recv(t, s.sender)
			return kbusdev.Message{Name: "$.A", To: s.helper.ID(), InReplyTo: q}
		}, func(t *testing.T, s *scene) { _ = s.helper.Close() }, kbusdev.NameReplierDisappeared},
		{"requester of a reply has room again", func(t *testing.T, s *scene) kbusdev.Message {
			bind(t, s.helper, "$.Fill", kbusdev.Listener)
			bind(t, s.sender, "$.Q", kbusdev.Replier)
			q := send(t, s.helper, kbusdev.Message{Name: "$.Q", Flags: kbusdev.WantReply})
			recv(t, s.sender)
			fillers := open(t, s.bus)
			send(t, fillers, kbusdev.Message{Name: "$.Fill"})
			_, _ = s.helper.MaxMessages(1)
			return kbusdev.Message{Name: "$.Answer", To: s.helper.ID(), InReplyTo: q}
		}, func(t *testing.T, s *scene) { recv(t, s.helper) }, ""},
		{"Poll from elsewhere", listening, func(t *testing.T, s *scene) {
			_ = s.full.Unbind("$.A", kbusdev.Listener)
			_, _ = s.sender.Poll()
		}, ""},
		{"Discard from elsewhere", listening, func(t *testing.T, s *scene) { _ = s.sender.Discard() }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scene{bus: membus.New()}
				s.full, s.sender, s.helper = open(t, s.bus), open(t, s.bus), open(t, s.bus)
				m := c.start(t, s)
				sent := sending(t, s.sender, m)
				waits(t, "without room", sent)
				c.then(t, s)
				finished(t, c.name, sent)
				told := ""
				if n, _ := s.sender.NumMessages(); n > 0 {
					told = recv(t, s.sender).Name
				}
				if told != c.told {
					t.Errorf("the sender is told %q, want %q", told, c.told)
				}
			})
		})
	}
}

// A send that finds room in one place and none in another goes to wait there.
func TestSendThatWaitsInTwoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		a, b := open(t, bus), open(t, bus)
		for _, k := range []kbusdev.Ksock{a, b} {
			bind(t, k, "$.A", kbusdev.Listener)
			if _, err := k.MaxMessages(1); err != nil {
				t.Fatal(err)
			}
		}
		send(t, open(t, bus), kbusdev.Message{Name: "$.A"})
		sends := []<-chan error{sending(t, open(t, bus), kbusdev.Message{Name: "$.A"}), sending(t, open(t, bus), kbusdev.Message{Name: "$.A"})}
		recv(t, a)
		waits(t, "b has no room", sends...)
		recv(t, b)
		finished(t, "both have", sends[0])
		waits(t, "one slot each", sends[1])
		recv(t, b)
		recv(t, a)
		finished(t, "both have again", sends[1])
	})
}

// What waits no more is held by nobody.
func TestGivenUpSendLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		full, sender := open(t, bus), open(t, bus)
		bind(t, full, "$.A", kbusdev.Listener)
		fill(t, bus, full, "$.A")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sender.Send(ctx, &kbusdev.Message{Name: "$.A", Flags: kbusdev.AllOrWait})
		if !errors.Is(err, syscall.EAGAIN) || !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		recv(t, full)
		if n, _ := full.NumMessages(); n != 0 {
			t.Error("a message given up was sent")
		}
		for _, s := range bus.Stats() {
			if s.SendPending {
				t.Errorf("Ksock %d has a pending send", s.ID)
			}
		}
	})
}
