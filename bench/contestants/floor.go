package contestants

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// floorHandlers are what a program of a floor does with what comes. It knows no names:
// who listens hears all announcements.
type floorHandlers struct {
	mu      sync.Mutex
	heard   func([]byte)
	replies func([]byte) ([]byte, bool)
	callers []chan []byte
}

func (f *floorHandlers) Listen(_ context.Context, _ []string, heard func([]byte)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = heard
	return nil
}

func (f *floorHandlers) Serve(_ context.Context, _ string, reply func([]byte) ([]byte, bool)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replies = reply
	return nil
}

// Hold is not for floors.
func (f *floorHandlers) Hold(context.Context, string, int) error { return errors.ErrUnsupported }

func (f *floorHandlers) newCaller() (caller uint32, replies <-chan []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan []byte, 1)
	f.callers = append(f.callers, c)
	return uint32(len(f.callers) - 1), c
}

// got takes a message, and returns a reply if there is one to be sent. It does not keep
// data.
func (f *floorHandlers) got(kind byte, caller uint32, data []byte) ([]byte, bool) {
	f.mu.Lock()
	heard, answer := f.heard, f.replies
	var to chan []byte
	if kind == reply && int(caller) < len(f.callers) {
		to = f.callers[caller]
	}
	f.mu.Unlock()
	switch {
	case kind == announcement && heard != nil:
		heard(data)
	case kind == request && answer != nil:
		return answer(data)
	case to != nil:
		select {
		case to <- slices.Clone(data):
		default: // of a request that was given up
		}
	}
	return nil, false
}
