package kbusdev

import "syscall"

// A Recipient is a binding through which a message would be queued.
type Recipient struct {
	Binding
	// NoRoom reports that the Ksock's queue is full now, where that is known: the message
	// would be refused, have to wait, or be missed.
	NoRoom bool
}

// A Route is who would get a message if it were sent now.
type Route struct {
	// Replier is whose answer a request waits for. Its Ksock is 0 if there is none, and for
	// an announcement.
	Replier Recipient
	// Listeners are those who would hear it, newest first: each Ksock once.
	Listeners []Recipient
}

// RouteOf returns who would get an announcement or a request on a bus that only lists its
// bindings, newest first as Bus.Bindings does. The error is an errno: EADDRNOTAVAIL if
// nobody would answer a request, EPIPE if somebody else would than m insists on; CheckName's
// of a name that cannot be sent. Room is not judged. Its cost is that of reading the list.
func RouteOf(all []Binding, m *Message) (Route, error) {
	var r Route
	if err := CheckName(m.Name); err != nil {
		return r, err
	}
	heard := make(map[KsockID]bool)
	best := -1
	for _, b := range all {
		switch {
		case !Matches(b.Name, m.Name):
		case b.Role == Replier:
			if s := Specificity(b.Name); s > best && m.IsRequest() { // the newest of a kind comes first
				best, r.Replier.Binding = s, b
			}
		case !heard[b.Ksock]:
			heard[b.Ksock] = true
			r.Listeners = append(r.Listeners, Recipient{Binding: b})
		}
	}
	switch {
	case m.IsRequest() && r.Replier.Ksock == 0:
		return Route{}, syscall.EADDRNOTAVAIL
	case m.IsRequest() && m.To != 0 && m.To != r.Replier.Ksock:
		return Route{}, syscall.EPIPE
	}
	return r, nil
}
