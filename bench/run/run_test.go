package run

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/contestants"
	"github.com/kbus-limpet/limpet/bench/load"
)

var limpetdPath string

func TestMain(m *testing.M) {
	contest.PlayRole(Roles())
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lb-")
	if err == nil {
		defer os.RemoveAll(dir)
		limpetdPath, err = BuildLimpetd(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func fewMessages(t *testing.T) *Plan {
	t.Helper()
	return &Plan{
		Setup:   &contest.Setup{Limpetd: limpetdPath},
		Limit:   load.Limit{Duration: time.Minute, Messages: 50},
		WarmUp:  load.Limit{Duration: time.Minute, Messages: 5},
		Timeout: time.Minute,
	}
}

// Every contestant delivers announcements of all sizes to several listeners, and answers
// requests meanwhile, and each message is counted exactly once.
func TestDelivery(t *testing.T) {
	w := load.Work{Name: "test", Sizes: []int{0, 16, 64, 64 << 10}, Listeners: 3, Callers: 4}
	for _, c := range contestants.All() {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			plan := fewMessages(t)
			if err := c.Check(plan.Setup); err != nil {
				t.Skip(err)
			}
			s := plan.Measure(t.Context(), c, w, 1)
			if s.Error != "" {
				t.Fatal(s.Error)
			}
			if want := uint64(50*3 + 50); s.Sent != want || s.Arrived != want {
				t.Errorf("%d of %d arrived, want %d", s.Arrived, s.Sent, want)
			}
			if s.Elapsed <= 0 || s.CPU <= 0 || s.P50 <= 0 || s.P999 < s.P50 || s.Idle < 1<<20 || s.Peak < s.Idle || s.StartUp <= 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What the curves need works with every contestant that has a part in them.
func TestCurves(t *testing.T) {
	plan := fewMessages(t)
	for _, curve := range Curves(true) {
		for _, c := range contestants.All() {
			if traits := c.Traits(); curve.Names && !traits.Names || curve.Hub && !traits.Hub {
				continue
			}
			t.Run(curve.Name+"/"+c.Name(), func(t *testing.T) {
				t.Parallel()
				if err := c.Check(plan.Setup); err != nil {
					t.Skip(err)
				}
				s := plan.Measure(t.Context(), c, curve.Points[len(curve.Points)-1].Work, 1)
				if s.Error != "" || s.Lost() != 0 || s.Sent != 50 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	once := func(name string) {
		if seen[name] || name == "" {
			t.Errorf("%q is there twice, or empty", name)
		}
		seen[name] = true
	}
	for _, w := range Works() {
		once(w.Name)
	}
	for _, c := range Curves(false) {
		once(c.Name)
		for _, p := range c.Points {
			once(p.Work.Name)
		}
	}
	for _, c := range contestants.All() {
		once(c.Name())
	}
	for _, name := range []string{contestants.NATS, contestants.Floor} {
		if !seen[name] {
			t.Errorf("there is no contestant %s to compare with", name)
		}
	}
}
