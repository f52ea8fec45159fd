// Package load is what the programs of a measurement do: one process sends and asks,
// another listens and replies. The benchmark drives both with calls over their standard
// input and output.
package load
