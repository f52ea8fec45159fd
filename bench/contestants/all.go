package contestants

import "github.com/kbus-limpet/limpet/bench/contest"

// The contestants to which the others are compared.
const (
	NATS  = "nats-leaf"
	Floor = "floor-relay"
)

// All returns every contestant, in the order of the tables.
func All() []contest.Contestant {
	return []contest.Contestant{
		&limpetd{name: "limpetd-unix", network: unix, programs: unary, library: unaryLibrary},
		&limpetd{name: "limpetd-tcp", network: tcp, programs: unary, library: unaryLibrary},
		&limpetd{name: "attach-unix", network: unix, programs: attach, library: attachLibrary},
		&limpetd{name: "attach-tcp", network: tcp, programs: attach, library: attachLibrary},
		&limpetd{name: "classic-unix", network: unix, classic: true, programs: unary, library: unaryLibrary},
		&embedded{name: "embedded-unix", network: unix},
		&embedded{name: "embedded-tcp", network: tcp},
		&embedded{name: "embedded-classic", network: unix, classic: true},
		new(natsLeaf),
		new(mosquitto),
		new(grpcChain),
		new(relay),
	}
}

// Roles returns what copies of this program can be.
func Roles() map[string]contest.Role {
	return map[string]contest.Role{
		natsRole:      playNATS,
		relayRole:     playRelay,
		grpcChainRole: playGRPCChain,
		idleRole:      playIdle,
	}
}

// The networks of package net.
const (
	unix = "unix"
	tcp  = "tcp"
)
