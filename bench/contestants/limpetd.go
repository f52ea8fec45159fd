package contestants

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// limpetd is two limpetd processes with a link, and programs that use their API.
type limpetd struct {
	name    string
	network string // of the API and of the link
	classic bool   // the link has the protocol of upstream's limpets
	// programs is how programs use the API at an address, and library says it in words.
	programs func(ctx context.Context, api string) (contest.Bus, error)
	library  string
}

func (l *limpetd) Name() string { return l.name }

func (l *limpetd) About() string {
	link := "link over gRPC"
	if l.classic {
		link = "link with upstream's protocol"
	}
	return fmt.Sprintf("two limpetd, %s, all over %s; programs by the client library: %s", link, l.network, l.library)
}

func (l *limpetd) Check(*contest.Setup) error { return nil }

func (l *limpetd) Traits() contest.Traits { return contest.Traits{Names: true, Hub: !l.classic} }

// Start lets the near daemon accept links, and the far one and the idle ones dial it.
func (l *limpetd) Start(ctx context.Context, s *contest.Stage) (places contest.Places, err error) {
	link, err := newPlace(s, l.network, "link")
	if err != nil {
		return places, err
	}
	listen, connect := "--listen", "--connect"
	if l.classic {
		listen, connect = "--listen-classic", "--connect-classic"
	}
	for i, flag := range []string{listen, connect} {
		if places[i], err = newPlace(s, l.network, fmt.Sprintf("api%d", i)); err != nil {
			return places, err
		}
		cmd := exec.CommandContext(ctx, s.Limpetd, "--bus", "embedded", "--network-id", strconv.Itoa(i+1), "--api", places[i], flag, link, "-v", "0")
		if err := s.Run(cmd); err != nil {
			return places, err
		}
		if i == 0 { // who dials in vain waits before dialling again
			if err := s.Await(ctx, l.network, link); err != nil {
				return places, err
			}
		}
	}
	for _, api := range places {
		if err := s.Await(ctx, l.network, api); err != nil {
			return places, err
		}
	}
	return places, startIdle(ctx, s, link)
}

func (l *limpetd) Join(ctx context.Context, _ contest.Side, place string) (contest.Bus, error) {
	return l.programs(ctx, place)
}
