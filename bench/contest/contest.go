// Package contest says what a contestant of the benchmarks is: something that carries
// messages between programs on two sides, through processes of its own.
package contest

import "context"

// A Side is one of the two places between which messages are carried.
type Side int

// The two sides. Announcements and requests go from Near to Far.
const (
	Near Side = iota
	Far
)

// Places are where the programs of each side connect, in the contestant's own notation.
type Places [2]string

// Traits say which curves a contestant has a part in.
type Traits struct {
	// Names: messages have names, and only who asked for a name gets it.
	Names bool
	// Hub: the near daemon can have more peers than one.
	Hub bool
}

// A Contestant is one way to carry messages.
type Contestant interface {
	// Name is unique, short, and what -contestants takes.
	Name() string
	// About says in a line what it is: transports, versions.
	About() string
	// Check returns why it cannot run on this machine; nil if it can.
	Check(s *Setup) error
	// Traits returns what it can do beyond the common work.
	Traits() Traits
	// Start starts the processes between the programs on the stage, and returns when
	// programs can connect. A contestant without such processes only chooses its places.
	Start(ctx context.Context, s *Stage) (Places, error)
	// Join puts the calling process on one side. It is called in the programs' processes,
	// for Near before Far, once for each.
	Join(ctx context.Context, side Side, place string) (Bus, error)
}

// A Bus is what the programs of one process connect to.
type Bus interface {
	// Connect returns a program with a connection of its own.
	Connect(ctx context.Context) (Program, error)
}

// A Program is on one side, sends, listens, asks and replies. Names are plain words; a
// contestant puts them into its own notation. Each method may be called while others
// run, but Send and Flush by one goroutine.
type Program interface {
	// Listen, called once, returns when the names are bound. heard gets the data of each message of
	// one of them, one at a time, and may use it only until it returns.
	Listen(ctx context.Context, names []string, heard func(data []byte)) error
	// Serve returns when the name is bound. reply returns the answer to a request, or
	// false to leave the request open for ever.
	Serve(ctx context.Context, name string, reply func(data []byte) ([]byte, bool)) error
	// Send sends an announcement, or buffers it until Flush. The caller does not change
	// data before the message has been heard.
	Send(ctx context.Context, name string, data []byte) error
	// Flush sends what Send has buffered.
	Flush() error
	// Caller returns a function with which one goroutine makes requests, each of which
	// waits for its reply.
	Caller(ctx context.Context, name string) (Call, error)
	// Hold sends n requests and does not wait for replies.
	Hold(ctx context.Context, name string, n int) error
}

// A Call makes a request and returns its reply's data.
type Call func(ctx context.Context, data []byte) ([]byte, error)
