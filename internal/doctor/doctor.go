// Package doctor judges a limpetd from outside: a Snapshot of what can be seen of it becomes
// findings, each with a code that stays the same, and a cure. It decides only; limpetctl
// gathers the snapshot.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A Severity says how bad a finding is.
type Severity int

// The severities. Their numbers are the exit codes of limpetctl doctor.
const (
	// Note: worth knowing, and perhaps as it should be.
	Note Severity = iota
	// Warning: it works, but not as well as it could, or not for long.
	Warning
	// Critical: something does not work.
	Critical
)

// String returns "note", "warning" or "critical".
func (s Severity) String() string { return [...]string{"note", "warning", "critical"}[s] }

// A Finding is something that is not as it should be.
type Finding struct {
	// Code is one of Codes.
	Code string
	// Severity is how bad it is.
	Severity Severity
	// About is what it is about: a link, an address, a file; "" if it is the daemon itself.
	About string
	// What says it in a sentence, without a full stop. It may hold what a peer has said.
	What string
	// Cure says what to do.
	Cure string
}

// A Reach is how far a question to the daemon came.
type Reach int

// The reaches.
const (
	// Answered: the daemon has told its status.
	Answered Reach = iota
	// NoSocket: there is no Unix socket at the address.
	NoSocket
	// Refused: nobody listens at the address.
	Refused
	// Forbidden: this user may not use the socket.
	Forbidden
	// Untrusted: others can write the folder of the socket.
	Untrusted
	// BadTLS: the certificates of the two ends do not fit.
	BadTLS
	// Silent: no answer came in time.
	Silent
	// Foreign: what answers has no AdminService.
	Foreign
	// NotAdmin: the daemon's rules let this user not administer.
	NotAdmin
	// Unknown: another error.
	Unknown
)

// A Snapshot is what was seen of a daemon.
type Snapshot struct {
	// At is when.
	At time.Time
	// Address is where the daemon was asked.
	Address string
	// Reach is how far that came, and Error why no further.
	Reach Reach
	Error string
	// Version is that of the program that asks.
	Version string
	// First and Last are what the daemon told, at first and some time later: what grows in
	// between is going on now. Both are nil unless Reach is Answered.
	First, Last *pb.GetStatusResponse
	// Networks are those that the daemon can reach, nil if it does not tell.
	Networks []*pb.ReachableNetwork
	// Certificates are those that the program shows to the daemon.
	Certificates []Certificate
	// Device is the daemon's bus if it is a device of this machine, else nil.
	Device *Device
	// Unit is the daemon's unit if systemd runs on this machine and knows it, else nil.
	Unit *Unit
}

// A Certificate is one that is in a file.
type Certificate struct {
	File string
	// From and Until are when it is valid; both are zero if Error says why it cannot be read.
	From, Until time.Time
	Error       string
}

// A Device is the file of a KBUS device.
type Device struct {
	Path string
	// Missing: it is not there. Other: it is no character device, and no file that kbusd has
	// made. Closed: this user may not open it for reading and writing.
	Missing, Other, Closed bool
}

// A Unit is what systemd says of a unit.
type Unit struct {
	// Name is the unit's, Active its state, such as "active" or "failed", and Result why it
	// stopped, such as "exit-code".
	Name, Active, Result string
	// Restarts is how often systemd has started it again by itself.
	Restarts int
}

// Examine returns what there is to be said of a snapshot, the worst first, and what is as bad
// in the order of codes.
func Examine(s *Snapshot) []Finding {
	e := &examination{Snapshot: s}
	e.reach()
	e.certificates()
	e.unit()
	if s.Reach == Answered {
		e.daemon()
		for _, l := range s.Last.GetLinks() {
			e.link(l, find(s.First.GetLinks(), l.GetName()))
		}
		e.networks()
	}
	slices.SortStableFunc(e.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Code, b.Code))
	})
	return e.found
}

// Worst returns the worst severity of findings; Note if there are none.
func Worst(all []Finding) (worst Severity) {
	for _, f := range all {
		worst = max(worst, f.Severity)
	}
	return worst
}

type examination struct {
	*Snapshot
	found []Finding
}

func (e *examination) find(code string, s Severity, about, cure, format string, args ...any) {
	e.found = append(e.found, Finding{Code: code, Severity: s, About: about, Cure: cure, What: fmt.Sprintf(format, args...)})
}

func find(all []*pb.LinkStatus, name string) *pb.LinkStatus {
	for _, l := range all {
		if l.GetName() == name {
			return l
		}
	}
	return nil
}
