// Package explain is what daemons say to each other about what would become of a message,
// and who waits for whose word. It is pure.
//
// A Hop tells what would become of the message on one bus, and has a Branch for each link
// over which it would go on, which has the Hop behind it: so they are a tree. What decides is
// not here but in package limpet, which asks the rules, renames and tables that a real
// message would meet. A Desk keeps the questions that are open: it asks the peers of the
// branches, puts their answers in their places, and answers who has asked, at the latest when
// the time is over.
package explain
