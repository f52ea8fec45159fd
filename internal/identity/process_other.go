//go:build !linux

package identity

import (
	"net"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// processOf finds out nothing here.
func processOf(net.Conn) (*rules.Process, error) { return nil, nil }

// speaksTLS finds out nothing here.
func speaksTLS(net.Conn) bool { return false }
