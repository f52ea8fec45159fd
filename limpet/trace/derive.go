package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// traceOf returns the trace of a request that carries none. The day is in it because serial
// numbers begin again with a bus.
func traceOf(id kbusdev.MsgID, now time.Time) (trace [16]byte) {
	day := now.Unix() / int64((24*time.Hour)/time.Second)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(day))
	binary.BigEndian.PutUint32(b[8:], id.Network)
	binary.BigEndian.PutUint32(b[12:], id.Serial)
	sum := sha256.Sum256(b[:])
	copy(trace[:], sum[:])
	return trace
}

// spanOf returns the span that a request has at a limpet. There is one Server for each
// network, whoever has brought it, and one Client for each network and peer.
func spanOf(trace [16]byte, id kbusdev.MsgID, kind Kind, network, peer uint32) (span [8]byte) {
	if kind == Server {
		peer = 0
	}
	var b [16 + 4*4 + 1]byte
	copy(b[:], trace[:])
	for i, n := range [...]uint32{id.Network, id.Serial, network, peer} {
		binary.BigEndian.PutUint32(b[16+4*i:], n)
	}
	b[32] = byte(kind)
	sum := sha256.Sum256(b[:])
	copy(span[:], sum[:])
	return span
}

// samples reports whether a trace is among this share of all, 0 to 1. The same trace is for
// the same share everywhere, and for every larger one.
func samples(trace [16]byte, share float64) bool {
	return float64(binary.BigEndian.Uint64(trace[8:])>>1) < share*math.MaxInt64
}
