package link

// A fifo is a queue in chunks, so that nothing is moved when it grows. When a burst is
// over, it gives its memory back. The zero value is empty.
type fifo[T any] struct {
	chunks []*[chunkLen]T
	first  int // where the first item is in the first chunk
	n      int
	spare  []*[chunkLen]T // empty ones
}

const (
	chunkLen = 32
	// maxSpare chunks are kept for the next burst.
	maxSpare = 1024 / chunkLen
)

// at returns the i-th item, 0 <= i < n. The pointer is valid until the item is dropped,
// or something is withdrawn.
func (f *fifo[T]) at(i int) *T {
	i += f.first
	return &f.chunks[i/chunkLen][i%chunkLen]
}

func (f *fifo[T]) push(it *T) {
	if f.first+f.n == len(f.chunks)*chunkLen {
		f.chunks = append(f.chunks, f.chunk())
	}
	f.n++
	*f.at(f.n - 1) = *it
}

func (f *fifo[T]) chunk() *[chunkLen]T {
	last := len(f.spare) - 1
	if last < 0 {
		return new([chunkLen]T)
	}
	c := f.spare[last]
	f.spare = f.spare[:last]
	return c
}

// drop removes the first item.
func (f *fifo[T]) drop() {
	var zero T
	*f.at(0) = zero
	f.first++
	f.n--
	if f.first == chunkLen {
		f.keep(f.chunks[0])
		f.chunks[0] = nil
		f.chunks = f.chunks[1:]
		f.first = 0
	}
}

// keep keeps an empty chunk, unless there are enough.
func (f *fifo[T]) keep(c *[chunkLen]T) {
	if len(f.spare) < maxSpare {
		f.spare = append(f.spare, c)
	}
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
	used := (f.first + f.n + chunkLen - 1) / chunkLen
	for _, c := range f.chunks[used:] {
		f.keep(c)
	}
	clear(f.chunks[used:])
	f.chunks = f.chunks[:used]
}
