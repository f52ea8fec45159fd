//go:build linux

package test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// ksockAs opens a device as another user, of one group besides. Only the thread that opens it
// is that user, and it ends.
func ksockAs(t *testing.T, path string, uid, gid uint32, group int) kbusdev.Ksock {
	t.Helper()
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	type opened struct {
		k   kbusdev.Ksock
		err error
	}
	done := make(chan opened, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		const same = ^uintptr(0)
		if err := unix.Setgroups([]int{group}); err != nil { // this thread's, unlike syscall's
			done <- opened{err: err}
			return
		}
		_, _, e1 := syscall.RawSyscall(syscall.SYS_SETRESGID, same, uintptr(gid), same)
		_, _, e2 := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uintptr(uid), same)
		if e1|e2 != 0 {
			done <- opened{err: e1 | e2}
			return
		}
		k, err := bus.Open(kbusdev.ReadWrite)
		done <- opened{k, err}
	}()
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	t.Cleanup(func() { _ = o.k.Close() })
	return o.k
}

const (
	exposedRules = `rules:
  - allow: all
    who: ["uid:0"]
  - allow: [announce, listen]
    who: ["gid:27"]
    names: ["$.Open.*"]
`
	exposedRulesLater = `rules:
  - allow: all
    who: ["uid:0"]
  - allow: listen
    who: ["uid:1000"]
`
)

// Rules hold for who opens a device, by its user and groups, and other ones at a SIGHUP: of
// kbusd, and of limpetd's exposed bus.
func TestRulesOfDevices(t *testing.T) {
	for what, serve := range map[string]func(t *testing.T, dir, file string) (*exec.Cmd, *lockedBuffer){
		"kbusd": func(t *testing.T, dir, file string) (*exec.Cmd, *lockedBuffer) {
			t.Helper()
			return kbusdAs(t, nil, dir, "--rules", file)
		},
		"limpetd": func(t *testing.T, dir, file string) (*exec.Cmd, *lockedBuffer) {
			t.Helper()
			p := limpetd(t, 1, "--config", file, "--expose", filepath.Join(dir, "kbus0"))
			t.Cleanup(func() { p.stop(t) }) // takes the device away
			return p.cmd, p.log
		},
	} {
		t.Run(what, func(t *testing.T) {
			deviceDir(t) // or skipped
			dir, files := t.TempDir(), t.TempDir()
			for _, d := range []string{dir, filepath.Dir(dir)} { // for other users to come in
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(files, "rules.yaml")
			write := func(text string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(exposedRules)
			cmd, log := serve(t, dir, file)
			says := func(text string) {
				t.Helper()
				for ctx := within(t); !strings.Contains(log.String(), text); {
					select {
					case <-ctx.Done():
						t.Fatalf("the log does not say %q:\n%s", text, log)
					case <-time.After(2 * time.Millisecond):
					}
				}
			}
			hangUp := func(text string) {
				t.Helper()
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				says(text)
			}
			says("device is there")
			path := filepath.Join(dir, "kbus0")
			root, other := deviceKsock(t, path), ksockAs(t, path, 1000, 1000, 27)
			for _, name := range []string{"$.Secret.Door", "$.Open.Door"} {
				if err := root.Bind(name, kbusdev.Replier); err != nil {
					t.Fatal(err)
				}
			}
			ctx := within(t)
			announce := func(k kbusdev.Ksock, name string, want error) {
				t.Helper()
				if _, err := k.Send(ctx, &kbusdev.Message{Name: name}); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("announcing %s: %v, want %v", name, err, want)
				}
			}
			const absent = syscall.EADDRNOTAVAIL
			announce(other, "$.Secret.A", absent)
			announce(other, "$.Open.A", nil)
			if _, err := other.Send(ctx, &kbusdev.Message{Name: "$.Secret.Door", Flags: kbusdev.WantReply}); !errors.Is(err, absent) {
				t.Errorf("asking: %v", err)
			}
			if _, found, err := other.Replier("$.Secret.Door"); found || err != nil {
				t.Errorf("the replier is seen: %v, %v", found, err)
			}
			if err := other.Bind("$.Open.Window", kbusdev.Replier); !errors.Is(err, absent) {
				t.Errorf("replying: %v", err)
			}
			if err := other.Bind("$.*", kbusdev.Listener); err != nil {
				t.Fatal(err)
			}
			heard := func(want string) {
				t.Helper()
				if m, err := other.Recv(ctx); err != nil || m.Name != want {
					t.Errorf("heard %v, %v", m, err)
				}
			}
			announce(root, "$.Secret.B", nil)
			announce(root, "$.Open.B", nil)
			heard("$.Open.B")

			write("rules:\n  - allow: everything\n")
			hangUp("everything stays as it was")
			announce(other, "$.Open.A", nil)
			heard("$.Open.A") // its own
			write(exposedRulesLater)
			hangUp(` reloaded"`)
			announce(other, "$.Open.A", absent)
			announce(root, "$.Secret.B", nil)
			heard("$.Secret.B")
			says("the rules deny what programs do")

			answer, err := kbusdev.AskControl(ctx, kbusdev.ControlSocket(dir), kbusdev.ControlStats)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Close()
			stats := new(strings.Builder)
			if _, err := io.Copy(stats, answer); err != nil || !strings.Contains(stats.String(), "denied 4\n") || !strings.Contains(stats.String(), "# denied by the rules so far: 4\n") {
				t.Errorf("stats: %v\n%s", err, stats)
			}
		})
	}
}
