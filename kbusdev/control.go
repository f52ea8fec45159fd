package kbusdev

import "path/filepath"

// What can be asked of whoever serves device files from user space.
const (
	// ControlBindings asks for what /proc/kbus/bindings shows with the module: for
	// each device a comment, then a line "device: ksock pid R|L name" for each binding.
	ControlBindings = "bindings"
	// ControlStats asks for a comment for each device, then a line for each Ksock.
	ControlStats = "stats"
)

// ControlSocket is the Unix socket at which the server of the device files in dir
// (kbusd, or limpetd with --expose) answers questions. Who asks writes one word
// and a newline, and reads text until the end.
func ControlSocket(dir string) string {
	if filepath.Clean(dir) == "/dev" {
		return "/run/kbusd.sock"
	}
	return filepath.Join(dir, "kbusd.sock")
}
