package run

import (
	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/contestants"
	"github.com/kbus-limpet/limpet/bench/work"
)

// Roles returns what copies of this program can be.
func Roles() map[string]contest.Role {
	roles := contestants.Roles()
	roles[work.Role] = func([]string) error { return work.Serve(contestants.All()) }
	return roles
}
