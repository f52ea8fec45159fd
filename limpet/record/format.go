package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kbus-limpet/limpet/limpet/tape"
)

// Format is the version of the files that this package writes, and reads.
const Format = 1

// magic is what every file begins with, whatever its version.
const magic = "limpet record\n"

// A Header is what a file says of itself.
type Header struct {
	// Format is the version of the file, Software that of the program that has written it.
	Format   int    `json:"format"`
	Software string `json:"software"`
	// Link is the name of the link, NetworkID ours, and PeerNetworkID the peer's.
	Link          string `json:"link"`
	NetworkID     uint32 `json:"network_id"`
	PeerNetworkID uint32 `json:"peer_network_id"`
	// Session names the epoch, and Part counts its files, from 1.
	Session string `json:"session"`
	Part    int    `json:"part"`
	// Begins says why the file begins: see the constants.
	Begins string `json:"begins"`
	// Lost is how many events there were since the end of the file before, if that is why.
	Lost uint64 `json:"lost,omitempty"`
	// First is the number of the file's first event in the epoch, from 1, those that were
	// lost among them.
	First uint64 `json:"first"`
	// Base is the time from which others are counted.
	Base time.Time `json:"base"`
	// Data reports that messages are there with their data.
	Data bool `json:"data,omitempty"`
	// Epoch is what the epoch was made with, as the limpet that has written it knows.
	Epoch json.RawMessage `json:"epoch"`
}

// Why a file begins.
const (
	// Begun: the epoch has begun.
	Begun = "epoch"
	// Rotated: the file before is full. This one goes on where that one ends.
	Rotated = "rotated"
	// Gap: events were lost, because the disk was too slow or had no room.
	Gap = "gap"
	// Cut: it was cut out of another one.
	Cut = "cut"
)

// The kinds of blocks.
const (
	headerBlock byte = iota + 1
	stateBlock
	eventsBlock
	gapBlock
	endBlock
)

// Bounds of a block: what a reader takes into memory at once.
const (
	// MaxBlock is the largest block, in bytes: the data of all that is read from a bus at once.
	MaxBlock = 64 << 20
)

// blockOverhead is what a block has beside its bytes: its kind, length and checksum.
const blockOverhead = 1 + 4 + 4

// appendBlock appends a block to b.
func appendBlock(b []byte, kind byte, payload []byte) []byte {
	start := len(b)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, tape.Checksum(b[start:]))
}

// AppendStart appends the beginning of a file to b: the header and the state.
func AppendStart(b []byte, h *Header, state []byte) ([]byte, error) {
	h.Format = Format
	header, err := json.Marshal(h)
	if err != nil {
		return b, fmt.Errorf("the header of a record: %w", err)
	}
	if len(header) > MaxBlock || len(state) > MaxBlock {
		return b, fmt.Errorf("a record begins with %d and %d bytes, at most %d are possible", len(header), len(state), MaxBlock)
	}
	b = append(b, magic...)
	b = appendBlock(b, headerBlock, header)
	return appendBlock(b, stateBlock, state), nil
}

// AppendEvents appends a block to b. events are those of AppendEvent, at most MaxBlock bytes.
func AppendEvents(b, events []byte) []byte { return appendBlock(b, eventsBlock, events) }

// AppendEvent appends an event to those of a block.
func AppendEvent(b, event []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(event))), event...)
}

// AppendGap appends to b that events were lost behind what is there: the file ends.
func AppendGap(b []byte) []byte { return appendBlock(b, gapBlock, nil) }

// AppendEnd appends to b that the epoch, or the file, has ended in good order.
func AppendEnd(b []byte) []byte { return appendBlock(b, endBlock, nil) }

// A Sink takes the record of one epoch. It waits for nobody. Its methods are called by
// one goroutine at a time.
type Sink interface {
	// Begin begins a file with this header, to which it adds what it knows, and state. It
	// returns false if there is no room now.
	Begin(h *Header, state []byte) bool
	// Append takes an event, which it copies.
	Append(event []byte) Verdict
	// Ready reports whether Begin has a prospect, after an event was not taken.
	Ready() bool
	// End ends the record.
	End()
}

// A Verdict is what has become of an event.
type Verdict int

// The verdicts.
const (
	// Taken: it is in the record.
	Taken Verdict = iota
	// Full: so it is, and another file is to begin as soon as that is possible.
	Full
	// Lost: it is not, and nothing after it before the next Begin would be of use.
	Lost
)
