package kbusfs

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// programOf returns the program that a thread belongs to, for requests come with the
// thread's id. Its process, and its groups, are known only where /proc shows the thread.
func programOf(uid, gid, thread uint32) Program {
	p := Program{UID: uid, GID: gid, PID: int32(thread)}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return p
	}
	for line := range strings.Lines(string(status)) {
		switch key, value, _ := strings.Cut(line, ":"); key {
		case "Tgid":
			if pid, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
				p.PID = int32(pid)
			}
		case "Groups":
			for _, word := range strings.Fields(value) {
				if gid, err := strconv.ParseUint(word, 10, 32); err == nil {
					p.Groups = append(p.Groups, uint32(gid))
				}
			}
		}
	}
	return p
}

// askerOf returns who is at the other end of a connection of the control socket.
func askerOf(conn net.Conn) (p Program, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return p, fmt.Errorf("a connection of %T tells nobody's user", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil {
		return p, cerr
	}
	if err != nil {
		return p, err
	}
	return programOf(cred.Uid, cred.Gid, uint32(cred.Pid)), nil
}

// judgeOf returns the judge of a program, nil for one that may do everything.
func (s *Server) judgeOf(p *Program) membus.Judge {
	if s.cfg.JudgeOf == nil {
		return nil
	}
	return s.cfg.JudgeOf(*p)
}

// judgeOfAsker returns the judge of who is at the other end of a connection of the control
// socket.
func (s *Server) judgeOfAsker(conn net.Conn) (membus.Judge, error) {
	if s.cfg.JudgeOf == nil {
		return nil, nil //nolint:nilnil // nobody judges
	}
	p, err := askerOf(conn)
	if err != nil {
		return nil, err
	}
	return s.judgeOf(&p), nil
}

// judgedBy has a judge judge what a program does by its Ksock.
func (s *Server) judgedBy(h *handle, j membus.Judge) {
	var denied func(op, name string, m *kbusdev.Message)
	if j != nil {
		denied = func(op, name string, m *kbusdev.Message) {
			s.denials.note(denial{op, name, h.program}, m != nil)
			if m != nil && s.cfg.OnDenied != nil {
				s.cfg.OnDenied(h.program, m)
			}
		}
	}
	h.ksock.JudgedBy(j, denied)
}

// RulesChanged has the programs go on by other judges: it is called when Config.JudgeOf has
// other answers. What a program may no longer be the replier of is unbound.
func (s *Server) RulesChanged() {
	for _, d := range s.byNumber() {
		d.mu.Lock()
		for _, h := range d.handles {
			s.judgedBy(h, s.judgeOf(&h.program))
		}
		d.mu.Unlock()
	}
}

// Denied returns how many operations of programs the judges have refused so far.
func (s *Server) Denied() uint64 {
	s.denials.mu.Lock()
	defer s.denials.mu.Unlock()
	return s.denials.n
}

// DeniedMessages returns how many of them were to send a message.
func (s *Server) DeniedMessages() uint64 {
	s.denials.mu.Lock()
	defer s.denials.mu.Unlock()
	return s.denials.messages
}

// A denial is an operation that was refused.
type denial struct {
	op, name string
	program  Program
}

// denials counts them, and says now and then that there are more.
type denials struct {
	some     atomic.Bool // that are not logged yet
	mu       sync.Mutex
	n        uint64
	messages uint64 // of those
	said     uint64 // of those
	last     denial
	next     time.Time // when they may be said again
}

// sayEvery is how often denials are logged at most.
const sayEvery = time.Minute

// note is called under a bus's lock, and only counts; message says that it was one that was
// denied.
func (x *denials) note(d denial, message bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n++
	if message {
		x.messages++
	}
	x.last = d
	x.some.Store(true)
}

// unsaid returns how many were refused that are not logged yet, and the last, if it is time
// to say so; else 0.
func (x *denials) unsaid(now time.Time) (uint64, denial) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.n - x.said
	if n == 0 || now.Before(x.next) {
		return 0, denial{}
	}
	x.some.Store(false)
	x.said, x.next = x.n, now.Add(sayEvery)
	return n, x.last
}

// sayDenials logs what was refused. Readers call it between two requests.
func (s *Server) sayDenials() {
	if !s.denials.some.Load() {
		return
	}
	if n, last := s.denials.unsaid(time.Now()); n > 0 {
		s.cfg.Log.Warn("the rules deny what programs do", "denied", n, "last", last.op, "name", last.name, "uid", last.program.UID, "pid", last.program.PID)
	}
}
