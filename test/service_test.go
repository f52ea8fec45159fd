package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/client"
)

// A service manager hands limpetd its sockets, is told when it serves, what its links do,
// when it reloads and when it stops, and is shown that it lives. The sockets outlive the daemon.
func TestService(t *testing.T) {
	beside(t)
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	api := filepath.Join(dir, "api.sock")
	var files []*os.File
	for _, at := range []net.Addr{&net.UnixAddr{Net: "unix", Name: api}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}} {
		l, err := net.Listen(at.Network(), at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
		if at.Network() == "tcp" {
			limpetd(t, 2, "--connect", l.Addr().String())
		}
	}
	for range 2 { // as after an upgrade
		bus, err := client.Open(api)
		if err != nil {
			t.Fatal(err)
		}
		defer bus.Close()
		asked := make(chan error, 1)
		go func() { asked <- bus.WaitLinked(within(t), 1) }() // before there is a daemon

		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", filepath.Join(binaries, "limpetd"), "--bus", "embedded", "--network-id", "1")
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "LISTEN_FDS=2", "LISTEN_FDNAMES=api:peer", "WATCHDOG_USEC=60000000", "WATCHDOG_PID=")
		log := new(lockedBuffer)
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await := func(wanted ...string) {
			t.Helper()
			all := make(map[string]bool)
			for _, w := range wanted {
				all[w] = true
			}
			b := make([]byte, 4096)
			deadline, _ := within(t).Deadline()
			_ = manager.SetReadDeadline(deadline)
			for len(all) > 0 {
				n, err := manager.Read(b)
				if err != nil {
					_ = cmd.Process.Kill()
					t.Fatalf("the manager is not told %v: %v\n%s", all, err, log)
				}
				first, _, _ := strings.Cut(string(b[:n]), "\n")
				delete(all, first)
			}
		}
		await("READY=1", "WATCHDOG=1", "STATUS=1 link: 1 up")
		if err := <-asked; err != nil {
			t.Errorf("who came before the daemon: %v", err)
		}
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await("RELOADING=1")
		await("READY=1")
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		await("STOPPING=1")
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
		if _, err := os.Lstat(api); err != nil {
			t.Errorf("the socket's file is gone with the daemon: %v", err)
		}
	}
}

// A socket whose name says nothing is refused, by name.
func TestServiceSocketWithoutName(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(within(t), "sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", filepath.Join(binaries, "limpetd"), "--bus", "embedded", "--api", "none", "--network-id", "1", "--connect", "127.0.0.1:1")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=limpetd.socket")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), "FileDescriptorName=limpetd.socket") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// Each program tells its version in both ways.
func TestVersions(t *testing.T) {
	beside(t)
	for _, program := range []string{"limpetd", "limpetctl", "kbusd"} {
		for _, word := range []string{"version", "--version"} {
			out, err := exec.CommandContext(within(t), filepath.Join(binaries, program), word).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), program+" ") || strings.Count(string(out), "\n") != 1 {
				t.Errorf("%s %s: %v, %q", program, word, err, out)
			}
		}
	}
}
