package load

import (
	"encoding/binary"
	"time"
)

// headerSize is what the header takes in a message's data: the time in nanoseconds, and
// the phase. Smaller messages have none.
const headerSize = 16

// The phases of a measurement. What comes late from an earlier one is not counted.
const (
	probing = iota
	warming
	measuring
)

func putHeader(data []byte, phase int, now time.Time) {
	if len(data) >= headerSize {
		binary.LittleEndian.PutUint64(data, uint64(now.UnixNano()))
		binary.LittleEndian.PutUint64(data[8:], uint64(phase))
	}
}

// parseHeader returns false if the message is too small to have a header.
func parseHeader(data []byte) (phase int, sent time.Time, ok bool) {
	if len(data) < headerSize {
		return 0, time.Time{}, false
	}
	return int(binary.LittleEndian.Uint64(data[8:])), time.Unix(0, int64(binary.LittleEndian.Uint64(data))), true
}
