package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// listeners are where a daemon is reached, but for peers.
type listeners struct {
	api     []*counted.Listener
	metrics net.Listener // nil if there are none
	web     net.Listener // likewise
	control net.Listener // for questions about the exposed device
}

// close closes all, and every connection that was accepted for gRPC.
func (l *listeners) close() {
	for _, x := range l.api {
		x.CloseAll()
	}
	for _, x := range []net.Listener{l.metrics, l.web, l.control} {
		if x != nil {
			_ = x.Close()
		}
	}
}

// listen opens all listeners, or none and says which one it could not.
func listen(ctx context.Context, cfg *Config, guards *guards) (*listeners, error) {
	l := new(listeners)
	if err := l.open(ctx, cfg, guards); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *listeners) open(ctx context.Context, cfg *Config, guards *guards) error {
	_, group, err := cfg.groups()
	if err != nil {
		return err
	}
	if cfg.API != nil {
		a, err := cfg.listenAt(ctx, SocketAPI, *cfg.API, sockaddr.Config{Private: true, Group: group})
		if errors.Is(err, sockaddr.ErrInUse) {
			return fmt.Errorf("%w (or give this daemon its own with --api)", err)
		}
		if err != nil {
			return fmt.Errorf("--api: %w", err)
		}
		l.api = append(l.api, counted.Listen(guards.programs.Listen(a)))
	}
	if cfg.Metrics != "" {
		m, err := cfg.listenAt(ctx, SocketMetrics, sockaddr.Address{Network: "tcp", Address: cfg.Metrics}, sockaddr.Config{})
		if err != nil {
			return fmt.Errorf("--metrics: %w", err)
		}
		l.metrics = m
	}
	if cfg.Web != nil {
		w, err := cfg.listenAt(ctx, SocketWeb, *cfg.Web, sockaddr.Config{Private: true, Group: group})
		if err != nil {
			return fmt.Errorf("--web: %w", err)
		}
		l.web = guards.web.Listen(w)
	}
	if cfg.Expose == "" {
		return nil
	}
	addr := sockaddr.Address{Network: "unix", Address: kbusdev.ControlSocket(filepath.Dir(cfg.Expose))}
	c, err := sockaddr.Listen(ctx, addr, sockaddr.Config{Mode: 0o666, Log: cfg.Log})
	if errors.Is(err, sockaddr.ErrInUse) && kbusdev.AnswersControl(ctx, addr.Address) {
		return fmt.Errorf("--expose: a kbusd, or another limpetd --expose, is running: it answers at %s; stop it, or choose another folder (%w)", addr, err)
	}
	if err != nil {
		return fmt.Errorf("--expose: %w", err)
	}
	l.control = c
	return nil
}
