package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A screen is what a command draws on again and again.
type screen interface {
	// enter begins, and returns what ends it.
	enter() (leave func(), err error)
	// size returns how many characters there are in a line, and lines.
	size() (width, height int)
	// draw shows lines, each of which fits.
	draw(lines []string) error
	// keys returns a channel of what is typed, which is closed when no more can be.
	keys() <-chan byte
}

// interruptKey is Ctrl-C, which is a key like others on a screen.
const interruptKey = 3

// A terminal is a screen on a terminal that knows the escapes of a VT100.
type terminal struct {
	in, out *os.File
	typed   chan byte
	left    chan struct{} // closed when nobody wants keys any more
}

// terminalOf returns the screen of a program's input and output; nil if they are no terminal.
func terminalOf(in io.Reader, out io.Writer) screen {
	t := terminal{typed: make(chan byte), left: make(chan struct{})}
	var ok bool
	if t.in, ok = in.(*os.File); !ok {
		return nil
	}
	if t.out, ok = out.(*os.File); !ok {
		return nil
	}
	for _, f := range []*os.File{t.in, t.out} {
		is := false
		if err := control(f, func(fd int) error { is = term.IsTerminal(fd); return nil }); err != nil || !is {
			return nil
		}
	}
	return &t
}

// control runs f with a file's descriptor, which it does not make blocking.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// What a VT100 obeys.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

func (t *terminal) enter() (leave func(), err error) {
	var before *term.State
	if err := control(t.in, func(fd int) (err error) { before, err = term.MakeRaw(fd); return err }); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(t.out, enterScreen); err != nil {
		return nil, err
	}
	go t.read()
	return func() {
		close(t.left)
		_, _ = io.WriteString(t.out, leaveScreen)
		_ = control(t.in, func(fd int) error { return term.Restore(fd, before) })
	}, nil
}

// read gives what is typed to the channel. It may wait for a key until the program ends.
func (t *terminal) read() {
	defer close(t.typed)
	var key [1]byte
	for {
		if _, err := t.in.Read(key[:]); err != nil {
			return
		}
		select {
		case t.typed <- key[0]:
		case <-t.left:
			return
		}
	}
}

func (t *terminal) keys() <-chan byte { return t.typed }

func (t *terminal) size() (width, height int) {
	err := control(t.out, func(fd int) (err error) { width, height, err = term.GetSize(fd); return err })
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

func (t *terminal) draw(lines []string) error {
	_, err := io.WriteString(t.out, toTop+strings.Join(lines, clearLine+"\r\n")+clearLine+clearRest)
	return err
}
