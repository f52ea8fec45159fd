// Package kbusfs serves membus buses as device files to unmodified programs: each
// file answers the system calls and ioctls that the module's /dev/kbusN would. It
// speaks the kernel's FUSE protocol itself, in one of two ways.
//
// CUSE makes true character devices, in /dev. The kernel copies what an ioctl needs
// of its caller's memory in the caller's own time, at the price of asking twice.
//
// FUSE mounts a file system on a regular file, in any folder. stat tells the
// difference, and the caller's memory has to be read as a debugger would: with
// rights over it, and with a watchdog, since a caller can make that last.
//
// One reader per device handles requests in the order they arrive, RELEASE
// included: that is what makes a close visible to whoever looks next.
package kbusfs
