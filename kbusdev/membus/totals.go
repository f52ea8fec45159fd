package membus

import (
	"errors"
	"maps"
	"syscall"
)

// Totals are what a bus has now, and what it has done since it was made.
type Totals struct {
	// Ksocks are open; Repliers and Listeners are their bindings.
	Ksocks, Repliers, Listeners int
	// Queued copies of messages wait to be read. QueuedBytes are their names and data, at
	// most about MaxQueuedBytes; what several queues share counts once.
	Queued, QueuedBytes, MaxQueuedBytes int
	// Open requests have no reply yet.
	Open int
	// Announcements, Requests and Replies were sent by Ksocks.
	Announcements, Requests, Replies uint64
	// Missed are copies of announcements for which a listener had no room, by what was full:
	// see MissedReasons. Unlike Ksock.Missed they stay when the Ksock is closed.
	Missed map[string]uint64
	// Refused are messages that were not sent, by errno. EAGAIN, which is to wait for room,
	// is not among them.
	Refused map[syscall.Errno]uint64
	// Answered are requests that the bus has answered itself, by the name of the reply.
	Answered map[string]uint64
}

// The keys of Totals.Missed.
const (
	// QueueFull: the Ksock's queue had its MAXMSGS messages.
	QueueFull = "queue_messages"
	// QueueBytesFull: the Ksock's queue had as many bytes as it may; see WithMaxBytes.
	QueueBytesFull = "queue_bytes"
	// AllBytesFull: all queues together left no room; see WithMaxBytesInAll.
	AllBytesFull = "all_bytes"
)

// MissedReasons are the keys of Totals.Missed.
var MissedReasons = []string{QueueFull, QueueBytesFull, AllBytesFull}

// counts are kept for Totals, so that these cost the same however much there is.
type counts struct {
	ksocks, awaited int
	sent            [kinds]uint64
	missed          [causes]uint64 // in the order of MissedReasons
	refused         map[syscall.Errno]uint64
	answered        map[string]uint64
}

type kind int

const (
	announcement kind = iota
	request
	reply
	kinds
)

func kindOf(isRequest, isReply bool) kind {
	switch {
	case isReply:
		return reply
	case isRequest:
		return request
	default:
		return announcement
	}
}

type cause int

const (
	queueFull cause = iota
	queueBytesFull
	allBytesFull
	causes
)

// full returns why the Ksock has no room.
func (k *Ksock) full() cause {
	switch {
	case k.queue.n+k.awaited.n >= k.maxMessages:
		return queueFull
	case k.queue.bytes >= k.maxBytes:
		return queueBytesFull
	default:
		return allBytesFull
	}
}

// refuse counts the errno with which a send has failed; others are no refusals.
func (c *counts) refuse(err error) {
	if err == nil { // most often: errors.As needs memory
		return
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno == syscall.EAGAIN {
		return
	}
	if c.refused == nil {
		c.refused = make(map[syscall.Errno]uint64)
	}
	c.refused[errno]++
}

// answer counts a reply of the bus's own.
func (c *counts) answer(name string) {
	if c.answered == nil {
		c.answered = make(map[string]uint64)
	}
	c.answered[name]++
}

// Totals returns what the bus has and has done. It costs the same however many Ksocks,
// bindings and messages there are.
func (b *Bus) Totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.counts
	t := Totals{
		Ksocks: c.ksocks, Repliers: b.names.repliers, Listeners: b.names.count - b.names.repliers,
		Queued: b.queued.copies, QueuedBytes: b.queued.bytes, MaxQueuedBytes: b.set.opts.maxAll,
		Open:          c.awaited,
		Announcements: c.sent[announcement], Requests: c.sent[request], Replies: c.sent[reply],
		Missed:   make(map[string]uint64),
		Refused:  maps.Clone(c.refused),
		Answered: maps.Clone(c.answered),
	}
	for i, reason := range MissedReasons {
		t.Missed[reason] = c.missed[i]
	}
	return t
}
