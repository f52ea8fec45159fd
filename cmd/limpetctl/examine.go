package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/doctor"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// examine looks at the daemon, and again after a while. The error is one of usage, or that
// of ctx.
func (o *options) examine(ctx context.Context, between time.Duration) (*doctor.Snapshot, error) {
	bus, at, err := o.open()
	if at == nil {
		return nil, err
	}
	addr, aerr := sockaddr.ParseAddress(at.API)
	if aerr != nil {
		return nil, &usageError{aerr}
	}
	s := &doctor.Snapshot{Address: at.API, Version: buildinfo.Read().Version}
	if at.TLSCert != "" {
		s.Certificates = append(s.Certificates, readCertificate(at.TLSCert))
	}
	if addr.IsLocal() {
		s.Unit = askSystemd(ctx, "limpetd.service")
	}
	if err != nil {
		s.Reach, s.Error = notOpened(err), err.Error()
	} else {
		defer bus.Close() //nolint:errcheck // nothing to be done about it
		if s.First, err = o.look(ctx, bus); err == nil {
			select {
			case <-time.After(between):
			case <-ctx.Done():
			}
			s.Last, err = o.look(ctx, bus)
		}
		if err == nil {
			s.Networks = o.networks(ctx, bus)
		}
		if err != nil {
			s.Reach, s.Error = o.reachOf(ctx, addr, err), err.Error()
		}
	}
	s.At = time.Now()
	if path := s.Last.GetBus(); addr.IsLocal() && strings.HasPrefix(path, "/") {
		s.Device = lookAtDevice(path)
	}
	return s, ctx.Err()
}

func (o *options) look(ctx context.Context, bus *client.Bus) (*pb.GetStatusResponse, error) {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	return bus.Status(ctx)
}

// networks returns the networks that the daemon tells; an older one does not.
func (o *options) networks(ctx context.Context, bus *client.Bus) []*pb.ReachableNetwork {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	all, _ := bus.Networks(ctx)
	return all
}

// notOpened returns how far it came when not even a connection could be made.
func notOpened(err error) doctor.Reach {
	if errors.Is(err, fs.ErrPermission) {
		return doctor.Untrusted
	}
	return doctor.Unknown
}

// reachOf returns how far a call came that has failed.
func (o *options) reachOf(ctx context.Context, addr sockaddr.Address, err error) doctor.Reach {
	var refused *client.StatusError
	if !errors.As(err, &refused) {
		return doctor.Unknown
	}
	switch refused.Code {
	case codes.DeadlineExceeded:
		return doctor.Silent
	case codes.Unimplemented:
		return doctor.Foreign
	case codes.PermissionDenied:
		return doctor.NotAdmin
	case codes.Unavailable:
		return o.dial(ctx, addr)
	default:
		return doctor.Unknown
	}
}

// dial connects without gRPC, which does not tell one failure from the other.
func (o *options) dial(ctx context.Context, addr sockaddr.Address) doctor.Reach {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, addr.Network, addr.Address)
	switch {
	case err == nil:
		_ = conn.Close()
		return doctor.BadTLS // somebody is there with whom gRPC cannot speak
	case errors.Is(err, fs.ErrNotExist):
		return doctor.NoSocket
	case errors.Is(err, fs.ErrPermission):
		return doctor.Forbidden
	case errors.Is(err, syscall.ECONNREFUSED):
		return doctor.Refused
	case errors.Is(err, context.DeadlineExceeded):
		return doctor.Silent
	default:
		return doctor.Unknown
	}
}

// readCertificate reads the first certificate of a PEM file.
func readCertificate(file string) doctor.Certificate {
	c := doctor.Certificate{File: file}
	text, err := os.ReadFile(file)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c.Error = "its certificate cannot be read: " + err.Error()
			return c
		}
		c.From, c.Until = cert.NotBefore, cert.NotAfter
		return c
	}
	c.Error = "there is no certificate in it (PEM)"
	return c
}

func lookAtDevice(path string) *doctor.Device {
	d := &doctor.Device{Path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Missing = true
	case err != nil:
		d.Closed = true
	case info.Mode()&fs.ModeCharDevice == 0 && !info.Mode().IsRegular():
		d.Other = true
	default:
		d.Closed = !mayUse(path)
	}
	return d
}

// askSystemd returns what systemd says of a unit; nil if it does not run here, or does not
// know the unit.
func askSystemd(ctx context.Context, unit string) *doctor.Unit {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "systemctl", "show", unit, "--property=LoadState,ActiveState,Result,NRestarts").Output()
	if err != nil {
		return nil
	}
	return parseUnit(unit, string(out))
}

// parseUnit reads what `systemctl show` prints.
func parseUnit(unit, text string) *doctor.Unit {
	facts := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		facts[name] = value
	}
	if facts["LoadState"] != "loaded" {
		return nil
	}
	restarts, _ := strconv.Atoi(facts["NRestarts"]) // an old systemd does not tell
	return &doctor.Unit{Name: unit, Active: facts["ActiveState"], Result: facts["Result"], Restarts: restarts}
}
