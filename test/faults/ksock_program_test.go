package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// programVariable has this binary be a program: it is the program's brief, as JSON.
const programVariable = "LIMPET_FAULTS_PROGRAM"

// The roles of programs.
const (
	talks   = "t" // announces and asks
	listens = "l"
	replies = "r"
)

// A brief is what a program is told.
type brief struct {
	Name    string   // its role's letter and a number
	Process int      // which of its processes it is, from 1
	API     string   // where its daemon is
	Seed    uint64   // of what it does
	Queue   uint32   // the bound of its queue, in messages
	Reads   string   // how it reads, see reader
	Slow    bool     // it takes its time now and then
	Loud    bool     // it announces a lot at once, once
	Leaves  bool     // it closes its Ksock now and then, and opens another
	Targets []string // the repliers that it asks
}

// A person is a program in this process.
type person struct {
	brief
	diary
	hush, finish chan struct{} // closed when it is told to say no more, and take no time, and to end
	lives        int
}

// runProgram is the main function of a program, which obeys its standard input.
func runProgram(text string) int {
	p := &person{diary: diary{w: os.Stdout}, hush: make(chan struct{}), finish: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &p.brief); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go p.obey(os.Stdin)
	bus, err := client.Open(p.API)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer bus.Close()
	for !p.live(bus) {
	}
	return 0
}

const (
	orderHush   = "hush"
	orderFinish = "finish"
)

// obey ends the process when nobody gives orders any more.
func (p *person) obey(in io.Reader) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case orderHush:
			close(p.hush)
		case orderFinish:
			close(p.finish)
		}
	}
	os.Exit(0)
}

// A life is that of one Ksock.
type ksockLife struct {
	*person
	k    *client.Ksock
	name string
	r    *rand.Rand
	last int           // key
	over chan struct{} // closed when a call has failed because the Ksock is over
	once sync.Once
}

// live opens a Ksock and plays the program's role until it is over. It reports whether the
// program has ended.
func (p *person) live(bus *client.Bus) bool {
	p.lives++
	l := &ksockLife{
		person: p, name: fmt.Sprintf("%sg%dl%d", p.Name, p.Process, p.lives), over: make(chan struct{}),
		r: rand.New(rand.NewPCG(p.Seed, uint64(p.Process)<<32|uint64(p.lives))),
	}
	var began time.Duration
	for l.k == nil {
		began = now()
		ctx, cancel := context.WithTimeout(context.Background(), openLimit)
		k, err := bus.Ksock(ctx, kbusdev.ReadWrite)
		cancel()
		if err == nil {
			l.k = k
		} else {
			l.pause(20 * time.Millisecond)
		}
	}
	l.note(note{What: hasOpened, Since: began, Key: l.name, To: l.k.ID()})
	err := l.bind()
	if err == nil {
		l.note(note{What: isReady})
		switch p.Name[:1] {
		case talks:
			err = l.talk()
		case listens:
			err = l.listen()
		default:
			err = l.reply()
		}
	}
	if errors.Is(err, errRetired) {
		l.allFail()
		return false
	}
	if err == nil {
		err = l.end()
	}
	if err == nil {
		return true
	}
	l.note(note{What: isOver, Word: err.Error(), N: one(errors.Is(err, net.ErrClosed))})
	l.allFail()
	_ = l.k.Close()
	return false
}

// errRetired is why a role ends whose Ksock the program has closed.
var errRetired = errors.New("the Ksock was closed by its program")

// retires reports, one time in so many, that a program that leaves does so now.
func (l *ksockLife) retires(r *rand.Rand, in int) bool {
	return l.Leaves && r.IntN(in) == 0 && !l.isHushed()
}

// retire closes the Ksock in the middle of all, and returns errRetired.
func (l *ksockLife) retire() error {
	l.note(note{What: willRetire})
	if err := l.k.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		l.note(note{What: isOdd, Word: fmt.Sprintf("%s: Close gives %v", l.name, err)})
	}
	return errRetired
}

// openLimit bounds one attempt to open a Ksock.
const openLimit = 5 * time.Second

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bind binds what the role needs. A replier's name may be another's that is gone, until the
// daemon has noticed.
func (l *ksockLife) bind() error {
	if _, err := l.k.MaxMessages(l.Queue); err != nil {
		return err
	}
	if l.Reads == readsAhead {
		if err := l.k.Prefetch(true); err != nil {
			return err
		}
	}
	if l.Name[:1] == listens {
		if err := l.k.Bind(newsPrefix+"*", kbusdev.Listener); err != nil {
			return err
		}
	}
	for l.Name[:1] == replies {
		err := l.k.Bind(askPrefix+l.Name+".*", kbusdev.Replier)
		if err == nil {
			break
		}
		if !isErrno(err, "EADDRINUSE") {
			return err
		}
		l.pause(20 * time.Millisecond)
	}
	return l.k.Bind(herePrefix+l.name, kbusdev.Listener)
}

func isErrno(err error, name string) bool { return errnoOf(err) == name }

// errnoOf names the errno of an error; it is empty if there is none.
func errnoOf(err error) string {
	errno, ok := kbusdev.ErrnoOf(err)
	if !ok {
		return ""
	}
	return kbusdev.ErrnoName(errno)
}

// pause waits, unless the Ksock is over.
func (l *ksockLife) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.over:
	}
}

func (l *ksockLife) isOver() { l.once.Do(func() { close(l.over) }) }

func (p *person) isHushed() bool {
	select {
	case <-p.hush:
		return true
	default:
		return false
	}
}

// end closes the Ksock in order.
func (l *ksockLife) end() error {
	left, err := l.k.NumMessages()
	if err == nil {
		l.note(note{What: hasLeft, N: left, Word: unreadMessages})
		left, err = l.k.Unreplied()
	}
	if err == nil {
		l.note(note{What: hasLeft, N: left, Word: unansweredRequests})
		l.note(note{What: hasMissed, N: int(l.k.Missed())})
		err = l.k.Close()
	}
	if err == nil {
		l.note(note{What: isClosed})
	}
	return err
}

// allFail tries everything on a Ksock that is over.
func (l *ksockLife) allFail() {
	ctx := context.Background()
	m := &kbusdev.Message{Name: herePrefix + "nobody"}
	for what, try := range map[string]func() error{
		"Send":        func() error { _, err := l.k.Send(ctx, m); return err },
		"Post":        func() error { return l.k.Post(ctx, m) },
		"Flush":       func() error { return l.k.Flush(ctx) },
		"Bind":        func() error { return l.k.Bind(m.Name, kbusdev.Listener) },
		"Unbind":      func() error { return l.k.Unbind(m.Name, kbusdev.Listener) },
		"NumMessages": func() error { _, err := l.k.NumMessages(); return err },
		"Unreplied":   func() error { _, err := l.k.Unreplied(); return err },
		"Prefetch":    func() error { return l.k.Prefetch(true) },
		"Recv":        func() error { _, err := l.k.Recv(ctx); return err },
	} {
		for err := error(nil); err == nil; { // what has come is given first
			_, err = l.k.Recv(ctx)
		}
		if err := try(); !errors.Is(err, net.ErrClosed) {
			l.note(note{What: isOdd, Word: fmt.Sprintf("%s: on a Ksock that is over %s gives %v", l.name, what, err)})
		}
	}
}
