package rpcstream_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/limpet/link"
)

var errOwn = errors.New("no gRPC in it")

func TestErrorsInPlainWords(t *testing.T) {
	for _, c := range []struct {
		err            error
		client, server string
	}{
		{errOwn, "no gRPC in it", "no gRPC in it"},
		{fmt.Errorf("receiving: %w", io.EOF), "receiving: EOF", "receiving: EOF"},
		{status.Error(codes.Canceled, "context canceled"), "the stream was given up", "the connection was lost, or the peer gave the stream up"},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), "the connection was lost: EOF", "the connection was lost, or the peer gave the stream up"},
		{status.Error(codes.ResourceExhausted, "too long"), "too long", "link refused: the peer sent what cannot be read: too long (protocol)"},
		{status.Error(codes.Unknown, "who knows"), "who knows", "who knows"},
	} {
		if got := rpcstream.ClientError(c.err).Error(); got != c.client {
			t.Errorf("a client says %q of %v, want %q", got, c.err, c.client)
		}
		if got := rpcstream.ServerError(c.err, "the peer").Error(); got != c.server {
			t.Errorf("a server says %q of %v, want %q", got, c.err, c.server)
		}
	}
	if rpcstream.ClientError(nil) != nil || rpcstream.ServerError(nil, "") != nil {
		t.Error("no error is one")
	}
	if err := rpcstream.ServerError(status.Error(codes.Internal, ""), "the peer"); !errors.Is(err, &link.Error{Code: link.Protocol}) {
		t.Errorf("%v is no breach of the protocol", err)
	}
}

// What gRPC says of an end that does not speak is said plainly.
func TestSilenceInPlainWords(t *testing.T) {
	for message, want := range map[string]string{
		`connection error: desc = "error reading server preface: read unix @->/run/s: use of closed network connection"`: "the other end has said nothing for 5s: it is stopped, or hangs",
		`connection error: desc = "error reading server preface: EOF"`:                                                   "the other end hung up before it said anything: perhaps it wants TLS, and certificates, or it is no limpetd",
		"context deadline exceeded while waiting for connections to become ready":                                        "the time was over before there was a connection",
	} {
		if got := rpcstream.Words(message); got != want {
			t.Errorf("of %q it says %q, want %q", message, got, want)
		}
	}
}

// A stream that has been closed is not waited for without end, one that has ended is.
func TestWait(t *testing.T) {
	ended := make(chan error, 1)
	s := rpcstream.NewServer(t.Context())
	s.Close()
	s.Close()
	if known, err := s.Wait(ended); known || err != nil {
		t.Errorf("%v, %v of a stream that says nothing", known, err)
	}
	ended <- errOwn
	if known, err := rpcstream.NewServer(t.Context()).Wait(ended); !known || !errors.Is(err, errOwn) {
		t.Errorf("%v, %v, want %v", known, err, errOwn)
	}
}
