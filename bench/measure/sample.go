package measure

import "time"

// A Sample is one measurement of one contestant.
type Sample struct {
	// Contestant and Work say what was measured, Round in which round.
	Contestant, Work string
	Round            int
	// Error, unless "", says why there is no measurement; then nothing below counts.
	Error string `json:",omitempty"`
	// Sent is how many messages were to arrive, Arrived how many did: an announcement
	// once for each listener, a request and its reply as one.
	Sent, Arrived uint64
	// Elapsed is from the first that was sent to the last that arrived.
	Elapsed time.Duration
	// CPU is what all processes together used for them.
	CPU time.Duration
	// P50, P99 and P999 are quantiles of how long a message was under way; of a round
	// trip if there were requests. 0 if messages were too small to carry the time.
	P50, P99, P999 time.Duration
	// Idle and Peak are the resident bytes of the daemons together: before the work, and
	// the sum of each one's most.
	Idle, Peak uint64
	// StartUp is how long it took from starting the first daemon until a message had
	// come through.
	StartUp time.Duration
}

// Rate is how many messages arrived in a second.
func (s *Sample) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Arrived) / s.Elapsed.Seconds()
}

// CPUMicros is the microseconds of CPU for each message that arrived.
func (s *Sample) CPUMicros() float64 {
	if s.Arrived == 0 {
		return 0
	}
	return float64(s.CPU.Nanoseconds()) / 1000 / float64(s.Arrived)
}

// Lost is how many messages did not arrive. More may arrive than were sent, if one comes
// twice: then it is less than 0.
func (s *Sample) Lost() int64 { return int64(s.Sent - s.Arrived) }
