package report

import (
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{formatRate(0), none},
		{formatRate(812), "812"},
		{formatRate(999.6), "1.00 k"},
		{formatRate(45_600), "45.6 k"},
		{formatRate(999_600), "1.00 M"},
		{formatRate(1_234_000), "1.23 M"},
		{formatDuration(0), none},
		{formatDuration(41 * time.Microsecond), "41.0 µs"},
		{formatDuration(999_600), "1.00 ms"},
		{formatDuration(2500 * time.Millisecond), "2.50 s"},
		{formatBytes(34 << 20), "34.0 MiB"},
		{formatMicros(5.123), "5.12"},
		{formatSpread(0.083), "8 %"},
		{formatCount(100_000), "100 k"},
		{formatCount(5), "5"},
		{formatRatio(0), none},
		{formatRatio(0.0052), "0.0052"},
		{formatRatio(1.5), "1.50"},
		{markDuration(1e4), "10 µs"},
		{markDuration(1e9), "1 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
