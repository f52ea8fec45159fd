package load

// A ring is data to send over and over: as many buffers as can be under way, twice, so
// that none is changed before its message was heard.
type ring struct {
	buffers [][]byte
	at      int
}

// newRing returns buffers of these sizes over and over; none if there are no sizes.
func newRing(sizes []int, ahead int) *ring {
	r := new(ring)
	for len(sizes) > 0 && len(r.buffers) < 2*ahead {
		for _, n := range sizes {
			r.buffers = append(r.buffers, make([]byte, n))
		}
	}
	return r
}

func (r *ring) next() []byte {
	b := r.buffers[r.at]
	r.at = (r.at + 1) % len(r.buffers)
	return b
}
