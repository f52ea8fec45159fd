package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Bounds of a connection.
const (
	// headersWithin is how long TLS's handshake and the headers of a request may take.
	headersWithin = 5 * time.Second
	// bodyWithin is how long the body of a request may take that is one message.
	bodyWithin = 30 * time.Second
	// takenWithin is how long a client may leave a part of an answer untaken.
	takenWithin = 30 * time.Second
	// idleWithin is how long a connection is kept between two requests.
	idleWithin = time.Minute
	// maxHeaders bounds the headers of a request, in bytes; net/http adds 4 KiB.
	maxHeaders = 12 << 10
	// maxRequest bounds one message of a client, in bytes of JSON.
	maxRequest = 1 << 20
)

// Config is what a door needs to know.
type Config struct {
	// Services are the full names of those that are offered.
	Services []string
	// Host is a name under which browsers may ask beside localhost and addresses; "" is none.
	Host string
	// VisitorOf returns who somebody is for the page, and what is allowed.
	VisitorOf func(rules.Identity, identity.Transport) Visitor
	// Log gets what net/http complains of, at level debug.
	Log *slog.Logger
}

// A Visitor is somebody who asks over HTTP.
type Visitor struct {
	// Identity and Transport are who it is and how the connection is kept from others, for
	// people.
	Identity  string `json:"identity"`
	Transport string `json:"transport"`
	// Admin reports whether AdminService may be called.
	Admin bool `json:"admin"`
	// Looks says that nothing may be called that does more than look.
	Looks bool `json:"looks"`
}

// A Door serves HTTP. It is safe for concurrent use.
type Door struct {
	cfg     Config
	roads   *Roads
	methods map[string]*method
	mux     *runtime.ServeMux // how the gateway's functions are to behave; it routes nothing
	json    runtime.Marshaler
	origins *http.CrossOriginProtection
	page    http.Handler
	open    sync.WaitGroup // requests
}

// New returns a door, whose Roads a server of the services must accept. The error names a
// service that is unknown.
func New(cfg Config) (*Door, error) {
	methods, err := methodsOf(cfg.Services)
	if err != nil {
		return nil, err
	}
	root, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}
	d := &Door{
		cfg: cfg, roads: newRoads(), methods: methods,
		json:    &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{}, UnmarshalOptions: protojson.UnmarshalOptions{}},
		origins: http.NewCrossOriginProtection(),
		page:    http.FileServerFS(root),
	}
	d.mux = runtime.NewServeMux(
		runtime.WithIncomingHeaderMatcher(traceHeaders),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithWriteContentLength(),
	)
	return d, nil
}

// traceHeaders are those of a request that a call has too.
func traceHeaders(name string) (string, bool) {
	switch name {
	case "Traceparent", "Tracestate":
		return name, true
	}
	return "", false
}

// Roads returns where the server of the services accepts connections.
func (d *Door) Roads() net.Listener { return d.roads }

// Serve serves connections, which must be of type *identity.Conn, until ctx ends or the
// listener fails. When it returns, every connection is closed and no request is under way.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           d,
		ReadHeaderTimeout: headersWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withVisit,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	err := srv.Serve(visits{l, d.roads})
	_ = srv.Close()
	d.open.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP at %s: %w", l.Addr(), err)
	}
	return nil
}

// ServeHTTP is http.Handler's.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.open.Add(1)
	defer d.open.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	a := newAnswer(w, cancel)
	defer a.extend()
	secure(a.Header())
	if code, why := d.refuses(r); code != 0 {
		http.Error(a, why, code)
		return
	}
	r = r.WithContext(ctx)
	switch {
	case r.Method == http.MethodPost:
		d.call(a, r)
	case r.URL.Path == "/visitor":
		d.tellVisitor(a, r)
	default:
		d.page.ServeHTTP(a, r)
	}
}
