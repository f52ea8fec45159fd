// Package peer accepts links: from daemons over gRPC, and from upstream's limpets
// over their socket protocol. It carries frames; what a link does is limpet's.
package peer
