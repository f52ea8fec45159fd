package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/notify"
)

// runDaemon runs the daemon until ctx ends. SIGHUP has it read its configuration again.
func runDaemon(ctx context.Context, l *loader, errOut io.Writer) error {
	cfg, err := l.load()
	if err != nil {
		return &usageError{err}
	}
	defer runtime.KeepAlive(heapFloor())
	sockets, err := inherited()
	if err != nil {
		return err
	}
	c := cfg.daemon
	if err := c.Adopt(sockets); err != nil {
		return usage(err)
	}
	c.LevelVar = new(slog.LevelVar)
	c.LevelVar.Set(c.Level)
	c.Log = cfg.newLog(errOut, c.LevelVar)
	c.Load = func() (daemon.Config, error) {
		now, err := l.load()
		if err != nil {
			return daemon.Config{}, err
		}
		return now.daemon, now.daemon.Adopt(sockets)
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // before it can be told that we are there
	defer signal.Stop(hangUp)
	d, err := daemon.Open(ctx, c)
	if err != nil {
		return usage(err)
	}
	beside, stop := context.WithCancel(context.WithoutCancel(ctx)) // until Run has ended, which drains first
	var all sync.WaitGroup
	all.Go(func() { reloadAt(beside, hangUp, d) })
	all.Go(func() { attend(beside, d, d.Log()) })
	defer all.Wait()
	defer stop()
	return d.Run(ctx, notify.Ready)
}

// reloadAt reloads the configuration at each signal, until ctx ends. What is wrong with
// it is logged, and nothing changes.
func reloadAt(ctx context.Context, hangUp <-chan os.Signal, d *daemon.Daemon) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
		}
		notify.Reloading()
		_, _ = d.Reload(ctx, false) // which logs what comes of it
		notify.Ready()
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
