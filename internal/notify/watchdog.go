package notify

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Watchdog feeds the service manager's watchdog until ctx ends: each time that alive
// returns nil. It returns at once if the manager has none. alive is called three times in
// the manager's interval, one call after the other, and must return when its context ends,
// which is before the interval is over.
//
// So the manager restarts a daemon that makes no progress, even if its process is there.
func Watchdog(ctx context.Context, log *slog.Logger, alive func(context.Context) error) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("the service manager's watchdog: %w", err)
	}
	if interval == 0 {
		return nil
	}
	watch(ctx, interval, log, alive, func() { send(daemon.SdNotifyWatchdog) })
	return nil
}

// watch does what Watchdog says.
func watch(ctx context.Context, interval time.Duration, log *slog.Logger, alive func(context.Context) error, feed func()) {
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	var p pulse
	for {
		err := ask(ctx, interval/3, alive)
		if ctx.Err() != nil {
			return
		}
		fed, changed := p.answer(err)
		if fed {
			feed()
		}
		switch {
		case changed && !fed:
			log.Warn("the daemon makes no progress; its watchdog is not fed, and the service manager will restart it if that goes on", "interval", interval, "reason", err)
		case changed:
			log.Info("the daemon makes progress again")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func ask(ctx context.Context, timeout time.Duration, alive func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return alive(ctx)
}

// A pulse decides what an answer means.
type pulse struct{ missing bool }

// answer takes what alive has returned. It returns whether the watchdog is fed, and whether
// that is another answer than the last.
func (p *pulse) answer(err error) (fed, changed bool) {
	changed = p.missing != (err != nil)
	p.missing = err != nil
	return err == nil, changed
}
