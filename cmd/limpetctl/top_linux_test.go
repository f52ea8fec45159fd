package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openPTY returns both ends of a pseudoterminal, which is 100 characters wide and 30 high.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var n int
	err = control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		if err == nil {
			err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: 100, Row: 30})
		}
		return err
	})
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// On a terminal top has a screen of its own, takes keys as they are typed, and leaves the
// terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	master, slave := openPTY(t)
	state := func() (s term.State) {
		err := control(slave, func(fd int) error {
			is, err := term.GetState(fd)
			s = *is
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	cmd := newCommand()
	cmd.SetIn(slave)
	cmd.SetOut(slave)
	cmd.SetArgs([]string{"--api", api, "top", "--every", "100ms"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(t.Context()) }()
	if err := master.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Skip(err)
	}
	var got bytes.Buffer
	readUntil := func(words string) {
		t.Helper()
		var some [4096]byte
		for !bytes.Contains(got.Bytes(), []byte(words)) {
			n, err := master.Read(some[:])
			if err != nil {
				t.Fatalf("%q is not shown, but %q: %v", words, &got, err)
			}
			got.Write(some[:n])
		}
	}
	readUntil(enterScreen)
	readUntil("connect hosta:7000")
	if _, err := io.WriteString(master, "s"); err != nil {
		t.Fatal(err)
	}
	readUntil("(by rate)")
	if _, err := io.WriteString(master, "q"); err != nil {
		t.Fatal(err)
	}
	readUntil(leaveScreen)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if state() != before {
		t.Error("the terminal is not as it was")
	}
}
