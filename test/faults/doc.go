// Package faults has tests of limpetd processes, and of programs, whose links, streams and
// lives are cut short: what programs were told is compared with what happened.
package faults
