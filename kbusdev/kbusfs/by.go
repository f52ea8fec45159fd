package kbusfs

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
