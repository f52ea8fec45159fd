package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kbus-limpet/limpet/internal/flight"
)

// defaultStuckAfter is longer than most requests take.
const defaultStuckAfter = 30 * time.Second

func (c *Config) checkFlight() error {
	switch after := c.StuckAfter; {
	case after < 0:
		return &ConfigError{"stuck-after", fmt.Errorf("%v is less than 0", after)}
	case after > maxDuration:
		return &ConfigError{"stuck-after", fmt.Errorf("%v is too long; choose at most %v", after, maxDuration)}
	case after > 0 && after != defaultStuckAfter && c.FlightDir == "":
		return &ConfigError{"stuck-after", errors.New("it is for the flight recorder: give --flight-dir too")}
	}
	return nil
}

// openFlight starts the flight recorder, if it is wanted.
func (d *Daemon) openFlight() (err error) {
	if d.cfg.FlightDir == "" {
		return nil
	}
	after := d.cfg.StuckAfter
	if after == 0 {
		after = defaultStuckAfter
	}
	if d.flight, err = flight.New(flight.Config{Dir: d.cfg.FlightDir, After: after, Oldest: d.oldestRequest, Log: d.cfg.Log}); err != nil {
		d.flight = nil
		return &ConfigError{"flight-dir", err}
	}
	d.admin.Flight = func(w io.Writer) error { _, err := d.flight.WriteTo(w); return err }
	return nil
}

func (d *Daemon) oldestRequest(before time.Time) (flight.Request, bool) {
	r, ok := d.node.OldestRequest(before)
	return flight.Request{Link: r.Link, ID: r.ID.String(), From: uint32(r.From), Since: r.Since}, ok
}

// runFlight watches for stuck requests until the function that it returns is called, and then
// stops the recorder.
func (d *Daemon) runFlight() (stop func()) {
	if d.flight == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.flight.Run(ctx) }()
	return func() { cancel(); <-done; d.flight.Close() }
}
