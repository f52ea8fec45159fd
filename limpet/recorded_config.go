package limpet

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/trace"
)

// A recordedEpoch is what an epoch was made with, as the header of a record has it.
type recordedEpoch struct {
	Pattern        string          `json:"pattern"`
	Renames        []string        `json:"renames,omitempty"`
	Termination    string          `json:"termination,omitempty"`
	MaxMessages    uint32          `json:"max_messages"`
	Grace          time.Duration   `json:"grace"`
	RequestHold    time.Duration   `json:"request_hold"`
	StallTimeout   time.Duration   `json:"stall_timeout"`
	WaitTimeout    time.Duration   `json:"wait_timeout"`
	WindowMessages uint32          `json:"window_messages"`
	WindowBytes    uint64          `json:"window_bytes"`
	AllInterest    bool            `json:"all_interest,omitempty"`
	MaxNames       int             `json:"max_names"`
	Ksock          kbusdev.KsockID `json:"ksock"`
	Session        recordedSession `json:"session"`
	LosesUnread    bool            `json:"loses_unread,omitempty"`
	Interest       bool            `json:"interest,omitempty"`
	Narrows        bool            `json:"narrows,omitempty"`
	DrainDone      bool            `json:"drain_done,omitempty"`
	DigestEvery    time.Duration   `json:"digest_every"`
	Origins        bool            `json:"origins,omitempty"`
	Names          bool            `json:"names,omitempty"`
	Rules          []rules.Rule    `json:"rules"`
	Traces         *float64        `json:"traces,omitempty"` // the share; nil traces nothing
}

type recordedSession struct {
	WindowMessages int  `json:"window_messages"`
	WindowBytes    int  `json:"window_bytes"`
	NoAcks         bool `json:"no_acks,omitempty"`
}

// describeEpoch returns what an epoch is made with now: rules may have changed.
func describeEpoch(c *EpochConfig) json.RawMessage {
	r := recordedEpoch{
		Pattern: c.Pattern, Termination: c.Termination, MaxMessages: c.MaxMessages,
		Grace: c.Grace, RequestHold: c.RequestHold, StallTimeout: c.StallTimeout, WaitTimeout: c.WaitTimeout,
		WindowMessages: c.WindowMessages, WindowBytes: c.WindowBytes, AllInterest: c.AllInterest, MaxNames: c.MaxNames,
		Ksock:       c.Ksock,
		Session:     recordedSession{c.Session.WindowMessages, c.Session.WindowBytes, c.Session.NoAcks},
		LosesUnread: c.LosesUnread, Interest: c.Interest, Narrows: c.Narrows, DrainDone: c.DrainDone, DigestEvery: c.DigestEvery,
		Origins: c.Origins != nil, Names: c.Names != nil, Rules: c.Rules.Rules(),
	}
	for _, n := range c.Renames.Renames() {
		r.Renames = append(r.Renames, n.String())
	}
	if c.Tracing.To != nil {
		r.Traces = &c.Tracing.Share
	}
	return json.RawMessage(marshal(r))
}

// again returns the configuration of such an epoch, which asks others.
func (r *recordedEpoch) again(network, peer uint32, asks *answers) (EpochConfig, error) {
	c := EpochConfig{
		Config: Config{
			Pattern: r.Pattern, Termination: r.Termination, MaxMessages: r.MaxMessages,
			Grace: r.Grace, RequestHold: r.RequestHold, StallTimeout: r.StallTimeout, WaitTimeout: r.WaitTimeout,
			WindowMessages: r.WindowMessages, WindowBytes: r.WindowBytes, AllInterest: r.AllInterest, MaxNames: r.MaxNames,
		},
		NetworkID: network, PeerNetworkID: peer, Ksock: r.Ksock,
		Session:     link.SessionConfig{WindowMessages: r.Session.WindowMessages, WindowBytes: r.Session.WindowBytes, NoAcks: r.Session.NoAcks},
		LosesUnread: r.LosesUnread, Interest: r.Interest, Narrows: r.Narrows, DrainDone: r.DrainDone, DigestEvery: r.DigestEvery,
		IDs: asks, Totals: new(Totals),
	}
	if r.Origins {
		c.Origins = asks
	}
	if r.Names {
		c.Names = asks
	}
	if r.Traces != nil {
		c.Tracing = trace.Config{Share: *r.Traces, To: func(*trace.Span) {}}
	}
	var renames []rename.Rename
	for _, word := range r.Renames {
		one, err := rename.Parse(word)
		if err != nil {
			return c, err
		}
		renames = append(renames, one)
	}
	var err error
	if c.Renames, err = rename.Compile(renames); err != nil {
		return c, err
	}
	if c.Rules, err = rules.Again(r.Rules); err != nil {
		return c, err
	}
	return c, c.playable()
}

// playable returns an error if a configuration is none that an epoch could have had.
func (c *EpochConfig) playable() error {
	switch {
	case c.NetworkID == 0 || c.PeerNetworkID == 0 || c.NetworkID == c.PeerNetworkID:
		return fmt.Errorf("network ids %d and %d are not those of a link", c.NetworkID, c.PeerNetworkID)
	case !strings.HasPrefix(c.Pattern, "$.") || kbusdev.CheckBindName(c.Pattern) != nil:
		return fmt.Errorf("the pattern %.100q is not a name", c.Pattern)
	case c.MaxNames < 0 || c.MaxNames > 1<<28 || c.MaxMessages == 0 || c.WindowMessages == 0 || c.Session.WindowMessages <= 0 || c.Session.WindowBytes <= 0:
		return fmt.Errorf("bounds of %d names, %d messages, and a window of %d messages and %d bytes let nothing cross",
			c.MaxNames, c.MaxMessages, c.Session.WindowMessages, c.Session.WindowBytes)
	}
	return c.Validate()
}
