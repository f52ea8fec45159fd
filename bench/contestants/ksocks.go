package contestants

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// queueMessages is what a program's queue is raised to: what it has not read must fit.
const queueMessages = 1 << 20

// ksocks makes programs of Ksocks.
type ksocks struct {
	// open makes a Ksock whose queue has room enough.
	open func(ctx context.Context) (kbusdev.Ksock, error)
	// post sends a message, and need not wait for what the bus says.
	post func(ctx context.Context, k kbusdev.Ksock, m *kbusdev.Message) error
}

func (b *ksocks) Connect(ctx context.Context) (contest.Program, error) {
	sender, err := b.open(ctx)
	return &ksockProgram{ksocks: b, sender: sender}, err
}

// bind binds a name. It waits while a limpet has not read all earlier bind events.
func bind(ctx context.Context, k kbusdev.Ksock, name string, as kbusdev.Role) error {
	for {
		err := k.Bind(kbusName(name), as)
		if !errors.Is(err, syscall.EAGAIN) || ctx.Err() != nil {
			return err
		}
		runtime.Gosched()
	}
}

// A ksockProgram has a Ksock for each thing that it does.
type ksockProgram struct {
	*ksocks
	sender kbusdev.Ksock
}

func (p *ksockProgram) Listen(ctx context.Context, names []string, heard func([]byte)) error {
	k, err := p.open(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := bind(ctx, k, name, kbusdev.Listener); err != nil {
			return err
		}
	}
	go func() {
		some := make([]*kbusdev.Message, 256)
		for {
			n, err := k.RecvBatch(context.Background(), some)
			if err != nil {
				return
			}
			for _, m := range some[:n] {
				heard(m.Data)
			}
			clear(some[:n])
		}
	}()
	return nil
}

func (p *ksockProgram) Serve(ctx context.Context, name string, reply func([]byte) ([]byte, bool)) error {
	k, err := p.open(ctx)
	if err != nil {
		return err
	}
	if err := bind(ctx, k, name, kbusdev.Replier); err != nil {
		return err
	}
	go func() {
		for {
			q, err := k.Recv(context.Background())
			if err != nil {
				return
			}
			if data, ok := reply(q.Data); ok {
				_ = p.post(context.Background(), k, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: data})
			}
		}
	}()
	return nil
}

func (p *ksockProgram) Send(ctx context.Context, name string, data []byte) error {
	return p.post(ctx, p.sender, &kbusdev.Message{Name: kbusName(name), Data: data})
}

func (p *ksockProgram) Flush() error { return nil }

func (p *ksockProgram) Caller(ctx context.Context, name string) (contest.Call, error) {
	k, err := p.open(ctx)
	c := &ksockCaller{ksocks: p.ksocks, name: kbusName(name), k: k}
	return c.call, err
}

// A ksockCaller makes one request at a time.
type ksockCaller struct {
	*ksocks
	name string
	k    kbusdev.Ksock
	// answered: requests reach a replier, so that none will be refused.
	answered bool
}

func (c *ksockCaller) call(ctx context.Context, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := c.try(ctx, &kbusdev.Message{Name: c.name, Flags: kbusdev.WantReply, Data: data})
	if c.answered = err == nil; err == nil {
		return reply, nil
	}
	// On the same Ksock the reply might come to the next request.
	k, openErr := c.open(context.WithoutCancel(ctx))
	if openErr == nil {
		_ = c.k.Close()
		c.k = k
	}
	return nil, errors.Join(err, openErr)
}

func (c *ksockCaller) try(ctx context.Context, q *kbusdev.Message) ([]byte, error) {
	var err error
	if c.answered {
		err = c.post(ctx, c.k, q)
	} else {
		_, err = c.k.Send(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	r, err := c.k.Recv(ctx)
	if err != nil {
		return nil, err
	}
	return replyData(r)
}

// replyData returns the data of a reply, or an error if no replier gave it.
func replyData(r *kbusdev.Message) ([]byte, error) {
	if strings.HasPrefix(r.Name, "$.KBUS.") {
		return nil, fmt.Errorf("the reply is %s", r.Name)
	}
	return r.Data, nil
}

func (p *ksockProgram) Hold(ctx context.Context, name string, n int) error {
	k, err := p.open(ctx)
	if err != nil {
		return err
	}
	for range n {
		if _, err := k.Send(ctx, &kbusdev.Message{Name: kbusName(name), Flags: kbusdev.WantReply}); err != nil {
			return err
		}
	}
	return nil
}
