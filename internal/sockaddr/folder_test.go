//go:build unix

package sockaddr

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckFolder(t *testing.T) {
	root := t.TempDir()
	mkdir := func(name string, mode fs.FileMode, owner int) string {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(dir, mode), os.Chown(dir, owner, -1)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	link := func(name, to string, owner int) string {
		at := filepath.Join(root, name)
		if err := errors.Join(os.Symlink(to, at), os.Lchown(at, owner, -1)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	me := os.Geteuid()
	good := mkdir("good", 0o755, me)
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(dir, words string, is error) {
		t.Helper()
		err := CheckFolder(filepath.Join(dir, "api.sock"))
		if words == "" && err == nil {
			return
		}
		if err == nil || words == "" || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), dir) || is != nil && !errors.Is(err, is) {
			t.Errorf("%s: %v; want %q", dir, err, words)
		}
	}
	check(good, "", nil)
	check(link("mine", good, me), "", nil)
	check(mkdir("group", 0o770, me), "mode 0770", fs.ErrPermission)
	check(mkdir("all", 0o777|fs.ModeSticky, me), "mode 0777", fs.ErrPermission)
	check(filepath.Join(root, "nowhere"), "no such file", fs.ErrNotExist)
	check(file, "not a folder", nil)
	if me != 0 {
		t.Skip("only root can make folders of other users")
	}
	check(mkdir("other", 0o700, 12345), "belongs to user 12345", fs.ErrPermission)
	check(link("others", good, 12345), "symbolic link of user 12345", fs.ErrPermission)
}

func TestPrivateSocketNeedsItsOwnFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "api.sock")
	if _, err := Listen(t.Context(), unix(path), Config{Private: true}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in a folder that all can write: %v", err)
	}
	if got := entries(t, dir); got != "" {
		t.Errorf("the folder has %s", got)
	}
	l, err := Listen(t.Context(), unix(filepath.Join(dir, "sub", "api.sock")), Config{Private: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// A socket's group is there before the socket is, and a folder that is made lets it through.
func TestSocketOfAGroup(t *testing.T) {
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 12345
	}
	if group == 0 {
		t.Skip("neither root nor of a group but root's")
	}
	dir := filepath.Join(t.TempDir(), "made")
	path := filepath.Join(dir, "api.sock")
	l, err := Listen(t.Context(), unix(path), Config{Private: true, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for at, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o750, path: fs.ModeSocket | 0o660} {
		info, err := os.Lstat(at)
		if err != nil || info.Mode() != want || int(info.Sys().(*syscall.Stat_t).Gid) != group {
			t.Errorf("%s: %v, %v; want %v of group %d", at, info.Mode(), err, want, group)
		}
	}
	if os.Geteuid() == 0 {
		return
	}
	if _, err := Listen(t.Context(), unix(filepath.Join(dir, "other")), Config{Group: 1}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a group that is not this user's: %v", err)
	}
}
