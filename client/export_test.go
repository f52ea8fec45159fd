package client

import "github.com/kbus-limpet/limpet/limpet/link"

// Break has the streams of Ksocks that are opened from now on wrapped, to be broken.
func (b *Bus) Break(wrap func(link.Stream) link.Stream) { b.wrap = wrap }

// Remembered returns how many replies a Caller that is not closed waits for, and how many it
// keeps for requests whose id is not known yet.
func (c *Caller) Remembered() (waiting, early int) {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	return len(c.calls.waiting), len(c.calls.early)
}
