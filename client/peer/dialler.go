package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/classic"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// A Dialler keeps the link with one peer up.
type Dialler struct {
	// Node is our side. Required.
	Node *limpet.Node
	// Name is the peering's. Required.
	Name string
	// Address is the peer's. Required.
	Address sockaddr.Address
	// Credentials are those of identity.Client; nil is those without TLS.
	Credentials credentials.TransportCredentials
	// Classic says that the peer is one of upstream's limpets. Then there is never TLS.
	Classic bool
	// Limpet is how the link behaves.
	Limpet limpet.Config
}

// Run dials the peer, serves the link, and dials again when that has broken, until ctx
// ends; then it drains the link, takes the peering off its node and returns. The peer
// may be there later than we are. Nothing is left running.
func (d *Dialler) Run(ctx context.Context) {
	p := d.Node.NewDialled(d.Name, d.Limpet, d.Classic)
	streams, stop := context.WithCancel(context.WithoutCancel(ctx)) // they end after the drain
	k := &keeper{peering: p, log: d.Node.Log().With("link", p.Name()), open: d.open, delay: newDelay()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.run(streams, ctx)
	}()
	<-ctx.Done()
	reason := reasonOf(context.Cause(ctx))
	p.Close(streams, reason)
	stop()
	<-ended
	p.Close(streams, reason) // of a greeting that was under way there may be a link now
}

// dialTimeout bounds the making of a connection with an upstream limpet.
const dialTimeout = 5 * time.Second

// stopReason is what the peer is told, unless the context ended with a StopError.
const stopReason = "the daemon is stopping"

// A StopError is a cause with which Run's context may end: what the peer is told. Other
// causes are nobody else's business.
type StopError string

// Error returns the reason.
func (r StopError) Error() string { return string(r) }

func reasonOf(cause error) string {
	if r := StopError(""); errors.As(cause, &r) {
		return string(r)
	}
	return stopReason
}

func (d *Dialler) open(ctx context.Context) (link.Stream, error) {
	if !d.Classic {
		return open(ctx, rpcstream.Target{Address: d.Address, Credentials: d.Credentials})
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, d.Address.Network, d.Address.Address)
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	who, transport, err := identity.Of(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return limpet.Identify(classic.NewStream(conn, d.Node.MaxMessageSize()), who, string(transport)), nil
}

// A keeper serves one stream after the other.
type keeper struct {
	peering *limpet.Peering
	log     *slog.Logger
	open    func(context.Context) (link.Stream, error)
	delay   *delay
	said    string // the failure that was logged last
}

// run serves until dialling ends, and with it the attempt to get another stream; the
// stream that there is goes on until ctx or the epoch ends.
func (k *keeper) run(ctx, dialling context.Context) {
	for dialling.Err() == nil {
		select {
		case <-time.After(k.serve(ctx, dialling)):
		case <-dialling.Done():
		}
	}
}

// serve dials once, serves the stream until it breaks, and returns how long to wait
// before the next. ctx is of the stream, dialling of the attempt to get one.
func (k *keeper) serve(ctx, dialling context.Context) time.Duration {
	up := false
	err := k.once(ctx, dialling, func() { up = true })
	if dialling.Err() != nil {
		return 0
	}
	if up {
		k.delay.reset()
		k.said = ""
	} else {
		k.peering.Failed(err)
	}
	wait := k.delay.next(err, k.peering.State() == limpet.Detached)
	k.say(up, err, wait)
	return wait
}

func (k *keeper) once(ctx, dialling context.Context, onUp func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(dialling, cancel) // until there is a stream
	s, err := k.open(ctx)
	if !stop() || err != nil {
		if err == nil {
			s.Close()
			err = context.Canceled
		}
		return err
	}
	return k.peering.Dial(ctx, s, onUp)
}

// say logs one line for each change: the same failure again is none, and the end of
// a link that was up has been logged by its peering. A peer that is not there yet is
// nothing to warn of.
func (k *keeper) say(up bool, err error, wait time.Duration) {
	switch said := err.Error(); {
	case up:
		k.log.Debug("dialling again", "reason", err, "in", wait)
	case said == k.said:
		k.log.Debug("still no link", "reason", err, "retry_in", wait)
	case refusal(err):
		k.said = said
		k.log.Warn("no link; dialling again later", "reason", err)
	default:
		k.said = said
		k.log.Info("the peer cannot be reached; dialling until it can", "reason", err)
	}
}
