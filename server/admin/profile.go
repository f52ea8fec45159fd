package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// Bounds of a profile.
const (
	defaultProfile = 10 * time.Second
	maxProfile     = 5 * time.Minute
	// maxTrace bounds what an execution trace has in memory: it ends early then.
	maxTrace     = 64 << 20
	profileChunk = 32 << 10
)

// snapshots are the profiles that take no time, by their names in Go's runtime.
var snapshots = map[pb.ProfileKind]string{
	pb.ProfileKind_PROFILE_KIND_HEAP:      "heap",
	pb.ProfileKind_PROFILE_KIND_ALLOCS:    "allocs",
	pb.ProfileKind_PROFILE_KIND_GOROUTINE: "goroutine",
}

// Profile tells what the process spends its time or memory on.
func (s *Service) Profile(q *pb.ProfileRequest, stream grpc.ServerStreamingServer[pb.ProfileResponse]) error {
	takes := defaultProfile
	if q.GetDuration() != nil {
		takes = q.GetDuration().AsDuration()
	}
	if takes <= 0 || takes > maxProfile {
		return status.Errorf(codes.InvalidArgument, "%v is not between 0 and %v", takes, maxProfile)
	}
	ctx, cancel := context.WithTimeout(stream.Context(), takes)
	defer cancel()
	var b bytes.Buffer
	if err := s.profile(ctx, q, &b); err != nil {
		return err
	}
	if err := stream.Context().Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	for b.Len() > 0 {
		if err := stream.Send(&pb.ProfileResponse{Data: bytes.Clone(b.Next(profileChunk))}); err != nil {
			return err
		}
	}
	return nil
}

// profile writes a profile; one that takes time takes it until ctx ends, or the service does.
func (s *Service) profile(ctx context.Context, q *pb.ProfileRequest, w *bytes.Buffer) error {
	if name, ok := snapshots[q.GetKind()]; ok {
		detail := 0
		if q.GetText() {
			detail = 1
			if q.GetKind() == pb.ProfileKind_PROFILE_KIND_GOROUTINE {
				detail = 2 // each with its stack
			}
		}
		return pprof.Lookup(name).WriteTo(w, detail)
	}
	if q.GetText() {
		return status.Errorf(codes.InvalidArgument, "there is no text of a profile of kind %v; there is of HEAP, ALLOCS and GOROUTINE", q.GetKind())
	}
	switch q.GetKind() {
	case pb.ProfileKind_PROFILE_KIND_CPU:
		return s.during(ctx, nil, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case pb.ProfileKind_PROFILE_KIND_TRACE:
		bounded := &boundedWriter{w: w, full: make(chan struct{})}
		return s.during(ctx, bounded.full, func() error { return trace.Start(bounded) }, trace.Stop)
	case pb.ProfileKind_PROFILE_KIND_FLIGHT:
		if s.Flight == nil {
			return status.Error(codes.FailedPrecondition, "the flight recorder is off; limpetd --flight-dir turns it on")
		}
		return s.Flight(w)
	default:
		return status.Errorf(codes.InvalidArgument, "a profile of kind %v is not known; there are CPU, HEAP, ALLOCS, GOROUTINE, TRACE and FLIGHT", q.GetKind())
	}
}

// during starts something, and stops it when ctx or the service ends, or when it is full. There can be one
// of it at a time in the process.
func (s *Service) during(ctx context.Context, full <-chan struct{}, start func() error, stop func()) error {
	if err := start(); err != nil {
		return status.Errorf(codes.FailedPrecondition, "another one is being made: %v", err)
	}
	defer stop()
	select {
	case <-ctx.Done():
	case <-full:
	case <-s.ended():
	}
	return nil
}

// A boundedWriter tells when it has had as much as it should.
type boundedWriter struct {
	w    io.Writer
	n    int
	full chan struct{}
	once sync.Once
}

var errTooMuch = errors.New("the trace is too large")

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.n += len(p); b.n >= maxTrace {
		b.once.Do(func() { close(b.full) })
	}
	if b.n >= 2*maxTrace { // it has not been stopped in time
		return 0, errTooMuch
	}
	return b.w.Write(p)
}
