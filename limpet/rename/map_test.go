package rename_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rename"
)

func compile(t testing.TB, words ...string) *rename.Map {
	t.Helper()
	var all []rename.Rename
	for _, w := range words {
		r, err := rename.Parse(w)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	m, err := rename.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNames(t *testing.T) {
	long := "$.Plant." + strings.Repeat("a", kbusdev.MaxNameLen-len("$.Plant."))
	for _, c := range []struct {
		renames, name, there string
		errno                syscall.Errno
	}{
		{"$.Plant=$.Site7.Plant", "$.Plant.Pump", "$.Site7.Plant.Pump", 0},
		{"$.Plant=$.Site7.Plant", "$.Plant", "$.Site7.Plant", 0},
		{"$.Plant=$.Site7.Plant", "$.Plants.Pump", "$.Plants.Pump", 0},
		{"$.Plant=$.Site7.Plant", "$.Other", "$.Other", 0},
		{"$.Plant=$.Site7.Plant", "$.Site7.Plant.Pump", "", syscall.EADDRNOTAVAIL},
		{"$.Plant=$.Site7.Plant", "$.Site7.Other", "$.Site7.Other", 0},
		{"$.Plant=$.Site7.Plant", long, "", syscall.ENAMETOOLONG},
		{"$.Plant=$.P", long, "$.P" + long[len("$.Plant"):], 0},
		{"$.Plant=$.Plant.Old", "$.Plant.Old.X", "$.Plant.Old.Old.X", 0},
		{"$.Plant.Old=$.Plant", "$.Plant.Old.X", "$.Plant.X", 0},
		{"$.Plant.Old=$.Plant", "$.Plant.X", "", syscall.EADDRNOTAVAIL},
		{"$.A=$.B $.B=$.A", "$.A.X", "$.B.X", 0},
		{"$.A=$.B $.B=$.A", "$.B", "$.A", 0},
		{"$=$.Site7", "$.A.B", "$.Site7.A.B", 0},
		{"$=$.Site7", "$.KBUS.Replier.GoneAway", "$.KBUS.Replier.GoneAway", 0},
		{"$.Site7=$", "$.Site7.A", "$.A", 0},
		{"$.Site7=$", "$.Site7", "", syscall.EADDRNOTAVAIL},
		{"$.Site7=$", "$.A", "", syscall.EADDRNOTAVAIL},
		{"$.Site7=$", "$.Site7.KBUS.X", "", syscall.EADDRNOTAVAIL},
		{"$.Site7=$", "$.KBUS.X", "$.KBUS.X", 0},
	} {
		m := compile(t, strings.Fields(c.renames)...)
		there, errno := m.There(c.name)
		if there != c.there || errno != c.errno {
			t.Errorf("%s: %.40s is %.40q there, %v; want %.40q, %v", c.renames, c.name, there, errno, c.there, c.errno)
		}
		if errno != 0 {
			continue
		}
		if back, errno := m.Here(there); back != c.name || errno != 0 {
			t.Errorf("%s: %.40s comes back as %.40q, %v", c.renames, c.name, back, errno)
		}
	}
	if got := compile(t, "$.A=$.B", "$.C=$.D").String(); got != "$.A=$.B,$.C=$.D" {
		t.Error(got)
	}
}

func TestBindings(t *testing.T) {
	for _, c := range []struct{ renames, binding, there string }{
		{"$.Plant=$.Site7.Plant", "$.Plant", "$.Site7.Plant"},
		{"$.Plant=$.Site7.Plant", "$.Plant.*", "$.Site7.Plant.*"},
		{"$.Plant=$.Site7.Plant", "$.Plant.%", "$.Site7.Plant.%"},
		{"$.Plant=$.Site7.Plant", "$.Plant.A.*", "$.Site7.Plant.A.*"},
		{"$.Plant=$.Site7.Plant", "$.Other.*", "$.Other.*"},
		{"$.Plant=$.Site7.Plant", "$.*", "$.*"},
		{"$.Plant=$.Site7.Plant", "$.%", "$.% $.Site7.Plant"},
		{"$.Plant=$.Site7.Plant", "$.Site7.*", "$.Site7.*"},
		{"$.Plant=$.Site7.Plant", "$.Site7.Plant.*", ""},
		{"$.Plant=$.Site7.Plant", "$.Site7.Plant", ""},
		{"$.Plant.A=$.Site7", "$.Plant.*", "$.Plant.* $.Site7 $.Site7.*"},
		{"$.Plant.A=$.Site7", "$.Plant.%", "$.Plant.% $.Site7"},
		{"$.A.B=$.A", "$.A.*", "$.A $.A.*"},
		{"$.A=$.A.B", "$.A.*", "$.A.B.*"},
		{"$=$.Site7", "$.*", "$.Site7.* $.KBUS $.KBUS.*"},
		{"$=$.Site7", "$.%", "$.Site7.% $.KBUS"},
		{"$.Site7=$", "$.*", "$.*"},
		{"$.Site7=$", "$.%", "$.KBUS"},
	} {
		m := compile(t, strings.Fields(c.renames)...)
		if got := strings.Join(m.BindThere(nil, c.binding), " "); got != c.there {
			t.Errorf("%s: %s is %q there, want %q", c.renames, c.binding, got, c.there)
		}
	}
}

func TestBadRenamesAreRefusedWithTheWayOut(t *testing.T) {
	long := "$." + strings.Repeat("a", kbusdev.MaxNameLen)
	for _, c := range []struct {
		words string
		want  []string
	}{
		{"$.A=$.A", []string{"$.A=$.A", "same at both ends", "leave the rename out"}},
		{"$.A.*=$.B", []string{"here", `"$.A.*"`, "without a wildcard"}},
		{"$.A=B", []string{"at the peer", `"B"`}},
		{"$.A=" + long, []string{"at the peer", "no name"}},
		{"=$.B", []string{"here", `""`}},
		{"$.KBUS=$.B", []string{"here", "buses' own"}},
		{"$.A=$.KBUS.Replier", []string{"at the peer", "buses' own"}},
		{"$.A=$.B $.A.C=$.D", []string{"$.A.C=$.D", "here", `overlaps with "$.A"`}},
		{"$.A=$.B $.C=$.B", []string{"$.C=$.B", "at the peer", "overlaps"}},
		{"$=$.B $.C=$.D", []string{"here", "overlaps"}},
	} {
		var all []rename.Rename
		for _, w := range strings.Fields(c.words) {
			r, err := rename.Parse(w)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		_, err := rename.Compile(all)
		if err == nil {
			t.Errorf("%.40s is taken", c.words)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || len(err.Error()) > 600 {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	if _, err := rename.Parse("$.A"); err == nil || !strings.Contains(err.Error(), "$.Plant=$.Site7.Plant") {
		t.Error(err)
	}
	if _, err := rename.Compile(make([]rename.Rename, rename.MaxRenames+1)); err == nil {
		t.Error("there is no bound")
	}
	if m, err := rename.Compile(nil); m != nil || err != nil {
		t.Error("no renames are something")
	}
}

func TestWithoutRenamesNothingChanges(t *testing.T) {
	var m *rename.Map
	if n, errno := m.There("$.A"); n != "$.A" || errno != 0 {
		t.Error(n, errno)
	}
	if n, errno := m.Here("$.A"); n != "$.A" || errno != 0 {
		t.Error(n, errno)
	}
	if got := m.BindHere(m.BindThere(nil, "$.*"), "$.%"); !slices.Equal(got, []string{"$.*", "$.%"}) || m.String() != "" {
		t.Error(got)
	}
}

// universe are all names of up to four words.
func universe() []string {
	level, all := []string{"$"}, []string(nil)
	for range 4 {
		var next []string
		for _, stem := range level {
			for _, word := range []string{"A", "B", "C", "KBUS"} {
				next = append(next, stem+"."+word)
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

func randomMap(r *rand.Rand) *rename.Map {
	prefix := func() string {
		words := []string{"$"}
		for range r.IntN(4) {
			words = append(words, string(rune('A'+r.IntN(3))))
		}
		return strings.Join(words, ".")
	}
	for {
		var all []rename.Rename
		for range 1 + r.IntN(3) {
			all = append(all, rename.Rename{Here: prefix(), There: prefix()})
		}
		if m, err := rename.Compile(all); err == nil {
			return m
		}
	}
}

// slow is a name at the other end by a twin that is slow and obviously right: every name
// but those that would get the place of another.
func slow(all []rename.Rename, name string) (string, bool) {
	by := func(name string, swap bool) string {
		if name == "$.KBUS" || strings.HasPrefix(name, "$.KBUS.") {
			return name
		}
		for _, r := range all {
			from, to := r.Here, r.There
			if swap {
				from, to = to, from
			}
			if name == from || strings.HasPrefix(name, from+".") {
				return to + name[len(from):]
			}
		}
		return name
	}
	there := by(name, false)
	return there, there != "$" && by(there, true) == name
}

func TestThereAndBackIsTheName(t *testing.T) {
	names := universe()
	for seed := range uint64(100) {
		m := randomMap(rand.New(rand.NewPCG(seed, 5)))
		taken := make(map[string]string)
		for _, name := range names {
			want, ok := slow(m.Renames(), name)
			there, errno := m.There(name)
			if (errno == 0) != ok || ok && there != want {
				t.Fatalf("seed %d: %s: %s is %q there, %v; want %q, %v", seed, m, name, there, errno, want, ok)
			}
			if !ok {
				continue
			}
			if back, errno := m.Here(there); back != name || errno != 0 {
				t.Fatalf("seed %d: %s: %s comes back as %q, %v", seed, m, name, back, errno)
			}
			if other := taken[there]; other != "" {
				t.Fatalf("seed %d: %s: %s and %s are both %s there", seed, m, other, name, there)
			}
			taken[there] = name
		}
	}
}

// What a binding matches, its translation matches; and where the binding is inside a
// prefix, or has nothing to do with any, nothing else.
func TestBindingsMatchWhatTheyMatched(t *testing.T) {
	names := universe()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 6))
		m := randomMap(r)
		for range 4 {
			binding := names[r.IntN(len(names))]
			switch r.IntN(3) {
			case 0:
				binding += ".*"
			case 1:
				binding = []string{"$.*", "$.%", binding + ".%"}[r.IntN(3)]
			}
			parts := m.BindThere(nil, binding)
			matched := func(name string) bool {
				return slices.ContainsFunc(parts, func(p string) bool { return kbusdev.Matches(p, name) })
			}
			for i, p := range parts {
				if kbusdev.CheckBindName(p) != nil || slices.ContainsFunc(parts[:i], func(q string) bool { return kbusdev.Overlap(p, q) }) {
					t.Fatalf("seed %d: %s: %s is %q there", seed, m, binding, parts)
				}
			}
			above := slices.ContainsFunc(append(m.Renames(), rename.Rename{Here: "$.KBUS", There: "$.KBUS"}), func(r rename.Rename) bool {
				return kbusdev.Matches(binding, r.Here) || kbusdev.Matches(binding, r.There) || slices.ContainsFunc(parts, func(p string) bool {
					return kbusdev.Matches(p, r.Here) || kbusdev.Matches(p, r.There)
				})
			})
			for _, name := range names {
				there, errno := m.There(name)
				if kbusdev.Matches(binding, name) && errno == 0 && !matched(there) {
					t.Fatalf("seed %d: %s: %s matches %s, but %q does not match %s", seed, m, binding, name, parts, there)
				}
				back, errno := m.Here(name)
				if !above && matched(name) && (errno != 0 || !kbusdev.Matches(binding, back)) {
					t.Fatalf("seed %d: %s: %s is %q there, which matches %s, %q here", seed, m, binding, parts, name, back)
				}
			}
		}
	}
}

// Whatever a peer calls a message or a binding, nothing panics, and there and back is the
// identity.
func FuzzMap(f *testing.F) {
	f.Add("$.Plant=$.Site7.Plant", "$.Plant.Pump")
	f.Add("$=$.A $.B=$", "$.*")
	f.Add("$.A=$.B $.B=$.A", "$.KBUS.X")
	f.Add("$.A=$", "$.A")
	f.Add("$=$.A", "$")
	f.Fuzz(func(t *testing.T, renames, name string) {
		var all []rename.Rename
		for _, w := range strings.Fields(renames) {
			r, err := rename.Parse(w)
			if err != nil {
				return
			}
			all = append(all, r)
		}
		m, err := rename.Compile(all)
		if err != nil {
			return
		}
		there, errno := m.There(name)
		if errno == 0 {
			if back, errno := m.Here(there); back != name || errno != 0 {
				t.Errorf("%s: %q is %q there, which comes back as %q, %v", m, name, there, back, errno)
			}
			if kbusdev.CheckName(name) == nil && kbusdev.CheckName(there) != nil {
				t.Errorf("%s: %q is %q there, which is no name", m, name, there)
			}
		}
		if kbusdev.CheckBindName(name) != nil {
			return
		}
		for _, part := range m.BindThere(nil, name) {
			if kbusdev.CheckBindName(part) != nil {
				t.Errorf("%s: %q is %q there, which is no name", m, name, part)
			}
		}
	})
}

func BenchmarkThere(b *testing.B) {
	m := compile(b, "$.Plant=$.Site7.Plant")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.There("$.Plant.Pump.3.Pressure")
	}
}
