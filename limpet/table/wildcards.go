package table

import "strings"

// wildcards finds the wildcards that match a name. They form a tree by their words,
// and those that match all lie on the way to the name, so the cost is the length of
// the name, however many there are.
type wildcards[T any] struct {
	root node[T]
}

// A node stands for one word; "$" is the root.
type node[T any] struct {
	parent       *node[T]
	word         string
	children     map[string]*node[T]
	level, below *T // of this name + ".%" and ".*"
}

// set puts v in the place of a wildcard name; nil takes what is there away.
func (w *wildcards[T]) set(name string, v *T) {
	n := &w.root
	for rest := name[1 : len(name)-2]; rest != ""; {
		var word string
		word, rest = firstWord(rest)
		child := n.children[word]
		if child == nil {
			if v == nil {
				return
			}
			if n.children == nil {
				n.children = make(map[string]*node[T])
			}
			child = &node[T]{parent: n, word: strings.Clone(word)}
			n.children[child.word] = child
		}
		n = child
	}
	if name[len(name)-1] == '%' {
		n.level = v
	} else {
		n.below = v
	}
	for ; n.parent != nil && n.level == nil && n.below == nil && len(n.children) == 0; n = n.parent {
		delete(n.parent.children, n.word)
	}
}

// match calls f for every wildcard that matches the name of a message, those with
// fewer words first, until f returns false. level: it ends in "%".
func (w *wildcards[T]) match(name string, f func(v *T, level bool) bool) {
	n := &w.root
	for rest := name[1:]; rest != "" && n != nil; {
		if n.below != nil && !f(n.below, false) {
			return
		}
		var word string
		if word, rest = firstWord(rest); rest == "" {
			if n.level != nil {
				f(n.level, true)
			}
			return
		}
		n = n.children[word]
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
