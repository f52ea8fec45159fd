package server

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

	"github.com/kbus-limpet/limpet/limpet"
)

// Listen listens on an address. A Unix socket gets the mode, and is removed when
// the listener is closed; a stale one in its place is removed first, but nothing
// else ever is. The folder of a Unix socket is made, for its owner only, if it is
// not there.
func Listen(ctx context.Context, addr limpet.Address, mode fs.FileMode) (net.Listener, error) {
	var lc net.ListenConfig
	if addr.Network != "unix" {
		l, err := lc.Listen(ctx, addr.Network, addr.Address)
		if err != nil {
			return nil, fmt.Errorf("listening on %s: %w", addr, err)
		}
		return l, nil
	}
	if err := os.MkdirAll(filepath.Dir(addr.Address), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of socket %s: %w", addr, err)
	}
	if err := RemoveSocketFile(ctx, addr.Address); err != nil {
		return nil, err
	}
	l, err := lc.Listen(ctx, "unix", addr.Address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	if err := os.Chmod(addr.Address, mode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("setting the mode of socket %s: %w", addr, err)
	}
	return l, nil
}

// ErrInUse is wrapped by what RemoveSocketFile says of a socket that somebody
// listens on, and of a file that is no socket.
var ErrInUse = errors.New("in use")

// RemoveSocketFile removes the file of a Unix socket on which nobody listens any
// more. It is no error if there is none. A socket that answers, and a file that is
// no socket, are left alone and are an error.
func RemoveSocketFile(ctx context.Context, path string) error {
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
