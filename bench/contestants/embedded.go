package contestants

import (
	"context"
	"fmt"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// embedded is two daemons with a link, each in the process of its programs.
type embedded struct {
	name    string
	network string // of the link
	classic bool   // the link has the protocol of upstream's limpets
}

func (e *embedded) Name() string { return e.name }

func (e *embedded) About() string {
	link := "over gRPC"
	if e.classic {
		link = "with upstream's protocol"
	}
	return fmt.Sprintf("the daemons in the processes of the programs, linked %s over %s", link, e.network)
}

func (e *embedded) Check(*contest.Setup) error { return nil }

func (e *embedded) Traits() contest.Traits { return contest.Traits{Names: true} }

func (e *embedded) Start(_ context.Context, s *contest.Stage) (contest.Places, error) {
	link, err := newPlace(s, e.network, "link")
	return contest.Places{link, link}, err
}

// Join opens the daemon: the near one accepts the link.
func (e *embedded) Join(_ context.Context, side contest.Side, place string) (contest.Bus, error) {
	link := sockaddr.Address{Network: e.network, Address: place}
	var d *daemon.Daemon
	var err error
	if side == contest.Near {
		cfg := daemon.Config{Bus: daemon.Embedded, NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(link)}}
		if e.classic {
			cfg.Links[0].Classic = true
		}
		d, err = daemon.Open(context.Background(), cfg)
	} else {
		d, err = openLinked(2, link, e.classic)
	}
	if err != nil {
		return nil, err
	}
	go func() { _ = d.Run(context.Background(), nil) }() // until the process ends
	if side == contest.Far {
		if err := waitUp(d.Node()); err != nil {
			return nil, err
		}
	}
	bus := d.Node().Bus()
	return &ksocks{open: func(context.Context) (kbusdev.Ksock, error) { return openHere(bus) }, post: sendHere}, nil
}

func openHere(bus kbusdev.Bus) (kbusdev.Ksock, error) {
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return nil, err
	}
	_, err = k.MaxMessages(queueMessages)
	return k, err
}

func sendHere(ctx context.Context, k kbusdev.Ksock, m *kbusdev.Message) error {
	_, err := k.Send(ctx, m)
	return err
}
