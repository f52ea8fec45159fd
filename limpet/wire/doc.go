// Package wire turns frames and messages into protobuf and back. It judges only what
// has no place in a Go value, such as an id of the wrong length.
package wire
