package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// ctlStart starts limpetctl, whose output goes to the buffer.
func ctlStart(t *testing.T, p *process, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetctl"), append([]string{"--api", p.api}, args...)...)
	out := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, out
}

// waitOutput waits until a program has printed words.
func waitOutput(t *testing.T, out *lockedBuffer, words string) {
	t.Helper()
	for ctx := within(t); !strings.Contains(out.String(), words); {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not print %q, but %q", words, out)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// A command that replies: its output, its failure, too much of it, and several at a time.
func TestLimpetctlReplies(t *testing.T) {
	beside(t)
	p := limpetd(t, 1)
	ctlStart(t, p, "reply", "$.Echo", "--command", `cat; printf " $KBUS_NAME"`)
	ctlStart(t, p, "reply", "$.Facts", "--command", `echo $KBUS_ID $KBUS_FROM $KBUS_ORIG_FROM`)
	ctlStart(t, p, "reply", "$.Deaf", "--command", "echo yes")              // which does not read its input
	ctlStart(t, p, "reply", "$.Child", "--command", "sleep 5 & echo child") // which leaves a program behind that holds its output
	ctlStart(t, p, "reply", "$.Fail", "--command", "exit 7")
	ctlStart(t, p, "reply", "$.Long", "--command", "yes")
	// Each of the two waits for the other's file.
	dir := t.TempDir()
	ctlStart(t, p, "reply", "$.Both", "--parallel", "2", "--command", "n=$(cat); touch "+dir+"/$n; until [ -e "+dir+"/a ] && [ -e "+dir+"/b ]; do sleep 0.01; done; printf $n")
	for _, name := range []string{"$.Echo", "$.Facts", "$.Deaf", "$.Child", "$.Fail", "$.Long", "$.Both"} {
		waitReplier(t, p, name, true)
	}
	if out, code := ctl(t, p, "call", "$.Echo", "hello"); code != 0 || out != "hello $.Echo" {
		t.Errorf("its output: %q (%d)", out, code)
	}
	facts := regexp.MustCompile(`^\[0:[0-9]+\] [1-9][0-9]* \{0:0\}\n$`)
	if out, code := ctl(t, p, "call", "$.Facts"); code != 0 || !facts.MatchString(out) {
		t.Errorf("its facts: %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "call", "$.Deaf", strings.Repeat("x", 100_000)); code != 0 || out != "yes\n" {
		t.Errorf("much data that it does not read: %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "call", "$.Child"); code != 0 || out != "child\n" {
		t.Errorf("a child that goes on: %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "call", "$.Fail"); code != 1 || !strings.Contains(out, "the replier's command failed: exit status 7") {
		t.Errorf("a failure: %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "call", "$.Long"); code != 1 || !strings.Contains(out, "its output is longer than") {
		t.Errorf("too much output: %q (%d)", out, code)
	}
	a, outA := ctlStart(t, p, "call", "$.Both", "a")
	if out, code := ctl(t, p, "call", "$.Both", "b"); code != 0 || out != "b" {
		t.Errorf("two at a time: %q (%d)", out, code)
	}
	if err := a.Wait(); err != nil || outA.String() != "a" {
		t.Errorf("the other one: %q, %v", outA, err)
	}
}

func TestLimpetctlCallsMany(t *testing.T) {
	p := limpetd(t, 1)
	for _, name := range []string{"$.Node.B", "$.Node.A", "$.Other"} {
		r, err := p.bus.Serve(within(t), 0, name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "$.Other" { // which nobody asks
			answer(t, r, name)
		}
	}
	out, code := ctl(t, p, "call", "--all", "--json", "$.Node.*")
	var got []string
	for line := range strings.Lines(out) {
		var reply struct {
			Name, Text string
			Data       []byte
		}
		if err := json.Unmarshal([]byte(line), &reply); err != nil || string(reply.Data) != reply.Text {
			t.Errorf("%q: %v", line, err)
		}
		got = append(got, reply.Text)
	}
	if code != 0 || strings.Join(got, " ") != "$.Node.A $.Node.B" {
		t.Errorf("the answers are %v (%d)", got, code)
	}
	if out, code := ctl(t, p, "call", "--all", "$.Nobody.*"); code != 1 || !strings.Contains(out, "no replier is bound to a name that $.Nobody.* matches") {
		t.Errorf("of nobody: %q (%d)", out, code)
	}
}

// A listener leaves out, ends by itself, is interrupted, and comes back with its daemon.
func TestLimpetctlListens(t *testing.T) {
	beside(t)
	p := limpetd(t, 1)
	send := func(p *process, name, text string) {
		t.Helper()
		if _, err := p.bus.Send(within(t), &kbusdev.Message{Name: name, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	cmd, out := ctlStart(t, p, "listen", "$.News.*", "--exclude", "$.News.Sport.%", "--count", "2")
	waitListeners(t, p, 1)
	for _, m := range [][2]string{{"$.News.World", "one"}, {"$.News.Sport.Golf", "no"}, {"$.News.Local", "two"}} {
		send(p, m[0], m[1])
	}
	if err := cmd.Wait(); err != nil || out.String() != "one\ntwo\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
	if out, code := ctl(t, p, "listen", "$.News.*", "--for", "1ms"); code != 0 || out != "" {
		t.Errorf("for a moment: %q (%d)", out, code)
	}

	cmd, out = ctlStart(t, p, "listen", "$.News.*", "--retry")
	waitListeners(t, p, 1)
	p.stop(t)
	waitOutput(t, out, "listening again when it is there")
	again := startLimpetdAt(t, filepath.Join(binaries, "limpetd"), p.api, 1)
	waitListeners(t, again, 1)
	send(again, "$.News.World", "back")
	waitOutput(t, out, "back\n")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("interrupted, it exits with %d", code)
	}
}

// waitListeners waits until so many names are bound on the bus.
func waitListeners(t *testing.T, p *process, n uint32) {
	t.Helper()
	for ctx := within(t); ; {
		st, err := p.bus.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if st.GetBindings() == n {
			return
		}
	}
}

func TestLimpetctlChecks(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	p := limpetd(t, 1, "--connect", link)
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{nil, 2, "LIMPETD CRITICAL - connect " + link + " is connecting for "},
		{[]string{"--links", "x"}, 3, `LIMPETD UNKNOWN - invalid argument "x"`},
	} {
		if out, code := ctl(t, p, append([]string{"check"}, c.args...)...); code != c.code || !strings.Contains(out, c.words) {
			t.Errorf("check %v: %q (%d)", c.args, out, code)
		}
	}
	limpetd(t, 2, "--listen", link)
	p.waitLinked(t, 1)
	if out, code := ctl(t, p, "check"); code != 0 || out != "LIMPETD OK - 1 of 1 links up | links_up=1 open_requests=0 lost=0c api_missed=0c\n" {
		t.Errorf("linked: %q (%d)", out, code)
	}
	if st, err := p.bus.Status(within(t)); err != nil || st.GetVersion() == "" || st.GetLinks()[0].GetPeerVersion() != st.GetVersion() || st.GetLinks()[0].GetCounts().GetQueueBound() == 0 {
		t.Errorf("the link's other end, and its queue: %v, %v", st, err)
	}
	if out, code := ctl(t, p, "check", "--links", "2"); code != 2 || !strings.HasPrefix(out, "LIMPETD CRITICAL - 1 links are up, not 2") {
		t.Errorf("too few: %q (%d)", out, code)
	}
	p.stop(t)
	if out, code := ctl(t, p, "check", "--timeout", "2s"); code != 2 || !strings.HasPrefix(out, "LIMPETD CRITICAL - no limpetd answers") {
		t.Errorf("nobody there: %q (%d)", out, code)
	}
}

func TestLimpetctlLatencyAndNames(t *testing.T) {
	p := limpetd(t, 1)
	r, err := p.bus.Serve(within(t), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			q, err := r.Recv()
			if err != nil {
				return
			}
			_ = r.Reply(q, "", nil)
		}
	}()
	out, code := ctl(t, p, "latency", "$.Ask", "--count", "3", "--every", "1ms", "--json")
	var times struct {
		Asked, Answered int
		P50             float64 `json:"p50_seconds"`
		Max             float64 `json:"max_seconds"`
	}
	if err := json.Unmarshal([]byte(out), &times); err != nil || code != 0 || times.Asked != 3 || times.Answered != 3 || times.P50 <= 0 || times.Max < times.P50 {
		t.Errorf("latency: %q (%d), %v", out, code, err)
	}
	if out, code := ctl(t, p, "__complete", "call", "$.A"); code != 0 || !strings.HasPrefix(out, "$.Ask\n:4\n") {
		t.Errorf("completion: %q (%d)", out, code)
	}
}
