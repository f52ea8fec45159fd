package kbusdev

import "time"

// An OpenRequest is a request on a bus that has no reply yet. Who can do with any bus that
// tells of them asks for
//
//	interface {
//		OpenRequests(f func(OpenRequest) bool)
//	}
type OpenRequest struct {
	// ID and Name are the request's.
	ID   MsgID
	Name string
	// Asker has sent it; Replier is to reply to it.
	Asker, Replier KsockID
	// Since is when it was sent.
	Since time.Time
	// Read says that the replier has read it, else it waits in its queue.
	Read bool
}
