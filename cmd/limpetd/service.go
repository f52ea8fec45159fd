package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/notify"
)

// inherited returns the listening sockets that the service manager has handed over, by
// name. They are there once in a process.
func inherited() (daemon.Sockets, error) {
	all := make(daemon.Sockets)
	for _, f := range activation.Files(true) {
		l, err := net.FileListener(f)
		_ = f.Close() // l has its own
		if err != nil {
			return nil, fmt.Errorf("the service manager hands over %s, on which limpetd cannot listen: %w", f.Name(), err)
		}
		all[f.Name()] = append(all[f.Name()], l)
	}
	return all, nil
}

// statusPause is the least time between two lines of status for the service manager.
const statusPause = time.Second

// attend tells the service manager what becomes of a daemon, and feeds its watchdog, until
// ctx ends. Then nothing of it is left running.
func attend(ctx context.Context, d *daemon.Daemon, log *slog.Logger) {
	if !notify.Enabled() {
		return
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := notify.Watchdog(ctx, log, d.Alive); err != nil {
			log.Warn("there is no watchdog", "error", err)
		}
	})
	all.Go(func() { tellStatus(ctx, d) })
	all.Go(func() {
		select {
		case <-d.Draining():
			notify.Stopping()
		case <-ctx.Done():
		}
	})
	all.Wait()
}

// tellStatus tells what the links are doing, when that changes.
func tellStatus(ctx context.Context, d *daemon.Daemon) {
	last := ""
	for {
		changed := d.Node().Changed() // before looking, so that no change is missed
		if now := d.Summary(); now != last {
			notify.Status(now)
			last = now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		select { // many changes at once are one line
		case <-time.After(statusPause):
		case <-ctx.Done():
			return
		}
	}
}
