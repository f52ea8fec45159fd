package main

import (
	"context"
	"errors"
	"io"
	"runtime"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// runDaemon runs the daemon until ctx ends, or only checks its configuration.
func runDaemon(ctx context.Context, cfg *config, out, errOut io.Writer) error {
	if cfg.Check {
		return usage(cfg.sayCheck(out))
	}
	defer runtime.KeepAlive(heapFloor())
	cfg.daemon.Log = cfg.newLog(errOut)
	d, err := daemon.Open(ctx, cfg.daemon)
	if err != nil {
		return usage(err)
	}
	return d.Run(ctx, func() { _, _ = systemd.SdNotify(false, systemd.SdNotifyReady) })
}

// usage makes what the person who started limpetd can mend a usageError.
func usage(err error) error {
	var bad *daemon.ConfigError
	if errors.As(err, &bad) {
		return &usageError{err}
	}
	return err
}
