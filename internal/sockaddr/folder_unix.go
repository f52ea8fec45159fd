//go:build unix

package sockaddr

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckFolder reports whether only this user, and root, can have made the socket at
// path: its folder must belong to this user or root, must not be writable by others,
// and must not be a symbolic link that another user made. The error names the
// folder and what is wrong with it; it wraps fs.ErrNotExist if there is no folder,
// and fs.ErrPermission if it cannot be trusted.
func CheckFolder(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Lstat(dir)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		if owner := ownerOf(info); !trusted(owner) {
			return distrust(path, "is a symbolic link of user %d", owner)
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("looking at the folder of socket %s: %w", path, err)
	}
	owner, mode := ownerOf(info), info.Mode().Perm()
	switch {
	case !info.IsDir():
		return fmt.Errorf("the folder of socket %s: %s is not a folder; choose another path", path, dir)
	case !trusted(owner):
		return distrust(path, "belongs to user %d (mode %04o)", owner, mode)
	case mode&0o022 != 0:
		return distrust(path, "is writable by others (mode %04o, of user %d); chmod go-w it", mode, owner)
	}
	return nil
}

func distrust(path, format string, args ...any) error {
	return fmt.Errorf("socket %s: its folder %s %s, so another user could take the socket's place: %w; choose a folder that only user %d can write",
		path, filepath.Dir(path), fmt.Sprintf(format, args...), fs.ErrPermission, os.Geteuid())
}

func trusted(owner int) bool { return owner == 0 || owner == os.Geteuid() }

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
