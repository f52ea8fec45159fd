package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A process is a limpetd, and a client of its API.
type process struct {
	cmd *exec.Cmd
	api string
	bus *client.Bus
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// limpetd starts a daemon on a bus of its own, and waits until it answers.
func limpetd(t testing.TB, id int, args ...string) *process {
	t.Helper()
	return startLimpetd(t, filepath.Join(binaries, "limpetd"), id, args...)
}

func startLimpetd(t testing.TB, program string, id int, args ...string) *process {
	t.Helper()
	return startLimpetdAt(t, program, filepath.Join(t.TempDir(), "api.sock"), id, args...)
}

func startLimpetdAt(t testing.TB, program, api string, id int, args ...string) *process {
	t.Helper()
	p := &process{api: api, log: new(lockedBuffer)}
	args = append([]string{"--bus", "embedded", "--network-id", fmt.Sprint(id), "--api", p.api}, args...)
	p.cmd = exec.Command(program, args...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("limpetd %d:\n%s", id, p.log)
		}
	})
	waitSocket(t, p.api)
	bus, err := client.Open(p.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	p.bus = bus
	if err := bus.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// waitSocket waits until a daemon listens at path, or patience is over: a client that
// dials too early waits for its first backoff.
func waitSocket(t testing.TB, path string) {
	t.Helper()
	ctx := within(t)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return // the client's error will say more
		}
	}
}

// within bounds a step of a test.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (p *process) waitLinked(t testing.TB, n int) {
	t.Helper()
	if err := p.bus.WaitLinked(within(t), n); err != nil {
		t.Fatal(err)
	}
}

// stop sends SIGTERM and gives the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return p.wait(t)
}

func (p *process) wait(t *testing.T) int {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func ctl(t *testing.T, p *process, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetctl"), append([]string{"--api", p.api}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// A network is daemons as processes, linked.
type network struct {
	name  string
	links [][2]int // each dials the other: first dials second
	order []int    // in which they start: a TCP address is known when its daemon listens
}

var networks = []network{
	{"chain of three", [][2]int{{0, 1}, {2, 1}}, []int{1, 0, 2}},
	{"star of five", [][2]int{{1, 0}, {2, 0}, {3, 0}, {4, 0}}, []int{0, 1, 2, 3, 4}},
}

func (n network) run(t *testing.T, kind string) []*process {
	addr := make([]string, len(n.order))
	for i := range addr {
		addr[i] = filepath.Join(t.TempDir(), "link.sock")
		if kind == "tcp" {
			addr[i] = "127.0.0.1:0"
		}
	}
	ps := make([]*process, len(n.order))
	ends := make([]int, len(n.order))
	for _, i := range n.order {
		args := []string{"--listen", addr[i]}
		if kind == "mixed" {
			args = append(args, "--listen-classic", addr[i]+".classic")
		}
		for j, l := range n.links {
			switch {
			case l[0] != i:
			case kind == "mixed" && j%2 == 0:
				args = append(args, "--connect-classic", addr[l[1]]+".classic")
			default:
				args = append(args, "--connect", addr[l[1]])
			}
		}
		ps[i] = limpetd(t, i+1, args...)
		if kind == "tcp" {
			addr[i] = ps[i].listensAt(t)
		}
	}
	for _, l := range n.links {
		ends[l[0]]++
		ends[l[1]]++
	}
	for i, p := range ps {
		p.waitLinked(t, ends[i])
	}
	return ps
}

// listensAt returns the address at which the daemon accepts links, of the first --listen
// or --listen-classic. With port 0 only the daemon can tell: a port that is chosen for it
// may be another's by then.
func (p *process) listensAt(t *testing.T) string {
	t.Helper()
	p.says(t, "limpetd is running") // it has said so before
	_, rest, _ := strings.Cut(p.log.String(), "listening for peers")
	_, rest, _ = strings.Cut(rest, "address=")
	address, _, _ := strings.Cut(rest, "\n")
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatalf("the log does not say where it listens: %v", err)
	}
	return address
}

// waitReplier waits until somebody, or nobody, replies to a name on p's bus.
func waitReplier(t *testing.T, p *process, name string, want bool) {
	t.Helper()
	ctx := within(t)
	for {
		_, _, found, err := p.bus.FindReplier(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if found == want {
			return
		}
	}
}

// answer replies to one request.
func answer(t *testing.T, r *client.Replier, data string) {
	t.Helper()
	go func() {
		q, err := r.Recv()
		if err != nil {
			t.Errorf("receiving a request: %v", err)
			return
		}
		if err := r.Reply(q, "", []byte(data)); err != nil {
			t.Errorf("replying: %v", err)
		}
	}()
}

// In a chain and a star of processes an announcement arrives once everywhere,
// requests reach the right replier, and a killed replier's asker has its answer.
func TestNetworksOfProcesses(t *testing.T) {
	beside(t)
	for _, n := range networks {
		for _, kind := range []string{"unix", "tcp", "mixed"} {
			t.Run(n.name+" "+kind, func(t *testing.T) {
				ps := n.run(t, kind)
				last := len(ps) - 1
				announceEverywhere(t, ps)
				requestAndStateful(t, ps[0], ps[last])
				killedReplier(t, ps[0], ps[last])
				for i, p := range ps {
					if code := p.stop(t); code != 0 {
						t.Errorf("limpetd %d exits with %d", i+1, code)
					}
				}
			})
		}
	}
}

func announceEverywhere(t *testing.T, ps []*process) {
	ctx := within(t)
	ears := make([]*ear, len(ps))
	for i, p := range ps {
		l, err := p.bus.Listen(ctx, client.ListenConfig{Names: []string{"$.News.*"}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ears[i] = hear(l)
	}
	// An announcement crosses once a link knows that somebody listens behind it.
	sayUntilHeard(ctx, t, ps, ears, "anybody there, from")
	for i, p := range ps {
		say(ctx, t, p, "from", i)
	}
	sayUntilHeard(ctx, t, ps, ears, "over, from") // what one program sends stays in order
	for i, e := range ears {
		for from := range ps {
			if n := e.count("from", from); n != 1 {
				t.Errorf("network %d heard the news of network %d %d times", i+1, from+1, n)
			}
		}
	}
}

// An ear counts what a listener hears.
type ear struct {
	mu    sync.Mutex
	heard map[string]int
}

func hear(l *client.Listener) *ear {
	e := &ear{heard: make(map[string]int)}
	go func() { // it ends with the listener
		for {
			m, err := l.Recv()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.heard[string(m.Data)]++
			e.mu.Unlock()
		}
	}()
	return e
}

func (e *ear) count(what string, from int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[fmt.Sprint(what, " ", from)]
}

func say(ctx context.Context, t *testing.T, p *process, what string, from int) {
	t.Helper()
	if _, err := p.bus.Send(ctx, &kbusdev.Message{Name: "$.News.N", Data: fmt.Append(nil, what, " ", from)}); err != nil {
		t.Fatal(err)
	}
}

// sayUntilHeard announces from each process until every ear has heard each of them.
func sayUntilHeard(ctx context.Context, t *testing.T, ps []*process, ears []*ear, what string) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		all := true
		for from, p := range ps {
			for _, e := range ears {
				if e.count(what, from) == 0 {
					all = false
					say(ctx, t, p, what, from)
					break
				}
			}
		}
		if all {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%q is not heard everywhere", what)
		}
	}
}

func requestAndStateful(t *testing.T, asker, replier *process) {
	ctx := within(t)
	r, err := replier.bus.Serve(ctx, 0, "$.Ask.%")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	waitReplier(t, asker, "$.Ask.Me", true)
	answer(t, r, "one")
	first, err := asker.bus.Call(ctx, &kbusdev.Message{Name: "$.Ask.Me"})
	if err != nil || string(first.Data) != "one" {
		t.Fatalf("reply %+v, %v", first, err)
	}
	answer(t, r, "two")
	stateful := &kbusdev.Message{Name: "$.Ask.Me", To: first.From, FinalTo: first.OrigFrom}
	second, err := asker.bus.Call(ctx, stateful)
	if err != nil || string(second.Data) != "two" {
		t.Fatalf("stateful reply %+v, %v", second, err)
	}
	r.Close()
	waitReplier(t, asker, "$.Ask.Me", false)
	if _, err := asker.bus.Call(ctx, &kbusdev.Message{Name: "$.Ask.Me"}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("a request to nobody: %v", err)
	}
}

// killedReplier has a replier, another process, killed with a request unanswered.
func killedReplier(t *testing.T, asker, side *process) {
	cmd := exec.Command(filepath.Join(binaries, "limpetctl"), "--api", side.api, "reply", "$.Slow", "--command", "exec tail -f /dev/null")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() }()
	waitReplier(t, asker, "$.Slow", true)
	type result struct {
		m   *kbusdev.Message
		err error
	}
	got := make(chan result, 1)
	go func() {
		m, err := asker.bus.Call(within(t), &kbusdev.Message{Name: "$.Slow"})
		got <- result{m, err}
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has read the request
		t.Fatal(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if name := said(r.m, r.err); name != kbusdev.NameReplierIgnored || !errors.Is(r.err, client.ErrMayHaveRun) {
		t.Errorf("the asker of a killed replier gets %+v, %v", r.m, r.err)
	}
}

// A killed daemon's requests are answered, and the link heals.
func TestKilledDaemon(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "link.sock")
	a := limpetd(t, 1, "--connect", addr, "--grace", "1s")
	b := limpetd(t, 2, "--listen", addr)
	a.waitLinked(t, 1)
	r, err := b.bus.Serve(within(t), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	waitReplier(t, a, "$.Ask", true)
	got := make(chan string, 1)
	go func() {
		got <- said(a.bus.Call(within(t), &kbusdev.Message{Name: "$.Ask"}))
	}()
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if name := <-got; name != "$.KBUS.RemoteError.OutcomeUnknown" {
		t.Errorf("the asker gets %s", name)
	}
	b.wait(t)
	waitReplier(t, a, "$.Ask", false)
	// Its stale socket is no hindrance for the next one.
	b2 := limpetd(t, 2, "--listen", addr)
	a.waitLinked(t, 1)
	b2.waitLinked(t, 1)
	announceEverywhere(t, []*process{a, b2})
}

func TestTerminationMessage(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "link.sock")
	a := limpetd(t, 1, "--listen", addr, "--termination-message", "$.Stop.Now")
	b := limpetd(t, 2, "--connect", addr)
	b.waitLinked(t, 1)
	out, _ := ctl(t, a, "send", "$.Stop.Now") // the daemon may have stopped before it answers
	if code := a.wait(t); code != 0 {
		t.Errorf("exit code %d; limpetctl says %s", code, out)
	}
	if _, err := os.Stat(addr); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is left: %v", err)
	}
}

// Refusals are seen at both ends, and mended by nobody but a person.
func TestSameNetworkIDIsRefused(t *testing.T) {
	a := limpetd(t, 7, "--listen", "127.0.0.1:0")
	b := limpetd(t, 7, "--connect", a.listensAt(t))
	ctx := within(t)
	for {
		st, err := b.bus.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if e := st.GetLinks()[0].GetLastError(); e != "" {
			if !strings.Contains(e, "both ends have network id 7") {
				t.Errorf("the status says %q", e)
			}
			break
		}
	}
	for what, p := range map[string]*process{"accepting": a, "dialling": b} {
		p.stop(t)
		if !strings.Contains(p.log.String(), "both ends have network id 7") {
			t.Errorf("the log of the %s end does not say why:\n%s", what, p.log)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(yaml, []byte("network: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := []string{"--api", filepath.Join(dir, "api"), "--bus", "embedded"}
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"--listen", ":0"}, 2, "--network-id"},
		{[]string{"--listen", "host:port", "--network-id", "1"}, 2, `port "port"`},
		{[]string{"--network-id", "x"}, 2, "network-id"},
		{[]string{"--message-name", "hello"}, 2, `"hello"`},
		{[]string{"--termination-message", "$.*"}, 2, `"$.*"`},
		{[]string{"--verbosity", "3"}, 2, "not 0, 1 or 2"},
		{[]string{"--bus", "nowhere"}, 2, `"nowhere"`},
		{[]string{"--bus", "/dev/kbus77"}, 2, "is the KBUS module loaded"},
		{[]string{"--config", yaml}, 2, `no setting "network"`},
		{[]string{"--no-such-flag"}, 2, "no-such-flag"},
		{[]string{"--listen", file, "--network-id", "1"}, 1, "not a socket"},
	} {
		cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetd"), append(append([]string{}, api...), c.args...)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.words) {
			t.Errorf("limpetd %v exits with %d and says %s; want %d and %q", c.args, code, out, c.code, c.words)
		}
	}
	p := limpetd(t, 1)
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetd"), "--bus", "embedded", "--api", p.api)
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "another program listens") {
		t.Errorf("a second daemon on one API says %s", out)
	}
}

func TestConfigurationSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("network-id: 3\nbus: embedded\nlisten: ['127.0.0.1:0']\nmessage-name: $.A.*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetd"), "--config", file, "--check", "--message-name", "$.B.*")
	cmd.Env = append(os.Environ(), "LIMPETD_NETWORK_ID=4", "LIMPETD_MESSAGE_NAME=$.C.*")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, words := range []string{"network id:      4", "message name:    $.B.*", "listen:          127.0.0.1:0", "bus:             embedded"} {
		if !strings.Contains(string(out), words) {
			t.Errorf("the check does not say %q:\n%s", words, out)
		}
	}
}

func TestLimpetctl(t *testing.T) {
	p := limpetd(t, 1)
	r, err := p.bus.Serve(within(t), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	answer(t, r, "forty-two")
	out, code := ctl(t, p, "--json", "call", "$.Ask", "hello")
	var reply struct{ Kind, Text string }
	if err := json.Unmarshal([]byte(out), &reply); err != nil || code != 0 || reply.Text != "forty-two" || reply.Kind != "reply" {
		t.Errorf("call says %s (%d)", out, code)
	}
	go func() {
		if _, err := r.Recv(); err != nil {
			t.Error(err)
		}
		r.Close()
	}()
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"call", "$.Ask"}, 3, "its replier went away without an answer"},
		{[]string{"call", "$.Nobody"}, 1, "no replier is bound to $.Nobody on this bus"},
		{[]string{"send", "$.All.*"}, 1, `"$.All.*" is not a name`},
		{[]string{"send", "$.A", "--hex", "zz"}, 2, `--hex "zz"`},
		{[]string{"send", "$.A", "--hex", "00ff"}, 0, "sent $.A"},
		{[]string{"send", "$.A", "--file", "/dev/zero"}, 1, ""},
		{[]string{"send"}, 2, "at least 1 arg"},
		{[]string{"bindings"}, 0, ""},
		{[]string{"watch", "bindings", "--once"}, 0, "whole"},
		{[]string{"watch", "repliers", "$.Ask", "--once", "--json"}, 0, `{"event":"whole"}`},
		{[]string{"watch", "repliers"}, 2, "accepts 1 arg"},
		{[]string{"watch", "repliers", "x"}, 1, `"x" is not a name`},
		{[]string{"status"}, 0, "on bus embedded, network 1"},
		{[]string{"completion", "bash"}, 0, "limpetctl"},
	} {
		if len(c.args) > 3 && c.args[3] == "/dev/zero" {
			big := filepath.Join(t.TempDir(), "big")
			if err := os.WriteFile(big, make([]byte, 409600), 0o600); err != nil {
				t.Fatal(err)
			}
			c.args[3], c.words = big, "too large for this bus"
		}
		if out, code := ctl(t, p, c.args...); code != c.code || !strings.Contains(out, c.words) {
			t.Errorf("limpetctl %v exits with %d and says %s; want %d and %q", c.args, code, out, c.code, c.words)
		}
	}
}

// limpetctl shows links and what they have lost, and drains them; then they are linked
// again.
func TestLimpetctlLinks(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "link.sock")
	a := limpetd(t, 1, "--listen", addr)
	b := limpetd(t, 2, "--connect", addr)
	a.waitLinked(t, 1)
	b.waitLinked(t, 1)
	name := "connect " + addr
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"links"}, 0, "network 1"},
		{[]string{"--json", "links"}, 0, `"state":"up"`},
		{[]string{"watch", "links", "--once"}, 0, "here " + name + ": up, network 1"},
		{[]string{"--json", "watch", "links", "--once"}, 0, `"state":"up"`},
		{[]string{"drops"}, 0, ""},
		{[]string{"drops", "nothing"}, 1, `there is no link "nothing"`},
		{[]string{"drain", "nothing"}, 1, `there is no link "nothing"`},
		{[]string{"drain", name}, 0, name + ": drained, 0 requests were not finished"},
	} {
		out, code := ctl(t, b, c.args...)
		if words := strings.ReplaceAll(out, `": "`, `":"`); code != c.code || !strings.Contains(words, c.words) {
			t.Errorf("limpetctl %v exits with %d and says %s; want %d and %q", c.args, code, out, c.code, c.words)
		}
	}
	for { // until it has been dialled again
		l, err := b.bus.LinkStatus(within(t), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		if l[0].GetEpochs() == 2 {
			break
		}
	}
	if out, code := ctl(t, a, "drain"); code != 0 || !strings.Contains(out, "network 2: drained") {
		t.Errorf("draining all links exits with %d and says %s", code, out)
	}
}

func TestDemo(t *testing.T) {
	beside(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(binaries, "limpetd"), "demo", "--once").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, want := range []string{kbusdev.NameReplierIgnored, "the listener has heard all 300, each once, in order", kbusdev.NameOutcomeUnknown, kbusdev.NameNotDelivered, "All was carried."} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
}
