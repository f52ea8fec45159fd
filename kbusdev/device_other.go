//go:build !linux

package kbusdev

import (
	"errors"
	"fmt"
)

// OpenDevice fails here: KBUS devices are a thing of Linux. The error wraps
// errors.ErrUnsupported.
func OpenDevice(path string) (Bus, error) {
	return nil, fmt.Errorf("bus %s: %w: KBUS devices are a thing of Linux; use --bus embedded", path, errors.ErrUnsupported)
}
