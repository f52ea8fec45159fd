//go:build !linux

package kbusfs

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// A Server cannot run here: FUSE devices are a thing of Linux.
type Server struct{}

// New makes a server that cannot run.
func New(Config) *Server { return &Server{} }

// Run fails: the error wraps errors.ErrUnsupported.
func (s *Server) Run(context.Context, func()) error {
	return fmt.Errorf("device files: %w on this system", errors.ErrUnsupported)
}

// RulesChanged does nothing: there are no programs.
func (s *Server) RulesChanged() {}

// Denied returns 0.
func (s *Server) Denied() uint64 { return 0 }

// DeniedMessages returns 0.
func (s *Server) DeniedMessages() uint64 { return 0 }

// ServeControl does nothing: there is nothing to ask about.
func (s *Server) ServeControl(context.Context, net.Listener) error { return nil }
