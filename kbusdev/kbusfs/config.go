package kbusfs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// Bounds of Config.
const (
	// MaxDevices is how many devices there can be at most, as with the module.
	MaxDevices = 256
	// DefaultMaxQueue is Config.MaxQueue if that is 0, in messages: enough for the
	// limpet of a large bus.
	DefaultMaxQueue = 256 << 10
)

// Config is what a Server needs.
type Config struct {
	// Set holds the buses, in kbusdev.HostLayout. Required.
	Set *membus.Set
	// Dir is the folder where the device files kbus0, kbus1... appear. It must exist.
	// "" is /dev.
	Dir string
	// Devices is how many there are at first, from 1 to MaxDevices; 0 is 1.
	Devices int
	// Mode is the files' permission bits. Root opens them whatever it is; with 0
	// nobody else does.
	Mode fs.FileMode
	// MaxQueue is the most messages to which a program can raise the bound of its
	// queue with MAXMSGS; if it asks for more, it gets this, and MAXMSGS says so.
	// 0 is DefaultMaxQueue.
	MaxQueue uint32
	// By is what makes the files: CUSE, FUSE, or with "" CUSE if that is available,
	// else FUSE.
	By By
	// JudgeOf returns who judges what a program does that opens a device; nil, as JudgeOf
	// itself may be, is nobody: it may do everything. It calls nothing of the Server, and is
	// safe for concurrent use. When it has other answers, RulesChanged is called.
	JudgeOf func(Program) membus.Judge
	// OnDenied, unless nil, is told of each message that a program may not send. It is called
	// under the bus's lock, and is bound as membus.Judge's methods are; it does not keep the
	// message's data.
	OnDenied func(Program, *kbusdev.Message)
	// Log gets a line for each device that appears or goes. Required.
	Log *slog.Logger
}

// A Program is who has opened a device, as the kernel knew it then. A file that is open may be
// handed on: it stays the opener's.
type Program struct {
	UID, GID uint32
	// Groups are the supplementary groups, where /proc tells them.
	Groups []uint32
	PID    int32
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = "/dev"
	}
	if c.Devices == 0 {
		c.Devices = 1
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	return c
}

// Validate returns an error if no Server can run with the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Devices < 1 || c.Devices > MaxDevices:
		return fmt.Errorf("%d devices: the number must be from 1 to %d", c.Devices, MaxDevices)
	case c.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("device mode %v: it has more than permission bits", c.Mode)
	case c.By != "" && c.By != CUSE && c.By != FUSE:
		return fmt.Errorf("devices by %q: the ways are %q and %q", c.By, CUSE, FUSE)
	}
	info, err := os.Stat(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder for the devices: %w; make it first", err)
	}
	if err != nil {
		return fmt.Errorf("the folder for the devices: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the folder for the devices: %s is not a folder", c.Dir)
	}
	return nil
}

// By is what makes device files for a Server.
type By string

const (
	// CUSE makes true character devices, in /dev and nowhere else. It needs
	// /dev/cuse, which only root can open.
	CUSE By = "cuse"
	// FUSE mounts a regular file that behaves as the device does, in any folder; only
	// stat tells. It needs /dev/fuse, and the right to mount or fusermount3.
	FUSE By = "fuse"
)
