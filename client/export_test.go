package client

import "github.com/kbus-limpet/limpet/limpet/link"

// Break has the streams of Ksocks that are opened from now on wrapped, to be broken.
func (b *Bus) Break(wrap func(link.Stream) link.Stream) { b.wrap = wrap }
