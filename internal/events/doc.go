// Package events keeps the latest lines of a log as values, so that they can be asked for:
// what happened at 03:12? A Ring is bounded in number and bytes, and is filled by a
// slog.Handler beside the one that writes.
package events
