// Package rpcstream is what the ends of the streaming calls Link and Attach have in common:
// the connection of the side that dials, what is heard on it, how an end is closed, and why
// a call ended in words that are not gRPC's.
package rpcstream
