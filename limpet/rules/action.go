package rules

import (
	"fmt"
	"slices"
	"strings"
)

// An Action is what somebody does, so that the direction is in the verb.
type Action uint8

// The actions. Those up to Tap are done with names.
const (
	// Announce: announcements of theirs come onto our bus.
	Announce Action = iota
	// Listen: they hear announcements on our bus.
	Listen
	// Request: they ask repliers on our bus.
	Request
	// Reply: they bind as replier, so that we may ask them.
	Reply
	// Tap: they see the data of messages that pass the links, which AdminService.Tap shows.
	Tap
	// Admin: they use AdminService.
	Admin
	// Join: they link, and have network ids, they and those behind them.
	Join
	numActions

	withNames   = Admin // the first that is done without
	ofEndpoints = Tap   // the first that is not what peers and programs do with messages
)

var actionNames = [...]string{"announce", "listen", "request", "reply", "tap", "admin", "join"}

// String returns the word for the action in a configuration.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown"
}

// Actions returns all actions, in order.
func Actions() []Action { return []Action{Announce, Listen, Request, Reply, Tap, Admin, Join} }

// A set of actions, a bit for each.
type actions uint8

const (
	allActions  actions = 1<<numActions - 1
	nameActions actions = 1<<withNames - 1
)

func (s actions) has(a Action) bool { return s&(1<<a) != 0 }

func parseAction(word string) (Action, error) {
	if i := slices.Index(actionNames[:], word); i >= 0 {
		return Action(i), nil
	}
	return 0, fmt.Errorf("%q is not an action; there are %s", clip(word), strings.Join(actionNames[:], ", "))
}

// parseActions returns the actions of a rule; all is what "all" means in it.
func parseActions(words []string, all actions) (s actions, err error) {
	for _, w := range words {
		if w == "all" {
			s |= all
			continue
		}
		a, err := parseAction(w)
		if err != nil {
			return 0, fmt.Errorf("%w, and all", err)
		}
		s |= 1 << a
	}
	return s, nil
}

// String lists the actions.
func (s actions) String() string {
	if s == allActions {
		return "all"
	}
	var words []string
	for _, a := range Actions() {
		if s.has(a) {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, ", ")
}

// clip bounds what an error quotes.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
