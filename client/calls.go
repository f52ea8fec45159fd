package client

import (
	"context"
	"sync"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// calls are the requests that were sent by one Ksock, and wait for their replies.
type calls struct {
	ksock   *Ksock
	reading sync.WaitGroup

	mu      sync.Mutex // guards what follows
	began   uint64     // sends, ever
	sending map[uint64]struct{}
	waiting map[kbusdev.MsgID]chan *kbusdev.Message
	early   map[kbusdev.MsgID]earlyReply // came before the id of its request; no more than requests are open on the bus
}

// An earlyReply may belong to a send that had begun when it came, else its caller waits no
// more.
type earlyReply struct {
	reply *kbusdev.Message
	began uint64
}

func newCalls(k *Ksock) *calls {
	c := &calls{
		ksock: k, sending: make(map[uint64]struct{}),
		waiting: make(map[kbusdev.MsgID]chan *kbusdev.Message), early: make(map[kbusdev.MsgID]earlyReply),
	}
	c.reading.Go(c.read)
	return c
}

func (c *calls) live() bool {
	select {
	case <-c.ksock.done:
		return false
	default:
		return true
	}
}

func (c *calls) close() error {
	err := c.ksock.Close()
	c.reading.Wait()
	return err
}

// read gives each reply to its caller, until the Ksock is over.
func (c *calls) read() {
	var memory [256]*kbusdev.Message
	for {
		n, err := c.ksock.RecvBatch(context.Background(), memory[:])
		if err != nil {
			return
		}
		c.mu.Lock()
		for _, m := range memory[:n] {
			c.came(m)
		}
		c.mu.Unlock()
		clear(memory[:n])
	}
}

// came takes a reply. It is called under mu.
func (c *calls) came(m *kbusdev.Message) {
	if waiting, ok := c.waiting[m.InReplyTo]; ok {
		delete(c.waiting, m.InReplyTo)
		waiting <- m
	} else if len(c.sending) > 0 {
		c.early[m.InReplyTo] = earlyReply{m, c.began}
	}
}

// begin notes that a request is about to be sent; sent must follow.
func (c *calls) begin() (began uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began++
	c.sending[c.began] = struct{}{}
	return c.began
}

// expect returns where the reply to a request will come.
func (c *calls) expect(id kbusdev.MsgID) <-chan *kbusdev.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := make(chan *kbusdev.Message, 1)
	if e, ok := c.early[id]; ok {
		delete(c.early, id)
		reply <- e.reply
	} else {
		c.waiting[id] = reply
	}
	return reply
}

// forget notes that nobody waits for the reply to a request any more.
func (c *calls) forget(id kbusdev.MsgID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// sent notes that the fate of a send is known, and forgets the replies that came when
// nobody was sending who is still.
func (c *calls) sent(began uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sending, began)
	if len(c.early) == 0 {
		return
	}
	oldest := c.began + 1
	for s := range c.sending {
		oldest = min(oldest, s)
	}
	for id, e := range c.early {
		if e.began < oldest {
			delete(c.early, id)
		}
	}
}
