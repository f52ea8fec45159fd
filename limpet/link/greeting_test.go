package link_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

func greeting(change ...func(*link.Greeting)) *link.Greeting {
	g := &link.Greeting{
		Version: link.ProtocolVersion, NetworkID: 2, Instance: link.InstanceID{2}, Pattern: "$.*",
		MaxMessageSize: 1 << 20, WindowMessages: 8, WindowBytes: 1000, Expected: 1,
	}
	for _, f := range change {
		f(g)
	}
	return g
}

func wantError(t *testing.T, err error, code link.Code, words string) {
	t.Helper()
	var e *link.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) {
		t.Errorf("%v, want %v about %q", err, code, words)
	}
}

// badGreetings are refused for what they say by themselves.
var badGreetings = []struct {
	name   string
	change func(*link.Greeting)
	code   link.Code
	words  string
}{
	{"no version", func(g *link.Greeting) { g.Version = 0 }, link.Version, "speaks protocol version 0, this side 1"},
	{"a later version", func(g *link.Greeting) { *g = link.Greeting{Version: 9} }, link.Version, "speaks protocol version 9"},
	{"network id 0", func(g *link.Greeting) { g.NetworkID = 0 }, link.BadNetworkID, "--network-id"},
	{"no instance", func(g *link.Greeting) { g.Instance = link.InstanceID{} }, link.Protocol, "no instance id"},
	{"a long link id", func(g *link.Greeting) { g.LinkID = strings.Repeat("x", 65) }, link.Protocol, "a link id of 65 bytes"},
	{"many features", func(g *link.Greeting) { g.Features = make([]string, 65) }, link.Protocol, "65 features"},
	{"a long feature", func(g *link.Greeting) { g.Features = []string{"a", strings.Repeat("x", 65)} }, link.Protocol, "name has 65 bytes"},
	{"a long version", func(g *link.Greeting) { g.Software = strings.Repeat("x", 65) }, link.Protocol, "a version of 65 bytes"},
	{"no window", func(g *link.Greeting) { g.WindowMessages = 0 }, link.Protocol, "0 messages and 1000 bytes"},
	{"no bytes", func(g *link.Greeting) { g.WindowBytes = 0 }, link.Protocol, "8 messages and 0 bytes"},
	{"no pattern", func(g *link.Greeting) { g.Pattern = "" }, link.Protocol, `"" is not a name`},
	{"a bad pattern", func(g *link.Greeting) { g.Pattern = "hello" }, link.Protocol, `"hello" is not a name`},
	{"a long pattern", func(g *link.Greeting) { g.Pattern = "$." + strings.Repeat("x", 1<<20) }, link.Protocol, "is not a name"},
	{"many networks", func(g *link.Greeting) { g.Behind = make([]link.Network, link.MaxNetworks+1) }, link.Protocol, "4097 networks"},
	{"a long version behind", func(g *link.Greeting) {
		g.Behind = []link.Network{{ID: 3, Instance: link.InstanceID{3}, Software: strings.Repeat("x", 65)}}
	}, link.Protocol, "network 3 behind the peer has a version of 65 bytes"},
	{"a network 0 behind", func(g *link.Greeting) { g.Behind = []link.Network{{Instance: link.InstanceID{3}}} }, link.Protocol, "has id 0"},
	{"no instance behind", func(g *link.Greeting) { g.Behind = []link.Network{{ID: 3}} }, link.Protocol, "has id 3 and instance id 0000"},
}

func TestCheck(t *testing.T) {
	for _, c := range badGreetings {
		t.Run(c.name, func(t *testing.T) {
			err := greeting(c.change).Check()
			wantError(t, err, c.code, c.words)
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	behind := make([]link.Network, link.MaxNetworks)
	for i := range behind {
		behind[i] = link.Network{ID: uint32(i + 1), Instance: link.InstanceID{9}}
	}
	for name, g := range map[string]*link.Greeting{
		"a plain one": greeting(),
		"the most": greeting(func(g *link.Greeting) {
			g.LinkID, g.Features, g.Behind = strings.Repeat("\xff", 64), make([]string, 64), behind
			g.Features[0], g.Pattern = strings.Repeat("x", 64), "$."+strings.Repeat("x", 998)
			g.WindowMessages, g.WindowBytes, g.Session, g.Expected = 1<<32-1, 1<<64-1, link.SessionID{1}, 1<<64-1
		}),
	} {
		if err := g.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJudge(t *testing.T) {
	ours := greeting()
	for _, c := range []struct {
		name   string
		change func(*link.Greeting)
		code   link.Code
	}{
		{"ourselves", func(*link.Greeting) {}, link.Loop},
		{"ourselves with another id", func(g *link.Greeting) { g.NetworkID = 3 }, link.Loop},
		{"our network id", func(g *link.Greeting) { g.Instance = link.InstanceID{3} }, link.SameNetworkID},
	} {
		err := ours.Judge(greeting(c.change))
		wantError(t, err, c.code, "")
		var e *link.Error
		if errors.As(err, &e) && (e.NetworkID != 2 || !e.Refusal() || e.Remote) {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
	if err := ours.Judge(greeting(func(g *link.Greeting) { g.NetworkID, g.Instance = 3, link.InstanceID{3} })); err != nil {
		t.Errorf("another one: %v", err)
	}
}

func TestErrorsAreComparedByCode(t *testing.T) {
	for code := link.SameNetworkID; code <= link.Expired; code++ {
		e := link.Errorf(code, "n %d", 1)
		switch {
		case strings.HasPrefix(code.String(), "code "):
			t.Errorf("%v has no name", code)
		case !errors.Is(e, &link.Error{Code: code}), errors.Is(e, &link.Error{Code: code + 1}), errors.Is(e, io.EOF):
			t.Errorf("%v is compared wrongly", e)
		case !strings.Contains(e.Error(), "n 1") || strings.Contains(e.Error(), "refused") != e.Refusal():
			t.Errorf("%v says %q", code, e.Error())
		}
	}
	if link.Code(99).String() != "code 99" {
		t.Error(link.Code(99))
	}
}

// hearing runs Hear or Greet on a stream whose peer the test is.
func hearing(t *testing.T, dials bool) (m *memStream, heard chan *link.Greeting, failed chan error) {
	m, heard, failed = newMemStream(), make(chan *link.Greeting, 1), make(chan error, 1)
	go func() {
		var g *link.Greeting
		var err error
		if dials {
			g, err = link.Greet(t.Context(), m, greeting(func(g *link.Greeting) { g.NetworkID = 1 }))
		} else {
			g, err = link.Hear(t.Context(), m)
		}
		if (g == nil) == (err == nil) {
			t.Errorf("heard %v and %v", g, err)
		}
		heard <- g
		failed <- err
	}()
	return m, heard, failed
}

func TestGreetAndHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, dials := range []bool{true, false} {
			m, heard, failed := hearing(t, dials)
			if dials {
				if g, ok := (<-m.toPeer).(*link.Greeting); !ok || g.NetworkID != 1 {
					t.Errorf("the dialler says %#v", g)
				}
			}
			m.fromPeer <- greeting()
			if g := <-heard; g == nil || g.NetworkID != 2 || m.isClosed() {
				t.Errorf("heard %#v, %v", g, <-failed)
			}
			m.Close()
		}
	})
}

// The peer is told why it is refused, in the words that we see ourselves.
func TestBothSidesSeeTheRefusal(t *testing.T) {
	cases := []link.Frame{batch(1, 1), &link.Unknown{}, &link.Drain{}}
	for _, c := range badGreetings {
		cases = append(cases, greeting(c.change))
	}
	for _, f := range cases {
		for _, dials := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				m, _, failed := hearing(t, dials)
				if dials {
					<-m.toPeer
				}
				m.fromPeer <- f
				told, ok := (<-m.toPeer).(*link.Error)
				<-m.halfDone
				close(m.fromPeer)
				err := <-failed
				var ours *link.Error
				if !ok || !errors.As(err, &ours) || *told != *ours || told.Code == 0 || told.Message == "" || told.Remote {
					t.Errorf("%T: the peer is told %v, we see %v", f, told, err)
				}
				if !m.isClosed() {
					t.Error("the stream of a refused peer is open")
				}
			})
		}
	}
}

// A refusal by the peer is shown, and not answered.
func TestRefusedByThePeer(t *testing.T) {
	for _, dials := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			m, _, failed := hearing(t, dials)
			if dials {
				<-m.toPeer
			}
			m.fromPeer <- &link.Error{Code: link.Clash, Message: "two of them", NetworkID: 1, Remote: true}
			err := <-failed
			wantError(t, err, link.Clash, "two of them")
			if !m.isClosed() || !strings.Contains(err.Error(), "refused by the peer") || time.Since(begun) != 0 {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // also when it does not take our greeting any more
		m := halfBroken{newMemStream()}
		m.fromPeer <- &link.Error{Code: link.NotAuthorised, Message: "not you", Remote: true}
		_, err := link.Greet(t.Context(), m, greeting())
		wantError(t, err, link.NotAuthorised, "not you")
	})
}

func TestGreetingsThatDoNotCome(t *testing.T) {
	broken := errors.New("broken")
	for _, dials := range []bool{true, false} {
		bubble(t, "silence", func(t *testing.T) {
			begun := time.Now()
			m, _, failed := hearing(t, dials) // who dials cannot even send
			err := <-failed
			if err == nil || !strings.Contains(err.Error(), "no greeting from the peer within 10s") || time.Since(begun) != 10*time.Second || !m.isClosed() {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
		bubble(t, "the end", func(t *testing.T) {
			m, _, failed := hearing(t, dials)
			close(m.fromPeer)
			if dials {
				<-m.toPeer
			}
			if err := <-failed; !errors.Is(err, link.ErrPeerClosed) || !m.isClosed() {
				t.Errorf("%v", err)
			}
		})
		bubble(t, "a failure", func(t *testing.T) {
			m, _, failed := hearing(t, dials)
			m.fails <- broken
			if dials {
				<-m.toPeer
			}
			if err := <-failed; !errors.Is(err, broken) || !m.isClosed() {
				t.Errorf("%v", err)
			}
		})
	}
	bubble(t, "cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		m := newMemStream()
		time.AfterFunc(time.Second, func() { cancel(broken) })
		if _, err := link.Hear(ctx, m); !errors.Is(err, broken) || !m.isClosed() {
			t.Errorf("%v", err)
		}
	})
}

// A peer that takes no refusal, or sends on for ever after one, is dropped in a second.
func TestRefuseIsBounded(t *testing.T) {
	for _, dialled := range []bool{true, false} {
		bubble(t, "it takes nothing", func(t *testing.T) {
			m, begun := newMemStream(), time.Now()
			link.Refuse(m, link.Errorf(link.Clash, "two"), dialled)
			if time.Since(begun) != time.Second || !m.isClosed() {
				t.Errorf("it took %v", time.Since(begun))
			}
		})
		bubble(t, "it sends on", func(t *testing.T) {
			m, begun := newMemStream(), time.Now()
			go m.every(time.Millisecond, func() {
				select {
				case m.fromPeer <- &link.Ping{}:
				default:
				}
			})
			go m.takeAll()
			link.Refuse(m, link.Errorf(link.Clash, "two"), dialled)
			if took := time.Since(begun); dialled && took != time.Second || !dialled && took != 0 || !m.isClosed() {
				t.Errorf("it took %v", took)
			}
		})
		bubble(t, "no reason of ours", func(t *testing.T) {
			m := newMemStream()
			link.Refuse(m, io.ErrUnexpectedEOF, dialled)
			if !m.isClosed() {
				t.Error("the stream is open")
			}
		})
	}
}
