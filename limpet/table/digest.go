package table

import "github.com/kbus-limpet/limpet/kbusdev"

// A Digest stands for a table: two with the same entries have the same digest, in
// whatever order they were added, and two with different entries hardly ever do. It
// is comparable, and its zero value is the digest of an empty table. An entry that
// was added twice counts twice.
//
// Both machines must make the same: the hash of an entry is FNV-1a, 64 bits, over
// one byte, 1 for a replier and 0 for a listener, the binder as four bytes, lowest
// first, and the name; then the mixing of SplitMix64, because sums of FNV hashes
// alone are equal when two binders swap two similar names. Sum adds the hashes up,
// modulo 2^64.
type Digest struct {
	// Count is the number of entries.
	Count uint64
	// Sum is the sum of their hashes.
	Sum uint64
}

// Add adds an entry.
func (d *Digest) Add(role kbusdev.Role, name string, binder kbusdev.KsockID) {
	d.Count++
	d.Sum += hash(role, name, binder)
}

// Remove takes away an entry that was added.
func (d *Digest) Remove(role kbusdev.Role, name string, binder kbusdev.KsockID) {
	d.Count--
	d.Sum -= hash(role, name, binder)
}

func hash(role kbusdev.Role, name string, binder kbusdev.KsockID) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3 // FNV's
	h := uint64(offset)
	if role == kbusdev.Replier {
		h ^= 1
	}
	h *= prime
	for range 4 {
		h = (h ^ uint64(byte(binder))) * prime
		binder >>= 8
	}
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
