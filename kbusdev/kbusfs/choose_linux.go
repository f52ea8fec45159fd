package kbusfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// choose settles what makes the devices, and says so.
func (s *Server) choose() error {
	log := s.cfg.Log
	switch s.cfg.By {
	case FUSE:
		s.by = FUSE
		log.Info("devices by FUSE, as was asked: stat says regular file")
	case CUSE:
		if !s.inDev() {
			return fmt.Errorf("CUSE makes devices in /dev only, not in %s: use FUSE there", s.cfg.Dir)
		}
		if err := canOpen(cusePath); err != nil {
			return fmt.Errorf("%w (modprobe cuse, and be root; or use FUSE)", err)
		}
		s.by = CUSE
		log.Info("devices by CUSE, as was asked: true character devices")
	case "":
		err := canOpen(cusePath)
		switch {
		case !s.inDev():
			s.by = FUSE
			log.Info("devices by FUSE, since CUSE makes them in /dev only: stat says regular file", "dir", s.cfg.Dir)
		case err != nil:
			s.by = FUSE
			log.Info("devices by FUSE, since CUSE cannot be had (modprobe cuse?): stat says regular file", "error", err)
		default:
			s.by = CUSE
			log.Info("devices by CUSE: true character devices")
		}
	}
	if s.by == FUSE {
		s.sayWhoCannotBind()
	}
	return nil
}

func (s *Server) inDev() bool { return filepath.Clean(s.cfg.Dir) == "/dev" }

func canOpen(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	return unix.Close(fd)
}

// sayWhoCannotBind warns when other programs' memory cannot be read: the names
// they bind are there, and with FUSE the kernel does not copy them.
func (s *Server) sayWhoCannotBind() {
	if hasCapability(unix.CAP_SYS_PTRACE) {
		return
	}
	who := "of other users, and of this user if they are not dumpable"
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) != "0" {
		who = "all" // Yama lets a process read its own children alone
	}
	s.cfg.Log.Warn("programs get EPERM from BIND, UNBIND, REPLIER and from sending pointy messages: without CAP_SYS_PTRACE their memory cannot be read (be root, or setcap cap_sys_ptrace=ep on this program)", "programs", who)
}

func hasCapability(number int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[number/32].Effective&(1<<(number%32)) != 0
}
