package daemon

import (
	"context"
	"fmt"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// listenForTermination opens a Ksock that listens for the termination message, so that
// it works also while no peer is linked. The limpets listen too, for they must not
// forward it; whoever reads it first stops the daemon.
func listenForTermination(node *limpet.Node, name string) (kbusdev.Ksock, error) {
	k, err := node.Bus().Open(kbusdev.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("--termination-message: %w", err)
	}
	node.Overlook(k.ID())
	if err := k.Bind(name, kbusdev.Listener); err != nil {
		_ = k.Close()
		return nil, fmt.Errorf("--termination-message: %w", err)
	}
	return k, nil
}

// awaitTermination blocks until a program on this bus has sent the termination message,
// and returns limpet.ErrTerminated then; else the error of Recv. A message that came
// over a link does not count.
func awaitTermination(ctx context.Context, k kbusdev.Ksock) error {
	for {
		m, err := k.Recv(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("listening for the termination message: %w", err)
		case m.ID.Network == 0:
			return limpet.ErrTerminated
		}
	}
}
