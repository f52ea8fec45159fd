package contestants

import (
	"context"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// attachLibrary is attach in words.
const attachLibrary = "Ksocks over Attach, with Post and Prefetch"

// attach makes programs of the client library's Ksocks, in the fast way: what is sent does
// not wait for the bus's word, and what is heard is pushed.
func attach(ctx context.Context, api string) (contest.Bus, error) {
	bus, err := client.Open(api)
	if err != nil {
		return nil, err
	}
	if err := bus.WaitReady(ctx); err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (kbusdev.Ksock, error) {
		k, err := bus.Ksock(ctx, kbusdev.ReadWrite)
		if err != nil {
			return nil, err
		}
		if _, err := k.MaxMessages(apiQueue); err != nil {
			return nil, err
		}
		return k, k.Prefetch(true)
	}
	return &ksocks{open: open, post: post}, nil
}

func post(ctx context.Context, k kbusdev.Ksock, m *kbusdev.Message) error {
	return k.(*client.Ksock).Post(ctx, m)
}
