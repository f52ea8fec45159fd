package client

import (
	"context"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// openTimeout bounds the opening of a Ksock by Device.
const openTimeout = 10 * time.Second

// Device returns the bus as a kbusdev.Bus, each of whose Ksocks has a stream of its own.
// Its methods fail after 10 s if the daemon does not answer. It is safe for concurrent use,
// and of use until b is closed.
func (b *Bus) Device() kbusdev.Bus { return device{b} }

type device struct{ bus *Bus }

func (d device) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	k, err := d.bus.Ksock(ctx, mode)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (d device) Bindings() ([]kbusdev.Binding, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	return d.bus.Bindings(ctx)
}

func (d device) String() string { return d.bus.to.String() }
