//go:build linux

package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the pages show in blocks of ```console is typed on two hosts, hostA and hostB, and
// prints what the page says. Lines begin with the host and its prompt; "..." stands for any
// lines, and in a line for anything; numbers, times and versions may be others. The blocks between two headings are one session.
func TestPages(t *testing.T) {
	for _, page := range []string{"README.md", "docs/clients.md", "docs/inspection.md"} {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		sessions := consoleSessions(string(text))
		if len(sessions) == 0 {
			t.Errorf("%s shows no session", page)
		}
		for _, s := range sessions {
			t.Run(page+"/"+s.title, func(t *testing.T) {
				t.Parallel()
				s.play(t)
			})
		}
	}
}

// The pages' links to others lead somewhere.
func TestPagesLinks(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../proto/kbus/limpet/v1/PROTOCOL.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pageLink.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if n < 20 {
		t.Errorf("there are only %d links", n)
	}
}

var pageLink = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

// pageLimit is how long a command may take to print what the page says.
const pageLimit = 30 * time.Second

// A session is the commands below a heading or a bold title.
type session struct {
	title string
	steps []pageStep
}

// A pageStep is a command and what it prints.
type pageStep struct{ host, command, output string }

var (
	pageTitle  = regexp.MustCompile(`^(?:## (.*)|\*\*(.*?)\*\*.*)$`)
	pagePrompt = regexp.MustCompile(`^(host[AB])[$#] (.*)$`)
)

func consoleSessions(page string) (all []*session) {
	now, shown := &session{}, false
	for line := range strings.Lines(page) {
		text := strings.TrimSuffix(line, "\n")
		title, prompt := pageTitle.FindStringSubmatch(text), pagePrompt.FindStringSubmatch(text)
		switch {
		case text == "```console":
			shown = true
		case text == "```":
			shown = false
		case !shown && title != nil:
			now = &session{title: title[1] + title[2]}
		case shown && prompt != nil:
			if len(now.steps) == 0 {
				all = append(all, now)
			}
			now.steps = append(now.steps, pageStep{host: prompt[1], command: prompt[2]})
		case shown:
			now.steps[len(now.steps)-1].output += line
		}
	}
	return all
}

func (s *session) play(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("two hosts on one machine need root")
	}
	w := newWorld(t)
	for _, step := range s.steps {
		w.hosts[step.host].run(t, step)
	}
}

// A world is two hosts, which share a network that has nothing else, and the files that
// they do not have of their own.
type world struct {
	dir   string
	hosts map[string]*host
}

// A host has a home, a /run and a name of its own.
type host struct {
	name, home string
	holder     *exec.Cmd // its namespaces live as long as this
	env        []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, tool := range []string{"unshare", "nsenter", "mount", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	w := &world{dir: t.TempDir(), hosts: make(map[string]*host)}
	tools := filepath.Join(w.dir, "bin")
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	names := write("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 hostA\n127.0.1.2 hostB\n", 0o644)
	write("bin/scp", "#!/bin/sh\neval to=\\${$#}\ncp \"$@\" \""+w.dir+"/${to%:}\" 2>/dev/null || { while [ $# -gt 1 ]; do cp \"$1\" \""+w.dir+"/${to%:}\" || exit 1; shift; done; }\n", 0o755)
	net := ""
	for _, name := range []string{"hostA", "hostB"} {
		h := &host{name: name, home: filepath.Join(w.dir, name)}
		if err := os.Mkdir(h.home, 0o755); err != nil {
			t.Fatal(err)
		}
		h.env = append(os.Environ(), "HOME="+h.home, "XDG_RUNTIME_DIR=", "PATH="+tools+":"+binaries+":"+os.Getenv("PATH"))
		script := fmt.Sprintf("mount -t tmpfs run /run && mount --bind %s /etc/hosts && ip link set lo up && echo ready && exec cat", names)
		if net == "" {
			h.holder = exec.Command("unshare", "--mount", "--net", "sh", "-c", script)
		} else {
			h.holder = exec.Command("nsenter", "--net="+net, "unshare", "--mount", "sh", "-c", script)
		}
		if err := h.hold(t); err != nil {
			t.Skipf("no namespaces here: %v", err)
		}
		net = fmt.Sprintf("/proc/%d/ns/net", h.holder.Process.Pid)
		w.hosts[name] = h
	}
	return w
}

// hold makes the host, which is there until the test ends.
func (h *host) hold(t *testing.T) error {
	in, err := h.holder.StdinPipe()
	if err != nil {
		return err
	}
	out, err := h.holder.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	h.holder.Stderr = &said
	if err := h.holder.Start(); err != nil {
		return err
	}
	t.Cleanup(func() { _ = in.Close(); _ = h.holder.Wait() })
	if _, err := out.Read(make([]byte, len("ready\n"))); err != nil {
		return fmt.Errorf("%w: %s", err, &said)
	}
	return nil
}

// command prepares a command on the host.
func (h *host) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", "--target", fmt.Sprint(h.holder.Process.Pid), "--mount", "--net", "--wd="+h.home, "bash", "-c", "exec "+line)
	if strings.ContainsAny(line, "|;&<>") {
		cmd.Args[len(cmd.Args)-1] = line
	}
	cmd.Env = h.env
	cmd.WaitDelay = time.Second
	return cmd
}

// stays tells the commands that go on.
var stays = regexp.MustCompile(`^limpetd( -|\s*$)|^limpetctl (reply|listen|watch [a-z]+) |/(Listen|Watch\w+)$`)

// run types a command, and looks at what it prints. One that stays is left to itself, and
// other hosts, or programs, may take a moment: what prints something else is typed again.
func (h *host) run(t *testing.T, s pageStep) {
	t.Helper()
	program, _, _ := strings.Cut(s.command, " ")
	if _, err := exec.LookPath(filepath.Join(binaries, program)); err != nil {
		if _, err := exec.LookPath(program); err != nil && program != "scp" {
			t.Skipf("%s is not installed", program)
		}
	}
	want := printed(s.output)
	if stays.MatchString(s.command) {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := h.command(ctx, s.command)
		out := new(lockedBuffer)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = pageLimit
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("%s$ %s\n%s", h.name, s.command, out.String())
			}
		})
		switch {
		case program == "limpetd": // its log is not shown
			want = regexp.MustCompile(`limpetd is running`)
		case s.output == "":
			return
		}
		h.until(t, s, func() (string, bool) { return out.String(), want.MatchString(out.String()) })
		return
	}
	h.until(t, s, func() (string, bool) {
		out, err := h.command(t.Context(), s.command).CombinedOutput()
		if s.output == "" {
			return string(out), err == nil
		}
		return string(out), want.MatchString(string(out))
	})
}

// until looks again and again whether a command has printed what it should.
func (h *host) until(t *testing.T, s pageStep, look func() (string, bool)) {
	t.Helper()
	limit := time.NewTimer(pageLimit)
	defer limit.Stop()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		out, ok := look()
		if ok {
			return
		}
		select {
		case <-pause.C:
		case <-limit.C:
			t.Fatalf("%s$ %s\nprints\n%s\nthe page says\n%s", h.name, s.command, out, s.output)
		}
	}
}

var pageVersion = regexp.MustCompile(`\bv[0-9]+\\\.[0-9]+\\\.[0-9]+\b`)

var pageNumber = regexp.MustCompile(`[0-9]+(\\\.[0-9]+)?((ns|µs|ms|s|m|h)\b)?`)

// printed makes what a page shows into what is looked for.
func printed(text string) *regexp.Regexp {
	var all strings.Builder
	all.WriteString(`\A`)
	for line := range strings.Lines(text) {
		if line == "...\n" {
			all.WriteString(`(?:.*\n)*?`)
			continue
		}
		exact := pageVersion.ReplaceAllLiteralString(regexp.QuoteMeta(strings.TrimRight(line, " \n")), `\S+`)
		exact = pageNumber.ReplaceAllLiteralString(exact, `[0-9][0-9.a-zµ]*`)
		exact = strings.ReplaceAll(exact, `\.\.\.`, `.*`)
		all.WriteString(strings.ReplaceAll(exact, "  ", ` +`) + ` *\n`)
	}
	return regexp.MustCompile(all.String() + `\z`)
}
