package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// runDaemon runs the daemon until ctx ends. SIGHUP has it read its configuration again.
func runDaemon(ctx context.Context, l *loader, errOut io.Writer) error {
	cfg, err := l.load()
	if err != nil {
		return &usageError{err}
	}
	defer runtime.KeepAlive(heapFloor())
	c := cfg.daemon
	c.LevelVar = new(slog.LevelVar)
	c.LevelVar.Set(c.Level)
	c.Log = cfg.newLog(errOut, c.LevelVar)
	c.Load = func() (daemon.Config, error) {
		now, err := l.load()
		if err != nil {
			return daemon.Config{}, err
		}
		return now.daemon, nil
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // before it can be told that we are there
	defer signal.Stop(hangUp)
	d, err := daemon.Open(ctx, c)
	if err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go reloadAt(ctx, hangUp, d, c.Log)
	return d.Run(ctx, func() { _, _ = systemd.SdNotify(false, systemd.SdNotifyReady) })
}

// reloadAt reloads the configuration at each signal, until ctx ends. What is wrong with
// it is logged, and nothing changes.
func reloadAt(ctx context.Context, hangUp <-chan os.Signal, d *daemon.Daemon, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
		}
		changes, err := d.Reload(ctx, false)
		if err != nil {
			log.Error("the configuration is not reloaded; everything stays as it was", "reason", err)
			continue
		}
		log.Info("configuration reloaded", "changes", len(changes))
	}
}

// usage makes what the person who started limpetd can mend a usageError.
func usage(err error) error {
	var bad *daemon.ConfigError
	if errors.As(err, &bad) {
		return &usageError{err}
	}
	return err
}
