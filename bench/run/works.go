package run

import (
	"fmt"

	"github.com/kbus-limpet/limpet/bench/load"
)

// Works returns what every contestant does, in the order of the tables.
func Works() []load.Work {
	all := []load.Work{
		{Name: "one-way-16B", Sizes: []int{16}, Listeners: 1},
		{Name: "one-way-64B", Sizes: []int{64}, Listeners: 1},
		{Name: "one-way-1KiB", Sizes: []int{1 << 10}, Listeners: 1},
		{Name: "one-way-64KiB", Sizes: []int{64 << 10}, Listeners: 1},
	}
	for _, n := range []int{1, 10, 100} {
		all = append(all, load.Work{Name: fmt.Sprintf("fan-out-%d", n), Sizes: []int{64}, Listeners: n})
	}
	for _, n := range []int{1, 64} {
		all = append(all, load.Work{Name: fmt.Sprintf("round-trip-%d", n), Listeners: 1, Callers: n})
	}
	return append(all, load.Work{Name: "mixed", Sizes: mixedSizes(), Listeners: 1, Callers: 8})
}

// mixedSizes are 64 B, every 16th 1 KiB, and one of 256 64 KiB.
func mixedSizes() []int {
	sizes := make([]int, 256)
	for i := range sizes {
		sizes[i] = 64
		if i%16 == 0 {
			sizes[i] = 1 << 10
		}
	}
	sizes[0] = 64 << 10
	return sizes
}

// A Curve is a work as something grows.
type Curve struct {
	// Name is unique, short, and what -curves takes.
	Name string
	// X says what grows.
	X string
	// Points are the works, each with its X.
	Points []Point
	// Names and Hub: only contestants with this trait have a part in it.
	Names, Hub bool
}

// A Point is one work of a curve.
type Point struct {
	X    int
	Work load.Work
}

// Curves returns every curve, with a few small points if they are only to be tried.
func Curves(quick bool) []Curve {
	pick := func(quickly, all []int) []int {
		if quick {
			return quickly
		}
		return all
	}
	return []Curve{
		newCurve("bindings", "other names bound on the far side", Curve{Names: true},
			pick([]int{10}, []int{10, 100, 1_000, 10_000, 100_000}),
			func(n int) load.Work { return load.Work{Sizes: []int{64}, Listeners: 1, Bindings: n} }),
		newCurve("open", "other requests that are open", Curve{Names: true},
			pick([]int{10}, []int{1, 10, 100, 1_000, 10_000, 30_000}),
			func(n int) load.Work { return load.Work{Listeners: 1, Callers: 1, Open: n} }),
		newCurve("peers", "peers of the near daemon", Curve{Names: true, Hub: true},
			pick([]int{3}, []int{1, 3, 10, 30, 100, 300}),
			func(n int) load.Work { return load.Work{Listeners: 1, Callers: 1, Peers: n - 1} }),
		newCurve("size", "bytes of data in a message", Curve{},
			pick([]int{0, 400_000}, []int{0, 16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, largest}),
			func(n int) load.Work { return load.Work{Sizes: []int{n}, Listeners: 1} }),
	}
}

// largest is 400 KiB, the most that a KBUS message may have, less its header and name.
const largest = 400<<10 - 200

func newCurve(name, x string, c Curve, points []int, of func(int) load.Work) Curve {
	c.Name, c.X = name, x
	for _, n := range points {
		w := of(n)
		w.Name = fmt.Sprintf("%s-%d", name, n)
		c.Points = append(c.Points, Point{X: n, Work: w})
	}
	return c
}
