package main

import (
	"fmt"
	"time"
)

// momentForms are how a moment is said, in the order in which they are tried; those with a
// date first.
var momentForms = []struct {
	layout  string
	hasDate bool
}{
	{time.RFC3339Nano, true},
	{"2006-01-02 15:04:05", true},
	{"2006-01-02T15:04:05", true},
	{"2006-01-02 15:04", true},
	{"2006-01-02T15:04", true},
	{time.DateOnly, true},
	{"15:04:05", false},
	{"15:04", false},
}

// parseMoment reads a moment: "10m" is so long before now; "03:10" is the latest time that
// clocks have shown that or, if after is not zero, the first one after it.
func parseMoment(text string, now, after time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return time.Time{}, fmt.Errorf("%q is in the future; it means so long ago, so leave the minus out", text)
		}
		return now.Add(-d), nil
	}
	for _, f := range momentForms {
		t, err := time.ParseInLocation(f.layout, text, now.Location())
		switch {
		case err != nil:
			continue
		case f.hasDate:
			return t, nil
		}
		on := func(day time.Time, later int) time.Time {
			return time.Date(day.Year(), day.Month(), day.Day()+later, t.Hour(), t.Minute(), t.Second(), 0, day.Location())
		}
		switch {
		case after.IsZero() && on(now, 0).After(now):
			return on(now, -1), nil
		case after.IsZero():
			return on(now, 0), nil
		case on(after, 0).After(after):
			return on(after, 0), nil
		default:
			return on(after, 1), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: 03:10, 03:10:05, 2006-01-02, \"2006-01-02 03:10\", or 10m for so long ago", text)
}
