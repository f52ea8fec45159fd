package link

// A fifo is a queue in a ring that grows. When a burst is over, it gives its memory
// back. The zero value is empty.
type fifo[T any] struct {
	ring  []T // its length is 0 or a power of two
	first int
	n     int
}

// Sizes of a ring, in items.
const (
	minRing  = 16
	keepRing = 1024 // one of this size is kept for the next burst
)

// at returns the i-th item, 0 <= i < n. The pointer is valid until the next change.
func (f *fifo[T]) at(i int) *T { return &f.ring[(f.first+i)&(len(f.ring)-1)] }

func (f *fifo[T]) push(it *T) {
	if f.n == len(f.ring) {
		f.resize(max(minRing, 2*len(f.ring)))
	}
	f.n++
	*f.at(f.n - 1) = *it
}

// drop removes the first item.
func (f *fifo[T]) drop() {
	var zero T
	*f.at(0) = zero
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.n--
	f.shrink()
}

// withdraw removes the items that unwanted reports, and keeps the order of the others.
func (f *fifo[T]) withdraw(unwanted func(*T) bool) {
	kept := 0
	for i := range f.n {
		it := f.at(i)
		if unwanted(it) {
			continue
		}
		if kept != i {
			*f.at(kept) = *it
		}
		kept++
	}
	var zero T
	for i := kept; i < f.n; i++ {
		*f.at(i) = zero
	}
	f.n = kept
	f.shrink()
}

// shrink halves a large ring that is mostly empty. What is left fills at most half of
// it, so that it need not grow again at once.
func (f *fifo[T]) shrink() {
	size := len(f.ring)
	for size > keepRing && f.n <= size/4 {
		size /= 2
	}
	if size < len(f.ring) {
		f.resize(size)
	}
}

func (f *fifo[T]) resize(size int) {
	ring := make([]T, size)
	for i := range f.n {
		ring[i] = *f.at(i)
	}
	f.ring, f.first = ring, 0
}
