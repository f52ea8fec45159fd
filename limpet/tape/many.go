package tape

import (
	"cmp"
	"maps"
	"slices"
)

// Slice takes a list; one takes an element. No element may be written as nothing, so that
// the memory of what is read is bounded by its bytes.
func Slice[T any](t *Tape, v *[]T, one func(*T)) {
	n := len(*v)
	t.Count(&n)
	if !t.reading {
		for i := range *v {
			one(&(*v)[i])
		}
		return
	}
	*v = nil
	for range t.atMostLeft(n) {
		var e T
		if one(&e); t.err != nil {
			return
		}
		*v = append(*v, e)
	}
}

// atMostLeft returns a count that was read, unless it cannot be right: each has a byte.
func (t *Tape) atMostLeft(n int) int {
	if n > t.Left() {
		t.fail(ErrShort)
		return 0
	}
	return n
}

// Map takes a map, in the order of its keys; one takes a key and its value. A nil map and
// an empty one are the same, and read as an empty one.
func Map[K comparable, V any](t *Tape, v *map[K]V, compare func(a, b K) int, one func(*K, *V)) {
	n := len(*v)
	t.Count(&n)
	if !t.reading {
		for _, k := range slices.SortedFunc(maps.Keys(*v), compare) {
			e := (*v)[k]
			one(&k, &e)
		}
		return
	}
	*v = make(map[K]V)
	for range t.atMostLeft(n) {
		var k K
		var e V
		if one(&k, &e); t.err != nil {
			return
		}
		(*v)[k] = e
	}
}

// Named takes a map by names.
func Named[V any](t *Tape, v *map[string]V, one func(*V)) {
	Map(t, v, cmp.Compare, func(k *string, e *V) { t.Name(k); one(e) })
}

// Pointer takes what a pointer points to, and whether it is nil.
func Pointer[T any](t *Tape, v **T, one func(*T)) {
	set := *v != nil
	t.Bool(&set)
	switch {
	case !set:
		*v = nil
		return
	case t.reading:
		*v = new(T)
	}
	one(*v)
}
