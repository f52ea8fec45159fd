package client

import (
	"errors"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/limpet/link"
)

func TestDelayGrowsIsBoundedAndChances(t *testing.T) {
	d := newDelay()
	lost := errors.New("lost")
	most := firstDelay
	for range 20 {
		if got := d.next(lost); got < most/2 || got > most {
			t.Errorf("a delay of %v, want between %v and %v", got, most/2, most)
		}
		most = min(2*most, lastDelay)
	}
	d.reset()
	if got := d.next(lost); got > firstDelay {
		t.Errorf("after a success the delay is %v", got)
	}
	if got := d.next(&link.Error{Code: link.Clash}); got < refusedDelay/2 || got > refusedDelay {
		t.Errorf("after a refusal the delay is %v", got)
	}
	if got := d.next(&link.Error{Code: link.GoingAway}); got > 5*time.Second {
		t.Errorf("after a peer that went away the delay is %v", got)
	}
}
