// Package tape writes values to bytes and reads them back. One description serves both
// ways: a function that names the parts of a value, in order, writes them to a Tape that
// is being written, and sets them from one that is being read. So what is recorded of the
// machines and what a replay takes cannot differ.
package tape
