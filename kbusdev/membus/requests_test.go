package membus_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// openRequests returns what a bus tells of its open requests, sorted.
func openRequests(bus *membus.Bus) (all []string) {
	bus.OpenRequests(func(r kbusdev.OpenRequest) bool {
		all = append(all, fmt.Sprintf("%s %s from %d to %d for %v read=%v", r.ID, r.Name, r.Asker, r.Replier, time.Since(r.Since), r.Read))
		return true
	})
	slices.Sort(all)
	return all
}

// A request is open from when it is sent to its reply, whatever kind that is.
func TestOpenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		asker, other, replier := open(t, bus), open(t, bus), open(t, bus)
		bind(t, replier, "$.Ask.*", kbusdev.Replier)
		want := func(want ...string) {
			t.Helper()
			if got := openRequests(bus); !slices.Equal(got, want) {
				t.Errorf("open are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		want()
		ask := func(k kbusdev.Ksock, name string) kbusdev.MsgID {
			return send(t, k, kbusdev.Message{Name: name, Flags: kbusdev.WantReply})
		}
		first := ask(asker, "$.Ask.First")
		send(t, asker, kbusdev.Message{Name: "$.News"})
		<-time.After(time.Second)
		ask(other, "$.Ask.Second")
		own := send(t, other, kbusdev.Message{ID: kbusdev.MsgID{Network: 7, Serial: 1000}, Name: "$.Ask.Third", Flags: kbusdev.WantReply})
		want("[0:1] $.Ask.First from 1 to 3 for 1s read=false", "[0:3] $.Ask.Second from 2 to 3 for 0s read=false", "[7:1000] $.Ask.Third from 2 to 3 for 0s read=false")
		recv(t, replier)
		<-time.After(time.Second)
		want("[0:1] $.Ask.First from 1 to 3 for 2s read=true", "[0:3] $.Ask.Second from 2 to 3 for 1s read=false", "[7:1000] $.Ask.Third from 2 to 3 for 1s read=false")
		send(t, replier, kbusdev.Message{Name: "$.Ask.First", To: asker.ID(), InReplyTo: first})
		if !other.(*membus.Ksock).Withdraw(own) {
			t.Error("it cannot be withdrawn")
		}
		want("[0:3] $.Ask.Second from 2 to 3 for 1s read=false")
		recv(t, replier)
		want("[0:3] $.Ask.Second from 2 to 3 for 1s read=true")
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		want() // nobody waits for it
		ask(asker, "$.Ask.Fourth")
		if err := replier.Close(); err != nil {
			t.Fatal(err)
		}
		want()
	})
}

// Who looks may stop, and sees some of what changes meanwhile.
func TestOpenRequestsGoOn(t *testing.T) {
	bus := membus.New(membus.WithMaxMessages(10_000))
	asker, replier := open(t, bus), open(t, bus)
	bind(t, replier, "$.Ask", kbusdev.Replier)
	for range 1000 {
		send(t, asker, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
	}
	n := 0
	bus.OpenRequests(func(kbusdev.OpenRequest) bool { n++; return n < 5 })
	if n != 5 {
		t.Errorf("it was told of %d, and wanted 5", n)
	}
	var working sync.WaitGroup
	working.Go(func() {
		for range 1000 {
			q := recv(t, replier)
			send(t, replier, kbusdev.Message{Name: "$.Ask", To: q.From, InReplyTo: q.ID})
			send(t, asker, kbusdev.Message{Name: "$.Ask", Flags: kbusdev.WantReply})
		}
	})
	for range 10 {
		bus.OpenRequests(func(r kbusdev.OpenRequest) bool {
			if r.Name != "$.Ask" || r.Asker != asker.ID() || r.Replier != replier.ID() {
				t.Errorf("%+v", r)
			}
			return true
		})
	}
	working.Wait()
	if n := len(openRequests(bus)); n != 1000 {
		t.Errorf("%d are open in the end", n)
	}
}

// Replies are told while somebody wants to know.
func TestOnReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		asker, replier := open(t, bus), open(t, bus)
		bind(t, replier, "$.Ask.*", kbusdev.Replier)
		var told []string
		call := func() {
			id := send(t, asker, kbusdev.Message{Name: "$.Ask.Now", Flags: kbusdev.WantReply})
			<-time.After(time.Second)
			recv(t, replier)
			<-time.After(time.Second)
			send(t, replier, kbusdev.Message{Name: "$.Else", To: asker.ID(), InReplyTo: id})
		}
		call()
		bus.OnReply(func(name string, k kbusdev.KsockID, took time.Duration) {
			told = append(told, fmt.Sprintf("%s by %d in %v", name, k, took))
		})
		call()
		bus.OnReply(nil)
		call()
		if want := []string{"$.Ask.Now by 2 in 2s"}; !slices.Equal(told, want) {
			t.Errorf("told are %v, want %v", told, want)
		}
	})
}

// What a listener misses is told as often as it is counted.
func TestOnMiss(t *testing.T) {
	bus := membus.New()
	talker, deaf, once := open(t, bus), open(t, bus), open(t, bus)
	told := make(map[string]uint64)
	bus.OnMiss(func(m *kbusdev.Message, by kbusdev.KsockID, reason string) {
		told[reason]++
		if m.Name != "$.A" || by != deaf.ID() && by != once.ID() || m.From != talker.ID() {
			t.Errorf("%v is missed by %d", m, by)
		}
	})
	for _, k := range []kbusdev.Ksock{deaf, once} {
		if _, err := k.MaxMessages(1); err != nil {
			t.Fatal(err)
		}
		bind(t, k, "$.A", kbusdev.Listener)
		bind(t, k, "$.*", kbusdev.Listener)
	}
	if _, err := once.OnlyOnce(kbusdev.On); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		send(t, talker, kbusdev.Message{Name: "$.A"})
	}
	if want := bus.Totals().Missed[membus.QueueFull]; told[membus.QueueFull] != want || want == 0 || len(told) != 1 {
		t.Errorf("told are %v of %d", told, want)
	}
	bus.OnMiss(nil)
	send(t, talker, kbusdev.Message{Name: "$.A"})
	if n := bus.Totals().Missed[membus.QueueFull]; n == told[membus.QueueFull] {
		t.Error("nothing was missed")
	}
}
