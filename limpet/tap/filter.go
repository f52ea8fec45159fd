package tap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// Bounds of a Config.
const (
	// MaxNames bounds the names, and the links, of one tap.
	MaxNames = 32
	// MaxRate bounds the records a second.
	MaxRate = 1_000_000
	// DefaultRate is the rate without one.
	DefaultRate = 5_000
)

// A Config is what a tap shows. What is empty leaves nothing out.
type Config struct {
	// Names are names, perhaps with wildcards, as on our bus or as at the peer.
	Names []string
	// Links are the names of links, which need not be there.
	Links []string
	// Direction is one of the two; 0 is both.
	Direction Direction
	// Kinds are what messages are.
	Kinds []Kind
	// Reasons are words: the verdicts "forwarded", "delivered" and "dropped"; "lost" for what
	// was dropped so that somebody may miss it; and each translate.Reason by its name.
	Reasons []string
	// Rate is how many records a second are kept, and at once; 0 is DefaultRate.
	Rate int
	// MaxData is how many bytes of a message's data are kept; 0 is none.
	MaxData int
}

// A filter is a Config made ready.
type filter struct {
	names, links []string
	direction    Direction
	kinds        uint8  // a bit for each
	verdicts     uint8  // a bit for each
	reasons      uint64 // of those dropped: a bit for each
}

// words are what stands for a verdict alone.
var words = map[string]Verdict{"forwarded": Forwarded, "delivered": Delivered, "dropped": Dropped}

// compile returns the filter, or says what is wrong with the configuration and what to do.
func (c *Config) compile() (f filter, err error) {
	switch {
	case len(c.Names) > MaxNames:
		return f, fmt.Errorf("names: there are %d, at most %d are allowed; a wildcard stands for many", len(c.Names), MaxNames)
	case len(c.Links) > MaxNames:
		return f, fmt.Errorf("links: there are %d, at most %d are allowed; none is all", len(c.Links), MaxNames)
	case c.Rate < 0 || c.Rate > MaxRate:
		return f, fmt.Errorf("rate: %d is not between 1 and %d records a second", c.Rate, MaxRate)
	case c.MaxData < 0 || c.MaxData > kbusdev.AbsoluteMaxMessageSize:
		return f, fmt.Errorf("data: %d is not between 0 and %d bytes", c.MaxData, kbusdev.AbsoluteMaxMessageSize)
	case c.Direction > FromPeer:
		return f, fmt.Errorf("direction: %d is neither to the peer nor from it", c.Direction)
	}
	for _, name := range c.Names {
		if err := kbusdev.CheckBindName(name); err != nil {
			return f, fmt.Errorf("names: %.100q: %w; it is \"$\" and words of letters and digits joined by dots, the last of which may be * or %%", name, err)
		}
	}
	f = filter{names: c.Names, links: c.Links, direction: c.Direction}
	for _, k := range c.Kinds {
		if k == 0 || k > BindEvent {
			return f, fmt.Errorf("kinds: %d is none", k)
		}
		f.kinds |= 1 << k
	}
	for _, word := range c.Reasons {
		if err := f.addReason(word); err != nil {
			return f, err
		}
	}
	return f, nil
}

var _ [64 - translate.NumReasons]struct{} // the reasons fit into the filter's bits

var errReason = errors.New("it is forwarded, delivered, dropped, lost, or a reason as in limpetctl status")

func (f *filter) addReason(word string) error {
	if v, ok := words[word]; ok {
		f.verdicts |= 1 << v
		if v == Dropped {
			f.reasons = ^uint64(0)
		}
		return nil
	}
	var reasons uint64
	for r := translate.Reason(1); int(r) < translate.NumReasons; r++ {
		if word == r.String() || word == "lost" && r.Loss() {
			reasons |= 1 << r
		}
	}
	if reasons == 0 {
		return fmt.Errorf("reasons: %.100q is not one; %w", word, errReason)
	}
	f.verdicts |= 1 << Dropped
	f.reasons |= reasons
	return nil
}

// matches reports whether a record is to be shown.
func (f *filter) matches(r *Record) bool {
	return (f.direction == 0 || f.direction == r.Direction) &&
		(f.kinds == 0 || f.kinds&(1<<r.Kind) != 0) &&
		(f.verdicts == 0 || f.verdicts&(1<<r.Verdict) != 0 && (r.Verdict != Dropped || f.reasons&(1<<r.Reason) != 0)) &&
		(len(f.links) == 0 || slices.Contains(f.links, r.Link)) &&
		(len(f.names) == 0 || f.named(r.Here) || f.named(r.Read.Name) || f.named(r.Given.Name))
}

func (f *filter) named(name string) bool {
	for _, n := range f.names {
		if kbusdev.Matches(n, name) {
			return true
		}
	}
	return false
}

// Reasons returns the words that Config.Reasons may have.
func Reasons() []string {
	all := []string{"forwarded", "delivered", "dropped", "lost"}
	for r := translate.Reason(1); int(r) < translate.NumReasons; r++ {
		all = append(all, r.String())
	}
	return all
}
