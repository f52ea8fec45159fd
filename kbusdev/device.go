package kbusdev

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// DefaultDevice is where the first KBUS device is.
const DefaultDevice = "/dev/kbus0"

// DevicePath gives the path of a device named by its path or its number.
func DevicePath(which string) (string, error) {
	if n, err := strconv.ParseUint(which, 10, 16); err == nil {
		return "/dev/kbus" + strconv.FormatUint(n, 10), nil
	}
	if strings.HasPrefix(which, "/") {
		return which, nil
	}
	return "", fmt.Errorf("bus %q: give the path of a KBUS device, its number, \"embedded\" or \"auto\"", which)
}

// HasDevice reports whether there is anything at path.
func HasDevice(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
