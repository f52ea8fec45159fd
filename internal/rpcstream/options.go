package rpcstream

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/kbus-limpet/limpet/limpet/wire"
)

// What a connection may have in flight, each way, in bytes: a little more than a session's
// window, so that it is the session that holds a sender up. A fixed size saves gRPC the
// pings by which it would find one out.
const window = 1<<20 + 1<<18

// buffer is how much gRPC hands to a connection at once, and reads from it, in bytes. It is
// lent to a connection that writes, and not kept.
const buffer = 64 << 10

// dialOptions are for the transport of a connection that is dialled.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithWriteBufferSize(buffer), grpc.WithReadBufferSize(buffer),
		experimental.WithBufferPool(&wire.Pool),
	}
}

// ServerOptions are for the transport of connections that are accepted, and the codec of the
// calls Link and Attach.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.WriteBufferSize(buffer), grpc.ReadBufferSize(buffer),
		experimental.BufferPool(&wire.Pool),
		grpc.ForceServerCodecV2(wire.Codec),
	}
}
