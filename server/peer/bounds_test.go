package peer_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/server/peer"
)

// Of streams on which nobody greets there are so many and no more.
func TestSilentStreams(t *testing.T) {
	a, host := serveBounded(t, newNode(t, 1), peer.Bounds{Links: 1, Greeting: 4, GreetingOfSource: 3})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range 4 {
		go func() {
			s, err := pb.NewLinkServiceClient(dial(t, a)).Link(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			ended <- err
		}()
	}
	if err := <-ended; status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "have not greeted") {
		t.Errorf("one of four ends with %v", err)
	}
	if n := host.Reached()["links that have not greeted"]; n != 1 {
		t.Errorf("%d are counted", n)
	}
	cancel()
	for range 3 {
		<-ended
	}
}

// The bound of links is for those that have greeted; what is over it is told so, and may try
// again.
func TestTooManyLinks(t *testing.T) {
	node := newNode(t, 1)
	a, host := serveBounded(t, node, peer.Bounds{Links: 1, Greeting: 10, GreetingOfSource: 10})
	for range 5 {
		if _, err := pb.NewLinkServiceClient(dial(t, a)).Link(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, second := newNode(t, 2), newNode(t, 3)
	stop := dialler(first, a, limpet.Config{})
	waitState(t, first, limpet.Up)
	stopSecond := dialler(second, a, limpet.Config{})
	for {
		changed := second.Changed()
		if all := second.Peerings(); len(all) == 1 && all[0].Status().LastErr != nil {
			if why := all[0].Status().LastErr.Error(); !strings.Contains(why, "1 links are being served here") {
				t.Errorf("the second is told %q", why)
			}
			break
		}
		<-changed
	}
	if got := host.Reached(); got["links"] == 0 {
		t.Errorf("counted: %v", got)
	}
	stop(nil)
	first.Close(t.Context(), "the test ends")
	waitState(t, second, limpet.Up)
	stopSecond(nil)
	second.Close(t.Context(), "the test ends")
}
