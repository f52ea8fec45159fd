package link

// A fifo is a ring that grows, and gives its memory back when a burst is over.
type fifo struct {
	ring  []item // its length is a power of two
	first int
	n     int
}

func (f *fifo) at(i int) *item { return &f.ring[(f.first+i)&(len(f.ring)-1)] }

func (f *fifo) push(it *item) {
	if f.n == len(f.ring) {
		bigger := make([]item, max(16, 2*len(f.ring)))
		for i := range f.n {
			bigger[i] = *f.at(i)
		}
		f.ring, f.first = bigger, 0
	}
	f.n++
	*f.at(f.n - 1) = *it
}

// drop removes the first item.
func (f *fifo) drop() {
	*f.at(0) = item{}
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.n--
	if f.n == 0 && len(f.ring) > 4096 {
		*f = fifo{}
	}
}

// withdraw removes the items that unwanted reports, and keeps the order of the others.
func (f *fifo) withdraw(unwanted func(*item) bool) {
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
	for i := kept; i < f.n; i++ {
		*f.at(i) = item{}
	}
	f.n = kept
}
