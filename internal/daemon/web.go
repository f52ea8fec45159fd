package daemon

import (
	"context"
	"net"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/web"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// openDoor makes the door for HTTP, of the services of the API.
func (d *Daemon) openDoor() (err error) {
	if d.cfg.Web == nil {
		return nil
	}
	host, _, _ := net.SplitHostPort(d.cfg.Web.Address)
	if d.cfg.Web.Network == "unix" {
		host = ""
	}
	d.door, err = web.New(web.Config{
		Services: []string{pb.BusService_ServiceDesc.ServiceName, pb.AdminService_ServiceDesc.ServiceName, healthpb.Health_ServiceDesc.ServiceName},
		Host:     host, VisitorOf: d.visitor, Log: d.cfg.Log,
	})
	return err
}

// visitor returns what somebody may who comes over HTTP.
func (d *Daemon) visitor(who rules.Identity, transport identity.Transport) web.Visitor {
	policy := d.rules.program(who)
	return web.Visitor{
		Identity: who.String(), Transport: string(transport),
		Admin: policy.Admin().Allow,
		// Without rules anybody may do anything, also whoever has a browser here open a page. So
		// it takes rules for those of whom nothing is known.
		Looks: transport == identity.Plain && policy == nil,
	}
}

// serveDoor serves HTTP until ctx ends.
func (d *Daemon) serveDoor(ctx context.Context, l net.Listener) error {
	return d.door.Serve(ctx, identity.Listen(l, d.tls, d.cfg.Log, refusedBy(d.guards.web)))
}

// WebAddr returns where HTTP is served; nil if it is not.
func (d *Daemon) WebAddr() net.Addr {
	if d.at.web == nil {
		return nil
	}
	return d.at.web.Addr()
}
