// Package sim runs networks of buses and limpets in one thread, under a seed and with
// a clock of its own. Whatever the goroutines of a daemon could do at any moment, the
// simulator may do next, and the seed decides; so one number replays every step of a run.
//
// The buses are membus, and what decides is the Epoch that a daemon runs. The simulator
// takes the place of what carries: the pumps to and from the bus, the streams, who
// dials again, and the programs on the buses. It cuts streams at any frame, lets a
// direction go silent, stops a daemon for a while, or starts it anew; it makes windows
// and queues small. It drains links and daemons, and makes a peer's table wrong, which a
// digest must find.
//
// World.Run returns what is wrong: a request without its one reply, a reply from the
// wrong program, a request that ran although its reply says that it never did, an
// announcement twice, missing or out of order, counts that do not add up, a request that
// a drain has cut off, and whatever has not come to rest, or is bound on one bus and not
// on another, some time after the last fault.
//
// One seed again, with all that happens in it:
//
//	go test ./limpet/sim -run 'Seed$' -seed 17 -v
package sim
