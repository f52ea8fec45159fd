package kbusdev

import (
	"strings"
	"syscall"
)

// Bounds of a name in bytes, as the module has them.
const (
	MinNameLen = 3
	MaxNameLen = 1000
)

// CheckName tells whether name can be sent to: "$" and one or more words of
// ASCII letters and digits, joined by dots, MinNameLen to MaxNameLen bytes. The
// error is ENAMETOOLONG or EBADMSG. (The module also lets some Latin-1 bytes
// pass as letters; they are refused here.)
func CheckName(name string) error {
	if len(name) > MaxNameLen {
		return syscall.ENAMETOOLONG
	}
	if !wellFormed(name, false) {
		return syscall.EBADMSG
	}
	return nil
}

// CheckBindName is CheckName for names that are bound: the last word may also
// be "*" (everything below) or "%" (one level).
func CheckBindName(name string) error {
	if len(name) > MaxNameLen {
		return syscall.ENAMETOOLONG
	}
	if !wellFormed(name, true) {
		return syscall.EBADMSG
	}
	return nil
}

func wellFormed(name string, wildcard bool) bool {
	if len(name) < MinNameLen || name[0] != '$' || name[1] != '.' {
		return false
	}
	if last := name[len(name)-1]; last == '*' || last == '%' {
		if !wildcard || name[len(name)-2] != '.' {
			return false
		}
		if len(name) == MinNameLen {
			return true
		}
		name = name[:len(name)-2]
	}
	wordStart := true
	for i := 2; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.':
			if wordStart {
				return false
			}
			wordStart = true
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			wordStart = false
		default:
			return false
		}
	}
	return !wordStart
}

// IsWildcard reports whether a valid binding name ends in "*" or "%".
func IsWildcard(name string) bool {
	return strings.HasSuffix(name, ".*") || strings.HasSuffix(name, ".%")
}

// Matches reports whether a message called name is heard by a binding. Both are
// taken to be valid.
func Matches(binding, name string) bool {
	if !IsWildcard(binding) {
		return binding == name
	}
	stem := binding[:len(binding)-1] // with its dot
	if len(name) <= len(stem) || name[:len(stem)] != stem {
		return false
	}
	return binding[len(binding)-1] == '*' || strings.IndexByte(name[len(stem):], '.') < 0
}

// Specificity orders the kinds of binding that match one name: an exact name
// beats "%", which beats "*". Between two of the same kind the module takes the
// one bound most recently, whatever their lengths.
func Specificity(binding string) int {
	switch {
	case strings.HasSuffix(binding, ".*"):
		return 0
	case strings.HasSuffix(binding, ".%"):
		return 1
	default:
		return 2
	}
}

// Covers reports whether every name that inner can match is matched by outer
// too. Both are valid binding names, exact or wildcard.
func Covers(outer, inner string) bool {
	switch {
	case outer == inner:
		return true
	case !IsWildcard(outer):
		return false
	case !IsWildcard(inner):
		return Matches(outer, inner)
	case strings.HasSuffix(outer, ".%"):
		return false // only an equal "%", seen above, or an exact name fits in one level
	}
	return strings.HasPrefix(inner, outer[:len(outer)-1])
}

// Narrower gives the narrower of two binding names, and false when neither
// covers the other, so that they have no simple intersection.
func Narrower(a, b string) (string, bool) {
	switch {
	case Covers(a, b):
		return b, true
	case Covers(b, a):
		return a, true
	default:
		return "", false
	}
}

// Overlap reports whether any name is matched by both of two binding names.
func Overlap(a, b string) bool { return Covers(a, b) || Covers(b, a) }
