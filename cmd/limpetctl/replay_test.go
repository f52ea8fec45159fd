package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/capture"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// passed is a record of a message that was read from the bus with this serial number.
func passed(serial uint32, name, data string, change ...func(*pb.TapRecord)) *pb.TapRecord {
	m := &pb.Message{Name: name, IdSerial: serial, From: 3}
	r := &pb.TapRecord{
		Time: timestamppb.New(noon.Add(time.Duration(serial) * 100 * time.Millisecond)), Link: "network 2", Direction: pb.TapDirection_TAP_DIRECTION_TO_PEER,
		Verdict: pb.TapVerdict_TAP_VERDICT_FORWARDED, Kind: pb.TapKind_TAP_KIND_ANNOUNCEMENT, Read: m, Given: m, Size: uint32(len(data)), Data: []byte(data),
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func asks(r *pb.TapRecord) {
	r.Kind = pb.TapKind_TAP_KIND_REQUEST
	r.Read.Flags = uint32(kbusdev.WantReply | kbusdev.WantYouToReply | 1<<20)
}

// brought makes it one that the peer has brought, with an id of network 2.
func brought(r *pb.TapRecord) {
	r.Direction, r.Verdict = pb.TapDirection_TAP_DIRECTION_FROM_PEER, pb.TapVerdict_TAP_VERDICT_DELIVERED
	r.Read.IdNetwork = 2
}

func TestWhatIsReplayed(t *testing.T) {
	for _, c := range []struct {
		what string
		r    *pb.TapRecord
		want string
	}{
		{"an announcement", passed(1, "$.A", "x"), ""},
		{"a request", passed(1, "$.A", "x", asks), ""},
		{"what nobody wanted, but was on the bus", passed(1, "$.A", "x", func(r *pb.TapRecord) { r.Verdict, r.Given = pb.TapVerdict_TAP_VERDICT_DROPPED, nil }), ""},
		{"what the peer brought", passed(1, "$.A", "x", brought), ""},
		{"what was refused", passed(1, "$.A", "x", brought, func(r *pb.TapRecord) { r.Verdict = pb.TapVerdict_TAP_VERDICT_DROPPED }), skipNotOn},
		{"a reply", passed(1, "$.A", "x", func(r *pb.TapRecord) { r.Kind = pb.TapKind_TAP_KIND_REPLY }), skipReply},
		{"a bind event", passed(1, "$.A", "", func(r *pb.TapRecord) { r.Kind = pb.TapKind_TAP_KIND_BIND_EVENT }), skipBus},
		{"what a bus says", passed(1, "$.KBUS.UnbindEventsLost", "", func(r *pb.TapRecord) { r.Read.Flags = uint32(kbusdev.Synthetic) }), skipBus},
		{"what was lost later", passed(1, "$.A", "x", func(r *pb.TapRecord) { r.Read = nil }), skipAgain},
		{"what was cut", passed(1, "$.A", "xyz", func(r *pb.TapRecord) { r.Data = r.GetData()[:1] }), skipForgotten},
		{"nothing", &pb.TapRecord{}, skipAgain},
	} {
		m, _, why := replayed(c.r)
		if why != c.want || (m != nil) != (why == "") {
			t.Errorf("%s: %q, %v", c.what, why, m)
		}
	}
	m, id, _ := replayed(passed(7, "$.A", "x", asks))
	if m.Flags != kbusdev.WantReply|1<<20 || id != (kbusdev.MsgID{Serial: 7}) || m.Name != "$.A" || string(m.Data) != "x" {
		t.Errorf("a request is %v, %v", m, id)
	}
}

func TestSpeed(t *testing.T) {
	for word, want := range map[string]float64{"max": 0, "1": 1, "0.5": 0.5, "1e3": 1000} {
		if got, err := parseSpeed(word); got != want || err != nil {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "fast", "0", "-1", "NaN", "Inf", "1e9"} {
		if _, err := parseSpeed(word); err == nil {
			t.Errorf("%q is a speed", word)
		}
	}
}

// captured writes a file of a tap.
func captured(t *testing.T, all ...*pb.TapRecord) string {
	t.Helper()
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, "a test")
	if err == nil {
		err = w.Write(&pb.TapResponse{Start: &pb.TapStart{Format: capture.Format, NetworkId: 1, Time: timestamppb.New(noon)}, Records: all})
	}
	path := filepath.Join(t.TempDir(), "file")
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A file is sent onto a bus: each message once, in order, with its time.
func TestReplay(t *testing.T) {
	api := realDaemon(t, "")
	bus, err := client.Open(api)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	heard, err := bus.Listen(t.Context(), client.ListenConfig{Names: []string{"$.A.*"}})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	replier, err := bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	defer replier.Close()
	go func() {
		for {
			q, err := replier.Recv()
			if err != nil {
				return
			}
			_ = replier.Reply(q, "", []byte("yes"))
		}
	}()
	other := passed(1, "$.A.B", "one")
	other.Link = "network 3"
	file := captured(
		t, passed(1, "$.A.B", "one"), other, passed(2, "$.Ask", "?", asks), passed(3, "$.A.C", "two", brought), passed(4, "$.Nobody", "", asks),
		passed(5, "$.Ask", "!", func(r *pb.TapRecord) { r.Kind = pb.TapKind_TAP_KIND_REPLY }), passed(3, "$.A.D", "three"),
	)
	replayIt := func(want string, code int, args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if got := run(t.Context(), append([]string{"--api", api, "replay", file}, args...), &out, &errOut); got != code || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %d, %s%s", args, got, &out, &errOut)
		}
		return out.String() + errOut.String()
	}
	hears := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			m, err := heard.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Name+" "+string(m.Data))
		}
		if !slices.Equal(got, want) {
			t.Errorf("heard are %q", got)
		}
	}
	said := replayIt("sent 3 announcements and 2 requests", exitFailed, "--speed", "max", "--format", "text")
	for _, want := range []string{"1 requests answered, 0 told why not; 1 refused", "skipped 2: 1 replies, 1 sent already", "$.Nobody", "the bus has refused 1 messages"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says %q, not %q", said, want)
		}
	}
	hears("$.A.B one", "$.A.C two", "$.A.D three")
	replayIt(`{"announcements":3,"requests":0,"answered":0,"unanswered":0,"refused":0,"skipped":1,"skipped_by_reason":{"sent already":1}`, exitOK, "--json", "--speed", "max", "$.A.*")
	hears("$.A.B one", "$.A.C two", "$.A.D three")
	replayIt("sent 1 announcements and 0 requests", exitOK, "--count", "1")
	hears("$.A.B one")
	begun := time.Now()
	replayIt("sent 2 announcements and 1 requests", exitOK, "--speed", "2", "--count", "3", "--replies", "ignore")
	if took := time.Since(begun); took < 100*time.Millisecond { // 0.2 s between the first and the third
		t.Errorf("at twice the speed it takes %v", took)
	}
	hears("$.A.B one", "$.A.C two")
}

// What cannot be replayed is said with its place.
func TestReplayOfABadFile(t *testing.T) {
	api := realDaemon(t, "")
	file := captured(t, passed(1, "$.A", "one"))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		file []byte
		code int
		want string
	}{
		{[]string{"replay"}, whole[:len(whole)-1], exitFailed, "at byte"},
		{[]string{"tap", "--read"}, whole[:len(whole)-1], exitFailed, "the file ends within a block"},
		{[]string{"replay"}, []byte("no capture"), exitFailed, "at byte 0: this is no pcapng file"},
		{[]string{"replay", "--speed", "fast"}, whole, exitUsage, "--speed"},
		{[]string{"replay", "--replies", "perhaps"}, whole, exitUsage, "--replies"},
		{[]string{"tap", "--direction", "up", "--read"}, whole, exitUsage, "--direction"},
		{[]string{"tap", "--kind", "odd", "--read"}, whole, exitUsage, "--kind"},
		{[]string{"tap", "odd", "--read"}, whole, exitUsage, "odd"},
	} {
		if err := os.WriteFile(file, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append(append([]string{"--api", api}, c.args...), file), &out, &errOut); code != c.code || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%q: %d, %s%s", c.args, code, &out, &errOut)
		}
	}
}

// What is read from a file is filtered as a daemon does.
func TestTapReadsAFile(t *testing.T) {
	file := captured(t, passed(1, "$.A", "one"), passed(2, "$.B", "two", brought), passed(3, "$.A", "three", asks))
	for args, want := range map[string]string{
		"":                                    "1 2 3",
		"$.A":                                 "1 3",
		"--direction from-peer":               "2",
		"--kind request":                      "3",
		"--reason delivered":                  "2",
		"--reason lost":                       "",
		"--link nowhere":                      "",
		"--count 2":                           "1 2",
		"--count 1 --kind request,reply":      "3",
		"--reason forwarded --link network 2": "",
	} {
		var out, errOut bytes.Buffer
		words := append([]string{"tap", "--read", file, "--format", "text"}, strings.Fields(args)...)
		if strings.HasSuffix(args, "network 2") {
			words = append(words[:len(words)-2], "network 2")
			want = "1 3"
		}
		if code := run(t.Context(), words, &out, &errOut); code != exitOK {
			t.Errorf("%s: %d, %s", args, code, &errOut)
		}
		var got []string
		for i := 1; i <= 3; i++ {
			if strings.Contains(out.String(), fmt.Sprintf(":%d] ", i)) {
				got = append(got, fmt.Sprint(i))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q: %s", args, s, want, &out)
		}
	}
}

// enough closes a channel when so many bytes have been written.
type enough struct {
	bytes.Buffer
	what    []byte
	reached chan struct{}
}

func (e *enough) Write(b []byte) (int, error) {
	n, err := e.Buffer.Write(b)
	if bytes.Contains(e.Bytes(), e.what) && e.what != nil {
		e.what = nil
		close(e.reached)
	}
	return n, err
}

// What was shown until an interruption is whole in the file.
func TestInterruptedTapHasWritten(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &enough{what: []byte("ReplierBindEvent"), reached: make(chan struct{})}
	var errOut bytes.Buffer
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"--api", api, "tap", "--data", "--write", "-"}, out, &errOut) }()
	<-out.reached
	interrupt()
	if code := <-done; code != exitInterrupted {
		t.Errorf("it ends with %d: %s", code, &errOut)
	}
	for _, want := range []string{"4 messages are in -", "9007199254740993 beyond the rate"} {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("it says %q, not %q", &errOut, want)
		}
	}
	r, err := capture.NewReader(&out.Buffer)
	records := 0
	for err == nil {
		var some *pb.TapResponse
		some, _, err = r.Next()
		records += len(some.GetRecords())
	}
	if records != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("%d records were written, %v", records, err)
	}
}
