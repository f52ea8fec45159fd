// Package trap is for tests of what code does not look at.
package trap

import (
	"syscall"
	"testing"
	"unsafe"
)

// New returns a pointer to what faults when it is read or written, which ends the process
// and says where. A T must have no more than 64 KiB. The garbage collector does not follow
// the pointer.
func New[T any](t testing.TB) *T {
	t.Helper()
	memory, err := syscall.Mmap(-1, 0, 1<<16, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	return (*T)(unsafe.Pointer(&memory[0]))
}
