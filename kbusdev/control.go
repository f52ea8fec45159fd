package kbusdev

import (
	"bufio"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// What can be asked of whoever serves device files from user space.
const (
	// ControlBindings asks for what /proc/kbus/bindings shows with the module: for
	// each device a comment, then a line "device: ksock pid R|L name" for each binding,
	// and at the end ControlEnd.
	ControlBindings = "bindings"
	// ControlEnd is the last line of the bindings: an answer without it was cut off.
	ControlEnd = "# end"
	// ControlStats asks for a comment for each device, then a line for each Ksock.
	ControlStats = "stats"
)

// ControlSocket is the Unix socket at which the server of the device files in dir
// (kbusd, or limpetd with --expose) answers questions. Who asks writes one word
// and a newline, and reads text until the end.
func ControlSocket(dir string) string {
	if filepath.Clean(dir) == "/dev" {
		return "/run/kbusd.sock"
	}
	return filepath.Join(dir, "kbusd.sock")
}

// AskControl asks the server at a control socket for what word names, and returns
// its answer, which the caller must close. It waits at most 1 s for the connection,
// and reading fails 5 s later.
func AskControl(ctx context.Context, socket, word string) (io.ReadCloser, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, word+"\n"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// AnswersControl reports whether a server of device files, and no other program,
// answers at a control socket.
func AnswersControl(ctx context.Context, socket string) bool {
	answer, err := AskControl(ctx, socket, ControlStats)
	if err != nil {
		return false
	}
	defer answer.Close() //nolint:errcheck // only read
	line, _ := bufio.NewReader(io.LimitReader(answer, 1000)).ReadString('\n')
	return strings.HasPrefix(line, "# ksocks of ")
}
