//go:build linux || darwin || freebsd || netbsd || openbsd

package records

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// claim makes sure that no other daemon keeps its records in a folder, until what it returns
// is closed: each would remove the files of the other.
func claim(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another daemon keeps its records in %s; give each a folder of its own: %w", dir, err)
	}
	return f, nil
}
