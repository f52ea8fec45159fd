// Package daemon makes a configuration into a running daemon: a bus, its node, what
// listens and what dials. Commands, tests and benchmarks share it.
package daemon
