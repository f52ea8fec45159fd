package events

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an event. What is longer is cut there.
const (
	maxAttributes = 16
	maxKey        = 64      // bytes
	maxValue      = 1 << 10 // bytes, of a name too
)

// An Event is a line of the log. It is not changed once it is in a Ring.
type Event struct {
	// Number counts the events of a Ring, from 1.
	Number uint64
	// Time is when it was logged.
	Time time.Time
	// Level is slog.LevelInfo or worse.
	Level slog.Level
	// Name is the message: docs/events.md lists them.
	Name string
	// Attributes are in the order of the log. There are 16 at most.
	Attributes []Attribute
}

// An Attribute is one of an event. Both are valid UTF-8, and may hold any character.
type Attribute struct {
	// Key has the names of its groups before it, joined by dots. It has 64 bytes at most.
	Key string
	// Value is the value as text, of 1 KiB at most.
	Value string
}

// size returns about how many bytes of memory an event takes.
func (e *Event) size() int {
	n := 160 + len(e.Name)
	for _, a := range e.Attributes {
		n += 32 + len(a.Key) + len(a.Value)
	}
	return n
}

// appendAttribute appends an attribute, or those of a group; prefix is that of the groups
// around it.
func appendAttribute(all []Attribute, prefix string, a slog.Attr) []Attribute {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Equal(slog.Attr{}) || len(all) >= maxAttributes {
			return all
		}
		return append(all, Attribute{cut(prefix+a.Key, maxKey), cut(text(v), maxValue)})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, inner := range v.Group() {
		all = appendAttribute(all, prefix, inner)
	}
	return all
}

// text returns a value as the log has it.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		return fmt.Sprintf("%+v", v.Any())
	default:
		return v.String()
	}
}

// cut returns at most n bytes of a text, as valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		const end = "..."
		n -= len(end)
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + end
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "?") // no longer than it was
}
