// Package limpet joins one Ksock, one translator and one session: a limpet. It
// reads its bus, carries what the rules say over the link, and keeps the ledger:
// every request taken from the bus ends in exactly one reply there, whatever dies.
//
// A Node is what all limpets of one bus share. Dial and Accept serve one epoch
// each, from the hello to the end of the stream; whoever opened the stream opens
// the next.
package limpet
