package sockaddr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
)

// ErrInUse is wrapped by errors about a path that a listening program or a file
// that is no socket occupies.
var ErrInUse = errors.New("in use")

// Config says how Listen listens.
type Config struct {
	// Mode is the permission bits of a Unix socket's file; 0 is 0600, or 0660 with Group.
	Mode fs.FileMode
	// Group is the id of the group that a Unix socket's file is given to; 0 is none. A
	// folder that is made for the socket is open to that group too, with mode 0750.
	Group int
	// Private requires that the folder of a Unix socket passes CheckFolder.
	Private bool
	// Log gets a line when accepting starts to fail and when it works again, and when
	// the file of a Unix socket is lost and restored; nil logs nothing.
	Log *slog.Logger
}

// Listen listens on an address. Accept of the listener it returns retries errors
// that may pass, as Retry does. The caller must close the listener.
//
// The folder of a Unix socket is made with mode 0700 if it does not exist. A stale
// socket in the way is removed, no other file ever is: what is in use gives an
// error that wraps ErrInUse. The socket file appears with its final mode and group, is put
// back when another program removes it, and is removed by Close.
func Listen(ctx context.Context, addr Address, cfg Config) (net.Listener, error) {
	if cfg.Mode == 0 {
		cfg.Mode = 0o600
		if cfg.Group != 0 {
			cfg.Mode = 0o660
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if addr.Network == "unix" {
		l, err := listenUnix(ctx, addr.Address, cfg)
		if err != nil {
			return nil, err
		}
		return Retry(l, cfg.Log), nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, addr.Network, addr.Address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return Retry(l, cfg.Log), nil
}
