package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// A span is a range of network ids.
type span struct{ first, last uint32 }

var allNetworks = span{1, ^uint32(0)}

func parseSpan(word string) (span, error) {
	from, to, ranged := strings.Cut(word, "-")
	if !ranged {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
	if err1 != nil || err2 != nil || first == 0 || first > last {
		return span{}, fmt.Errorf("%q is not a network id or a range of them; write a number above 0, or two with - between", clip(word))
	}
	return span{uint32(first), uint32(last)}, nil
}

func (s span) has(id uint32) bool { return s.first <= id && id <= s.last }

// String returns s as it stands in a configuration.
func (s span) String() string {
	if s.first == s.last {
		return strconv.FormatUint(uint64(s.first), 10)
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}
