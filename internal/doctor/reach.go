package doctor

import "time"

// reach judges whether the daemon can be asked.
func (e *examination) reach() {
	say := func(code, cure, format string, args ...any) {
		e.find(code, Critical, e.Address, cure, format, args...)
	}
	const started = "start limpetd (systemctl start limpetd), or say where it is with --api or --context"
	switch e.Reach {
	case Answered:
	case NoSocket:
		say("L001", started, "there is no socket, so no limpetd listens there")
	case Refused:
		say("L002", started, "nobody listens there; a socket's file may be left of a limpetd that was killed")
	case Forbidden:
		say("L003", "become a user of the group that --api-group names (adduser NAME limpetd), or root", "this user may not use the socket")
	case Untrusted:
		say("L004", "have the folder belong to you or root, and be writable by nobody else", "%s", e.Error)
	case BadTLS:
		say("L005", "look at --tls-cert, --tls-key, --tls-ca and --tls-name here, and at the same of limpetd", "%s", e.Error)
	case Silent:
		say("L006", "look at its log, and whether the machine is overloaded; --timeout waits longer", "limpetd does not answer in time")
	case Foreign:
		say("L007", "make sure that this is limpetd's API, not a listener for peers, and that the versions are the same", "what answers there does not know the question")
	case NotAdmin:
		say("L008", "have a rule allow it: allow: admin, who: [uid:NUMBER]", "the rules do not let this user administer")
	case Unknown:
		say("L009", "look at the error, and at limpetd's log", "%s", e.Error)
	}
}

// soon is how long before its end a certificate is to be replaced.
const soon = 14 * 24 * time.Hour

// certificates judges those that we show.
func (e *examination) certificates() {
	for _, c := range e.Certificates {
		if c.Error != "" {
			e.find("L040", Critical, c.File, "name another file, or mend this one", "%s", c.Error)
			continue
		}
		if e.At.Before(c.From) {
			e.find("L041", Critical, c.File, "look at the clocks of both machines", "it is valid from %s on only", c.From.UTC().Format(time.RFC3339))
			continue
		}
		e.validity("L041", c.File, c.Until)
	}
}

func (e *examination) validity(code, about string, until time.Time) {
	const cure = "make a new one and put it in the file's place: limpetd takes it without a restart"
	switch left := until.Sub(e.At); {
	case left <= 0:
		e.find(code, Critical, about, cure, "it is over since %s", until.UTC().Format(time.RFC3339))
	case left < soon:
		e.find(code, Warning, about, cure, "it is over in %.0f days, at %s", left.Hours()/24, until.UTC().Format(time.RFC3339))
	}
}

// unit judges what systemd says.
func (e *examination) unit() {
	if e.Unit == nil {
		return
	}
	look := "look at journalctl -u " + e.Unit.Name
	if e.Unit.Active == "failed" {
		e.find("L080", Critical, e.Unit.Name, look+", mend it, then systemctl restart "+e.Unit.Name, "systemd has given it up (%s)", e.Unit.Result)
	}
	if e.Unit.Restarts > 0 {
		e.find("L081", Warning, e.Unit.Name, look, "systemd has started it again %d times by itself", e.Unit.Restarts)
	}
}
