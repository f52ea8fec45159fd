package run

import (
	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/contestants"
	"github.com/kbus-limpet/limpet/bench/load"
)

// Roles returns what copies of this program can be.
func Roles() map[string]contest.Role {
	roles := contestants.Roles()
	roles[load.Role] = func([]string) error { return load.Serve(contestants.All()) }
	return roles
}
