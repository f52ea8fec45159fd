package report

import (
	"fmt"
	"strconv"
	"time"
)

// none stands where there is no value.
const none = "–"

// three returns v with about three digits.
func three(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func formatRate(v float64) string {
	switch {
	case v == 0:
		return none
	case v >= 999_500:
		return three(v/1e6) + " M"
	case v >= 999.5:
		return three(v/1e3) + " k"
	default:
		return three(v)
	}
}

func formatMicros(v float64) string {
	if v == 0 {
		return none
	}
	return three(v)
}

func formatDuration(d time.Duration) string {
	switch v := float64(d); {
	case d == 0:
		return none
	case v >= 999.5e6:
		return three(v/1e9) + " s"
	case v >= 999.5e3:
		return three(v/1e6) + " ms"
	default:
		return three(v/1e3) + " µs"
	}
}

func formatBytes(v float64) string {
	if v == 0 {
		return none
	}
	return three(v/(1<<20)) + " MiB"
}

func formatSpread(v float64) string { return fmt.Sprintf("%.0f %%", v*100) }

func formatRatio(v float64) string {
	switch {
	case v == 0:
		return none
	case v < 0.1:
		return strconv.FormatFloat(v, 'g', 2, 64)
	default:
		return three(v)
	}
}

// markDuration returns a power of ten in nanoseconds for an axis.
func markDuration(v float64) string {
	switch {
	case v >= 1e9:
		return formatCount(v/1e9) + " s"
	case v >= 1e6:
		return formatCount(v/1e6) + " ms"
	case v >= 1e3:
		return formatCount(v/1e3) + " µs"
	default:
		return formatCount(v) + " ns"
	}
}

// formatCount returns a whole number, without a fraction: for axes.
func formatCount(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + " M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + " k"
	default:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
}
