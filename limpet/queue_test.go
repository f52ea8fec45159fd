package limpet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// A shortBus does not let queues be raised beyond most, as kbusd with --max-queue.
type shortBus struct {
	kbusdev.Bus
	most uint32
}

type shortKsock struct {
	kbusdev.Ksock
	most uint32
}

func (b *shortBus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	k, err := b.Bus.Open(mode)
	return &shortKsock{k, b.most}, err
}

func (k *shortKsock) MaxMessages(n uint32) (uint32, error) {
	return k.Ksock.MaxMessages(min(n, k.most))
}

// On a bus whose queues cannot be raised far enough for all repliers the link ends,
// and says why.
func TestMoreRepliersThanAnyQueueTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for most, fits := range map[uint32]bool{1000: true, 200: false} {
			bus := membus.New()
			for i := range 250 {
				if err := open(t, bus).Bind(fmt.Sprintf("$.R%d", i), kbusdev.Replier); err != nil {
					t.Fatal(err)
				}
			}
			ours, theirs := pipe()
			here, there := node(t, &shortBus{bus, most}, 1), node(t, membus.New(), 2)
			ctx, cancel := context.WithCancel(context.Background())
			ended, farEnded := make(chan error, 1), make(chan error, 1)
			go func() { ended <- limpet.Accept(ctx, here.NewLink("a"), ours, limpet.Config{MaxMessages: 100}) }()
			go func() {
				farEnded <- limpet.Dial(ctx, there.NewLink("b"), theirs, limpet.NewLinkID(), limpet.Config{}, nil)
			}()
			synctest.Wait()
			var reason error
			select {
			case reason = <-ended:
			default:
			}
			if fits && reason != nil {
				t.Errorf("with queues of %d the link has ended: %v", most, reason)
			}
			if !fits && (!errors.Is(reason, syscall.EBUSY) || !strings.Contains(reason.Error(), "the 200 messages")) {
				t.Errorf("with queues of %d the link ended with %v", most, reason)
			}
			cancel()
			if reason == nil {
				<-ended
			}
			<-farEnded
		}
	})
}
