package rpcstream

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/kbus-limpet/limpet/limpet/wire"
)

// What a connection may have in flight, each way, in bytes: a little more than the window of
// its session, so that it is the session that holds a sender up. A fixed size saves gRPC the
// pings by which it would find one out, of 64 KiB at first and 16 MiB at last.
const (
	// ProgramWindow is for programs.
	ProgramWindow = 1<<20 + 1<<18
	// LinkWindow is for links, which may be long.
	LinkWindow = 16<<20 + 1<<18
)

// buffer is how much gRPC hands to a connection at once, and reads from it, in bytes. It is
// lent to a connection that writes or reads, and not kept.
const buffer = 64 << 10

// dialOptions are for the transport of a connection that is dialled, with this window.
func dialOptions(window int32) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithWriteBufferSize(buffer), grpc.WithReadBufferSize(buffer),
		experimental.WithBufferPool(&wire.Pool),
	}
}

// ServerOptions are for the transport of connections that are accepted, with this window, and
// the codec of the calls Link and Attach.
func ServerOptions(window int32) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.WriteBufferSize(buffer), grpc.ReadBufferSize(buffer),
		experimental.BufferPool(&wire.Pool),
		grpc.ForceServerCodecV2(wire.Codec),
	}
}
