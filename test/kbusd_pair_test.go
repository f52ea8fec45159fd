//go:build linux

package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/limpet/pairtest"
)

// ask puts a question to a kbusd.
func ask(t *testing.T, dir, word string) []string {
	t.Helper()
	conn, err := net.Dial("unix", kbusdev.ControlSocket(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, word)
	var lines []string
	for s := bufio.NewScanner(conn); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

// settleProcesses waits until both daemons, on devices of the kbusd in dir, have
// carried all that their buses gave them.
func settleProcesses(t *testing.T, dir string, devices map[int]*process) {
	t.Helper()
	ctx := within(t)
	last := ""
	for {
		now, rest, underWay := "", true, uint64(0)
		taken := make(map[string]string)
		for _, line := range ask(t, dir, "stats") {
			var device, ksock, pid, queued, bound, aside, read int
			if n, _ := fmt.Sscanf(line, "%d: %d %d queued %d of %d, set aside %d, read %d,", &device, &ksock, &pid, &queued, &bound, &aside, &read); n == 7 {
				taken[fmt.Sprint(device, " ", ksock)] = fmt.Sprint(queued, " ", read)
			}
		}
		for device, p := range devices {
			st, err := p.bus.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range st.GetLinks() {
				c := l.GetCounts()
				now += fmt.Sprint(c.GetFromBus(), " ", c.GetFromPeer(), ";")
				underWay += c.GetToPeer() - c.GetFromPeer()
				rest = rest && c.GetBusy() == 0 && c.GetFromBusInFlight() == 0 && c.GetFromPeerInFlight() == 0 &&
					taken[fmt.Sprint(device, " ", l.GetKsock())] == fmt.Sprint("0 ", c.GetFromBus())
			}
		}
		if rest && underWay == 0 && now == last {
			return
		}
		last = ""
		if rest {
			last = now
		}
	}
}

// The recordings of real limpets, with limpetd processes on kbusd's devices: only
// system calls and sockets on the way.
func TestGoldenPairThroughKbusd(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	for _, protocol := range []string{"", "-classic"} {
		t.Run("limpetd"+protocol, func(t *testing.T) { goldenPairThroughKbusd(t, protocol) })
	}
}

func goldenPairThroughKbusd(t *testing.T, protocol string) {
	dir, _ := kbusd(t)
	maker := deviceKsock(t, filepath.Join(dir, "kbus0"))
	share := 1
	if !long() {
		share = 16
	}
	pairtest.Replay(t, bustest.Files(t, "../limpet/testdata", "pair-*.jsonl.gz"), func(t *testing.T, ids map[string]uint32) *pairtest.Pair {
		t.Parallel()
		pair := &pairtest.Pair{Buses: make(map[string]kbusdev.Bus)}
		devices := make(map[int]*process)
		addr := filepath.Join(t.TempDir(), "link.sock")
		for _, side := range []struct{ name, flag string }{{"b", "--listen" + protocol}, {"a", "--connect" + protocol}} {
			n, err := maker.NewDevice()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, fmt.Sprintf("kbus%d", n))
			devices[int(n)] = limpetd(t, int(ids[side.name]), "--bus", path, side.flag, addr)
			if pair.Buses[side.name], err = kbusdev.OpenDevice(path); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range devices {
			p.waitLinked(t, 1)
		}
		pair.Settle = func() { settleProcesses(t, dir, devices) }
		return pair
	}, pairtest.OneIn(share))
}

func TestKbusdAnswersQuestions(t *testing.T) {
	dir, _ := kbusd(t)
	k := deviceKsock(t, filepath.Join(dir, "kbus0"))
	for _, as := range []kbusdev.Role{kbusdev.Listener, kbusdev.Replier} {
		if err := k.Bind("$.A.*", as); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(ask(t, dir, "bindings"), "\n")
	want := fmt.Sprintf("0: 1 %d R $.A.*\n0: 1 %d L $.A.*", os.Getpid(), os.Getpid())
	if !strings.Contains(got, want) {
		t.Errorf("bindings:\n%s\nwant\n%s", got, want)
	}
	bus, err := kbusdev.OpenDevice(filepath.Join(dir, "kbus0"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bus.Bindings(); err != nil || len(got) != 2 || got[0] != (kbusdev.Binding{Ksock: 1, Role: kbusdev.Replier, Name: "$.A.*"}) {
		t.Errorf("the device lists %+v, %v", got, err)
	}
	if got := strings.Join(ask(t, dir, "stats"), "\n"); !strings.Contains(got, "queued 0 of 100") {
		t.Errorf("stats:\n%s", got)
	}
}

// After a crash the stale device answers ENOTCONN; the next kbusd clears it.
func TestKbusdAfterACrash(t *testing.T) {
	dir, cmd := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	k := deviceKsock(t, path)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	limit := time.After(patience)
	for {
		_, err := k.NumMessages()
		if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
			break
		}
		select {
		case <-limit:
			t.Fatalf("a call to a dead kbusd: %v", err)
		default:
		}
	}
	bus, err := kbusdev.OpenDevice(path)
	if err == nil { // the kernel may remember what stat said
		_, err = bus.Open(kbusdev.ReadWrite)
	}
	if dir == "/dev" && errors.Is(err, syscall.ENOENT) {
		t.Log("the device went with its server, as CUSE has it")
	} else if !errors.Is(err, syscall.ENOTCONN) || !strings.Contains(err.Error(), "start it again") {
		t.Errorf("opening the stale device: %v", err)
	}
	kbusdIn(t, dir)
	again := deviceKsock(t, path)
	if again.ID() != 1 {
		t.Errorf("the new device starts with Ksock %d", again.ID())
	}
}

// A server that is told to stop does, whatever is open, and who has its device
// open is told.
func TestKbusdStopsUnderItsUsers(t *testing.T) {
	dir, cmd := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	k := deviceKsock(t, path)
	waits := make(chan error, 1)
	go func() { _, err := k.Recv(context.Background()); waits <- err }()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	limit := time.After(patience)
	for kbusdev.HasDevice(path) {
		select {
		case <-limit:
			t.Fatal("the device is still there")
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case err := <-waits:
		if !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("who waited has %v", err)
		}
	case <-limit:
		t.Error("who waited waits still")
	}
}

// Somebody has taken the file away from a server, while it is open: its reader ends all
// the same, and who has it open is told.
func TestKbusdStopsWithoutItsFile(t *testing.T) {
	dir, cmd := kbusd(t)
	path := filepath.Join(dir, "kbus0")
	if dir == "/dev" {
		t.Skip("CUSE mounts nothing")
	}
	k := deviceKsock(t, path)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if _, err := k.NumMessages(); err != nil {
		t.Errorf("who has it open: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	limit := time.After(patience)
	for {
		_, err := k.NumMessages()
		if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
			return
		}
		select {
		case <-limit:
			t.Fatalf("the server has not stopped: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// One process gives a machine a bus and a link.
func TestLimpetdExposesItsBus(t *testing.T) {
	dir, _ := kbusd(t) // says whether device files can be had here
	path := filepath.Join(dir, "sub", "kbus0")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	p := limpetd(t, 1, "--expose", path)
	limit := time.After(patience)
	for !kbusdev.HasDevice(path) {
		select {
		case <-limit:
			t.Fatal("the device does not appear")
		case <-time.After(time.Millisecond):
		}
	}
	var k kbusdev.Ksock
	for k == nil { // the file is there a moment before the device is mounted on it
		bus, err := kbusdev.OpenDevice(path)
		if err != nil {
			t.Fatal(err)
		}
		if k, err = bus.Open(kbusdev.ReadWrite); err != nil && !errors.Is(err, syscall.ENOTTY) {
			t.Fatal(err)
		}
	}
	defer k.Close()
	if err := k.Bind("$.News", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	if _, err := p.bus.Send(within(t), &kbusdev.Message{Name: "$.News", Data: []byte("over the API")}); err != nil {
		t.Fatal(err)
	}
	if m, err := k.Recv(within(t)); err != nil || string(m.Data) != "over the API" {
		t.Errorf("the device gives %+v, %v", m, err)
	}
	if got := strings.Join(ask(t, filepath.Dir(path), "bindings"), "\n"); !strings.Contains(got, "L $.News") {
		t.Errorf("bindings:\n%s", got)
	}
	_ = k.Close()
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if kbusdev.HasDevice(path) {
		t.Error("the device is left behind")
	}
}
