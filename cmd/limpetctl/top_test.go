package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// twoLooks are two looks at a daemon that has much to show, two seconds apart.
func twoLooks() (before, now *topLook) {
	link := func(name string, state pb.LinkState, since time.Duration, out, in, open, lost uint64) *pb.LinkStatus {
		return &pb.LinkStatus{Name: name, State: state, Since: timestamppb.New(noon.Add(-since)), Counts: &pb.LinkCounts{
			FromBusEnded: map[string]uint64{"delivered": out}, FromPeerEnded: map[string]uint64{"delivered": in}, Open: open, Asked: 1, Lost: map[string]uint64{"expired": lost},
		}}
	}
	const up, detached = pb.LinkState_LINK_STATE_UP, pb.LinkState_LINK_STATE_DETACHED
	status := func(links ...*pb.LinkStatus) *pb.GetStatusResponse {
		return &pb.GetStatusResponse{Version: "v1.2.3", Bus: "embedded", NetworkId: 1, Links: links}
	}
	before = &topLook{
		at:     noon.Add(-2 * time.Second),
		status: status(link("connect a:7000", up, time.Minute, 100, 50, 2, 0), link("network 3", up, time.Hour, 5, 5, 0, 0)),
		drops:  map[dropKey]uint64{{pb.DropSource_DROP_SOURCE_LINK, "expired"}: 2},
	}
	now = &topLook{
		at:     noon,
		status: status(link("connect a:7000", up, time.Minute, 3100, 51, 3, 4), link("network 3", detached, 90*time.Minute, 5, 5, 7, 0), link("network 4", up, 50*time.Hour, 1000, 0, 0, 9)),
		drops:  map[dropKey]uint64{{pb.DropSource_DROP_SOURCE_LINK, "expired"}: 13, {pb.DropSource_DROP_SOURCE_BUS, "queue_messages"}: 40, {pb.DropSource_DROP_SOURCE_RULES, "denied"}: 1},
	}
	requests, slow := &pb.ListOpenRequestsResponse{Open: 12}, &pb.ListSlowRepliersResponse{Since: timestamppb.New(noon)}
	for i := range 12 {
		r := &pb.OpenRequest{Name: fmt.Sprintf("$.Slow.N%d", i), Asker: uint32(i), AskerLink: []string{"", "network 3"}[i%2], ReplierLink: []string{"network 4", ""}[i%2], Replier: uint32(i % 3), Age: durationpb.New(time.Duration(12-i) * 70 * time.Second), State: pb.OpenRequestState(i % 6)}
		requests.Requests = append(requests.Requests, r)
		slow.Repliers = append(slow.Repliers, &pb.SlowReplier{Name: r.GetName(), Link: r.GetReplierLink(), Ksock: 7, Count: uint64(i), Sum: durationpb.New(time.Hour), P50: durationpb.New(time.Millisecond), P99: durationpb.New(500 * time.Microsecond), Max: durationpb.New(1500 * time.Millisecond)})
	}
	before.requests, before.slow, now.requests, now.slow = requests, slow, requests, slow
	return before, now
}

// What is shown is that of testdata/top, at sizes large and small, and in each order of links.
func TestTopView(t *testing.T) {
	var got strings.Builder
	for _, c := range []struct {
		width, height int
		by            string
	}{{0, 0, "name"}, {100, 24, "rate"}, {80, 24, "open"}, {30, 10, "lost"}, {20, 1, "name"}} {
		v := newTopView(twoLooks())
		v.sortLinks(c.by)
		lines := v.lines(c.width, c.height)
		fmt.Fprintf(&got, "%dx%d by %s\n%s\n\n", c.width, c.height, c.by, strings.Join(lines, "\n"))
		if c.height > 0 && len(lines) > c.height {
			t.Errorf("%d lines do not fit into %d", len(lines), c.height)
		}
		for _, l := range lines {
			if c.width > 0 && len([]rune(l)) > c.width {
				t.Errorf("%q does not fit into %d", l, c.width)
			}
		}
	}
	file := filepath.Join("testdata", "top")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("what is shown is not %s (-update writes it, if it is right):\n%s", file, got.String())
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0µs", 999 * time.Microsecond: "999µs", 999 * time.Millisecond: "999ms", 59990 * time.Millisecond: "59.9s", time.Hour - time.Second: "59m59s", 47*time.Hour + 59*time.Minute: "47h59m", 49 * time.Hour: "2d",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// A fakeScreen is played by a test.
type fakeScreen struct {
	typed  chan byte
	drawn  chan []string
	inside bool
}

func (s *fakeScreen) enter() (func(), error) {
	s.inside = true
	return func() { s.inside = false }, nil
}
func (s *fakeScreen) size() (int, int)  { return 80, 24 }
func (s *fakeScreen) keys() <-chan byte { return s.typed }
func (s *fakeScreen) draw(lines []string) error {
	s.drawn <- lines
	return nil
}

// shows reads what is drawn until a line has these words.
func (s *fakeScreen) shows(t *testing.T, words string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case lines := <-s.drawn:
			if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, words) }) {
				return
			}
		case <-limit:
			t.Fatalf("half a minute later nothing with %q is shown", words)
		}
	}
}

// top runs the screen in the hands of a test, and returns what it ends with.
func top(t *testing.T, api string) (s *fakeScreen, cancel func(), ended <-chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	o := &options{said: place{API: api}, timeout: 10 * time.Second}
	bus, _, err := o.open()
	if err != nil {
		t.Fatal(err)
	}
	s = &fakeScreen{typed: make(chan byte), drawn: make(chan []string, 1000)}
	end := make(chan error, 1)
	go func() {
		l := &looker{bus: bus}
		end <- o.topScreen(ctx, s, l, time.Hour, "name")
		l.close()
		_ = bus.Close()
	}()
	return s, stop, end
}

// The screen is renewed, keys are obeyed, and the terminal is left as it was.
func TestTopScreen(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	for _, c := range []struct {
		how string
		end func(s *fakeScreen, cancel func())
		is  func(error) bool
	}{
		{"q", func(s *fakeScreen, _ func()) { s.typed <- 'q' }, func(err error) bool { return err == nil }},
		{"the end of the input", func(s *fakeScreen, _ func()) { close(s.typed) }, func(err error) bool { return err == nil }},
		{"Ctrl-C", func(s *fakeScreen, _ func()) { s.typed <- interruptKey }, func(err error) bool { return exitCode(err) == exitInterrupted }},
		{"a signal", func(_ *fakeScreen, cancel func()) { cancel() }, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		s, cancel, ended := top(t, api)
		s.shows(t, "q: quit  s: sort links (by name)")
		s.shows(t, "connect hosta:7000")
		s.typed <- 's'
		s.shows(t, "(by rate)")
		s.typed <- ' ' // an hour is too long
		s.shows(t, "$.Ask")
		c.end(s, cancel)
		if err := <-ended; !c.is(err) || s.inside {
			t.Errorf("%s ends it with %v, and inside=%v", c.how, err, s.inside)
		}
	}
}

// A daemon that has gone is looked for until it comes back.
func TestTopWaitsForTheDaemon(t *testing.T) {
	api := filepath.Join(t.TempDir(), "api")
	s, _, ended := top(t, api)
	s.shows(t, "the daemon does not answer: ")
	serveAt(t, api, steadyDaemon{}, steadyDaemon{})
	for shown := false; !shown; {
		s.typed <- ' '
		select {
		case lines := <-s.drawn:
			shown = strings.Contains(strings.Join(lines, "\n"), "connect hosta:7000")
		case <-time.After(30 * time.Second):
			t.Fatal("it does not look again")
		}
	}
	s.typed <- 'q'
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Once it prints a view, as text or JSON; what is wrong is said.
func TestTopOnce(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"--api", api, "top", "--once", "--every", "100ms"}, &out, &errOut)
	for _, want := range []string{"network 1: 0 of 1 links up, 9007199254740993 requests open, 9007199254740996 dropped (limpetd v1.2.3, bus embedded)", "connect hosta:7000  detached", "$.Ask         1m30s  read   network 7  ksock 3", "queue_messages"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s%s (%d)", want, &out, &errOut, code)
		}
	}
	for _, args := range [][]string{{"--every", "1ms"}, {"--sort", "size"}, {"x"}} {
		if code := run(t.Context(), append([]string{"--api", api, "top"}, args...), &out, &errOut); code != exitUsage {
			t.Errorf("top %v exits with %d", args, code)
		}
	}
}
