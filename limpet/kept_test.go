package limpet

import (
	"fmt"
	"testing"
)

// A stranger who comes with one network id after the other does not fill a monitoring with
// names: those beyond a bound are counted together. Links that are dialled, and names that
// there were before, are not.
func TestCountedNamesAreBounded(t *testing.T) {
	var k kept
	names := make(map[string]bool)
	named := func(name string, dialled bool) string {
		p := &Peering{name: name, dialled: dialled}
		k.name(p)
		k.name(p) // it comes back
		names[p.countedAs] = true
		return p.countedAs
	}
	for i := range 3 * maxCountedNames {
		named(fmt.Sprintf("network %d", i), false)
	}
	if len(names) != maxCountedNames+1 || !names[OtherLinks] {
		t.Errorf("%d names are counted", len(names))
	}
	if name := named("network 0", false); name != "network 0" {
		t.Errorf("one that was there is counted as %q", name)
	}
	if name := named("connect host:7000", true); name != "connect host:7000" {
		t.Errorf("one that is dialled is counted as %q", name)
	}
}
