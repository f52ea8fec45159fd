package contestants

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// natsLeaf is two NATS servers, of which the far one is a leaf of the near one.
type natsLeaf struct{}

func (*natsLeaf) Name() string { return NATS }

func (*natsLeaf) About() string {
	return fmt.Sprintf("two nats-server %s with a leaf link; programs by nats.go %s; all over tcp", server.VERSION, nats.Version)
}

func (*natsLeaf) Check(*contest.Setup) error { return nil }

func (*natsLeaf) Traits() contest.Traits { return contest.Traits{Names: true, Hub: true} }

func (*natsLeaf) Start(ctx context.Context, s *contest.Stage) (places contest.Places, err error) {
	var ports [3]string
	for i := range ports {
		if ports[i], err = contest.FreePort(); err != nil {
			return places, err
		}
	}
	places, leaf := contest.Places{ports[0], ports[1]}, ports[2]
	if err := startReady(ctx, s, natsRole, "hub", places[contest.Near], leaf); err != nil {
		return places, err
	}
	if err := startReady(ctx, s, natsRole, "leaf", places[contest.Far], leaf); err != nil {
		return places, err
	}
	if s.Peers > 0 {
		return places, startReady(ctx, s, natsRole, "leaves", strconv.Itoa(s.Peers), leaf)
	}
	return places, nil
}

func (*natsLeaf) Join(_ context.Context, _ contest.Side, place string) (contest.Bus, error) {
	return natsBus(place), nil
}

type natsBus string

func (b natsBus) Connect(context.Context) (contest.Program, error) {
	conn, err := nats.Connect("nats://"+string(b), nats.NoReconnect())
	return &natsProgram{conn}, err
}

type natsProgram struct{ conn *nats.Conn }

func natsName(name string) string { return "bench." + name }

func (p *natsProgram) Listen(_ context.Context, names []string, heard func([]byte)) error {
	for _, name := range names {
		if err := p.subscribe(name, func(m *nats.Msg) { heard(m.Data) }); err != nil {
			return err
		}
	}
	return p.conn.Flush()
}

func (p *natsProgram) Serve(_ context.Context, name string, reply func([]byte) ([]byte, bool)) error {
	err := p.subscribe(name, func(m *nats.Msg) {
		if data, ok := reply(m.Data); ok {
			_ = m.Respond(data)
		}
	})
	if err != nil {
		return err
	}
	return p.conn.Flush()
}

func (p *natsProgram) subscribe(name string, got nats.MsgHandler) error {
	sub, err := p.conn.Subscribe(natsName(name), got)
	if err != nil {
		return err
	}
	return sub.SetPendingLimits(-1, -1)
}

func (p *natsProgram) Send(_ context.Context, name string, data []byte) error {
	return p.conn.Publish(natsName(name), data)
}

// Flush does nothing: the library sends what it has buffered by itself.
func (p *natsProgram) Flush() error { return nil }

func (p *natsProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	return func(_ context.Context, data []byte) ([]byte, error) {
		m, err := p.conn.Request(natsName(name), data, patience)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}, nil
}

func (p *natsProgram) Hold(_ context.Context, name string, n int) error {
	inbox := p.conn.NewInbox()
	if _, err := p.conn.Subscribe(inbox+".*", func(*nats.Msg) {}); err != nil {
		return err
	}
	for i := range n {
		if err := p.conn.PublishRequest(natsName(name), fmt.Sprintf("%s.%d", inbox, i), nil); err != nil {
			return err
		}
	}
	return p.conn.Flush()
}
