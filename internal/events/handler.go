package events

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// keeps is the level of what a Ring keeps: details are not kept, for there is one for each
// message.
const keeps = slog.LevelInfo

// Handler returns a handler that keeps events of slog.LevelInfo and worse, whatever the level
// of next is, and passes all to next that next takes.
func (r *Ring) Handler(next slog.Handler) slog.Handler { return &handler{ring: r, next: next} }

type handler struct {
	ring   *Ring
	next   slog.Handler
	with   []Attribute // of all that it handles
	prefix string      // of the groups that are open
}

// Enabled is slog.Handler's, like the methods below.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= keeps || h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, line slog.Record) error {
	if line.Level >= keeps {
		h.ring.add(h.event(&line))
	}
	if !h.next.Enabled(ctx, line.Level) {
		return nil
	}
	return h.next.Handle(ctx, line)
}

func (h *handler) event(line *slog.Record) Event {
	e := Event{Time: line.Time, Level: line.Level, Name: cut(line.Message, maxValue)}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Attributes = make([]Attribute, len(h.with), min(len(h.with)+line.NumAttrs(), maxAttributes))
	copy(e.Attributes, h.with)
	line.Attrs(func(a slog.Attr) bool {
		e.Attributes = appendAttribute(e.Attributes, h.prefix, a)
		return true
	})
	return e
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	to := *h
	to.next, to.with = h.next.WithAttrs(attrs), slices.Clip(h.with)
	for _, a := range attrs {
		to.with = appendAttribute(to.with, h.prefix, a)
	}
	return &to
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	to := *h
	to.next, to.prefix = h.next.WithGroup(name), h.prefix+name+"."
	return &to
}
