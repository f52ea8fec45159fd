//go:build unix

package main

import "syscall"

// mayUse reports whether this user may open a file for reading and writing. It does not
// open it: that would make a Ksock.
func mayUse(path string) bool { return syscall.Access(path, 4|2) == nil }
