package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A whoKind says what a who is compared with.
type whoKind uint8

const (
	anybody whoKind = iota
	local
	byName
	byUID
	byGID
	byNetwork
)

// A who is one of those whom a rule is for.
type who struct {
	kind   whoKind
	name   string // a pattern
	number uint32
}

const whoForms = `write any, local, uid:NUMBER, gid:NUMBER, network:ID, or name: and a name of a certificate, in which * stands for anything up to the next separator and ** for anything`

func parseWho(word string) (who, error) {
	kind, value, ok := strings.Cut(word, ":")
	switch {
	case word == "any":
		return who{kind: anybody}, nil
	case word == "local":
		return who{kind: local}, nil
	case !ok:
		return who{}, fmt.Errorf("%q names nobody; %s", clip(word), whoForms)
	case kind == "name" && value != "":
		return who{kind: byName, name: value}, nil
	}
	k, known := map[string]whoKind{"uid": byUID, "gid": byGID, "network": byNetwork}[kind]
	n, err := strconv.ParseUint(value, 10, 32)
	if !known || err != nil || k == byNetwork && n == 0 {
		return who{}, fmt.Errorf("%q names nobody; %s", clip(word), whoForms)
	}
	return who{kind: k, number: uint32(n)}, nil
}

// matches reports whether w is, or is among, the one at the other end of a connection.
// network is that of a peer, 0 for a program.
func (w *who) matches(id *Identity, network uint32) bool {
	p := id.Process
	switch w.kind {
	case anybody:
		return true
	case local:
		return p != nil
	case byName:
		return slices.ContainsFunc(id.Names, func(name string) bool { return matchName(w.name, name) })
	case byUID:
		return p != nil && p.UID == w.number
	case byGID:
		return p != nil && (p.GID == w.number || slices.Contains(p.Groups, w.number))
	case byNetwork:
		return network == w.number
	}
	return false
}

// matchName reports whether a certificate's name matches a pattern: "*" stands for
// anything without a separator, "**" for anything. The separator is "/" in a URI, "." in
// a DNS name. Its time is bounded by the product of the lengths.
func matchName(pattern, name string) bool {
	separator := byte('.')
	if strings.Contains(pattern, "/") {
		separator = '/'
	}
	// What each prefix of the name amounts to against the pattern so far.
	now := make([]bool, len(name)+1)
	now[0] = true
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c != '*':
			for n := len(name); n > 0; n-- {
				now[n] = now[n-1] && name[n-1] == c
			}
			now[0] = false
			continue
		case i+1 < len(pattern) && pattern[i+1] == '*':
			i++
			for n := 1; n <= len(name); n++ {
				now[n] = now[n] || now[n-1]
			}
		default:
			for n := 1; n <= len(name); n++ {
				now[n] = now[n] || now[n-1] && name[n-1] != separator
			}
		}
	}
	return now[len(name)]
}

// nobodysID is an id that no user and no group has.
const nobodysID = ^uint32(0)

// ParseIdentity returns the identity that a person has written, to see what the rules make
// of it: words as in a rule's who, without wildcards and separated by spaces, such as
// "uid:1000 gid:27" or "name:spiffe://plant/a network:3"; "unknown" is somebody of whom
// nothing is known.
func ParseIdentity(text string) (id Identity, network uint32, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return id, 0, fmt.Errorf("identity %q: it is empty; %s", clip(text), identityForms)
	}
	process := func() *Process {
		if id.Process == nil {
			id.Process = &Process{UID: nobodysID, GID: nobodysID}
		}
		return id.Process
	}
	for _, word := range words {
		if word == "unknown" {
			continue
		}
		w, err := parseWho(word)
		if err != nil || w.kind == anybody || w.kind == byName && strings.Contains(w.name, "*") {
			return Identity{}, 0, fmt.Errorf("identity %q: %q is not one thing that is known of somebody; %s", clip(text), clip(word), identityForms)
		}
		switch w.kind {
		case byName:
			id.Names = append(id.Names, w.name)
		case byUID:
			process().UID = w.number
		case byGID:
			p := process()
			p.Groups = append(p.Groups, w.number)
		case byNetwork:
			network = w.number
		default:
			process()
		}
	}
	return id, network, nil
}

const identityForms = `write unknown, local, uid:NUMBER, gid:NUMBER, network:ID, or name: and a name of a certificate, or several with spaces between`

// String returns w as it stands in a configuration.
func (w who) String() string {
	switch w.kind {
	case local:
		return "local"
	case byName:
		return "name:" + w.name
	case byUID, byGID, byNetwork:
		return map[whoKind]string{byUID: "uid:", byGID: "gid:", byNetwork: "network:"}[w.kind] + strconv.FormatUint(uint64(w.number), 10)
	default:
		return "any"
	}
}
