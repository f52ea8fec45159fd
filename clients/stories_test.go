package clients

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A story is one of stories.yaml, which says what its steps mean.
type story struct {
	Name  string
	Steps []step
}

// A step has the words of stories.yaml. A pointer that is nil is something that is not compared.
type step struct {
	Do, By, Start, Errno    string
	At                      int
	Mode, Name, As, What    string
	NameLength              int `yaml:"name_length"`
	Names                   []string
	MaxMessages             uint32 `yaml:"max_messages"`
	OnlyOnce                bool   `yaml:"only_once"`
	Cuttable, Away          bool
	Data, Kind, Sender      *string
	Size                    *int
	Times                   int
	Flags                   []string
	UserFlags               *uint32 `yaml:"user_flags"`
	TimeoutMs               int     `yaml:"timeout_ms"`
	DeadlineMs              int     `yaml:"deadline_ms"`
	Replier, To, Answers    string
	Refused                 []string
	Nothing, Nobody, Until  bool
	Ours, Far, Deadline     *bool
	Bound, Unbound          *string
	Outcome, Reason, Answer *string
	Outcomes                []string
	Want                    any
	Value                   uint32
	Here, Gone              []string
}

func readStories(t *testing.T) (all []story) {
	text, err := os.ReadFile("stories.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 60 {
		t.Errorf("there are only %d stories", len(all))
	}
	return all
}

// Package client tells every story.
func TestStories(t *testing.T) {
	w := newWorld(t)
	for i, s := range readStories(t) {
		t.Run(s.Name, func(t *testing.T) {
			p := newPlay(t, w, i+1)
			defer p.end()
			for j, st := range s.Steps {
				if err := p.step(st); err != nil {
					t.Fatalf("step %d, %s: %v", j+1, st.Do, err)
				}
			}
			if len(p.started) > 0 {
				t.Error("a step that was started was not finished")
			}
		})
	}
}

// equal compares what is with what a step says, if it says anything.
func equal[T comparable](what string, got T, want *T) error {
	if want == nil || got == *want {
		return nil
	}
	return fmt.Errorf("%s is %v, want %v", what, got, *want)
}

// errFailed is a story whose steps make no sense.
var errFailed = errors.New("no such thing")
