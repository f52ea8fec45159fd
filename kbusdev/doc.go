// Package kbusdev says what a KBUS endpoint is: messages and their ids, names
// and wildcards, flags, bind events, errors, and the Ksock contract that every
// bus here keeps.
//
// KBUS is a Linux kernel module that gives programs a message bus through
// /dev/kbusN. Its facts (orders of checks, errnos, layouts) decide what this
// package does; the conformance suite in bustest replays recordings of the real
// module to prove it.
package kbusdev
