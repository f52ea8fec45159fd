package test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

var siegeTime = flag.Duration("siege", 0, "how long each attack of TestHostile goes on; 0 is 50ms of two of them, or 5s with LIMPET_TEST=long")

// A siege is a daemon that somebody hostile attacks, while an ordinary program calls
// another one on it.
type siege struct {
	t     *testing.T
	d     *process
	peers string // where peers dial it
}

func besiege(t *testing.T) *siege {
	t.Helper()
	peers := filepath.Join(t.TempDir(), "peers")
	s := &siege{t: t, d: limpetd(t, 1, "--listen", peers), peers: peers}
	r, err := s.d.bus.Serve(t.Context(), 0, "$.Ordinary")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	go func() {
		for {
			q, err := r.Recv()
			if err != nil {
				return
			}
			if r.Reply(q, "", q.Data) != nil {
				return
			}
		}
	}()
	return s
}

// calls returns the median of what a call takes, of those begun within d. Each must be
// answered, however long that takes.
func (s *siege) calls(d time.Duration) (median, longest time.Duration) {
	s.t.Helper()
	var took []time.Duration
	bus, err := client.Open(s.d.api)
	if err != nil {
		s.t.Fatal(err)
	}
	defer bus.Close()
	for start := time.Now(); len(took) == 0 || time.Since(start) < d; {
		before := time.Now()
		if _, err := bus.Call(within(s.t), &kbusdev.Message{Name: "$.Ordinary"}); err != nil {
			s.t.Fatalf("an ordinary call beside the attack: %v", err)
		}
		took = append(took, time.Since(before))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1]
}

// memory returns what the daemon holds, and has held at most, in MiB.
func (s *siege) memory() (now, most int) {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.d.cmd.Process.Pid))
	if err != nil {
		s.t.Skipf("nobody tells what a process holds: %v", err)
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(b), name+":")
		kb, _ := strconv.Atoi(strings.Fields(rest)[0])
		return kb >> 10
	}
	return field("VmRSS"), field("VmHWM")
}

// An attack is what somebody hostile does, in a process of its own; see attacks.
type attack struct {
	name string
	run  func(context.Context, *target)
}

// mostMemory is how much memory a daemon may have taken at most, in MiB, whatever one does:
// twice the bounds in bytes together, for what the collector has not collected.
const mostMemory = 1536

// Whatever a hostile peer or program does, others' calls are answered, and the daemon's
// memory is bounded. How long the calls take is said, not judged.
func TestHostile(t *testing.T) {
	d, play := *siegeTime, attacks
	switch {
	case d > 0:
	case long():
		d = 5 * time.Second
	default:
		d, play = 50*time.Millisecond, attacks[:2]
	}
	for _, a := range play {
		t.Run(a.name, func(t *testing.T) {
			s := besiege(t)
			before, _ := s.calls(d / 10)
			idle, _ := s.memory()
			attacker := exec.Command(os.Args[0], s.d.api, s.peers)
			attacker.Env = append(os.Environ(), attackVariable+"="+a.name)
			attacker.Stderr = os.Stderr
			if err := attacker.Start(); err != nil {
				t.Fatal(err)
			}
			with, longest := s.calls(d)
			_ = attacker.Process.Kill()
			_ = attacker.Wait()
			_, most := s.memory()
			t.Logf("p50 %v before, %v with the attack (%.1f x), the longest %v; memory %d MiB before, %d at most",
				before, with, float64(with)/float64(before), longest, idle, most)
			if most > mostMemory {
				t.Errorf("the daemon took %d MiB, it may take %d", most, mostMemory)
			}
			st, err := s.d.bus.Status(within(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("bounds reached: %v", st.GetBoundsReached())
		})
	}
}
