//go:build linux

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// wanted says over how many links an announcement would go.
func (p *process) wanted(t *testing.T, name string) int {
	t.Helper()
	links, err := p.bus.FindInterest(within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return len(links)
}

// A daemon on a device that is polled gets what is listened to there. When the list
// cannot be read any more it gets everything, and says so. A device that is not polled
// gets everything.
func TestInterestPollOnKbusd(t *testing.T) {
	dir, _ := kbusd(t)
	path, link := filepath.Join(dir, "kbus0"), filepath.Join(t.TempDir(), "link")
	near := limpetd(t, 1, "--listen", link)
	far := limpetd(t, 2, "--bus", path, "--connect", link, "--interest", "poll", "--interest-poll", "20ms")
	near.waitLinked(t, 1)
	listener := deviceKsock(t, path)
	if err := listener.Bind("$.Known", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	if err := near.bus.WaitInterest(within(t), "$.Known", 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"$.Unknown", kbusdev.NameProbe} {
		if n := near.wanted(t, name); n != 0 {
			t.Errorf("%s goes over %d links, where nobody listens", name, n)
		}
	}
	if err := os.Remove(kbusdev.ControlSocket(dir)); err != nil {
		t.Fatal(err)
	}
	if err := near.bus.WaitInterest(within(t), "$.Unknown", 1); err != nil {
		t.Fatal(err)
	}
	far.says(t, "cannot be listed")
	if n := strings.Count(far.log.String(), "cannot be listed"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func TestInterestOfADeviceThatIsNotPolled(t *testing.T) {
	dir, _ := kbusd(t)
	link := filepath.Join(t.TempDir(), "link")
	near := limpetd(t, 1, "--listen", link)
	limpetd(t, 2, "--bus", filepath.Join(dir, "kbus0"), "--connect", link)
	near.waitLinked(t, 1)
	if n := near.wanted(t, "$.Unknown"); n != 1 {
		t.Errorf("it goes over %d links", n)
	}
}

// The module's own list, and polling it. It is /proc/kbus/bindings only if the device is
// the module's.
func TestBindingsOfTheModule(t *testing.T) {
	path := os.Getenv("KBUS_DEVICE")
	if path == "" {
		t.Skip("KBUS_DEVICE names no device of the kernel module")
	}
	if _, err := os.Stat("/proc/kbus/bindings"); err != nil {
		t.Skipf("the kernel module is not loaded: %v", err)
	}
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	k := deviceKsock(t, path)
	long := "$." + strings.Repeat("a", kbusdev.MaxNameLen-2)
	for _, b := range []kbusdev.Binding{{Role: kbusdev.Listener, Name: long}, {Role: kbusdev.Replier, Name: "$.Test.%"}} {
		if err := k.Bind(b.Name, b.Role); err != nil {
			t.Fatal(err)
		}
		b.Ksock = k.ID()
		if all, err := bus.Bindings(); err != nil || !slices.Contains(all, b) {
			t.Errorf("%.20s is not listed: %v", b.Name, err)
		}
	}
	told := make(map[kbusdev.Binding]bool)
	kbusdev.PollListeners(bus, kbusdev.PollConfig{Every: 1 << 40}).(interface {
		WatchListeners(f func(b kbusdev.Binding, bound bool)) (stop func())
	}).WatchListeners(func(b kbusdev.Binding, bound bool) { told[b] = bound })()
	if !told[kbusdev.Binding{Ksock: k.ID(), Name: long}] || told[kbusdev.Binding{Name: "$.*"}] {
		t.Errorf("told %.200v", told)
	}
}
