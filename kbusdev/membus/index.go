package membus

import (
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A binding is one name bound by one Ksock.
type binding struct {
	ksock *Ksock
	role  kbusdev.Role
	name  string
	seq   uint64 // when it was bound; a later one is newer
	place int    // among the ages

	newer, older       *binding // all bindings of the bus, by age
	ownNewer, ownOlder *binding // all bindings of the Ksock, by age
	prev, next         *binding // all listeners of the same string, by age
	again              *binding // the older one of the same listener and string
	node               *node

	queued via // what came through it and is not read yet
}

// bound are a Ksock's bindings.
type bound struct {
	newest    *binding
	count     int
	listening map[string]*binding // the newest listener binding of each string
}

// An index finds who is bound to a name. Names form a tree by their words, and
// the bindings that match a name all lie on the path to it, so that finding them
// costs the length of the name, however many others there are.
type index struct {
	root           node
	newest, oldest *binding
	ages           ages
	count          int
	repliers       int // of count
	lastSeq        uint64
}

// A node stands for one word; "$" is the root. Each list is newest first.
type node struct {
	parent   *node
	word     string
	children map[string]*node

	exact, level, below bindings // bound as this name, this name + ".%", + ".*"
}

// bindings are those of one string: any number of listeners, one replier.
type bindings struct {
	listeners *binding
	replier   *binding
}

// recipients are who a message name concerns.
type recipients struct {
	replier   *binding
	listeners []*binding // newest first
}

func newIndex() *index { return &index{} }

// at finds the node and list of a binding name; with create it makes the way.
func (x *index) at(name string, create bool) (*node, *bindings) {
	stem := name
	if kbusdev.IsWildcard(name) {
		stem = name[:len(name)-2]
	}
	n := &x.root
	for rest := strings.TrimPrefix(stem, "$"); rest != ""; {
		var word string
		word, rest = firstWord(rest)
		child := n.children[word]
		if child == nil {
			if !create {
				return nil, nil
			}
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			child = &node{parent: n, word: strings.Clone(word)}
			n.children[child.word] = child
		}
		n = child
	}
	return n, n.list(name)
}

// list is the one of n's lists that a binding name with n's words belongs to.
func (n *node) list(name string) *bindings {
	switch {
	case !kbusdev.IsWildcard(name):
		return &n.exact
	case name[len(name)-1] == '%':
		return &n.level
	default:
		return &n.below
	}
}

// firstWord splits ".word.rest" into "word" and ".rest".
func firstWord(s string) (word, rest string) {
	s = s[1:]
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// replierOf gives the replier bound to exactly this string, or nil.
func (x *index) replierOf(name string) *binding {
	if kbusdev.CheckBindName(name) != nil {
		return nil
	}
	if _, b := x.at(name, false); b != nil {
		return b.replier
	}
	return nil
}

func (x *index) add(k *Ksock, role kbusdev.Role, name string) *binding {
	n, list := x.at(name, true)
	x.lastSeq++
	b := &binding{ksock: k, role: role, name: name, seq: x.lastSeq, node: n, older: x.newest, ownOlder: k.bound.newest}
	if b.older != nil {
		b.older.newer = b
	} else {
		x.oldest = b
	}
	if b.ownOlder != nil {
		b.ownOlder.ownNewer = b
	}
	x.newest, k.bound.newest = b, b
	x.ages.add(b)
	x.count++
	k.bound.count++
	if role == kbusdev.Replier {
		list.replier = b
		x.repliers++
		return b
	}
	if b.next = list.listeners; b.next != nil {
		b.next.prev = b
	}
	list.listeners = b
	if k.bound.listening == nil {
		k.bound.listening = make(map[string]*binding)
	}
	b.again = k.bound.listening[name]
	k.bound.listening[name] = b
	return b
}

// find gives the newest binding of k with this role and name, or nil.
func (x *index) find(k *Ksock, role kbusdev.Role, name string) *binding {
	if role == kbusdev.Listener {
		return k.bound.listening[name]
	}
	if r := x.replierOf(name); r != nil && r.ksock == k {
		return r
	}
	return nil
}

// remove forgets b, which must be the newest of identical bindings.
func (x *index) remove(b *binding) {
	if b.newer != nil {
		b.newer.older = b.older
	} else {
		x.newest = b.older
	}
	if b.older != nil {
		b.older.newer = b.newer
	} else {
		x.oldest = b.newer
	}
	x.ages.remove(b)
	x.count--
	own := &b.ksock.bound
	own.count--
	if b.ownNewer != nil {
		b.ownNewer.ownOlder = b.ownOlder
	} else {
		own.newest = b.ownOlder
	}
	if b.ownOlder != nil {
		b.ownOlder.ownNewer = b.ownNewer
	}
	list := b.node.list(b.name)
	if b.role == kbusdev.Replier {
		list.replier = nil
		x.repliers--
	} else {
		if b.prev != nil {
			b.prev.next = b.next
		} else {
			list.listeners = b.next
		}
		if b.next != nil {
			b.next.prev = b.prev
		}
		if b.again != nil {
			own.listening[b.name] = b.again
		} else {
			delete(own.listening, b.name)
		}
	}
	for n := b.node; n.parent != nil && n.empty(); n = n.parent {
		delete(n.parent.children, n.word)
	}
}

func (n *node) empty() bool {
	return len(n.children) == 0 && n.exact == (bindings{}) && n.level == (bindings{}) && n.below == (bindings{})
}

// lookup fills r with the recipients of a valid message name.
func (x *index) lookup(name string, r *recipients) { x.match(name, r, true) }

// replierFor gives the most specific replier of a valid message name, or nil. It
// costs the same however many listen to the name.
func (x *index) replierFor(name string) *binding {
	var r recipients
	x.match(name, &r, false)
	return r.replier
}

func (x *index) match(name string, r *recipients, listeners bool) {
	r.replier, r.listeners = nil, r.listeners[:0]
	lists := 0
	var star *binding
	listen := func(b *binding) {
		if !listeners {
			return
		}
		if b != nil {
			lists++
		}
		for ; b != nil; b = b.next {
			r.listeners = append(r.listeners, b)
		}
	}
	n := &x.root
	for rest := name[1:]; ; {
		listen(n.below.listeners)
		if s := n.below.replier; s != nil && (star == nil || s.seq > star.seq) {
			star = s
		}
		var word string
		word, rest = firstWord(rest)
		if rest == "" { // n is the parent of the last word
			listen(n.level.listeners)
			r.replier = n.level.replier
		}
		if n = n.children[word]; n == nil {
			break
		}
		if rest == "" {
			listen(n.exact.listeners)
			if n.exact.replier != nil {
				r.replier = n.exact.replier
			}
			break
		}
	}
	if r.replier == nil {
		r.replier = star
	}
	if lists > 1 {
		slices.SortFunc(r.listeners, func(a, b *binding) int {
			if a.seq > b.seq {
				return -1
			}
			return 1
		})
	}
}
