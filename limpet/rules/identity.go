package rules

import (
	"fmt"
	"strings"
)

// An Identity is who is at the other end of a connection, as far as that has been
// verified. The zero value is somebody of whom nothing is known. It is not changed once
// it is made, and may then be used by many goroutines.
type Identity struct {
	// Names are those of a verified certificate: its URIs (SPIFFE ids among them), then
	// its DNS names. There are none without TLS.
	Names []string
	// Process is what the kernel says of the process at the other end of a Unix socket;
	// nil elsewhere.
	Process *Process
}

// A Process is one on this machine, as the kernel knew it when it connected.
type Process struct {
	UID, GID uint32
	// Groups are the supplementary groups, where the kernel tells them.
	Groups []uint32
	PID    int32
}

// String returns the identity as logs and status have it: the certificate's first name,
// else "uid 1000 (pid 77)", else "unknown". Names are escaped.
func (i Identity) String() string {
	switch {
	case len(i.Names) > 0:
		return strings.Trim(fmt.Sprintf("%q", i.Names[0]), `"`)
	case i.Process != nil:
		return fmt.Sprintf("uid %d (pid %d)", i.Process.UID, i.Process.PID)
	default:
		return "unknown"
	}
}
