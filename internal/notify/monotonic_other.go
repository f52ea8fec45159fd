//go:build !linux

package notify

// monotonic is for systemd alone.
func monotonic() string { return "" }
