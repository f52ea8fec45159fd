//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package records

import (
	"os"
	"path/filepath"
)

// claim does what it can: other systems have no such locks.
func claim(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
