package link

import (
	"fmt"
	"time"
)

// Times after which a stream is given up.
const (
	// SilentAfter is how long not a byte may come from the peer.
	SilentAfter = 12 * time.Second
	// WedgedAfter is how long neither a frame nor AliveBytes may come from the peer.
	WedgedAfter = 45 * time.Second
)

// AliveBytes are more bytes than a transport sends for its own sake within WedgedAfter,
// such as the pings of HTTP/2, and far fewer than come on a slow link in the middle of
// a large frame.
const AliveBytes = 1 << 10

// ErrSilent ends a stream on which nothing has been heard of the peer for SilentAfter.
var ErrSilent = fmt.Errorf("nothing was heard of the peer for %v", SilentAfter)

// ErrWedged ends a stream whose transport lives while the peer behind it does not: it
// sends not even a Ping.
var ErrWedged = fmt.Errorf("the peer's connection lives, but nothing was heard of the peer itself for %v", WedgedAfter)

// A life is when signs of life were last seen of a peer. It is pure.
type life struct {
	bytes    uint64    // heard so far
	heard    time.Time // when that last changed
	frames   uint64    // received so far
	mark     uint64    // the bytes at the last progress
	progress time.Time // when a frame or AliveBytes last came
}

func newLife(now time.Time, bytes uint64) life {
	return life{bytes: bytes, heard: now, mark: bytes, progress: now}
}

// look takes how many bytes and frames have come until now, and returns ErrSilent or
// ErrWedged if the peer is to be given up.
func (l *life) look(now time.Time, bytes, frames uint64) error {
	if bytes != l.bytes {
		l.bytes, l.heard = bytes, now
	}
	if frames != l.frames || bytes-l.mark >= AliveBytes {
		l.frames, l.mark, l.progress = frames, bytes, now
	}
	switch {
	case now.Sub(l.heard) >= SilentAfter:
		return ErrSilent
	case now.Sub(l.progress) >= WedgedAfter:
		return ErrWedged
	}
	return nil
}
