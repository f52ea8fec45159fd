package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/bench/measure"
	"github.com/kbus-limpet/limpet/bench/report"
)

func TestMatching(t *testing.T) {
	all := []string{"ab", "ac", "b"}
	self := func(s string) string { return s }
	for _, c := range []struct {
		patterns string
		want     []string
	}{{"*", all}, {"", nil}, {"b,a*", all}, {"ac", []string{"ac"}}, {" b , ab", []string{"ab", "b"}}} {
		got, err := matching("x", c.patterns, all, self)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q chooses %v, %v, want %v", c.patterns, got, err, c.want)
		}
	}
	for _, bad := range []string{"c", "a*,c", "["} {
		if got, err := matching("x", bad, all, self); err == nil || !strings.Contains(err.Error(), "-x:") {
			t.Errorf("%q chooses %v, %v", bad, got, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range []string{"-rounds 0", "-time 0", "-time 2h", "-warm-up -1s", "extra", "-nope"} {
		if o, err := parseFlags(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%q gives %+v", bad, o)
		}
	}
	o, err := parseFlags([]string{"-quick"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, works, curves, err := o.choose()
	if err != nil || len(works) != 5 || len(curves) != 4 || o.plan().Rounds != 1 || o.plan().Limit.Messages == 0 {
		t.Errorf("-quick does %d works and %d curves, %v", len(works), len(curves), err)
	}
	o, err = parseFlags([]string{"-works", "mixed"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, works, curves, err = o.choose()
	if err != nil || len(works) != 1 || len(curves) != 0 || o.plan().Rounds != 5 || o.plan().Limit.Duration != 3*time.Second {
		t.Errorf("%d works, %d curves, %v", len(works), len(curves), err)
	}
}

func TestListHasAllNames(t *testing.T) {
	var out strings.Builder
	if err := list(&out); err != nil {
		t.Fatal(err)
	}
	o := &options{contestants: "*", works: "*", curves: "*"}
	_, works, _, err := o.choose()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		if !strings.Contains(out.String(), "  "+w.Name+"\n") {
			t.Errorf("%s is missing in\n%s", w.Name, &out)
		}
	}
}

// Only -quick minds a lost message; a failure is always one.
func TestJudge(t *testing.T) {
	lossy := &report.Report{Samples: []measure.Sample{{Sent: 5, Arrived: 4}}}
	if err := judge(lossy, false); err != nil {
		t.Error(err)
	}
	if err := judge(lossy, true); err == nil || !strings.Contains(err.Error(), "1 of 5") {
		t.Error(err)
	}
	failed := &report.Report{Curves: []report.Curve{{Samples: []measure.Sample{{Work: "w", Error: "it broke"}}}}}
	if err := judge(failed, false); err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Error(err)
	}
}
