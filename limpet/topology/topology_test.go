package topology_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/topology"
)

func network(id uint32, instance byte) topology.Network {
	return topology.Network{ID: id, Instance: topology.InstanceID{15: instance}, Software: "v" + strconv.Itoa(int(instance))}
}

func numbered(from, n int) []topology.Network {
	var all []topology.Network
	for i := range n {
		all = append(all, network(uint32(from+i), 1))
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerdicts(t *testing.T) {
	start := func() *topology.Map {
		m := topology.New(network(1, 101))
		must(t, m.Join(7, "rack", network(2, 102), []topology.Network{network(3, 103)}))
		m.Changed()
		return m
	}
	for _, c := range []struct {
		name   string
		peer   topology.Network
		behind []topology.Network
		want   topology.Verdict
		says   string
	}{
		{"our id", network(1, 9), nil, topology.Verdict{Kind: topology.SameNetwork}, "both ends have network id 1"},
		{"ourselves", network(1, 101), nil, topology.Verdict{Kind: topology.Loop}, "a daemon cannot link to itself"},
		{"the peer twice", network(2, 102), nil, topology.Verdict{Kind: topology.Duplicate, Link: 7}, `network 2 is linked already, as "rack"`},
		{"the peer's id", network(2, 9), nil, topology.Verdict{Kind: topology.Clash, Link: 7}, `two daemons have network id 2: one is linked already, as "rack"; give each bus its own with --network-id`},
		{"a peer behind", network(3, 103), nil, topology.Verdict{Kind: topology.Loop, Link: 7}, `the link would make a loop: network 3 is reachable already, behind "rack"`},
		{"an id behind", network(3, 9), nil, topology.Verdict{Kind: topology.Clash, Link: 7}, `one is reachable already, behind "rack"`},
		{"us behind", network(4, 4), []topology.Network{network(1, 101)}, topology.Verdict{Kind: topology.Loop}, "network 1 is this daemon's own network"},
		{"our id behind", network(4, 4), []topology.Network{network(1, 9)}, topology.Verdict{Kind: topology.Clash}, "one is this daemon's own network"},
		{"loop behind", network(4, 4), numbered(2, 1), topology.Verdict{Kind: topology.Clash, Link: 7}, "network id 2"},
		{"id 0", network(0, 4), nil, topology.Verdict{Kind: topology.Protocol}, "network id 0"},
		{"id 0 behind", network(4, 4), numbered(0, 1), topology.Verdict{Kind: topology.Protocol}, "has id 0"},
		{"named twice", network(4, 4), []topology.Network{network(5, 5), network(5, 5)}, topology.Verdict{Kind: topology.Protocol}, "names network 5 twice"},
		{"itself behind", network(4, 4), []topology.Network{network(4, 4)}, topology.Verdict{Kind: topology.Protocol}, "names network 4 twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := start()
			err := m.Join(8, "new", c.peer, c.behind)
			var v *topology.Verdict
			if !errors.Is(err, &topology.Verdict{Kind: c.want.Kind}) || !errors.As(err, &v) {
				t.Fatalf("%v, want kind %v", err, c.want.Kind)
			}
			if !strings.Contains(v.Error(), c.says) || v.Link != c.want.Link || v.ByLink != (c.want.Link != 0) {
				t.Errorf("%q by %d, want %q by %d", v, v.Link, c.says, c.want.Link)
			}
			if got := m.Links(); !slices.Equal(got, []topology.LinkKey{7}) || m.Changed() != nil || len(m.Behind(8)) != 2 {
				t.Errorf("a refused peer changed something: links %v", got)
			}
		})
	}
}

// A redial that is refused must not unhook what it would have replaced.
func TestRefusedRejoinChangesNothing(t *testing.T) {
	m := topology.New(network(1, 99))
	must(t, m.Join(1, "a", network(2, 2), numbered(10, 2)))
	must(t, m.Join(2, "b", network(3, 3), nil))
	if err := m.Join(1, "a", network(2, 2), []topology.Network{network(3, 3)}); !errors.Is(err, &topology.Verdict{Kind: topology.Loop}) {
		t.Fatal(err)
	}
	if got := len(m.Behind(2)); got != 3 {
		t.Errorf("%d networks behind, want 3", got)
	}
	must(t, m.Join(1, "a", network(2, 9), numbered(10, 1)))
	if got, want := m.Behind(2), []topology.Network{network(2, 9), network(10, 1)}; !slices.Equal(got, want) {
		t.Errorf("after a join anew %v, want %v", got, want)
	}
}

func TestBound(t *testing.T) {
	m := topology.New(network(1, 99))
	must(t, m.Join(1, "a", network(2, 1), numbered(10, topology.MaxNetworks-2)))
	must(t, m.Join(2, "b", network(3, 1), nil))
	for what, err := range map[string]error{
		"join":   m.Join(3, "c", network(4, 1), nil),
		"update": m.Update(2, numbered(9000, 1)),
		"amend":  m.Amend(2, numbered(9000, 2), nil),
		"long":   m.Update(2, numbered(9000, topology.MaxNetworks+1)),
	} {
		if !errors.Is(err, &topology.Verdict{Kind: topology.TooMany}) || !strings.Contains(err.Error(), "at most 4096") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, m.Join(1, "a", network(2, 1), numbered(10, topology.MaxNetworks-2))) // anew
	must(t, m.Update(1, numbered(11, topology.MaxNetworks-3)))
	must(t, m.Join(3, "c", network(4, 1), nil))
}

// The peer that told us of a network is not told of it again, nor is anybody of
// what has not changed.
func TestChangedNamesOnlyOthers(t *testing.T) {
	m := topology.New(network(1, 99))
	for i := range 4 {
		must(t, m.Join(topology.LinkKey(i), "x", network(uint32(10+i), 1), nil))
	}
	if got, want := m.Changed(), []topology.LinkKey{0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Fatalf("after joining: %v, want %v", got, want)
	}
	for i := range topology.LinkKey(4) {
		m.Delta(i)
	}
	must(t, m.Update(2, numbered(20, 3)))
	if got, want := m.Changed(), []topology.LinkKey{0, 1, 3}; !slices.Equal(got, want) {
		t.Fatalf("after an update by 2: %v, want %v", got, want)
	}
	must(t, m.Update(2, numbered(20, 3)))
	if got := m.Changed(); got != nil {
		t.Fatalf("after the same update: %v", got)
	}
	if added, removed, full := m.Delta(2); len(added)+len(removed) > 0 || full {
		t.Errorf("2 is told +%v -%v, full %v, of what it brought", added, removed, full)
	}
	if added, removed, full := m.Delta(1); !slices.Equal(added, numbered(20, 3)) || removed != nil || full {
		t.Errorf("1 is told +%v -%v, full %v", added, removed, full)
	}
	must(t, m.Update(2, numbered(20, 2)))
	must(t, m.Update(3, numbered(30, 1)))
	m.Delta(1) // told before anybody asked
	if got, want := m.Changed(), []topology.LinkKey{0, 2, 3}; !slices.Equal(got, want) {
		t.Fatalf("after updates by 2 and 3: %v, want %v", got, want)
	}
}

// A link is listed once for each change, whether its peer has been told or not, and
// always when it has joined, even anew with nothing changed.
func TestChangedListsOnce(t *testing.T) {
	m := topology.New(network(1, 99))
	check := func(when string, want ...topology.LinkKey) {
		t.Helper()
		if got := m.Changed(); !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", when, got, want)
		}
	}
	must(t, m.Join(1, "a", network(2, 1), nil))
	check("the first joins", 1)
	must(t, m.Join(2, "b", network(3, 1), nil))
	check("another joins", 1, 2)
	must(t, m.Update(1, numbered(10, 1)))
	check("1 changes", 2)
	must(t, m.Update(2, numbered(20, 1)))
	check("2 changes", 1)
	must(t, m.Join(2, "b", network(3, 1), numbered(20, 1)))
	check("2 joins anew", 2)
	if added, _, full := m.Delta(2); !full || len(added) != 2 {
		t.Errorf("after joining anew 2 is told %v, full %v", added, full)
	}
	check("nothing changes")
	m.Leave(1)
	check("1 leaves", 2)
}

// A peer that hears nothing for long is told the sum, or everything, and what is
// kept for it is bounded.
func TestDeltaOfMuchIsFull(t *testing.T) {
	m := topology.New(network(1, 99))
	must(t, m.Join(1, "a", network(2, 1), nil))
	must(t, m.Join(2, "b", network(3, 1), nil))
	m.Delta(2)
	for i := range topology.MaxNetworks {
		must(t, m.Amend(1, numbered(100+i, 1), []uint32{uint32(99 + i)}))
	}
	added, removed, full := m.Delta(2)
	if full || len(added) != 1 || len(removed) != topology.MaxNetworks-1 {
		t.Fatalf("+%d -%d, full %v", len(added), len(removed), full)
	}
	for i := range 2 * topology.MaxNetworks {
		must(t, m.Amend(1, numbered(10000+i, 1), []uint32{uint32(9999 + i)}))
	}
	added, removed, full = m.Delta(2)
	if want := m.Behind(2); !full || !slices.Equal(added, want) || removed != nil {
		t.Fatalf("+%d -%d, full %v, want all %d", len(added), len(removed), full, len(want))
	}
}

func TestRestarted(t *testing.T) {
	m := topology.New(network(1, 99))
	must(t, m.Join(1, "a", network(2, 1), []topology.Network{network(3, 1), network(4, 1)}))
	if got := m.Restarted(); got != nil {
		t.Fatalf("new networks: %v", got)
	}
	m.Leave(1)
	must(t, m.Join(2, "b", network(2, 2), []topology.Network{network(3, 1), network(4, 2)}))
	if got, want := m.Restarted(), []uint32{2, 4}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if err := m.Update(2, []topology.Network{network(3, 2), network(1, 99)}); err == nil {
		t.Fatal("a loop is let in")
	}
	if got := m.Restarted(); got != nil {
		t.Fatalf("after a refusal: %v", got)
	}
	must(t, m.Update(2, []topology.Network{network(3, 2)}))
	if got, want := m.Restarted(), []uint32{3}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// BenchmarkJoin is n peers that join one after the other, each with one network
// behind it. deltas: all others are told after each. late: they are told once.
func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{300, 1000} {
		for _, each := range []bool{true, false} {
			how := map[bool]string{true: "deltas", false: "late"}[each]
			b.Run(fmt.Sprintf("%d/%s", n, how), func(b *testing.B) {
				told := 0
				for b.Loop() {
					m := topology.New(network(1, 99))
					told = 0
					tell := func() {
						for _, k := range m.Changed() {
							added, removed, _ := m.Delta(k)
							told += len(added) + len(removed)
						}
					}
					for i := range n {
						must(b, m.Join(topology.LinkKey(i), "x", network(uint32(10000+i), 1), numbered(20000+i, 1)))
						if each {
							tell()
						}
					}
					tell()
				}
				b.ReportMetric(float64(told), "networks-told/op")
			})
		}
	}
}
