// Package record is the files in which an epoch's decisions are recorded: docs/records.md
// describes them. A file begins with the state of the machines, so that it can be replayed
// by itself, and ends after any number of events, perhaps in the middle of one.
//
// What an event is the writer and the player of package limpet know; here it is bytes.
package record
