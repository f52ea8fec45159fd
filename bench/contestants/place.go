package contestants

import (
	"path/filepath"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// newPlace returns an address for something to listen at: a Unix socket of this name on
// the stage, or a free TCP port.
func newPlace(s *contest.Stage, network, name string) (string, error) {
	if network == unix {
		return filepath.Join(s.Dir, name), nil
	}
	return contest.FreePort()
}
