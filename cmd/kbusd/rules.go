package main

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/kbus-limpet/limpet/internal/notify"
	"github.com/kbus-limpet/limpet/internal/rulefile"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A rulebook has the rules of a file that hold now. Its methods are safe for concurrent use.
type rulebook struct {
	path string
	log  *slog.Logger

	mu  sync.Mutex
	set *rules.Set
}

// read takes the file's rules. If one of them is wrong, or a test does not hold, nothing
// changes.
func (b *rulebook) read() error {
	set, err := rulefile.Read(b.path)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set = set
	return nil
}

// judgeOf returns who judges a program; nil if it may do everything.
func (b *rulebook) judgeOf(p kbusfs.Program) membus.Judge {
	process := rules.Process(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if policy := b.set.For(rules.Identity{Process: &process}, 0); !policy.Unlimited() {
		return policy
	}
	return nil
}

// readAt reads the file again at each signal, until ctx ends, and then calls changed. What is
// wrong with it is logged, and nothing changes.
func (b *rulebook) readAt(ctx context.Context, hangUp <-chan os.Signal, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
		}
		notify.Reloading()
		err := b.read()
		if err == nil {
			changed()
		}
		notify.Ready()
		if err != nil {
			b.log.Error("the rules are not reloaded; everything stays as it was", "reason", err)
			continue
		}
		b.log.Info("rules reloaded", "file", b.path)
	}
}
