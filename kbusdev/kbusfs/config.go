package kbusfs

import (
	"io/fs"
	"log/slog"

	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Config is what a Server needs.
type Config struct {
	// Set holds the buses, in kbusdev.HostLayout. Required.
	Set *membus.Set
	// Dir is where the device files kbus0, kbus1... appear; "" is /dev.
	Dir string
	// Devices is how many there are at first, at least 1.
	Devices int
	// Mode is the files' permission bits; 0 is 0666.
	Mode fs.FileMode
	// By is what makes the files: CUSE, FUSE, or with "" the better of the two that
	// can be had.
	By By
	// Log gets a line for each device that appears or goes.
	Log *slog.Logger
}

// By is what makes device files for a Server.
type By string

const (
	// CUSE makes true character devices, in /dev and nowhere else. It needs
	// /dev/cuse, which is root's.
	CUSE By = "cuse"
	// FUSE mounts a regular file that behaves as the device does, in any folder; only
	// stat tells. It needs /dev/fuse, and the right to mount or fusermount3.
	FUSE By = "fuse"
)
