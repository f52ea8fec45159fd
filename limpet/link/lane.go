package link

// A Lane says how a message for the peer is queued. The table lanes says what that
// means.
type Lane uint8

// The lanes.
const (
	// Normal is for what was read from the bus. URGENT messages of this lane overtake
	// the others.
	Normal Lane = iota
	// Answers are to requests that the peer keeps open. They must not wait for the
	// window, or two full windows could block each other.
	Answers
	// Binds are replier bind events. They overtake everything, and are few at a time:
	// what is more waits with the caller, who coalesces it by name.
	Binds
	numLanes
)

// What the lanes mean. A lane that is not windowed has a bound of its own in messages;
// the window in bytes bounds each of them.
var lanes = [numLanes]struct {
	windowed    bool
	maxMessages int
}{
	Normal:  {windowed: true},
	Answers: {maxMessages: 32768}, // as many as a limpet keeps requests open
	Binds:   {maxMessages: 512},
}

// maxOverrun is by how many bytes a lane may exceed the window: its last message may be
// as large as a bus allows.
const maxOverrun = 1 << 20

// mostInFlight returns how much may be sent without an acknowledgement: all lanes full.
// A sender hands no more to a stream, and a receiver takes no more.
func mostInFlight(windowMessages, windowBytes int) (messages, bytes uint64) {
	messages = uint64(windowMessages)
	for _, l := range lanes {
		messages += uint64(l.maxMessages)
	}
	return messages, uint64(numLanes) * (min(uint64(windowBytes), 1<<60) + maxOverrun)
}
