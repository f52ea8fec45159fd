//go:build unix

package sockaddr

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func unix(path string) Address { return Address{Network: "unix", Address: path} }

// entries lists a folder: nothing temporary may be left in it.
func entries(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func dials(t *testing.T, path string) bool {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func TestListenOnASocket(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "made", "by us")
	path := filepath.Join(dir, "s")
	l, err := Listen(ctx, unix(path), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	if got := entries(t, dir); got != "s" {
		t.Errorf("the folder has %s", got)
	}
	if l.Addr().String() != path {
		t.Errorf("the address is %s", l.Addr())
	}
	go func() {
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := Listen(ctx, unix(path), Config{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("listening twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting after Close: %v", err)
	}
	if got := entries(t, dir); got != "" {
		t.Errorf("after Close the folder has %s", got)
	}
}

// The mode is what was asked for, whatever the umask.
func TestSocketModeAndUmask(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, mask := range []int{0, 0o077} {
		old := syscall.Umask(mask)
		l, err := Listen(t.Context(), unix(path), Config{Mode: 0o666})
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
			t.Errorf("umask %o: %v, %v", mask, info.Mode(), err)
		}
		_ = l.Close()
	}
}

// A path of the greatest length leaves no room for the temporary name.
func TestLongestSocketPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a shorter name for it")
	}
	t.Chdir(t.TempDir())
	dir := strings.Repeat("d", maxSocketPath-2)
	path := filepath.Join(dir, "x")
	l, err := Listen(t.Context(), unix(path), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !dials(t, path) {
		t.Error("nobody answers")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := entries(t, dir); got != "" {
		t.Errorf("after Close the folder has %s", got)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false) // as a crash leaves it
	_ = stale.Close()
	l, err := Listen(t.Context(), unix(path), Config{})
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), unix(path), Config{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("over a file: %v", err)
	}
	// A program that makes the file between our look and our rename keeps it.
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := moveTo(other, path); !errors.Is(err, ErrInUse) {
		t.Errorf("moving over a file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file now has %q", b)
	}
	if _, err := Listen(t.Context(), Address{Network: "tcp", Address: "192.0.2.1:1"}, Config{}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address of another machine: %v", err)
	}
}

// Upstream's limpets unlink the path that they have dialled, when they end.
func TestSocketFileIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var said bytes.Buffer
	l, err := listenUnix(t.Context(), path, Config{Mode: 0o600, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			accepted <- err
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	says := func(lines int, words string) {
		t.Helper()
		if got := said.String(); strings.Count(got, "\n") != lines || !strings.Contains(got, words) {
			t.Errorf("the log has %q; want %d lines and %q", got, lines, words)
		}
		said.Reset()
	}
	l.check()
	says(0, "")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.check()
	says(1, "listening again")
	if !dials(t, path) {
		t.Fatal("nobody answers after the file was removed")
	}
	if err := <-accepted; err != nil {
		t.Errorf("accepting: %v", err)
	}

	// Another program has put its own there: it keeps it, and is named once.
	_ = os.Remove(path)
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.check()
	says(1, "another program listens on socket")
	l.check()
	says(0, "")
	_ = other.Close()
	l.check()
	says(1, "listening again")

	// What another program has put there is not removed by Close.
	_ = os.Remove(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), path) {
		t.Errorf("accepting after Close: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other program's file: %v", err)
	}
	l.check()
	says(0, "")
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
}
