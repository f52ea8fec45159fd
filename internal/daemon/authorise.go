package daemon

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// An authoriser lets nobody but administrators call what is for them. Health and
// reflection are for everybody; what programs may do is judged by server/bus.
type authoriser struct {
	rules      *rulebook
	identityOf func(context.Context) rules.Identity
	count      func(what string)
}

// forAdmins are how the methods begin that are for administrators.
var forAdmins = []string{"/kbus.limpet.v1.AdminService/", "/grpc.channelz."}

// may returns why a call may not be made.
func (a *authoriser) may(ctx context.Context, method string) error {
	for _, prefix := range forAdmins {
		if !strings.HasPrefix(method, prefix) || a.rules.current.Load() == nil {
			continue
		}
		id := a.identityOf(ctx)
		if v := a.rules.program(id).Admin(); !v.Allow {
			a.count("calls for administrators")
			return status.Errorf(codes.PermissionDenied, "%s may not administer this daemon: %s", id, rules.Denial(v))
		}
	}
	return nil
}

func (a *authoriser) unary(ctx context.Context, q any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := a.may(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handler(ctx, q)
}

func (a *authoriser) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := a.may(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handler(srv, stream)
}
