package test

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The default API is in no folder that another user can write: the daemon does not
// offer it there, and limpetctl does not ask there.
func TestDefaultAPIFolder(t *testing.T) {
	runtime := t.TempDir()
	dir := filepath.Join(runtime, "limpetd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"limpetd", "--bus", "embedded"}, {"limpetctl", "status"}} {
		cmd := exec.CommandContext(within(t), filepath.Join(binaries, words[0]), words[1:]...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), dir+" is writable by others (mode 0777") {
			t.Errorf("%v exits with %d and says %s", words, code, out)
		}
	}
	cmd := exec.CommandContext(within(t), filepath.Join(binaries, "limpetctl"), "status", "--api", filepath.Join(dir, "api.sock"), "--timeout", "1s")
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "no limpetd answers at") {
		t.Errorf("an address of the user's own choice: %s", out)
	}
}

// says waits until the daemon's log has some words.
func (p *process) says(t *testing.T, words string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(p.log.String(), words) {
		select {
		case <-limit:
			t.Fatalf("the log does not say %q", words)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// An upstream limpet removes the socket that it was connected to when it ends; the
// next one can connect all the same.
func TestRemovedClassicSocket(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "classic.sock")
	a := limpetd(t, 1, "--listen-classic", addr)
	if err := os.Remove(addr); err != nil {
		t.Fatal(err)
	}
	a.says(t, "listening again")
	if info, err := os.Stat(addr); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the new socket: %v, %v", info.Mode(), err)
	}
	b := limpetd(t, 2, "--connect-classic", addr)
	a.waitLinked(t, 1)
	b.waitLinked(t, 1)
}

// A daemon without a free descriptor goes on when there are some again.
func TestOutOfDescriptors(t *testing.T) {
	link, classic := filepath.Join(t.TempDir(), "link.sock"), filepath.Join(t.TempDir(), "classic.sock")
	limited := filepath.Join(t.TempDir(), "limited")
	program := "#!/bin/sh\nulimit -n 50\nexec " + filepath.Join(binaries, "limpetd") + " \"$@\"\n"
	if err := os.WriteFile(limited, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	a := startLimpetd(t, limited, 1, "--listen", link, "--listen-classic", classic)
	for _, addr := range []string{link, classic, a.api} {
		var conns []net.Conn
		for range 60 {
			c, err := net.Dial("unix", addr)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		a.says(t, "cannot accept connections, retrying\" address="+addr)
		for _, c := range conns {
			_ = c.Close()
		}
		if err := a.bus.WaitReady(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	b := limpetd(t, 2, "--connect", link)
	a.waitLinked(t, 1)
	b.waitLinked(t, 1)
	if code := a.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
