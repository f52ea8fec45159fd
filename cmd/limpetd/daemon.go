package main

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/notify"
)

// runDaemon runs the daemon until ctx ends, or only checks its configuration.
func runDaemon(ctx context.Context, cfg *config, out, errOut io.Writer) error {
	if cfg.Check {
		return usage(cfg.sayCheck(out))
	}
	defer runtime.KeepAlive(heapFloor())
	cfg.daemon.Log = cfg.newLog(errOut)
	sockets, err := inherited()
	if err != nil {
		return err
	}
	if err := cfg.daemon.Adopt(sockets); err != nil {
		return usage(err)
	}
	d, err := daemon.Open(ctx, cfg.daemon)
	if err != nil {
		return usage(err)
	}
	attending, stop := context.WithCancel(context.WithoutCancel(ctx))
	var attended sync.WaitGroup
	attended.Go(func() { attend(attending, d, cfg.daemon.Log) })
	defer attended.Wait()
	defer stop()
	return d.Run(ctx, notify.Ready)
}

// usage makes what the person who started limpetd can mend a usageError.
func usage(err error) error {
	var bad *daemon.ConfigError
	if errors.As(err, &bad) {
		return &usageError{err}
	}
	return err
}
