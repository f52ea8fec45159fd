package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// How many of each limpetctl top asks for: more than there are lines on a screen.
const (
	topRequests = 100
	topSlow     = 64
)

// A topLook is what a daemon does at a time.
type topLook struct {
	at       time.Time
	status   *pb.GetStatusResponse
	requests *pb.ListOpenRequestsResponse
	slow     *pb.ListSlowRepliersResponse
	drops    map[dropKey]uint64 // since the daemon started
}

// A dropKey is what drops are summed up by.
type dropKey struct {
	source pb.DropSource
	reason string
}

// A looker looks at a daemon again and again.
type looker struct {
	bus   *client.Bus
	watch *client.DropWatch // nil if there is none yet, or it has failed

	mu     sync.Mutex
	drops  map[dropKey]uint64
	failed error // why the watch has
}

// look looks once. After an error it may look again.
func (l *looker) look(ctx context.Context) (*topLook, error) {
	now := new(topLook)
	err := l.lookAtDrops(ctx, now)
	if err == nil {
		now.status, err = l.bus.Status(ctx)
	}
	if err == nil {
		now.requests, err = l.bus.OpenRequests(ctx, &pb.ListOpenRequestsRequest{PageSize: topRequests})
	}
	if err == nil {
		now.slow, err = l.bus.SlowRepliers(ctx, topSlow)
	}
	now.at = time.Now()
	return now, err
}

// lookAtDrops takes the sums as they are now.
func (l *looker) lookAtDrops(ctx context.Context, now *topLook) error {
	if l.watch == nil {
		if err := l.begin(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now.drops = maps.Clone(l.drops)
	if l.failed != nil {
		l.watch.Close()
		l.watch = nil
	}
	return l.failed
}

// begin opens the watch of drops, which outlives ctx, and reads all that it knows already.
func (l *looker) begin(ctx context.Context) error {
	w, err := l.bus.WatchDrops(context.WithoutCancel(ctx), &pb.WatchDropsRequest{})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, w.Close)()
	l.drops, l.failed = make(map[dropKey]uint64), nil
	for whole := false; !whole; {
		r, err := w.Recv()
		if err != nil {
			w.Close()
			return err
		}
		l.add(r)
		whole = r.GetWhole()
	}
	l.watch = w
	go func() {
		for {
			r, err := w.Recv()
			if err != nil {
				l.mu.Lock()
				l.failed = err
				l.mu.Unlock()
				return
			}
			l.add(r)
		}
	}()
	return nil
}

func (l *looker) add(r *pb.WatchDropsResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range r.GetDrops() {
		l.drops[dropKey{d.GetSource(), d.GetReason()}]++
	}
	for _, n := range r.GetUntold() {
		l.drops[dropKey{n.GetSource(), n.GetReason()}] += n.GetCount()
	}
}

// close ends the watch.
func (l *looker) close() {
	if l.watch != nil {
		l.watch.Close()
	}
}
