//go:build linux

package kbusfs

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// Clients that say nothing, however many, hold up nobody.
func TestSilentClientsOfTheControlSocket(t *testing.T) {
	r := unmounted(t)
	s := r.d.server
	r.d.path = "/dev/kbus0"
	s.devices[0] = r.d
	path := filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeControl(ctx, l) }()
	var silent []net.Conn
	for range 10 * maxAskers {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	answer, err := kbusdev.AskControl(t.Context(), path, kbusdev.ControlStats)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer)
	if err != nil || string(b) != "# ksocks of /dev/kbus0\n" {
		t.Errorf("the answer is %q, %v", b, err)
	}
	_ = answer.Close()
	if !kbusdev.AnswersControl(t.Context(), path) {
		t.Error("no server of devices answers")
	}
	// Room was made for the later ones: the first has been dropped.
	if _, err := silent[0].Read(make([]byte, 1)); err == nil {
		t.Error("the first silent client got an answer")
	}
	for _, c := range silent {
		_ = c.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A client that is slow, as all are on a busy machine, is answered; one that says nothing
// is dropped when the client's own patience is over, and holds up the end for a second.
func TestSlowClientsOfTheControlSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unmounted(t).d.server
		a := askers{conns: make(map[uint64]net.Conn)}
		connect := func() net.Conn {
			client, conn := net.Pipe()
			a.serve(conn, s.answerControl)
			return client
		}
		slow, silent := connect(), connect()
		<-time.After(4 * time.Second)
		if _, err := io.WriteString(slow, kbusdev.ControlBindings+"\n"); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(slow); err != nil || string(b) != kbusdev.ControlEnd+"\n" {
			t.Errorf("the answer is %q, %v", b, err)
		}
		start := time.Now()
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) != time.Second {
			t.Errorf("after %v more: %v", time.Since(start), err)
		}
		connect()
		start = time.Now()
		if a.finish(); time.Since(start) != time.Second {
			t.Errorf("the end takes %v", time.Since(start))
		}
	})
}

// Another program at the socket is not taken for a server of devices.
func TestAnotherProgramAtTheControlSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 mail\n")
			_ = c.Close()
		}
	}()
	if kbusdev.AnswersControl(t.Context(), path) {
		t.Error("it is taken for one")
	}
}

func TestMaxQueue(t *testing.T) {
	r := unmounted(t)
	do(t, r, inRequest(opOpen, words(2, 0)))
	for _, c := range []struct{ ask, want uint32 }{{0, kbusdev.DefaultMaxMessages}, {1000, 1000}, {1 << 31, DefaultMaxQueue}} {
		body := append(words(1, 0, 0, abi.HostIoctls.MaxMsgs, 0, 0, 8, 8), words(c.ask, 0)...)
		out, errno := do(t, r, inRequest(opIoctl, body))
		if errno != 0 || len(out) < 20 || order.Uint32(out) != 0 || order.Uint32(out[16:]) != c.want {
			t.Errorf("MAXMSGS %d: % x, %d; want %d", c.ask, out, errno, c.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	dir := t.TempDir()
	for want, cfg := range map[string]Config{
		"":                    {Dir: dir, Mode: 0o640, Devices: MaxDevices},
		"257 devices":         {Dir: dir, Devices: MaxDevices + 1},
		"-1 devices":          {Dir: dir, Devices: -1},
		"permission bits":     {Dir: dir, Mode: 0o4777 << 3},
		`devices by "magic"`:  {Dir: dir, By: "magic"},
		"make it first":       {Dir: filepath.Join(dir, "missing")},
		"control_test.go is ": {Dir: "control_test.go"},
	} {
		err := cfg.Validate()
		if want == "" && err == nil {
			continue
		}
		if want == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", cfg, err, want)
		}
	}
}
