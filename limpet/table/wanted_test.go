package table_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/table"
)

func shown(all []table.Change) string {
	var words []string
	for _, c := range all {
		sign := "-"
		if c.Wanted {
			sign = "+"
		}
		words = append(words, sign+c.Name)
	}
	return strings.Join(words, " ")
}

// Steps of one peer, and what the others are told.
func TestWanted(t *testing.T) {
	const link table.Source = 1
	i := table.NewInterest()
	w, changes := i.Begin(link, true)
	if got := shown(changes); got != "" {
		t.Errorf("at the beginning: %s", got)
	}
	for n, step := range []struct {
		restart          bool
		wanted, unwanted string
		whole            bool
		changes          string
	}{
		{restart: true, wanted: "$.A $.B", changes: ""}, // more is to come
		{wanted: "$.C", unwanted: "$.B", whole: true, changes: "+$.A +$.C"},
		{wanted: "$.D $.A", unwanted: "$.C $.X", changes: "+$.D -$.C"},
		{restart: true, wanted: "$.A", changes: ""}, // $.D is still wanted
		{wanted: "$.E", whole: true, changes: "+$.E -$.D"},
		{whole: true, changes: ""},
	} {
		got := shown(w.Take(step.restart, strings.Fields(step.wanted), strings.Fields(step.unwanted), step.whole))
		if got != step.changes {
			t.Errorf("step %d: %q, want %q", n, got, step.changes)
		}
	}
	if got := fmt.Sprint(i.For(link+1), i.Len(link)); got != "[$.A $.E] 2" {
		t.Errorf("in the end: %s", got)
	}
	if got := shown(i.Drop(link)); got != "-$.A -$.E" {
		t.Errorf("dropped: %s", got)
	}
}

// A peer that does not tell what it wants gets everything, until it tells after all.
func TestWantedByAPeerThatDoesNotTell(t *testing.T) {
	i := table.NewInterest()
	w, changes := i.Begin(1, false)
	if got := shown(changes); got != "+$.*" || !i.Wants(2, "$.Other") {
		t.Errorf("at the beginning: %s", got)
	}
	if got := shown(w.Take(true, []string{"$.A"}, nil, true)); got != "+$.A -$.*" {
		t.Errorf("told %s", got)
	}
}
