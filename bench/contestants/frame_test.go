package contestants

import (
	"bufio"
	"bytes"
	"testing"
)

func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	for i, size := range []int{0, 5, 70_000, 1} {
		var header [frameHeader]byte
		putFrame(header[:], request, uint32(i), size)
		stream.Write(header[:])
		stream.Write(bytes.Repeat([]byte{byte(i)}, size))
	}
	whole := bytes.Clone(stream.Bytes())
	r := bufio.NewReader(&stream)
	buf := make([]byte, frameHeader)
	var again []byte
	for range 4 {
		var err error
		if buf, err = readFrame(r, buf); err != nil {
			t.Fatal(err)
		}
		again = append(again, buf...)
	}
	if !bytes.Equal(again, whole) {
		t.Error("the frames that were read are not those that were written")
	}
	if _, err := readFrame(r, buf); err == nil {
		t.Error("a frame comes after the last one")
	}
	var header [frameHeader]byte
	putFrame(header[:], request, 1, maxFrame+1)
	if _, err := readFrame(bufio.NewReader(bytes.NewReader(header[:])), buf); err == nil {
		t.Error("a frame may be larger than the bound")
	}
}
