package rename

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// MaxRenames is how many a link may have.
const MaxRenames = 100

// A Rename is one pair of prefixes, neither of which is a wildcard: names at or below Here
// on our bus are names at or below There at the peer. "$" is all names.
type Rename struct{ Here, There string }

// String returns the rename as Parse takes it.
func (r Rename) String() string { return r.Here + "=" + r.There }

// Parse returns the rename that is written "$.Plant=$.Site7.Plant": the prefix here, then
// that at the peer. The error names what is wrong; Compile finds the rest.
func Parse(word string) (Rename, error) {
	here, there, ok := strings.Cut(word, "=")
	if !ok {
		return Rename{}, fmt.Errorf("%q is no rename: write the prefix here, \"=\", and the prefix at the peer, such as $.Plant=$.Site7.Plant", clip(word))
	}
	return Rename{strings.TrimSpace(here), strings.TrimSpace(there)}, nil
}

// A Map is the renames of a link. A nil one renames nothing. It does not change, so many
// goroutines may use it.
type Map struct {
	renames     []Rename
	there, here direction
}

// A direction is a Map as it is used one way: the i-th prefix of from becomes the i-th of
// to, and a name comes back by the longest prefix of to that it has.
type direction struct {
	from, to *prefixes
}

// prefixes are those of one end; the last one is that of the bus's own names.
type prefixes struct {
	all     []string
	index   map[string]int
	longest int // bytes
}

// ownNames is the prefix of what a bus or a limpet says itself. It stays as it is.
const ownNames = "$.KBUS"

// Compile returns the map of the renames, nil if there are none. The error names the
// rename, the field, the value and the way out.
func Compile(all []Rename) (*Map, error) {
	if len(all) == 0 {
		return nil, nil //nolint:nilnil // no renames are a good configuration
	}
	if len(all) > MaxRenames {
		return nil, fmt.Errorf("there are %d renames, at most %d are allowed; one prefix can have many names below it", len(all), MaxRenames)
	}
	var here, there prefixes
	for _, r := range all {
		if r.Here == r.There {
			return nil, fmt.Errorf("rename %s: the prefix is the same at both ends; leave the rename out", clip(r.String()))
		}
		if err := here.add("here", r.Here); err != nil {
			return nil, fmt.Errorf("rename %s: %w", clip(r.String()), err)
		}
		if err := there.add("at the peer", r.There); err != nil {
			return nil, fmt.Errorf("rename %s: %w", clip(r.String()), err)
		}
	}
	here.close()
	there.close()
	return &Map{renames: append([]Rename(nil), all...), there: direction{&here, &there}, here: direction{&there, &here}}, nil
}

// add adds a prefix, unless it is none or overlaps with another.
func (p *prefixes) add(end, prefix string) error {
	switch {
	case prefix != "$" && kbusdev.CheckName(prefix) != nil:
		return fmt.Errorf("the prefix %s, %q, is no name: %w; it is \"$\", or \"$\" and words of letters and digits joined by dots, without a wildcard", end, clip(prefix), kbusdev.CheckName(prefix))
	case within(prefix, ownNames):
		return fmt.Errorf("the prefix %s is %q, but names below %s are the buses' own; choose another", end, clip(prefix), ownNames)
	}
	for _, other := range p.all {
		if within(prefix, other) || within(other, prefix) {
			return fmt.Errorf("the prefix %s, %q, overlaps with %q of another rename, so that names would have two; give prefixes none of which is below another", end, clip(prefix), clip(other))
		}
	}
	p.all = append(p.all, prefix)
	return nil
}

func (p *prefixes) close() {
	p.all = append(p.all, ownNames)
	p.index = make(map[string]int, len(p.all))
	for i, prefix := range p.all {
		p.index[prefix] = i
		p.longest = max(p.longest, len(prefix))
	}
}

// within reports whether a name is a prefix, or lies below it.
func within(name, prefix string) bool {
	return strings.HasPrefix(name, prefix) && (len(name) == len(prefix) || name[len(prefix)] == '.')
}

// none is the index of no prefix.
const none = -1

// find returns the longest prefix that a name has, none if it has none. Its cost is that of
// the longest prefix, however many there are and however long the name is.
func (p *prefixes) find(name string) int {
	end := len(name)
	if end > p.longest {
		end = strings.LastIndexByte(name[:p.longest+1], '.')
	}
	for ; end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if i, ok := p.index[name[:end]]; ok {
			return i
		}
	}
	return none
}

// Renames returns what the map was made of. It must not be changed.
func (m *Map) Renames() []Rename {
	if m == nil {
		return nil
	}
	return m.renames
}

// String returns the renames with commas between them; "" if there are none.
func (m *Map) String() string {
	var words []string
	for _, r := range m.Renames() {
		words = append(words, r.String())
	}
	return strings.Join(words, ",")
}

// There returns the name that a message of our bus has at the peer. The errno is 0, or why
// it has none: EADDRNOTAVAIL if it would be taken for a name that has been renamed, else
// ENAMETOOLONG. A name that is no good is no good at the other end.
func (m *Map) There(name string) (string, syscall.Errno) {
	if m == nil {
		return name, 0
	}
	return m.there.name(name)
}

// Here is There the other way: the name that a message of the peer has on our bus.
func (m *Map) Here(name string) (string, syscall.Errno) {
	if m == nil {
		return name, 0
	}
	return m.here.name(name)
}

func (d *direction) name(name string) (string, syscall.Errno) {
	i := d.from.find(name)
	out, errno := d.by(i, name)
	if errno == 0 && d.to.find(out) != i {
		return "", syscall.EADDRNOTAVAIL
	}
	return out, errno
}

// by returns a name with the i-th prefix at the other end in place of ours.
func (d *direction) by(i int, name string) (string, syscall.Errno) {
	if i == none || d.from.all[i] == d.to.all[i] {
		return name, 0
	}
	from, to := d.from.all[i], d.to.all[i]
	rest := name[len(from):]
	switch {
	case rest == "" && (from == "$" || to == "$"): // "$" by itself is no name
		return "", syscall.EADDRNOTAVAIL
	case len(to)+len(rest) > kbusdev.MaxNameLen:
		return "", syscall.ENAMETOOLONG
	default:
		return to + rest, 0
	}
}

// BindThere appends to dst what at the peer matches the names of all messages that a
// binding of our bus matches, as far as they have one; none of it covers another. It may
// match more. The binding is valid. Its cost is the number of renames.
func (m *Map) BindThere(dst []string, binding string) []string {
	if m == nil {
		return append(dst, binding)
	}
	return m.there.binding(dst, binding)
}

// BindHere is BindThere the other way.
func (m *Map) BindHere(dst []string, binding string) []string {
	if m == nil {
		return append(dst, binding)
	}
	return m.here.binding(dst, binding)
}

func (d *direction) binding(dst []string, binding string) []string {
	if !kbusdev.IsWildcard(binding) {
		if name, errno := d.name(binding); errno == 0 {
			dst = append(dst, name)
		}
		return dst
	}
	before := len(dst)
	i := d.from.find(binding[:len(binding)-2])
	dst = d.wildcard(dst, before, i, binding)
	for k, prefix := range d.from.all {
		if k == i || !kbusdev.Matches(binding, prefix) {
			continue
		}
		if name, errno := d.name(prefix); errno == 0 {
			dst = add(dst, before, name)
		}
		if binding[len(binding)-1] == '*' { // of two prefixes only "$" can be above the other, and no wildcard matches that
			dst = d.wildcard(dst, before, k, prefix+".*")
		}
	}
	return dst
}

// wildcard appends a wildcard, the stem of which has the i-th prefix, unless the names below
// it have none at the other end.
func (d *direction) wildcard(dst []string, before, i int, binding string) []string {
	out, errno := d.by(i, binding)
	if errno != 0 || d.to.find(out[:len(out)-2]) != i {
		return dst
	}
	return add(dst, before, out)
}

// add appends a binding to dst unless another one behind before covers it, in place of
// those that it covers.
func add(dst []string, before int, binding string) []string {
	kept := dst[:before]
	for _, other := range dst[before:] {
		if kbusdev.Covers(other, binding) {
			return dst
		}
		if !kbusdev.Covers(binding, other) {
			kept = append(kept, other)
		}
	}
	return append(kept, binding)
}

// clip bounds what an error quotes.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
