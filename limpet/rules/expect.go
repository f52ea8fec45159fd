package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Test is what the configuration says that its rules should amount to.
type Test struct {
	// Who is an identity, as ParseIdentity takes it.
	Who string
	// Allow or Deny is an action and what it is done with: "announce $.Sensor.Rain",
	// "reply $.*", "tap $.A.*", "join 3", "admin". One of the two is set. To bind as replier,
	// and to tap, is allowed if all names are, to listen if any is.
	Allow, Deny string
}

// Check returns an error that names each test, counted from 1, which does not hold, or is
// none; nil if all hold. The set may be nil.
func (s *Set) Check(tests []Test) error {
	var wrong []error
	for i := range tests {
		if err := s.check(&tests[i]); err != nil {
			wrong = append(wrong, fmt.Errorf("test %d: %w", i+1, err))
		}
	}
	return errors.Join(wrong...)
}

func (s *Set) check(t *Test) error {
	want, text := true, t.Allow
	switch {
	case (t.Allow == "") == (t.Deny == ""):
		return fmt.Errorf("allow: %q, deny: %q: give it one of them", clip(t.Allow), clip(t.Deny))
	case t.Deny != "":
		want, text = false, t.Deny
	}
	id, network, err := ParseIdentity(t.Who)
	if err != nil {
		return fmt.Errorf("who: %w", err)
	}
	v, err := s.For(id, network).judge(text)
	if err != nil {
		return err
	}
	if v.Allow != want {
		return fmt.Errorf("%s: %s is %s, not %s: %s", clip(t.Who), clip(text), said(v.Allow), said(want), s.why(v))
	}
	return nil
}

func said(allow bool) string {
	if allow {
		return "allowed"
	}
	return "denied"
}

// judge judges an action that is written as a test has it.
func (p *Policy) judge(text string) (Verdict, error) {
	word, object, _ := strings.Cut(strings.TrimSpace(text), " ")
	object = strings.TrimSpace(object)
	a, err := parseAction(word)
	if err != nil {
		return Verdict{}, fmt.Errorf("%q: %w", clip(text), err)
	}
	switch a {
	case Admin:
		if object != "" {
			return Verdict{}, fmt.Errorf("%q: admin is done without %q; leave it out", clip(text), clip(object))
		}
		return p.Admin(), nil
	case Join:
		n, err := strconv.ParseUint(object, 10, 32)
		if err != nil || n == 0 {
			return Verdict{}, fmt.Errorf("%q: %q is not a network id; write join and a number above 0", clip(text), clip(object))
		}
		return p.Join(uint32(n)), nil
	case Announce, Request:
		if err := kbusdev.CheckName(object); err != nil {
			return Verdict{}, fmt.Errorf("%q: the name %q cannot be sent: %w; give one without a wildcard", clip(text), clip(object), err)
		}
	default:
		if err := kbusdev.CheckBindName(object); err != nil {
			return Verdict{}, fmt.Errorf("%q: the name %q cannot be bound: %w", clip(text), clip(object), err)
		}
	}
	return p.named(a, object), nil
}
