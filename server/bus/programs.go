package bus

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A visit is a program's being here: a call that goes on, or a session.
type visit struct {
	identity rules.Identity
	source   string // where it came from
	call     string // the method's name
	since    time.Time
	number   uint64 // counts them, from 1
}

// attachCall is the call of sessions.
const attachCall = "Attach"

// visitOf returns the visit of a call.
func (s *Service) visitOf(ctx context.Context) visit {
	v := visit{identity: s.identity(ctx), source: sourceOf(ctx)}
	if method, ok := grpc.Method(ctx); ok {
		v.call = method[strings.LastIndexByte(method, '/')+1:]
	}
	return v
}

// come notes that a visit begins. s.mu is held.
func (s *Service) come(v *visit) {
	s.came++
	v.number, v.since = s.came, time.Now()
}

// A visitor is somebody who is here now.
type visitor struct {
	visit
	ksock *judged // nil of one who watches
}

// visitors returns who is here, of those who came after one, in that order.
func (s *Service) visitors(after uint64) []visitor {
	var all []visitor
	s.mu.Lock()
	for _, k := range s.ksocks {
		if k.number > after {
			all = append(all, visitor{k.visit, k})
		}
	}
	for w := range s.watchers {
		if w.number > after {
			all = append(all, visitor{w.visit, nil})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b visitor) int { return cmp.Compare(a.number, b.number) })
	return all
}

// Bounds of what Programs returns at once.
const (
	maxPrograms     = 1000
	maxProgramBytes = 1 << 20
	maxProgramNames = 8 // of one
)

// Programs returns the programs that are connected, in the order in which they came: those
// after one, at most the given number, 1000 and about 1 MiB. rights, unless nil, says what
// somebody may do. next is 0 if there are no others, else what after is for the next ones.
func (s *Service) Programs(after uint64, most int, rights func(rules.Identity) []*pb.Right) (page []*pb.Program, next uint64) {
	if most <= 0 || most > maxPrograms {
		most = maxPrograms
	}
	all := s.visitors(after)
	sessions := s.sessions.byKsock()
	bound := s.boundOf()
	size := 0
	for i := range all {
		if len(page) >= most || size >= maxProgramBytes {
			return page, all[i-1].number
		}
		p := all[i].program(sessions, bound)
		if rights != nil {
			p.Rights = rights(all[i].identity)
		}
		size += proto.Size(p)
		page = append(page, p)
	}
	return page, 0
}

func (v *visitor) program(sessions map[kbusdev.KsockID]session, bound func(kbusdev.Ksock) (int, []kbusdev.Binding)) *pb.Program {
	p := &pb.Program{Identity: v.identity.String(), Source: v.source, Call: v.call, Since: timestamppb.New(v.since)}
	if v.ksock == nil {
		return p
	}
	k := v.ksock.Ksock
	p.Ksock = uint32(k.ID())
	n, newest := bound(k)
	p.NamesBound = uint32(n)
	for _, b := range newest {
		p.Names = append(p.Names, &pb.ProgramName{Name: b.Name, IsReplier: b.Role == kbusdev.Replier})
	}
	if n, err := k.Unreplied(); err == nil { // else it has just gone
		p.Owed = uint32(n)
	}
	if n, err := k.NumMessages(); err == nil {
		p.Queued = uint32(n)
	}
	if a, ok := sessions[k.ID()]; ok {
		p.HeldBytes = uint64(a.held)
		if !a.left.IsZero() {
			p.DetachedSince = timestamppb.New(a.left)
		}
	}
	return p
}

// A session is what is told of an attached program beside its Ksock.
type session struct {
	held int64     // bytes
	left time.Time // when its last stream went; zero if it has one
}

func (s *sessions) byKsock() map[kbusdev.KsockID]session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[kbusdev.KsockID]session, len(s.byID))
	for _, a := range s.byID {
		x := session{held: a.share.held.Load()}
		if a.streams == 0 {
			x.left = a.left
		}
		all[a.ksock.ID()] = x
	}
	return all
}

// boundOf returns what tells how many names a Ksock has bound, and the newest of them. A bus
// that tells it of no single Ksock is asked for all that is bound, once.
func (s *Service) boundOf() func(kbusdev.Ksock) (int, []kbusdev.Binding) {
	var all map[kbusdev.KsockID][]kbusdev.Binding
	return func(k kbusdev.Ksock) (int, []kbusdev.Binding) {
		if k, ok := k.(interface {
			Bound(most int) (int, []kbusdev.Binding)
		}); ok {
			return k.Bound(maxProgramNames)
		}
		if all == nil {
			all = make(map[kbusdev.KsockID][]kbusdev.Binding)
			bindings, _ := s.bus.Bindings() // not every device can list them
			for _, b := range bindings {
				all[b.Ksock] = append(all[b.Ksock], b)
			}
		}
		own := all[k.ID()]
		return len(own), own[:min(len(own), maxProgramNames)]
	}
}
