package link

// A fifo is a queue in chunks, so that nothing is moved when it grows. The zero value is
// empty. Chunks come from spares, which several queues may share.
type fifo[T any] struct {
	chunks []*[chunkLen]T
	first  int // where the first item is in the first chunk
	n      int
}

const (
	chunkLen = 16
	// maxSpare chunks are kept for the next burst.
	maxSpare = 4096 / chunkLen
)

// Spares are empty chunks. The zero value has none.
type spares[T any] []*[chunkLen]T

func (s *spares[T]) take() *[chunkLen]T {
	last := len(*s) - 1
	if last < 0 {
		return new([chunkLen]T)
	}
	c := (*s)[last]
	*s = (*s)[:last]
	return c
}

// keep keeps an empty chunk, unless there are enough.
func (s *spares[T]) keep(c *[chunkLen]T) {
	if len(*s) < maxSpare {
		*s = append(*s, c)
	}
}

// at returns the i-th item, 0 <= i < n. The pointer is valid until the item is dropped,
// or something is withdrawn.
func (f *fifo[T]) at(i int) *T {
	i += f.first
	return &f.chunks[i/chunkLen][i%chunkLen]
}

// grow adds an item, which is zero, and returns it.
func (f *fifo[T]) grow(s *spares[T]) *T {
	if f.first+f.n == len(f.chunks)*chunkLen {
		f.chunks = append(f.chunks, s.take())
	}
	f.n++
	return f.at(f.n - 1)
}

// drop removes the first item.
func (f *fifo[T]) drop(s *spares[T]) {
	var zero T
	*f.at(0) = zero
	f.first++
	f.n--
	if f.first == chunkLen {
		s.keep(f.chunks[0])
		f.chunks[0] = nil
		f.chunks = f.chunks[1:]
		f.first = 0
	}
}

// dropLast removes the last item.
func (f *fifo[T]) dropLast(s *spares[T]) {
	var zero T
	*f.at(f.n - 1) = zero
	f.n--
	f.trim(s)
}

// withdraw removes the items that unwanted reports, and keeps the order of the others.
func (f *fifo[T]) withdraw(s *spares[T], unwanted func(*T) bool) {
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
	f.trim(s)
}

// trim gives back the chunks behind the last item.
func (f *fifo[T]) trim(s *spares[T]) {
	used := (f.first + f.n + chunkLen - 1) / chunkLen
	for _, c := range f.chunks[used:] {
		s.keep(c)
	}
	clear(f.chunks[used:])
	f.chunks = f.chunks[:used]
}
