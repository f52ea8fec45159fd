package sockaddr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A bound is a listening Unix socket and the file that leads to it.
type bound struct {
	*net.UnixListener
	file fs.FileInfo
}

// bind listens at path. The socket is bound in a new folder that is closed to
// others, gets its mode and group there, and only then appears at path.
func bind(ctx context.Context, path string, cfg Config) (*bound, error) {
	dir := filepath.Dir(path)
	if err := makeFolder(dir, cfg.Group); err != nil {
		return nil, fmt.Errorf("making the folder of socket %s: %w", path, err)
	}
	if cfg.Private {
		if err := CheckFolder(path); err != nil {
			return nil, err
		}
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(dir, ".socket-*")
	if err != nil {
		return nil, fmt.Errorf("making socket %s: %w", path, err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // a left-over folder does no harm
	b, err := bindIn(ctx, private, cfg)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	if err := moveTo(filepath.Join(private, socketName), path); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("putting socket %s in its place: %w", path, err)
	}
	return b, nil
}

// makeFolder makes a folder, and those above it, that only this user can use, unless it is
// there. A group, unless 0, may then go through it to the socket.
func makeFolder(dir string, group int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return os.MkdirAll(dir, 0o700) // it says so if that is no folder
	case err != nil || group == 0:
		return err
	}
	if err := os.Chown(dir, -1, group); err != nil {
		return err
	}
	return os.Chmod(dir, 0o750)
}

const socketName = "s"

func bindIn(ctx context.Context, private string, cfg Config) (*bound, error) {
	at := filepath.Join(private, socketName)
	name, release, err := shorten(private, at)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", name)
	release()
	if err != nil {
		return nil, err
	}
	b := &bound{UnixListener: l.(*net.UnixListener)}
	b.SetUnlinkOnClose(false) // it would unlink the name it was bound to
	if cfg.Group != 0 {
		err = os.Chown(at, -1, cfg.Group)
	}
	if err == nil {
		err = os.Chmod(at, cfg.Mode)
	}
	if err == nil {
		b.file, err = os.Lstat(at)
	}
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// moveTo renames a socket. It does not replace a file that another program has
// made at the new path meanwhile, where the file system has hard links.
func moveTo(from, path string) error {
	err := os.Link(from, path)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("another program has just made it: %w", ErrInUse)
	default:
		return os.Rename(from, path)
	}
}

// isAt reports whether path still leads to the socket.
func (b *bound) isAt(path string) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(now, b.file)
}

// removeStale removes the file of a Unix socket on which nobody listens any more.
// It is no error if there is none. A socket that answers, and a file that is no
// socket, are left alone and are an error that wraps ErrInUse.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at socket %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket, so it is left alone: %w; choose another path or remove it", path, ErrInUse)
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("another program listens on socket %s: %w; choose another path or stop it", path, ErrInUse)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("trying socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing stale socket %s: %w", path, err)
	}
	return nil
}

// remove removes the file at path if it still is the socket's.
func (b *bound) remove(path string) {
	if b.isAt(path) {
		_ = os.Remove(path) // left behind, it is stale, which the next daemon clears
	}
}
