package main

import (
	"testing"
	"time"
)

// A moment is a clock's latest showing, or the first after another moment.
func TestParseMoment(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 3, 1, 3, 11, 30, 0, zone)
	evening := time.Date(2026, 2, 28, 23, 50, 0, 0, zone)
	for _, x := range []struct {
		text  string
		after time.Time
		want  string
	}{
		{"10m", time.Time{}, "2026-03-01T03:01:30+02:00"},
		{"0s", time.Time{}, "2026-03-01T03:11:30+02:00"},
		{"03:10", time.Time{}, "2026-03-01T03:10:00+02:00"},
		{"03:12", time.Time{}, "2026-02-28T03:12:00+02:00"},
		{"03:11:30", time.Time{}, "2026-03-01T03:11:30+02:00"},
		{"03:11:31", time.Time{}, "2026-02-28T03:11:31+02:00"},
		{"23:55", evening, "2026-02-28T23:55:00+02:00"},
		{"00:10", evening, "2026-03-01T00:10:00+02:00"},
		{"23:50", evening, "2026-03-01T23:50:00+02:00"},
		{"2026-02-01", time.Time{}, "2026-02-01T00:00:00+02:00"},
		{"2026-02-01 03:10", time.Time{}, "2026-02-01T03:10:00+02:00"},
		{"2026-02-01T03:10:07", evening, "2026-02-01T03:10:07+02:00"},
		{"2026-02-01T03:10:07Z", time.Time{}, "2026-02-01T03:10:07Z"},
	} {
		got, err := parseMoment(x.text, now, x.after)
		if s := got.Format(time.RFC3339); err != nil || s != x.want {
			t.Errorf("%q after %v: %s, %v; want %s", x.text, x.after, s, err, x.want)
		}
	}
	for _, text := range []string{"", "yesterday", "25:00", "-10m", "3", "03:10 "} {
		if got, err := parseMoment(text, now, time.Time{}); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
