package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/contestants"
	"github.com/kbus-limpet/limpet/bench/load"
	"github.com/kbus-limpet/limpet/bench/run"
)

// quickWorks and quickCurves are what -quick tries if nothing else is said.
const (
	quickWorks  = "one-way-64B,one-way-64KiB,fan-out-10,round-trip-64,mixed"
	quickCurves = "*"
)

// choose returns what the flags name.
func (o *options) choose() (all []contest.Contestant, works []load.Work, curves []run.Curve, err error) {
	workNames, curveNames := o.works, o.curves
	if o.quick && workNames == "*" && curveNames == "" {
		workNames, curveNames = quickWorks, quickCurves
	}
	all, err = matching("contestants", o.contestants, contestants.All(), contest.Contestant.Name)
	if err != nil {
		return nil, nil, nil, err
	}
	works, err = matching("works", workNames, run.Works(), func(w load.Work) string { return w.Name })
	if err != nil {
		return nil, nil, nil, err
	}
	curves, err = matching("curves", curveNames, run.Curves(o.quick), func(c run.Curve) string { return c.Name })
	return all, works, curves, err
}

// matching returns those of all whose name one of the patterns matches, in their order.
// Each pattern must match one.
func matching[T any](flag, patterns string, all []T, name func(T) string) ([]T, error) {
	chosen := make([]bool, len(all))
	for pattern := range strings.SplitSeq(patterns, ",") {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		found := false
		for i, x := range all {
			ok, err := path.Match(pattern, name(x))
			if err != nil {
				return nil, fmt.Errorf("-%s: %q: %w", flag, pattern, err)
			}
			found = found || ok
			chosen[i] = chosen[i] || ok
		}
		if !found {
			return nil, fmt.Errorf("-%s: nothing is called %q; -list has the names", flag, pattern)
		}
	}
	i := -1
	return slices.DeleteFunc(slices.Clone(all), func(T) bool { i++; return !chosen[i] }), nil
}

// list writes all names.
func list(out io.Writer) error {
	var b strings.Builder
	b.WriteString("contestants:\n")
	for _, c := range contestants.All() {
		fmt.Fprintf(&b, "  %-18s %s\n", c.Name(), c.About())
	}
	b.WriteString("works:\n")
	for _, w := range run.Works() {
		fmt.Fprintf(&b, "  %s\n", w.Name)
	}
	b.WriteString("curves:\n")
	for _, c := range run.Curves(false) {
		fmt.Fprintf(&b, "  %-18s %s\n", c.Name, c.X)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
