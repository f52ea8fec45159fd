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
	fault, err := judge(dir)
	switch {
	case err != nil:
		return fmt.Errorf("looking at the folder of socket %s: %w", path, err)
	case fault == "":
		return nil
	case fault == noFolder:
		return fmt.Errorf("the folder of socket %s: %s %s; choose another path", path, dir, fault)
	}
	return fmt.Errorf("socket %s: its folder %s %s, so another user could take the socket's place: %w; choose a folder that only user %d can write",
		path, dir, fault, fs.ErrPermission, os.Geteuid())
}

// TrustFolder is CheckFolder for a folder in which something else is kept.
func TrustFolder(what, dir string) error {
	fault, err := judge(dir)
	switch {
	case err != nil:
		return fmt.Errorf("looking at the folder for %s: %w; make it first, for user %d alone", what, err, os.Geteuid())
	case fault == "":
		return nil
	}
	return fmt.Errorf("the folder for %s, %s, %s, so another user could change what is in it: %w; choose a folder that only user %d can write",
		what, dir, fault, fs.ErrPermission, os.Geteuid())
}

const noFolder = "is not a folder"

// judge returns what is wrong with a folder; "" if it can be trusted.
func judge(dir string) (fault string, err error) {
	info, err := os.Lstat(dir)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		if owner := ownerOf(info); !trusted(owner) {
			return fmt.Sprintf("is a symbolic link of user %d", owner), nil
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return "", err
	}
	owner, mode := ownerOf(info), info.Mode().Perm()
	switch {
	case !info.IsDir():
		return noFolder, nil
	case !trusted(owner):
		return fmt.Sprintf("belongs to user %d (mode %04o)", owner, mode), nil
	case mode&0o022 != 0:
		return fmt.Sprintf("is writable by others (mode %04o, of user %d); chmod go-w it", mode, owner), nil
	}
	return "", nil
}

func trusted(owner int) bool { return owner == 0 || owner == os.Geteuid() }

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
