package notify

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic tells the manager when the reload began, so that it can tell this reload from
// an earlier one. Type=notify-reload requires it.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return fmt.Sprintf("\nMONOTONIC_USEC=%d", time.Duration(now.Nano()).Microseconds())
}
