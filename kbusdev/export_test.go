package kbusdev

import "io"

// ParseBindings is parseBindings.
func ParseBindings(r io.Reader, device uint32, end string) ([]Binding, error) {
	return parseBindings(r, device, end)
}

// MaxListed, MaxListedBytes and MaxPolled are bounds.
const (
	MaxListed      = maxListed
	MaxListedBytes = maxListedBytes
	MaxPolled      = maxPolled
)
