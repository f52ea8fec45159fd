package counted

import "syscall"

const canTry = true

// tryRead reads what there is, and reports whether it must be tried again when there is
// something.
func tryRead(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		switch n, err = syscall.Read(int(fd), b); err {
		case nil:
			return n, false, nil
		case syscall.EAGAIN:
			return 0, true, nil
		case syscall.EINTR:
		default:
			return 0, false, err
		}
	}
}
