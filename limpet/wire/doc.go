// Package wire turns the frames and messages of package link into protobuf, and back. It
// judges only what has no place in a Go value, such as an id of the wrong length, and
// what would take much memory.
package wire
