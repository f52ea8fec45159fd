package peer

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
		if got := d.next(lost, false); got < most/2 || got > most {
			t.Errorf("a delay of %v, want between %v and %v", got, most/2, most)
		}
		most = min(2*most, lastDelay)
	}
	if got := d.next(lost, true); got > detachedDelay {
		t.Errorf("while an epoch waits the delay is %v", got)
	}
	d.reset()
	if got := d.next(lost, false); got > firstDelay {
		t.Errorf("after a success the delay is %v", got)
	}
	if got := d.next(&link.Error{Code: link.Clash}, true); got < refusedDelay/2 || got > refusedDelay {
		t.Errorf("after a refusal the delay is %v", got)
	}
	if got := d.next(&link.Error{Code: link.GoingAway}, false); got > 5*time.Second {
		t.Errorf("after a peer that went away the delay is %v", got)
	}
}
