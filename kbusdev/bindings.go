package kbusdev

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Bounds of a list of bindings: how many one device may have, and how long the list of
// all devices may be.
const (
	maxListed      = 1 << 18
	maxListedBytes = 64 << 20
)

// parseBindings reads a list of the bindings of all devices, as the module writes it,
// and returns those of one device, in the list's order. A line is a comment, which
// starts with '#', or "device: ksock pid R|L name". Of a name only the length is
// checked: the module allows letters that CheckBindName does not.
//
// A list that is malformed, cut off or beyond the bounds is an error, so that nobody
// takes a part of it for the whole. end, unless it is "", is the line that must be the
// last.
func parseBindings(r io.Reader, device uint32, end string) ([]Binding, error) {
	var all []Binding
	lines := bufio.NewReaderSize(r, 32<<10)
	ended := end == ""
	size := 0
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		size += len(line)
		switch {
		case size > maxListedBytes:
			return nil, fmt.Errorf("the list is longer than %d bytes", maxListedBytes)
		case err == io.EOF && ended && len(line) == 0:
			return all, nil
		case err == io.EOF:
			return nil, fmt.Errorf("the list is cut off after %d bytes: %w", size, io.ErrUnexpectedEOF)
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("line %d of the list is too long: %.100q", n, line)
		case err != nil:
			return nil, fmt.Errorf("reading the list: %w", err)
		}
		line = line[:len(line)-1]
		ended = end == "" || string(line) == end
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		b, ok := parseBinding(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d of the list is not a binding: %.100q", n, line)
		case b.device != device:
			continue
		case len(all) == maxListed:
			return nil, fmt.Errorf("the list has more than %d bindings of the device", maxListed)
		}
		all = append(all, Binding{Ksock: b.ksock, Role: b.role, Name: string(b.name)})
	}
}

// A listedBinding is a line of the list. Its name is a part of the line.
type listedBinding struct {
	device uint32
	ksock  KsockID
	role   Role
	name   []byte
}

func parseBinding(line []byte) (b listedBinding, ok bool) {
	device, rest, found := bytes.Cut(line, []byte(":"))
	ksock, rest := nextWord(rest)
	pid, rest := nextWord(rest)
	role, rest := nextWord(rest)
	name, rest := nextWord(rest)
	dev, devOK := parseNumber(bytes.TrimLeft(device, " "), 32)
	id, idOK := parseNumber(ksock, 32)
	_, pidOK := parseNumber(pid, 64)
	b = listedBinding{device: uint32(dev), ksock: KsockID(id), role: string(role) == "R", name: name}
	return b, found && devOK && idOK && id != 0 && pidOK && (b.role == Replier || string(role) == "L") &&
		len(name) > 0 && len(name) <= MaxNameLen && len(rest) == 0
}

// nextWord returns what stands before the next space, and what follows it.
func nextWord(line []byte) (word, rest []byte) {
	word, rest, _ = bytes.Cut(bytes.TrimLeft(line, " "), []byte(" "))
	return word, rest
}

func parseNumber(word []byte, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(string(word), 10, bits) // the copy stays on the stack
	return n, err == nil
}
