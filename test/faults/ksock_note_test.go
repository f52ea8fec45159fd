package faults

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A note is one line of a program's diary, which it writes to its standard output before
// or after it does something, so that what a killed one has written is true.
type note struct {
	At    time.Duration   `json:"at"` // of the machine's clock, the same in all processes
	What  string          `json:"what"`
	Since time.Duration   `json:"since,omitempty"` // when that began
	Key   string          `json:"key,omitempty"`   // of a message; see keyOf
	ID    kbusdev.MsgID   `json:"id,omitzero"`
	To    kbusdev.KsockID `json:"to,omitempty"`
	N     int             `json:"n,omitempty"`
	Word  string          `json:"word,omitempty"`
}

// What a note may say. Each of the messages that a Ksock sends has a key of its own.
const (
	hasOpened    = "opened"     // a Ksock, Key is its name, To its id
	isReady      = "ready"      // everything is bound
	willPost     = "post"       // an announcement; Word is its flag; N 1 if it is sent within a time
	willAsk      = "ask"        // a request of the replier Word; To is the one Ksock that may have it; N 1 if it is posted
	wasNotPosted = "not posted" // Post has failed
	wasTaken     = "taken"      // by the bus, which gave it ID
	wasRefused   = "refused"    // by the bus, Word is the errno
	wasGivenUp   = "given up"   // the wait for what the bus says: it may be sent or not
	hasFlushed   = "flushed"    // all posted so far was taken, but for what was refused
	hasHeard     = "heard"      // an announcement
	hasReply     = "reply"      // to ID; Word is the outcome; Key and To are what a replier wrote
	hasRun       = "ran"        // a request, and owes the reply
	willAnswer   = "answer"     // a request
	isOver       = "over"       // the Ksock, Word says why; N is 1 if that is net.ErrClosed
	willRetire   = "retire"     // it closes the Ksock in the middle of all, and opens another
	hasMissed    = "missed"     // N in all
	hasLeft      = "left"       // N messages unread or requests unanswered, Word says which
	isQuiet      = "quiet"      // all its requests have a reply
	isClosed     = "closed"     // the Ksock, in order
	isOdd        = "odd"        // Word should not happen
)

// What may be left.
const (
	unreadMessages     = "unread messages"
	unansweredRequests = "unanswered requests"
)

// now returns a time that can be compared with those of other processes.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// A diary takes notes, each with one write.
type diary struct {
	mu sync.Mutex
	w  io.Writer
}

func (d *diary) note(n note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.At = now()
	line, err := json.Marshal(n)
	if err == nil {
		_, err = d.w.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

const (
	newsPrefix = "$.News."
	askPrefix  = "$.Ask."
	herePrefix = "$.Here." // what each program listens for, so that others see that its Ksock is there
)

// keyOf returns the key of the message of this name: "t0g1l2.17" is number 17 of those of
// Ksock t0g1l2, the second life of program t0 in its first process.
func keyOf(name string) string {
	if key, ok := strings.CutPrefix(name, newsPrefix); ok {
		return key
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(name, askPrefix), ".")
	return key
}

// ksockOf returns the name of the Ksock that has sent the message of a key.
func ksockOf(key string) string {
	name, _, _ := strings.Cut(key, ".")
	return name
}

// programOf returns the program of a Ksock's name.
func programOf(ksock string) string {
	name, _, _ := strings.Cut(ksock, "g")
	return name
}
