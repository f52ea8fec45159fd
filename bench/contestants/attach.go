package contestants

import (
	"context"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// attachLibrary is attach in words.
const attachLibrary = "Ksocks over Attach, with Post and Prefetch; one Caller for all requests"

// attach makes programs of the client library's Ksocks, in the fast way: what is sent does
// not wait for the bus's word, and what is heard is pushed.
func attach(ctx context.Context, api string) (contest.Bus, error) {
	bus, err := client.Open(api)
	if err != nil {
		return nil, err
	}
	if err := bus.WaitReady(ctx); err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (kbusdev.Ksock, error) {
		k, err := bus.Ksock(ctx, kbusdev.ReadWrite)
		if err != nil {
			return nil, err
		}
		if _, err := k.MaxMessages(apiQueue); err != nil {
			return nil, err
		}
		return k, k.Prefetch(true)
	}
	return &attached{ksocks: ksocks{open: open, post: post}, bus: bus}, nil
}

func post(ctx context.Context, k kbusdev.Ksock, m *kbusdev.Message) error {
	return k.(*client.Ksock).Post(ctx, m)
}

// attached is a bus whose programs make all their requests with one Caller.
type attached struct {
	ksocks
	bus *client.Bus
}

func (b *attached) Connect(ctx context.Context) (contest.Program, error) {
	p, err := b.ksocks.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &attachedProgram{ksockProgram: p.(*ksockProgram), caller: b.bus.Caller()}, nil
}

type attachedProgram struct {
	*ksockProgram
	caller *client.Caller
}

func (p *attachedProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	return func(ctx context.Context, data []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r, err := p.caller.Call(ctx, &kbusdev.Message{Name: kbusName(name), Data: data})
		if err != nil {
			return nil, err
		}
		return r.Data, nil
	}, nil
}
