package kbusfs

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// byNumber lists the devices there are.
func (s *Server) byNumber() []*device {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*device
	for _, d := range s.devices {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *device) int { return cmp.Compare(a.number, b.number) })
	return all
}

// pids gives the process that opened each Ksock.
func (d *device) pids() map[kbusdev.KsockID]int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	pids := make(map[kbusdev.KsockID]int32, len(d.handles))
	for _, h := range d.handles {
		pids[h.ksock.ID()] = h.program.PID
	}
	return pids
}

// WriteBindings writes what /proc/kbus/bindings shows with the module: a comment
// for each device, then a line "device: ksock pid R|L name" for each binding; and at the
// end kbusdev.ControlEnd. What j, unless nil, does not let be known is left out.
func (s *Server) WriteBindings(w io.Writer, j membus.Judge) error {
	for _, d := range s.byNumber() {
		if _, err := fmt.Fprintf(w, "# bindings of %s\n", d.path); err != nil {
			return err
		}
		pids := d.pids()
		all, err := d.bus.Bindings()
		if err != nil {
			return err
		}
		for _, b := range all {
			if j != nil && !j.Sees(b.Name) {
				continue
			}
			role := "L"
			if b.Role == kbusdev.Replier {
				role = "R"
			}
			if _, err := fmt.Fprintf(w, "%d: %d %d %s %s\n", d.number, b.Ksock, pids[b.Ksock], role, b.Name); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(w, kbusdev.ControlEnd)
	return err
}

// WriteStats writes, much like /proc/kbus/stats, a comment for each device, then a
// line for each Ksock.
func (s *Server) WriteStats(w io.Writer) error {
	for _, d := range s.byNumber() {
		if _, err := fmt.Fprintf(w, "# ksocks of %s\n", d.path); err != nil {
			return err
		}
		pids := d.pids()
		for _, k := range d.bus.Stats() {
			_, err := fmt.Fprintf(w, "%d: %d %d queued %d of %d, set aside %d, read %d, awaiting %d replies, owing %d, send pending %t%s\n",
				d.number, k.ID, pids[k.ID], k.Queued, k.MaxMessages, k.SetAside, k.Taken, k.Awaited, k.Unreplied, k.SendPending, deniedOf(&k))
			if err != nil {
				return err
			}
		}
	}
	if n := s.Denied(); n > 0 {
		_, err := fmt.Fprintf(w, "# denied by the rules so far: %d\n", n)
		return err
	}
	return nil
}

// deniedOf tells what of a Ksock's operations the rules have refused, if they limit it.
func deniedOf(k *membus.KsockStats) string {
	if !k.Judged && k.Denied == 0 {
		return ""
	}
	return fmt.Sprintf(", denied %d", k.Denied)
}

// maxAskers bounds the clients of the control socket at one time.
const maxAskers = 32

// ServeControl answers kbusdev.ControlBindings and ControlStats on a socket (where
// it should be, kbusdev.ControlSocket says), which it closes when ctx ends. Clients
// do not wait for one another: each has as long as AskControl waits, 5 s, and when more
// than 32 are connected, the one that came first is dropped. When ctx ends each has a
// second more.
func (s *Server) ServeControl(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	a := askers{conns: make(map[uint64]net.Conn)}
	defer a.finish()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
		a.serve(conn, s.answerControl)
	}
}

// askers are the connected clients, by the order in which they came.
type askers struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[uint64]net.Conn
	last  uint64
}

// serve answers a client in a goroutine, and makes room for it.
func (a *askers) serve(conn net.Conn, answer func(net.Conn)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conns) == maxAskers {
		oldest := slices.Min(slices.Collect(maps.Keys(a.conns)))
		_ = a.conns[oldest].Close()
		delete(a.conns, oldest)
	}
	_ = conn.SetDeadline(time.Now().Add(controlTimeout))
	a.last++
	n := a.last
	a.conns[n] = conn
	a.wg.Go(func() {
		answer(conn)
		a.mu.Lock()
		delete(a.conns, n)
		a.mu.Unlock()
	})
}

// finish waits for the clients that are connected, but not for long.
func (a *askers) finish() {
	a.mu.Lock()
	for _, conn := range a.conns {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
	}
	a.mu.Unlock()
	a.wg.Wait()
}

// controlTimeout bounds the time of one client.
const controlTimeout = 5 * time.Second

// answerControl answers one client and closes its connection.
func (s *Server) answerControl(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // nothing to be done about it
	word, err := bufio.NewReader(io.LimitReader(conn, 100)).ReadString('\n')
	if err != nil {
		return
	}
	w := bufio.NewWriter(conn)
	switch word {
	case kbusdev.ControlBindings + "\n":
		var j membus.Judge
		if j, err = s.judgeOfAsker(conn); err == nil {
			err = s.WriteBindings(w, j)
		}
	case kbusdev.ControlStats + "\n":
		err = s.WriteStats(w)
	default:
		_, err = fmt.Fprintf(w, "kbusd: %q is not bindings or stats\n", word)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		s.cfg.Log.Debug("a client of the control socket left before its answer was written", "error", err)
	}
}
