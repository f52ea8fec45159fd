// Package capture writes what AdminService.Tap shows into files, and reads it back. A file is
// pcapng (draft-ietf-opsawg-pcapng), so that Wireshark opens it: each packet is a TapResponse
// with one thing in it, of the link type for users' own use, 147. docs/tap.md has the whole
// form.
package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Format is the version of the records' form that is written, and the newest that is read.
const Format = 1

// LinkType is that of the packets: LINKTYPE_USER0.
const LinkType = 147

// The types of blocks, and the codes of options, that we write or look at.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6 // enhanced

	optionEnd         = 0
	optionApplication = 4 // of a section
	optionName        = 2 // of an interface
	optionDescription = 3
	optionResolution  = 9
	optionFlags       = 2 // of a packet

	byteOrderMagic = 0x1a2b3c4d
)

// Bounds of a file's blocks, in bytes.
const (
	minBlock = 12
	// maxBlock bounds a block that is looked at. A message has less than half of it.
	maxBlock = 1 << 20
)

// An Error says what is wrong with a file, and where.
type Error struct {
	// Offset is where the block begins that is wrong, in bytes.
	Offset int64
	// Err is what is wrong.
	Err error
}

// Error returns the error's text.
func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

var (
	errNoCapture = errors.New("this is no pcapng file; limpetctl tap --write makes them")
	errCutOff    = errors.New("the file ends within a block: it was cut off, or is still being written")
)

// orders are those of a file's numbers.
var orders = []binary.ByteOrder{binary.LittleEndian, binary.BigEndian}
