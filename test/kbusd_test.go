//go:build linux

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
)

// kbusd serves devices in a folder, as a process of its own, until the test ends.
// KBUSD_DIR=/dev has it make them there: by CUSE, where that can be had.
func kbusd(t testing.TB, args ...string) (dir string, cmd *exec.Cmd) {
	t.Helper()
	dir = deviceDir(t)
	return dir, kbusdIn(t, dir, args...)
}

// deviceDir gives the folder for the devices, or skips the test where there can be
// none.
func deviceDir(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("kbusd needs root, to mount its devices")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("kbusd needs FUSE: %v", err)
	}
	_ = f.Close()
	if dir := os.Getenv("KBUSD_DIR"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// kbusdIn starts another kbusd in the same folder.
func kbusdIn(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd, _ := kbusdAs(t, nil, dir, args...)
	return cmd
}

// kbusdAs starts one as another user.
func kbusdAs(t testing.TB, user *syscall.Credential, dir string, args ...string) (cmd *exec.Cmd, log *lockedBuffer) {
	t.Helper()
	log = new(lockedBuffer)
	cmd = exec.Command(filepath.Join(binaries, "kbusd"), append([]string{"--dir", dir}, args...)...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Error("kbusd does not stop")
		}
		if t.Failed() {
			t.Logf("kbusd:\n%s", log)
		}
	})
	ready := time.After(patience)
	for !strings.Contains(log.String(), "kbusd is serving") {
		select {
		case <-exited:
			if strings.Contains(log.String(), "operation not permitted") {
				t.Skipf("kbusd may not mount here: %s", log)
			}
			t.Fatalf("kbusd has stopped: %s", log)
		case <-ready:
			t.Fatalf("kbusd is not ready: %s", log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return cmd, log
}

func deviceKsock(t *testing.T, path string) kbusdev.Ksock {
	t.Helper()
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// wholeShare has one story in five played by whole messages, unless every story is asked
// for: step by step all are played in any case.
func wholeShare() []bustest.Option {
	if long() {
		return []bustest.Option{bustest.Whole()}
	}
	return []bustest.Option{bustest.Whole(), bustest.OneIn(5)}
}

// The recordings of the real module, through device files and system calls, each
// story on a fresh device.
func TestGoldenBusThroughKbusd(t *testing.T) {
	for _, file := range bustest.Files(t, "../kbusdev/bustest/testdata", "bus-*.jsonl.gz") {
		for _, opts := range [][]bustest.Option{nil, wholeShare()} {
			t.Run(fmt.Sprintf("%s/whole=%v", filepath.Base(file), opts != nil), func(t *testing.T) {
				dir, _ := kbusd(t)
				maker := deviceKsock(t, filepath.Join(dir, "kbus0"))
				bustest.Replay(t, []string{file}, func(tb testing.TB) kbusdev.Bus {
					tb.Helper()
					n, err := maker.NewDevice()
					if err != nil {
						tb.Fatal(err)
					}
					bus, err := kbusdev.OpenDevice(filepath.Join(dir, fmt.Sprintf("kbus%d", n)))
					if err != nil {
						tb.Fatal(err)
					}
					return bus
				}, opts...)
			})
		}
	}
}

// The recordings on one device, one after the other: on the one that KBUS_DEVICE
// names, which may be the real module's and must be used by nobody else, or one of
// kbusd. No device is made.
func TestGoldenBusOnOneDevice(t *testing.T) {
	path := os.Getenv("KBUS_DEVICE")
	steps, whole := []bustest.Option{bustest.OnOneBus()}, []bustest.Option{bustest.OnOneBus(), bustest.Whole()}
	if path == "" {
		dir, _ := kbusd(t)
		path = filepath.Join(dir, "kbus0")
		if !long() { // on devices of their own all are played
			steps, whole = append(steps, bustest.OneIn(5)), append(whole, bustest.OneIn(16))
		}
	}
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	files := bustest.Files(t, "../kbusdev/bustest/testdata", "bus-*.jsonl.gz")
	for name, opts := range map[string][]bustest.Option{"whole=false": steps, "whole=true": whole} {
		t.Run(name, func(t *testing.T) {
			bustest.Replay(t, files, func(testing.TB) kbusdev.Bus { return bus }, opts...)
		})
	}
}

// Waiting in the poller: for messages, for an end, for room.
func TestDeviceKsockWaits(t *testing.T) {
	dir, _ := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	listener, sender := deviceKsock(t, path), deviceKsock(t, path)
	if err := listener.Bind("$.News", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	got := make(chan *kbusdev.Message, 1)
	go func() {
		m, err := listener.Recv(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- m
	}()
	if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.News", Data: []byte("late")}); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m == nil || string(m.Data) != "late" {
		t.Errorf("received %+v", m)
	}

	// What is queued is given although the context has ended, also before it is looked for.
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if m, err := listener.Recv(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("a Recv that nothing came for gives %+v, %v", m, err)
		}
		for _, ended := range []context.Context{ctx, &endsMeanwhile{Context: ctx}} {
			if _, err := sender.Send(t.Context(), &kbusdev.Message{Name: "$.News"}); err != nil {
				t.Fatal(err)
			}
			if _, err := listener.Recv(ended); err != nil {
				t.Fatalf("a Recv of what is queued, whose context ends: %v", err)
			}
		}
	}

	if _, err := listener.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	wait := &kbusdev.Message{Name: "$.News", Flags: kbusdev.AllOrWait}
	if _, err := sender.Send(t.Context(), wait); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := sender.Send(t.Context(), wait)
		sent <- err
	}()
	for range 2 {
		if _, err := listener.Recv(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Errorf("a send that waited for room: %v", err)
	}

	ended := make(chan error, 1)
	go func() {
		_, err := listener.Recv(t.Context())
		ended <- err
	}()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a Recv on a closed Ksock: %v", err)
	}
}

// endsMeanwhile is a context that ends when it is first asked whether it has.
type endsMeanwhile struct {
	context.Context
	asked bool
}

func (c *endsMeanwhile) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return c.Context.Err()
}

func TestKbusdRefusals(t *testing.T) {
	dir, _ := kbusd(t)
	cmd := exec.Command(filepath.Join(binaries, "kbusd"), "--dir", dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "another kbusd") {
		t.Errorf("a second kbusd: %v %s", err, out)
	}
	for _, c := range []struct{ by, dir, want string }{
		{"cuse", t.TempDir(), "CUSE makes devices in /dev only"},
		{"magic", t.TempDir(), "it is cuse, fuse or auto"},
		{"fuse", "/no/such/folder", "no such file or directory"},
	} {
		cmd := exec.Command(filepath.Join(binaries, "kbusd"), "--dir", c.dir, "--by", c.by, "--control", filepath.Join(t.TempDir(), "control"))
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("--by %s: %v %s", c.by, err, out)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct{ args, want string }{
		{"--dir " + missing, "no such file or directory; make it first"},
		{"--max-messages 0", "--max-messages: 0 is not from 1 to 262144"},
		{"--max-message-size 99", "--max-message-size: 99 is not from 100 to 409600"},
		{"--max-message-size 409601", "--max-message-size: 409601 is not from 100 to 409600"},
		{"--max-queue 0", "--max-queue: 0 is not from 1"},
		{"--max-queue 2147483648", "--max-queue: 2147483648 is not from 1"},
		{"--devices -1", "--devices: -1 is not from 1 to 256"},
		{"--mode 1000", `--mode "1000"`},
	} {
		cmd := exec.CommandContext(within(t), filepath.Join(binaries, "kbusd"), append([]string{"--dir", t.TempDir()}, strings.Fields(c.args)...)...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("kbusd %s: %v %s", c.args, err, out)
		}
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the missing folder is there: %v", err)
	}
	cmd = exec.CommandContext(within(t), filepath.Join(binaries, "limpetd"), "--bus", "embedded", "--api", "none", "--expose", filepath.Join(dir, "kbus0"))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "a kbusd, or another limpetd --expose, is running") {
		t.Errorf("limpetd --expose beside a kbusd: %v %s", err, out)
	}
	stale := filepath.Join(t.TempDir(), "kbus0") // a node without a device
	if err := syscall.Mknod(stale, syscall.S_IFCHR|0o600, 1<<8|200); err == nil {
		kbusdIn(t, filepath.Dir(stale))
		deviceKsock(t, stale)
	}
	if _, err := kbusdev.OpenDevice(filepath.Join(dir, "kbus9")); !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "is the KBUS module loaded") {
		t.Errorf("a device that is not there: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bus, err := kbusdev.OpenDevice(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Open(kbusdev.ReadWrite); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("a file that is no device: %v", err)
	}
}

// Who is not root says what is missing, and serves whom it can.
func TestKbusdWithoutRoot(t *testing.T) {
	kbusd(t) // says whether device files can be had here
	program, err := os.ReadFile(compile(t, "client"))
	if err != nil {
		t.Fatal(err)
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	dir, err := os.MkdirTemp("", "kbusd-") //nolint:usetesting // a folder which others than root can reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(binaries, 0o711), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		cmd := exec.Command(filepath.Join(binaries, "kbusd"), "--dir", dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "install fusermount3") {
			t.Errorf("without fusermount3: %v: %s", err, out)
		}
		t.Skip("fusermount3 is not installed")
	}
	if fuse, err := os.Stat("/dev/fuse"); err != nil || fuse.Mode().Perm()&0o006 != 0o006 {
		t.Skipf("only root may open /dev/fuse here: %v, %v", fuse.Mode(), err)
	}
	_, log := kbusdAs(t, nobody, dir)
	if !strings.Contains(log.String(), "without CAP_SYS_PTRACE") {
		t.Errorf("it does not say what is missing:\n%s", log)
	}
	file := filepath.Join(binaries, "client")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	client := exec.CommandContext(within(t), file, filepath.Join(dir, "kbus0"))
	client.Dir = "/"
	client.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
	out, err := client.CombinedOutput()
	if scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); len(scope) > 0 && scope[0] != '0' {
		t.Skipf("Yama keeps kbusd from its clients' memory: %v: %s", err, out)
	}
	if err != nil || string(out) != "ok\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// Two daemons, each on a device of kbusd, and programs on the devices: the whole
// way through system calls.
func TestLimpetdOnDevices(t *testing.T) {
	dir, _ := kbusd(t, "--devices", "2")
	addr := filepath.Join(t.TempDir(), "link.sock")
	a := limpetd(t, 1, "--bus", filepath.Join(dir, "kbus0"), "--listen", addr)
	b := limpetd(t, 2, "--bus", filepath.Join(dir, "kbus1"), "--connect", addr)
	a.waitLinked(t, 1)
	b.waitLinked(t, 1)
	asker, replier := deviceKsock(t, filepath.Join(dir, "kbus0")), deviceKsock(t, filepath.Join(dir, "kbus1"))
	if err := replier.Bind("$.Ask.%", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	waitReplier(t, a, "$.Ask.Me", true)
	if _, binding, _, err := a.bus.FindReplier(ctx, "$.Ask.Me"); err != nil || binding != "$.Ask.%" {
		t.Errorf("the replier was found as %q, %v", binding, err)
	}
	for {
		_, err := asker.Send(ctx, &kbusdev.Message{Name: "$.Ask.Me", Flags: kbusdev.WantReply, Data: []byte("hello")})
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) { // its name has not crossed yet
			t.Fatal(err)
		}
	}
	q, err := replier.Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replier.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: []byte("world")}); err != nil {
		t.Fatal(err)
	}
	m, err := asker.Recv(ctx)
	if err != nil || string(m.Data) != "world" || m.OrigFrom.Network != 2 {
		t.Errorf("the reply is %+v, %v", m, err)
	}
}

// The largest message goes through the device whole, in several pieces if the kernel
// cuts it; one byte more does not.
func TestLargestMessage(t *testing.T) {
	dir, _ := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	listener, sender := deviceKsock(t, path), deviceKsock(t, path)
	if err := listener.Bind("$.Large", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	most := &kbusdev.Message{Name: "$.Large"}
	most.Data = make([]byte, kbusdev.AbsoluteMaxMessageSize-kbusdev.EntireSize(kbusdev.HostLayout, most))
	for i := range most.Data {
		most.Data[i] = byte(i / 1000)
	}
	if _, err := sender.Send(within(t), most); err != nil {
		t.Fatal(err)
	}
	m, err := listener.Recv(within(t))
	if err != nil || string(m.Data) != string(most.Data) {
		t.Errorf("%d bytes came as %d, %v", len(most.Data), len(m.Data), err)
	}
	most.Data = append(most.Data, 0)
	if _, err := sender.Send(within(t), most); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a message too large: %v", err)
	}
}

// What stat says of the device: a character device by CUSE, else the regular file
// that FUSE can make; the mode is the one asked for.
func TestDeviceFile(t *testing.T) {
	dir, _ := kbusd(t, "--mode", "0640", "--devices", "3")
	want := os.FileMode(0o640)
	if _, err := os.Stat("/sys/class/cuse/kbus0"); err == nil && dir == "/dev" {
		want |= os.ModeDevice | os.ModeCharDevice
	}
	for n := range 3 {
		info, err := os.Stat(filepath.Join(dir, fmt.Sprintf("kbus%d", n)))
		if err != nil || info.Mode() != want {
			t.Errorf("device %d is %v, %v; want %v", n, info.Mode(), err, want)
		}
	}
}

// The mode is the one that was asked for, 0 too.
func TestKbusdMode(t *testing.T) {
	for mode, want := range map[string]os.FileMode{"0": 0, "0640": 0o640} {
		dir, _ := kbusd(t, "--mode", mode)
		info, err := os.Stat(filepath.Join(dir, "kbus0"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("--mode %s serves %v", mode, info.Mode())
		}
		deviceKsock(t, filepath.Join(dir, "kbus0")) // root may always
		if os.Getenv("KBUSD_DIR") != "" {
			return // the other one is still there
		}
	}
}

// What a program can raise its queue to has a bound, and is told.
func TestKbusdMaxQueue(t *testing.T) {
	dir, _ := kbusd(t, "--max-queue", "200")
	k := deviceKsock(t, filepath.Join(dir, "kbus0"))
	for _, c := range []struct{ ask, want uint32 }{{0, 100}, {150, 150}, {1 << 31, 200}, {0, 200}} {
		if now, err := k.MaxMessages(c.ask); err != nil || now != c.want {
			t.Errorf("MAXMSGS %d: %d, %v; want %d", c.ask, now, err, c.want)
		}
	}
}
