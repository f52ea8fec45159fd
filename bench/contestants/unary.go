package contestants

import (
	"context"
	"errors"
	"slices"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// The bounds of the API.
const (
	apiQueue = 65536
	apiNames = 1024
)

// kbusName returns the name on a KBUS bus.
func kbusName(name string) string { return "$.Bench." + name }

// unaryLibrary is unary in words.
const unaryLibrary = "one Send call after the other, Call, and streams of Listen and Serve"

// unary makes programs of the client library as it is: each message that is sent is a
// call, and what is heard comes in a stream.
func unary(ctx context.Context, api string) (contest.Bus, error) { return unaryBus(api), nil }

type unaryBus string

func (b unaryBus) Connect(ctx context.Context) (contest.Program, error) {
	bus, err := client.Open(string(b))
	if err != nil {
		return nil, err
	}
	return &unaryProgram{bus}, bus.WaitReady(ctx)
}

type unaryProgram struct{ bus *client.Bus }

func (p *unaryProgram) Listen(_ context.Context, names []string, heard func([]byte)) error {
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = kbusName(name)
	}
	for some := range slices.Chunk(full, apiNames) {
		l, err := p.bus.Listen(context.Background(), client.ListenConfig{Names: some, MaxMessages: apiQueue})
		if err != nil {
			return err
		}
		go func() {
			for {
				m, err := l.Recv()
				if err != nil {
					return
				}
				heard(m.Data)
			}
		}()
	}
	return nil
}

func (p *unaryProgram) Serve(_ context.Context, name string, reply func([]byte) ([]byte, bool)) error {
	r, err := p.bus.Serve(context.Background(), apiQueue, kbusName(name))
	if err != nil {
		return err
	}
	go func() {
		for {
			q, err := r.Recv()
			var refused *kbusdev.OpError
			if errors.As(err, &refused) && refused.Op == "reply" {
				continue
			}
			if err != nil {
				return
			}
			if data, ok := reply(q.Data); ok {
				_ = r.Reply(q, "", data) // it fails with Recv
			}
		}
	}()
	return nil
}

func (p *unaryProgram) Send(ctx context.Context, name string, data []byte) error {
	_, err := p.bus.Send(ctx, &kbusdev.Message{Name: kbusName(name), Data: data})
	return err
}

func (p *unaryProgram) Flush() error { return nil }

func (p *unaryProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	return func(ctx context.Context, data []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r, err := p.bus.Call(ctx, &kbusdev.Message{Name: kbusName(name), Data: data})
		if err != nil {
			return nil, err
		}
		return replyData(r)
	}, nil
}

func (p *unaryProgram) Hold(_ context.Context, name string, n int) error {
	for range n {
		go func() { // until the process ends
			_, _ = p.bus.Call(context.Background(), &kbusdev.Message{Name: kbusName(name)})
		}()
	}
	return nil
}
