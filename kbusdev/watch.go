package kbusdev

import "context"

// A BindingWatcher is a bus that tells of its bindings. The embedded bus is one.
type BindingWatcher interface {
	// WatchBindings begins to watch the bindings that accept accepts; nil accepts all.
	// accept must be quick, call nothing of the bus, and always say the same of one
	// binding. The watch must be closed.
	WatchBindings(accept func(Binding) bool) BindingWatch
}

// A BindingWatch tells what is bound, and then what changes.
type BindingWatch interface {
	// Next blocks until there is something to tell, or ctx ends or the watch is closed;
	// then it fails. It is called by one goroutine at a time.
	Next(ctx context.Context) (BindingChanges, error)
	// Close ends the watch. Closing again does nothing.
	Close()
}

// BindingChanges are what a watch tells at once. Unbound comes before Bound. A binding
// that has come and gone between two calls of Next may not be told at all; otherwise
// each one is told once when it is there, and once when it is gone.
type BindingChanges struct {
	// Restart: more has been unbound than is kept for a watcher that is so slow.
	// Everything told before is void, and all that is bound is told again.
	Restart bool
	// Unbound are bindings told before that are gone.
	Unbound []Binding
	// Bound are bindings that were not told before.
	Bound []Binding
	// Whole: now everything has been told that was bound at the start or restart.
	Whole bool
}
