package guard

import (
	"log/slog"
	"testing"
	"time"
)

// A call that is given up at the moment at which its handler returns has one place to give back,
// whichever comes first.
func TestPlaceIsFreedOnce(t *testing.T) {
	g := New(Limits{Name: "tests", Calls: []Calls{{Bound: "calls", InAll: 2, OfConnection: 2}}}, slog.New(slog.DiscardHandler))
	c := &conn{guard: g, source: g.source("somebody", time.Now()), calls: make([]int, 1)}
	for name, both := range map[string]func(*call){
		"given up first": func(x *call) { x.end(); x.returned() },
		"answered first": func(x *call) { x.returned(); x.end() },
	} {
		x, err := g.begin(c, "/a/B")
		if err != nil {
			t.Fatal(err)
		}
		if both(x); g.calls[0] != 0 || c.calls[0] != 0 {
			t.Errorf("%s: %d calls go on here, %d on the connection", name, g.calls[0], c.calls[0])
		}
	}
}
