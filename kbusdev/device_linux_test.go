package kbusdev_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A device finds its own bindings in the module's list of all devices.
func TestBindingsOfADevice(t *testing.T) {
	proc := filepath.Join(t.TempDir(), "bindings")
	a, b := kbusdev.Binding{Ksock: 3, Name: "$.A"}, kbusdev.Binding{Ksock: 3, Role: kbusdev.Replier, Name: "$.B.%"}
	write(t, proc, listHeader+listLine(0, a)+listHeader+listLine(12, b)+listLine(12, a)+listHeader)
	for path, want := range map[string][]kbusdev.Binding{"/dev/kbus0": {a}, "/dev/kbus12": {b, a}, "/dev/kbus1": nil} {
		if got, err := kbusdev.DeviceListedIn(path, proc).Bindings(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", path, got, err, want)
		}
	}
	if _, err := kbusdev.DeviceListedIn("/dev/bus", proc).Bindings(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a device without a number: %v", err)
	}
	write(t, proc, listHeader+"oops\n")
	if _, err := kbusdev.DeviceListedIn("/dev/kbus0", proc).Bindings(); err == nil || !strings.Contains(err.Error(), "bindings of /dev/kbus0: line 2") {
		t.Errorf("a bad list: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A bus that is polled through the module's file, which is written here, and is gone
// when the module is.
func TestPollingTheModulesFile(t *testing.T) {
	polled(t, func(t *pollTest) {
		proc := filepath.Join(t.TempDir(), "bindings")
		device := kbusdev.DeviceListedIn("/dev/kbus7", proc)
		loaded := true
		t.bus.list = func(all []kbusdev.Binding) (got []kbusdev.Binding) {
			text := listHeader + listLine(1, kbusdev.Binding{Ksock: 1, Name: "$.Other.Device"}) + listHeader
			for _, b := range all {
				text += listLine(7, b)
			}
			write(t.T, proc, text)
			if !loaded {
				if err := os.Remove(proc); err != nil {
					t.Error(err)
				}
			}
			got, t.bus.fail = device.Bindings()
			return got
		}
		a := t.listens(t.open(), "$.A")
		t.watch()
		t.holds("at once", a)
		b := t.listens(t.open(), "$.B.*")
		t.pass(every)
		t.holds("later", a, b)
		loaded = false
		t.pass(every)
		t.holds("without the module", unknown)
		loaded = true
		t.pass(5 * time.Second)
		t.holds("with it again", a, b)
	})
}
