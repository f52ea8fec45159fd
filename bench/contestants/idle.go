package contestants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
)

const idleRole = "idle-limpetds"

// firstIdle is the network id of the first idle daemon.
const firstIdle = 10

// startIdle starts a process with as many daemons as the stage wants that nobody uses,
// linked to the one at the address, and returns when all links are up.
func startIdle(ctx context.Context, s *contest.Stage, link string) error {
	if s.Peers == 0 {
		return nil
	}
	return startReady(ctx, s, idleRole, link, strconv.Itoa(s.Peers))
}

// playIdle has the arguments address and count.
func playIdle(args []string) error {
	link, err := sockaddr.ParseAddress(args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ended := make(chan error, count)
	for i := range count {
		d, err := openLinked(uint32(firstIdle+i), link, false)
		if err != nil {
			return err
		}
		go func() { ended <- d.Run(context.Background(), nil) }()
		if err := waitUp(d.Node()); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(os.Stdout, ready); err != nil {
		return err
	}
	return <-ended
}

// openLinked opens a daemon without API that dials link.
func openLinked(id uint32, link sockaddr.Address, classic bool) (*daemon.Daemon, error) {
	cfg := daemon.Config{Bus: daemon.Embedded, NetworkID: id, Links: []daemon.LinkConfig{daemon.Dial(link)}}
	if classic {
		cfg.Links[0].Classic = true
	}
	return daemon.Open(context.Background(), cfg)
}

// waitUp waits until a node has a link that is up.
func waitUp(n *limpet.Node) error {
	late := time.After(30 * time.Second)
	for {
		changed := n.Changed()
		for _, p := range n.Peerings() {
			if p.State() == limpet.Up {
				return nil
			}
		}
		select {
		case <-changed:
		case <-late:
			return errors.New("the link has not come up within 30 s")
		}
	}
}
