package rules

import (
	"slices"
	"strings"
)

// A verdict of a rule: its number, counted from 1 and negative if it denies; 0 is none.
type entry int32

// first returns the entry of the rule that comes first.
func first(a, b entry) entry {
	if a == 0 || b != 0 && b.rule() < a.rule() {
		return b
	}
	return a
}

func (e entry) rule() int { return int(max(e, -e)) }

// A tree has what the rules say of one identity's actions with names. The names form a
// tree by their words, so what is asked of a name costs its length, however many rules
// there are. What an earlier rule covers is not in it.
type tree struct{ root node }

// A node stands for one word; "$" is the root.
type node struct {
	children map[string]*node
	// Of the name itself, and of it with ".%" and ".*".
	exact, level, below [withNames]entry
	// The first rules about names inside: about the children's own names, and about
	// everything that ".*" covers but for below itself.
	kids, under [withNames]firsts
}

// firsts are the first rules that allow, and that deny.
type firsts struct{ allow, deny entry }

func (f *firsts) note(e entry) {
	if e > 0 {
		f.allow = first(f.allow, e)
	} else {
		f.deny = first(f.deny, e)
	}
}

// split takes a valid binding name apart: its words, joined by dots, and the wildcard, 0
// if it has none.
func split(name string) (stem string, wildcard byte) {
	name = name[1:]
	if last := name[len(name)-1]; last == '*' || last == '%' {
		return name[:len(name)-2], last
	}
	return name, 0
}

// firstWord splits ".word.rest" into "word" and ".rest".
func firstWord(s string) (word, rest string) {
	s = s[1:]
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// add notes the next rule about a name, unless an earlier one covers it.
func (t *tree) add(a Action, name string, e entry) {
	if cover, _ := t.find(a, name); cover != 0 {
		return
	}
	stem, wildcard := split(name)
	n := &t.root
	path := []*node{n}
	for rest := stem; rest != ""; {
		var word string
		word, rest = firstWord(rest)
		child := n.children[word]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			child = new(node)
			n.children[word] = child
		}
		n = child
		path = append(path, n)
	}
	above := path[:len(path)-1]
	switch wildcard {
	case '*':
		n.below[a] = e
	case '%':
		n.level[a] = e
		above = path
	default:
		n.exact[a] = e
		above[len(above)-1].kids[a].note(e)
	}
	for _, n := range above {
		n.under[a].note(e)
	}
}

// find returns the first rule that covers a binding name, and the first ones that are
// about a part of what a wildcard matches. Those come before the one that covers it, if
// there is one: else that would cover them.
func (t *tree) find(a Action, name string) (cover entry, inside firsts) {
	stem, wildcard := split(name)
	n := &t.root
	for rest := stem; rest != ""; {
		cover = first(cover, n.below[a])
		var word string
		if word, rest = firstWord(rest); rest == "" && wildcard == 0 {
			cover = first(cover, n.level[a])
		}
		if n = n.children[word]; n == nil {
			return cover, firsts{}
		}
	}
	switch wildcard {
	case '*':
		return first(cover, n.below[a]), n.under[a]
	case '%':
		return first(first(cover, n.below[a]), n.level[a]), n.kids[a]
	default:
		return first(cover, n.exact[a]), firsts{}
	}
}

// message is find for the name of a message.
func (t *tree) message(a Action, name string) entry {
	n := &t.root
	var cover entry
	for rest := name[1:]; ; {
		cover = first(cover, n.below[a])
		var word string
		word, rest = firstWord(rest)
		child := n.children[word]
		if rest == "" {
			cover = first(cover, n.level[a])
			if child != nil {
				cover = first(cover, child.exact[a])
			}
			return cover
		}
		if child == nil {
			return cover
		}
		n = child
	}
}

// cut appends the widest names that are allowed of what a wildcard matches, when no rule
// covers all of it, in the order of their words.
func (t *tree) cut(dst []string, a Action, name string) []string {
	stem, wildcard := split(name)
	n := &t.root
	for rest := stem; rest != ""; {
		var word string
		word, rest = firstWord(rest)
		if n = n.children[word]; n == nil {
			return dst
		}
	}
	stem = "$" + stem
	if wildcard == '*' {
		return n.cut(dst, a, stem)
	}
	return n.cutKids(dst, a, stem)
}

// cut appends what is allowed below a node.
func (n *node) cut(dst []string, a Action, stem string) []string {
	if n.under[a].allow == 0 {
		return dst
	}
	if n.level[a] > 0 {
		dst = append(dst, stem+".%")
	} else {
		dst = n.cutKids(dst, a, stem)
	}
	for _, word := range n.words() {
		child := n.children[word]
		if child.below[a] > 0 {
			dst = append(dst, stem+"."+word+".*")
		} else {
			dst = child.cut(dst, a, stem+"."+word)
		}
	}
	return dst
}

// cutKids appends the names one level below that are allowed one by one.
func (n *node) cutKids(dst []string, a Action, stem string) []string {
	if n.kids[a].allow == 0 {
		return dst
	}
	for _, word := range n.words() {
		if n.children[word].exact[a] > 0 {
			dst = append(dst, stem+"."+word)
		}
	}
	return dst
}

func (n *node) words() []string {
	words := make([]string, 0, len(n.children))
	for w := range n.children {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}
