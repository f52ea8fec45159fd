package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A Reader reads a file, which may have gone through other programs: it takes both byte
// orders, and skips blocks that say nothing of messages. It keeps no more than one block. It
// is not safe for concurrent use.
type Reader struct {
	from   *bufio.Reader
	order  binary.ByteOrder
	links  []uint16 // the link types of the section's interfaces
	offset int64    // of the next block
}

// NewReader returns a reader. The error is an *Error if the file does not begin as one that
// is pcapng.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: bufio.NewReader(from)}
	head, err := r.from.Peek(4)
	if len(head) == 4 && binary.LittleEndian.Uint32(head) == blockSection {
		return r, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, &Error{0, errNoCapture}
}

// Next returns what the next packet has, and where its block begins. At the end of the file
// the error is io.EOF; what is wrong with a file is an *Error, after which nothing more can
// be read.
func (r *Reader) Next() (*pb.TapResponse, int64, error) {
	for {
		at := r.offset
		kind, body, err := r.block()
		if err == nil {
			var found *pb.TapResponse
			if found, err = r.take(kind, body); found != nil {
				return found, at, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, at, io.EOF
		case err != nil:
			return nil, at, &Error{at, err}
		}
	}
}

// block reads a block; of one that nobody looks at the body is nil. The error is io.EOF at
// the end of the file.
func (r *Reader) block() (kind uint32, body []byte, err error) {
	var head [minBlock]byte
	n, err := io.ReadFull(r.from, head[:8])
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, nil, io.EOF
	}
	if err != nil {
		return 0, nil, cutOff(err)
	}
	if kind = binary.LittleEndian.Uint32(head[:]); kind == blockSection { // the same in both orders
		if _, err := io.ReadFull(r.from, head[8:]); err != nil {
			return 0, nil, cutOff(err)
		}
		if err := r.section(head[8:]); err != nil {
			return 0, nil, err
		}
	} else {
		kind = r.order.Uint32(head[:])
	}
	size := r.order.Uint32(head[4:])
	left := int64(size) - 8
	if kind == blockSection {
		left -= 4
	}
	known := kind == blockSection || kind == blockInterface || kind == blockPacket
	switch {
	case size < minBlock || size%4 != 0 || left < 4:
		return 0, nil, fmt.Errorf("a block of %d bytes: it has at least %d, and a multiple of 4", size, minBlock)
	case known && size > maxBlock:
		return 0, nil, fmt.Errorf("a block of %d bytes: at most %d are read", size, maxBlock)
	}
	r.offset += int64(size)
	if !known {
		if _, err := io.CopyN(io.Discard, r.from, left); err != nil {
			return 0, nil, cutOff(err)
		}
		return kind, nil, nil
	}
	var b bytes.Buffer // which grows with what is there, not with what the block says
	if _, err := io.CopyN(&b, r.from, left); err != nil {
		return 0, nil, cutOff(err)
	}
	body = b.Bytes()
	if again := r.order.Uint32(body[len(body)-4:]); again != size {
		return 0, nil, fmt.Errorf("a block says at its beginning that it has %d bytes, at its end %d", size, again)
	}
	return kind, body[:len(body)-4], nil
}

// cutOff returns the error of a read in the middle of a block.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCutOff
	}
	return err
}

// section begins a section, whose byte order these four bytes tell.
func (r *Reader) section(magic []byte) error {
	for _, order := range orders {
		if order.Uint32(magic) == byteOrderMagic {
			r.order, r.links = order, nil
			return nil
		}
	}
	return fmt.Errorf("a section with the byte order % x", magic)
}

// take looks at a block, and returns what a packet has.
func (r *Reader) take(kind uint32, body []byte) (*pb.TapResponse, error) {
	switch kind {
	case blockSection:
		if len(body) < 12 {
			return nil, fmt.Errorf("a section of %d bytes", len(body))
		}
		if major := r.order.Uint16(body); major != 1 {
			return nil, fmt.Errorf("version %d of pcapng; version 1 can be read", major)
		}
	case blockInterface:
		if len(body) < 8 {
			return nil, fmt.Errorf("an interface of %d bytes", len(body))
		}
		r.links = append(r.links, r.order.Uint16(body))
	case blockPacket:
		return r.packet(body)
	}
	return nil, nil //nolint:nilnil // it is no packet
}

func (r *Reader) packet(body []byte) (*pb.TapResponse, error) {
	const fields = 20
	if len(body) < fields {
		return nil, fmt.Errorf("a packet of %d bytes", len(body))
	}
	link, size := r.order.Uint32(body), r.order.Uint32(body[12:])
	switch {
	case uint64(link) >= uint64(len(r.links)):
		return nil, fmt.Errorf("a packet of interface %d, of %d", link, len(r.links))
	case r.links[link] != LinkType:
		return nil, fmt.Errorf("packets of link type %d, not %d: limpetctl tap has not written this", r.links[link], LinkType)
	case uint64(size) > uint64(len(body)-fields):
		return nil, fmt.Errorf("a packet of %d bytes in a block that has %d", size, len(body)-fields)
	}
	found := new(pb.TapResponse)
	if err := proto.Unmarshal(body[fields:fields+size], found); err != nil {
		return nil, fmt.Errorf("the packet is no message of a tap: %w", err)
	}
	if f := found.GetStart().GetFormat(); f > Format {
		return nil, fmt.Errorf("records of format %d; this program reads up to %d: a newer limpetctl is needed", f, Format)
	}
	return found, nil
}
