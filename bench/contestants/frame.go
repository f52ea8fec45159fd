package contestants

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// A frame of the relay is this header, in little endian, and data.
//
//	4 bytes  the length of the data
//	1 byte   the kind
//	4 bytes  the caller of a request or its reply
const frameHeader = 9

// maxFrame bounds the data of a frame.
const maxFrame = 1 << 20

// The kinds of the floors' messages.
const (
	announcement = iota + 1
	request
	reply
)

func putFrame(header []byte, kind byte, caller uint32, size int) {
	binary.LittleEndian.PutUint32(header, uint32(size))
	header[4] = kind
	binary.LittleEndian.PutUint32(header[5:], caller)
}

// readFrame reads a frame into buf, which grows if it must, and returns it whole.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:frameHeader]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, err
	}
	n := binary.LittleEndian.Uint32(buf)
	if n > maxFrame {
		return buf, fmt.Errorf("a frame has %d bytes, at most %d are allowed", n, maxFrame)
	}
	total := frameHeader + int(n)
	if cap(buf) < total {
		buf = append(make([]byte, 0, total), buf...)
	}
	buf = buf[:total]
	_, err := io.ReadFull(r, buf[frameHeader:])
	return buf, err
}
