package test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// What test/upgrade/run has prepared: the daemon of the package, and another one of the same
// programs that dials it.
const (
	hubAPI, leafAPI = "/run/limpetd/api.sock", "/run/leaf/api.sock"
	newDeb          = "/new.deb"
	newVersion      = "v99.0.0"
)

// The deb under a systemd: test/upgrade/run brings this into a virtual machine of its own,
// whose first process systemd is.
func TestSystemd(t *testing.T) {
	if os.Getenv("LIMPET_SYSTEMD") == "" {
		t.Skip("test/upgrade/run plays this in a virtual machine")
	}
	hub, leaf := program(t, hubAPI), program(t, leafAPI)
	if err := leaf.WaitLinked(within(t), 1); err != nil {
		t.Fatal(err)
	}
	t.Run("upgrade under load", func(t *testing.T) { upgradeUnderLoad(t, hub, leaf) })
	t.Run("reload", reloadsByUnit)
	t.Run("socket activation", func(t *testing.T) {
		before := property(t, "limpetd.service", "MainPID")
		systemctl(t, "stop", "limpetd.service")
		if _, err := program(t, hubAPI).Status(within(t)); err != nil { // a program or the leaf starts it
			t.Error(err)
		}
		if now := property(t, "limpetd.service", "MainPID"); now == before || now == "0" {
			t.Errorf("a program has come, and process %s has become %s", before, now)
		}
	})
	t.Run("watchdog", func(t *testing.T) {
		const dropIn = "/run/systemd/system/leaf.service.d"
		if err := os.MkdirAll(dropIn, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dropIn+"/watchdog.conf", []byte("[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		systemctl(t, "daemon-reload")
		systemctl(t, "restart", "leaf.service")
		before := property(t, "leaf.service", "NRestarts")
		systemctl(t, "kill", "--kill-whom=main", "--signal=STOP", "leaf.service")
		look := time.NewTicker(200 * time.Millisecond)
		defer look.Stop()
		for limit := time.Now().Add(2 * patience); property(t, "leaf.service", "NRestarts") == before; <-look.C {
			if time.Now().After(limit) {
				t.Fatal("a daemon that hangs is not started again")
			}
		}
		if err := program(t, leafAPI).WaitLinked(within(t), 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("security", func(t *testing.T) {
		out := output(t, "systemd-analyze", "security", "--no-pager", "limpetd.service")
		level := regexp.MustCompile(`Overall exposure level for limpetd.service: ([0-9.]+)`).FindStringSubmatch(out)
		if level == nil {
			t.Fatalf("systemd-analyze says %s", out)
		}
		if x, err := strconv.ParseFloat(level[1], 64); err != nil || x > 2 {
			t.Errorf("the unit's exposure is %s, it may be 2.0", level[1])
		}
		t.Log(level[0])
	})
}

func program(t *testing.T, api string) *client.Bus {
	t.Helper()
	bus, err := client.Open(api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience) // processors that are emulated are slow
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func systemctl(t *testing.T, args ...string) {
	t.Helper()
	output(t, "systemctl", args...)
}

func property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(output(t, "systemctl", "show", "--value", "-p", name, unit))
}

// upgradeUnderLoad installs the new package, which restarts the hub, and restarts the leaf,
// while a program on the hub's bus asks one on the leaf's at a steady rate. Whoever is told
// that a request never ran asks again; in the end each has been carried out once, but those of
// which the asker was told that they may have run, for the bus was closed: not twice.
func upgradeUnderLoad(t *testing.T, hub, leaf *client.Bus) {
	var mu sync.Mutex
	ran := make(map[string]int)
	served, end := context.WithCancel(t.Context())
	var replier, askers sync.WaitGroup
	replier.Go(func() {
		for served.Err() == nil {
			r, err := leaf.Serve(served, 0, "$.Job")
			if err != nil {
				continue // its daemon is being restarted
			}
			for {
				q, err := r.Recv()
				if err != nil {
					break
				}
				mu.Lock()
				ran[string(q.Data)]++
				mu.Unlock()
				_ = r.Reply(q, "", q.Data) // what comes of it the asker says
			}
			r.Close()
		}
	})
	asked, again, slowest, unsure := 0, 0, time.Duration(0), make(map[int]bool)
	ask := func(n int) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		pause := time.NewTicker(20 * time.Millisecond)
		defer pause.Stop()
		for data := []byte(strconv.Itoa(n)); ; <-pause.C {
			r, err := hub.Call(ctx, &kbusdev.Message{Name: "$.Job", Data: data})
			mu.Lock()
			if err == nil && string(r.Data) == string(data) {
				slowest = max(slowest, time.Since(begun))
				mu.Unlock()
				return
			}
			if errors.Is(err, client.ErrMayHaveRun) {
				unsure[n] = true
				mu.Unlock()
				return
			}
			again++
			mu.Unlock()
			if !errors.Is(err, client.ErrNeverRan) || ctx.Err() != nil {
				t.Errorf("request %d: %v, %v", n, r, err)
				return
			}
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	over := sync.OnceFunc(func() {
		close(stop)
		<-stopped
		askers.Wait()
		end()
		replier.Wait()
	})
	defer over()
	go func() {
		defer close(stopped)
		rate := time.NewTicker(100 * time.Millisecond)
		defer rate.Stop()
		for {
			select {
			case <-stop:
				return
			case <-rate.C:
				n := asked
				askers.Go(func() { ask(n) })
				asked++
			}
		}
	}()
	before := property(t, "limpetd.service", "MainPID")
	output(t, "dpkg", "-i", newDeb)
	if after := property(t, "limpetd.service", "MainPID"); after == before {
		t.Error("the upgrade has not restarted limpetd")
	}
	if err := leaf.WaitLinked(within(t), 1); err != nil {
		t.Error(err)
	}
	systemctl(t, "restart", "leaf.service")
	if err := hub.WaitLinked(within(t), 1); err != nil {
		t.Error(err)
	}
	over()
	for n := range asked {
		if times := ran[strconv.Itoa(n)]; times != 1 && (times != 0 || !unsure[n]) {
			t.Errorf("request %d was carried out %d times", n, times)
		}
	}
	for _, bus := range []*client.Bus{hub, leaf} {
		if st, err := bus.Status(within(t)); err != nil || st.GetVersion() != newVersion {
			t.Errorf("version %q answers, %v", st.GetVersion(), err)
		}
	}
	t.Logf("%d requests, each answered, and carried out once; of %d the answer was that they may have run; %d were asked again because they never ran, the slowest took %v", asked, len(unsure), again, slowest)
}

// reloadsByUnit has a changed configuration taken, and a wrong one refused.
func reloadsByUnit(t *testing.T) {
	const file = "/etc/limpetd/limpetd.yaml"
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		if err := os.WriteFile(file, append(good[:len(good):len(good)], more...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := property(t, "limpetd.service", "MainPID")
	write("verbosity: 2\n")
	systemctl(t, "reload", "limpetd.service")
	write("no-such-setting: 1\n")
	if out, err := exec.CommandContext(within(t), "systemctl", "reload", "limpetd.service").CombinedOutput(); err == nil {
		t.Errorf("a wrong configuration is taken: %s", out)
	}
	write("")
	systemctl(t, "reload", "limpetd.service")
	if now := property(t, "limpetd.service", "MainPID"); now != before || property(t, "limpetd.service", "ActiveState") != "active" {
		t.Errorf("process %s has become %s", before, now)
	}
}
