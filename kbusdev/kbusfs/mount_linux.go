package kbusfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// mount puts a FUSE file system on the file itself, so that its only node is the
// device.
func (s *Server) mount(path string) (fd int, remove func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o600) // fusermount3 wants it writable; the mount hides it
	if err != nil {
		return 0, nil, fmt.Errorf("making %s: %w", path, err)
	}
	_ = f.Close()
	remove = func() error { return unmount(path) }
	fd, err = s.mountDirectly(path)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		fd, err = s.mountByHelper(path, err)
	}
	if err != nil {
		_ = os.Remove(path)
		return 0, nil, fmt.Errorf("mounting on %s: %w", path, err)
	}
	q, err := firstRequest(fd, opInit)
	if err == nil {
		_, err = unix.Write(fd, appendReply(nil, q.unique, 0, initReply(q.body)))
	}
	if err != nil {
		_ = remove()
		_ = unix.Close(fd)
		return 0, nil, fmt.Errorf("mounting on %s: starting with the kernel: %w", path, err)
	}
	return fd, remove, nil
}

// firstRequest reads what the kernel begins with.
func firstRequest(fd int, opcode uint32) (request, error) {
	buf := make([]byte, maxRequest)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return request{}, fmt.Errorf("reading the first request: %w", err)
	}
	q, ok := parseRequest(buf[:n])
	if !ok || q.opcode != opcode {
		return request{}, fmt.Errorf("the first request has the opcode %d, not %d: %w", q.opcode, opcode, unix.EPROTO)
	}
	return q, nil
}

// mountDirectly needs CAP_SYS_ADMIN in this mount namespace.
func (s *Server) mountDirectly(path string) (int, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening /dev/fuse: %w (is the fuse module loaded?)", err)
	}
	opts := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,allow_other,default_permissions", fd, unix.S_IFREG|s.mode(), os.Getuid(), os.Getgid())
	if err := unix.Mount("kbusd", path, "fuse.kbus", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

const (
	helper        = "fusermount3"
	helperTimeout = 10 * time.Second
)

// mountByHelper has the setuid program of libfuse do it, for users other than
// root: for all programs, if /etc/fuse.conf lets users offer that.
func (s *Server) mountByHelper(path string, why error) (int, error) {
	if _, err := exec.LookPath(helper); err != nil {
		return 0, fmt.Errorf("%w (only root may, or CAP_SYS_ADMIN; for other users install %s, of Debian's package fuse3)", why, helper)
	}
	fd, err := runHelper(path, "allow_other,default_permissions")
	if err == nil {
		return fd, nil
	}
	fd, again := runHelper(path, "default_permissions")
	if again == nil {
		s.cfg.Log.Warn("only programs of this user can open the device: for others, put user_allow_other in /etc/fuse.conf", "path", path, "error", err)
	}
	return fd, again
}

// runHelper mounts, and gets the descriptor of /dev/fuse over a socket.
func runHelper(path, options string) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(pair[0]) //nolint:errcheck // nothing to be done about it
	theirs := os.NewFile(uintptr(pair[1]), "_FUSE_COMMFD")
	defer theirs.Close() //nolint:errcheck // nothing to be done about it
	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, helper, "-o", "nosuid,nodev,fsname=kbusd,subtype=kbus,"+options, "--", path)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", helper, err, bytes.TrimSpace(said.Bytes()))
	}
	room := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), room, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return 0, fmt.Errorf("%s gave no descriptor: %w", helper, err)
	}
	messages, err := unix.ParseSocketControlMessage(room[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("%s gave no descriptor: %v", helper, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, fmt.Errorf("%s gave no descriptor: %v", helper, err)
	}
	return fds[0], nil
}

// unmount takes the device away even while programs have it open.
func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if errors.Is(err, unix.EPERM) {
		ctx, cancel := context.WithTimeout(context.Background(), helperTimeout)
		defer cancel()
		var out []byte
		if out, err = exec.CommandContext(ctx, helper, "-u", "-z", "--", path).CombinedOutput(); err != nil {
			err = fmt.Errorf("%s: %w: %s", helper, err, bytes.TrimSpace(out))
		}
	}
	if rerr := os.Remove(path); err == nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = rerr
	}
	return err
}
