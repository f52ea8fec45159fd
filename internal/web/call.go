package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A method is one that can be called.
type method struct {
	name    string // "/kbus.limpet.v1.BusService/Send"
	in, out protoreflect.MessageType
	desc    grpc.StreamDesc
}

// methodsOf returns the methods of services, by their names.
func methodsOf(services []string) (map[string]*method, error) {
	all := make(map[string]*method)
	for _, name := range services {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		service, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			return nil, fmt.Errorf("%s is no service", name)
		}
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			in, errIn := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
			out, errOut := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
			if err := errors.Join(errIn, errOut); err != nil {
				return nil, fmt.Errorf("method %s: %w", m.FullName(), err)
			}
			path := fmt.Sprintf("/%s/%s", name, m.Name())
			all[path] = &method{path, in, out, grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}}
		}
	}
	return all, nil
}

// errLooks is for who may only look.
var errLooks = status.Error(codes.PermissionDenied, "over this address nobody knows who you are, so you may only look, and at no message's data: come by a Unix socket or with TLS, or say in the rules what everybody may")

// call makes the call that a request asks for.
func (d *Door) call(w *answer, r *http.Request) {
	m := d.methods[r.URL.Path]
	if m == nil {
		d.fail(w, r, status.Errorf(codes.Unimplemented, "there is no method %.200q: it is such as /kbus.limpet.v1.BusService/Call", r.URL.Path))
		return
	}
	v, err := d.visitor(r)
	if err != nil {
		d.fail(w, r, status.Error(codes.Unauthenticated, err.Error()))
		return
	}
	if v.Looks && !onlyLooks(m.name, nil) {
		d.fail(w, r, errLooks)
		return
	}
	conn, err := visitOf(r.Context()).conn()
	if err != nil {
		d.fail(w, r, status.Error(codes.Unavailable, err.Error()))
		return
	}
	ctx, err := runtime.AnnotateContext(r.Context(), d.mux, r, m.name) // Grpc-Timeout is the deadline
	if err != nil {
		d.fail(w, r, err)
		return
	}
	r = r.WithContext(runtime.NewServerMetadataContext(ctx, runtime.ServerMetadata{}))
	switch {
	case m.desc.ClientStreams:
		d.converse(w, r, conn, m)
	case m.desc.ServerStreams:
		d.follow(w, r, conn, m)
	default:
		d.ask(w, r, conn, m)
	}
}

func (d *Door) fail(w *answer, r *http.Request, err error) {
	runtime.HTTPError(r.Context(), d.mux, d.json, w, r, err)
}

// ask makes a unary call.
func (d *Door) ask(w *answer, r *http.Request, conn *grpc.ClientConn, m *method) {
	q, err := d.readOne(w, r, m)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	reply := m.out.New().Interface()
	if err := conn.Invoke(r.Context(), m.name, q, reply); err != nil {
		d.fail(w, r, err)
		return
	}
	runtime.ForwardResponseMessage(r.Context(), d.mux, d.json, w, r, reply)
}

// follow makes a call that is answered by a stream: an object a line, with a member result or,
// at the end, error.
func (d *Door) follow(w *answer, r *http.Request, conn *grpc.ClientConn, m *method) {
	q, err := d.readOne(w, r, m)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	stream, err := conn.NewStream(r.Context(), &m.desc, m.name)
	if err == nil {
		err = stream.SendMsg(q)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // then the answer says why
		d.fail(w, r, err)
		return
	}
	d.forward(w, r, stream, m)
}

// converse makes a call whose requests are a stream too: an object a line.
func (d *Door) converse(w *answer, r *http.Request, conn *grpc.ClientConn, m *method) {
	_ = w.control.EnableFullDuplex()
	w.Header().Set("Connection", "close") // what is left of the requests is of no use
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	stream, err := conn.NewStream(ctx, &m.desc, m.name)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := d.readAll(r.Body, m, stream); err != nil {
			cancel(err)
		}
	}()
	d.forward(w, r, &toldWhy{stream, ctx}, m)
	_ = w.control.SetReadDeadline(time.Now()) // ends the reading of requests
	<-sent
}

// toldWhy has the status of what was wrong with the requests in place of that of the call, which
// was given up for it.
type toldWhy struct {
	grpc.ClientStream
	ctx context.Context
}

func (s *toldWhy) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if why := context.Cause(s.ctx); err != nil && status.Code(why) == codes.InvalidArgument {
		return why
	}
	return err
}

// forward writes what comes.
func (d *Door) forward(w *answer, r *http.Request, stream grpc.ClientStream, m *method) {
	runtime.ForwardResponseStream(r.Context(), d.mux, d.json, w, r, func() (proto.Message, error) {
		next := m.out.New().Interface()
		err := stream.RecvMsg(next)
		return next, err
	})
}

// readOne reads the body as one message.
func (d *Door) readOne(w *answer, r *http.Request, m *method) (proto.Message, error) {
	_ = w.control.SetReadDeadline(time.Now().Add(bodyWithin))
	defer func() { _ = w.control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, status.Errorf(codes.ResourceExhausted, "a request has more than %d bytes", maxRequest)
	case err != nil:
		return nil, status.Errorf(codes.InvalidArgument, "reading the request: %v", err)
	}
	q, err := d.parse(body, m)
	if err != nil {
		return nil, err
	}
	if v, err := d.visitor(r); err != nil || v.Looks && !onlyLooks(m.name, q) {
		return nil, errLooks
	}
	return q, nil
}

// readAll reads the body as many messages, and sends each until the call is over, which says
// why by itself. The error, about the body, is a status of InvalidArgument.
func (d *Door) readAll(body io.Reader, m *method, stream grpc.ClientStream) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxRequest)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		q, err := d.parse(lines.Bytes(), m)
		if err != nil {
			return err
		}
		if stream.SendMsg(q) != nil {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return status.Errorf(codes.InvalidArgument, "a line of the request has more than %d bytes", maxRequest)
	}
	_ = stream.CloseSend() // also when the body breaks off: then the request is given up
	return nil
}

func (d *Door) parse(text []byte, m *method) (proto.Message, error) {
	q := m.in.New().Interface()
	if err := d.json.Unmarshal(text, q); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the request is no %s: %v", m.in.Descriptor().FullName(), err)
	}
	return q, nil
}

// visitor returns who makes a request.
func (d *Door) visitor(r *http.Request) (Visitor, error) {
	who, transport, err := visitOf(r.Context()).Identity()
	if err != nil {
		return Visitor{}, err
	}
	return d.cfg.VisitorOf(who, transport), nil
}

// tellVisitor tells the page who looks at it.
func (d *Door) tellVisitor(w *answer, r *http.Request) {
	v, err := d.visitor(r)
	if err != nil {
		d.fail(w, r, status.Error(codes.Unauthenticated, err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
