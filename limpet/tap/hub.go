package tap

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// MaxTaps bounds the taps of a node.
const MaxTaps = 8

// TooManyTapsError says that there are MaxTaps already.
type TooManyTapsError struct{}

// Error returns the error's text.
func (TooManyTapsError) Error() string {
	return fmt.Sprintf("%d taps are open here, no more are allowed at once", MaxTaps)
}

// A Hub has the taps of a node. The zero value has none. Its methods are safe for
// concurrent use.
type Hub struct {
	taps atomic.Pointer[[]*Tap] // nil if there are none; what it points to does not change
	mu   sync.Mutex             // of who changes it
}

// Open adds a tap; Close takes it away. The error says what is wrong with cfg, or is
// TooManyTapsError.
func (h *Hub) Open(cfg Config) (*Tap, error) {
	t, err := newTap(h, cfg)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*Tap
	if old := h.taps.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if len(all) >= MaxTaps {
		return nil, TooManyTapsError{}
	}
	all = append(all, t)
	h.taps.Store(&all)
	return t, nil
}

func (h *Hub) remove(t *Tap) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.taps.Load()
	if old == nil {
		return
	}
	all := slices.DeleteFunc(slices.Clone(*old), func(o *Tap) bool { return o == t })
	if len(all) == 0 {
		h.taps.Store(nil)
	} else {
		h.taps.Store(&all)
	}
}

// Point returns where the link of that name shows its messages.
func (h *Hub) Point(link string) *Point { return &Point{hub: h, link: link} }

// A Point is where a link shows its messages to the taps. A nil one shows them to nobody.
type Point struct {
	hub  *Hub
	link string
}

// On reports whether anybody looks. It costs an atomic load.
func (p *Point) On() bool { return p != nil && p.hub.taps.Load() != nil }

// Show offers the record of m to all taps. It sets the record's At, Link, Kind, Size and
// Event, and keeps neither the record nor the data of m.
func (p *Point) Show(r *Record, m *kbusdev.Message) {
	taps := p.hub.taps.Load()
	if taps == nil {
		return
	}
	r.At, r.Link, r.Kind, r.Size, r.Event = time.Now(), p.link, KindOf(m), m.Size()-len(m.Name), m.Event
	for _, t := range *taps {
		t.offer(r, m.Data)
	}
}
