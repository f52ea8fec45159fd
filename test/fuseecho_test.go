//go:build linux

package test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// echoVariable names the file on which this program, started again, serves a FUSE echo
// instead of running tests.
const echoVariable = "LIMPET_TEST_FUSE_ECHO"

func init() {
	if path := os.Getenv(echoVariable); path != "" {
		ended := make(chan error)
		go func() { ended <- serveEcho(path) }() // in init this goroutine is bound to its thread, which costs
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "FUSE echo:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// fuseEcho starts the smallest server of a FUSE file that a KBUS device's calls work on:
// another process, as kbusd is, with nothing behind it. It gives what was written last to
// whoever reads, so that a Ksock on it receives what another one sends. Everything else
// about it is as with kbusd.
func fuseEcho(b *testing.B) (kbusdev.Bus, *exec.Cmd) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "kbus0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), echoVariable+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Cancel = in.Close // it unmounts the file then, also when this process dies
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatalf("the FUSE echo does not start: %v", err)
	}
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		b.Fatal(err)
	}
	return bus, cmd
}

// serveEcho mounts the echo on a file and serves it until stdin ends.
func serveEcho(path string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/fuse: %w", err)
	}
	opts := fmt.Sprintf("fd=%d,rootmode=100666,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("echo", path, "fuse.echo", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		return fmt.Errorf("mounting on %s: %w", path, err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = unix.Unmount(path, unix.MNT_DETACH)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stdout, "ready")
	return echo(fd)
}

// echo reads a request and answers it at once: two system calls each. Its numbers are
// those of linux/fuse.h.
func echo(fd int) error {
	order := binary.NativeEndian
	const inHeader, outHeader, most = 40, 16, 1 << 20
	in, out, last := make([]byte, most+1<<16), make([]byte, outHeader+most), []byte(nil)
	for {
		n, err := unix.Read(fd, in)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.ENODEV): // unmounted
			return nil
		case err != nil:
			return fmt.Errorf("reading from /dev/fuse: %w", err)
		}
		body := in[inHeader:n]
		size, errno := 0, uint32(0) // of the answer behind its header
		answer := out[outHeader:]
		switch order.Uint32(in[4:]) {
		case 2, 42: // FORGET, BATCH_FORGET
			continue
		case 26: // INIT: 7.31, BIG_WRITES, MAX_PAGES
			size = 64
			clear(answer[:size])
			order.PutUint32(answer, 7)
			order.PutUint32(answer[4:], 31)
			order.PutUint32(answer[12:], 1<<5|1<<22)
			order.PutUint32(answer[20:], most)
			order.PutUint16(answer[28:], 256)
		case 3: // GETATTR: a regular file, valid for an hour
			size = 104
			clear(answer[:size])
			order.PutUint64(answer, 3600)
			order.PutUint64(answer[16:], 1)
			order.PutUint32(answer[76:], unix.S_IFREG|0o666)
			order.PutUint32(answer[80:], 1)
		case 14: // OPEN: DIRECT_IO, NONSEEKABLE, STREAM, NOFLUSH
			size = 16
			clear(answer[:size])
			order.PutUint32(answer[8:], 1|4|16|32)
		case 16: // WRITE
			last = append(last[:0], body[40:]...)
			size = 8
			clear(answer[:size])
			order.PutUint32(answer, uint32(len(last)))
		case 15: // READ
			size = copy(answer, last)
		case 39: // IOCTL: each is answered with the length of what was written last
			size = 16 + int(order.Uint32(body[28:]))
			clear(answer[:size])
			if size >= 20 {
				order.PutUint32(answer[16:], uint32(len(last)))
			}
		case 18: // RELEASE
		default:
			errno = uint32(unix.ENOSYS)
		}
		order.PutUint32(out, uint32(outHeader+size))
		order.PutUint32(out[4:], -errno)
		copy(out[8:], in[8:16])
		if _, err := unix.Write(fd, out[:outHeader+size]); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("writing to /dev/fuse: %w", err)
		}
	}
}
