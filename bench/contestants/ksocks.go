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

func openKsock(bus kbusdev.Bus) (kbusdev.Ksock, error) {
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return nil, err
	}
	_, err = k.MaxMessages(queueMessages)
	return k, err
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
	bus    kbusdev.Bus
	sender kbusdev.Ksock
}

func (p *ksockProgram) Listen(ctx context.Context, names []string, heard func([]byte)) error {
	k, err := openKsock(p.bus)
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
	k, err := openKsock(p.bus)
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
				_, _ = k.Send(context.Background(), &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: data})
			}
		}
	}()
	return nil
}

func (p *ksockProgram) Send(ctx context.Context, name string, data []byte) error {
	_, err := p.sender.Send(ctx, &kbusdev.Message{Name: kbusName(name), Data: data})
	return err
}

func (p *ksockProgram) Flush() error { return nil }

func (p *ksockProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	k, err := openKsock(p.bus)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, data []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		id, err := k.Send(ctx, &kbusdev.Message{Name: kbusName(name), Flags: kbusdev.WantReply, Data: data})
		if err != nil {
			return nil, err
		}
		for {
			r, err := k.Recv(ctx)
			if err != nil {
				return nil, err
			}
			if r.InReplyTo == id { // not one that was given up
				return replyData(r)
			}
		}
	}, nil
}

// replyData returns the data of a reply, or an error if no replier gave it.
func replyData(r *kbusdev.Message) ([]byte, error) {
	if strings.HasPrefix(r.Name, "$.KBUS.") {
		return nil, fmt.Errorf("the reply is %s", r.Name)
	}
	return r.Data, nil
}

func (p *ksockProgram) Hold(ctx context.Context, name string, n int) error {
	k, err := openKsock(p.bus)
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
