// Package peer keeps the links up that this daemon dials, over gRPC or, to upstream's
// limpets, over their socket protocol.
package peer
