package bustest

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Hex is bytes written in hexadecimal in a recording.
type Hex []byte

// UnmarshalText decodes the digits.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// MarshalText encodes the bytes.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// A Message is a message as recordings write it; what is absent is zero.
type Message struct {
	ID        [2]uint32 `json:"id"`
	InReplyTo [2]uint32 `json:"in_reply_to"`
	To        uint32    `json:"to"`
	From      uint32    `json:"from"`
	OrigFrom  [2]uint32 `json:"orig_from"`
	FinalTo   [2]uint32 `json:"final_to"`
	Extra     uint32    `json:"extra"`
	Flags     uint32    `json:"flags"`
	Name      string    `json:"name"`
	Data      Hex       `json:"data"`
}

// KBUS gives the message as the buses know it.
func (m *Message) KBUS() *kbusdev.Message {
	msg := &kbusdev.Message{
		ID:        kbusdev.MsgID{Network: m.ID[0], Serial: m.ID[1]},
		InReplyTo: kbusdev.MsgID{Network: m.InReplyTo[0], Serial: m.InReplyTo[1]},
		To:        kbusdev.KsockID(m.To),
		From:      kbusdev.KsockID(m.From),
		OrigFrom:  kbusdev.Address{Network: m.OrigFrom[0], Local: kbusdev.KsockID(m.OrigFrom[1])},
		FinalTo:   kbusdev.Address{Network: m.FinalTo[0], Local: kbusdev.KsockID(m.FinalTo[1])},
		Extra:     m.Extra,
		Flags:     kbusdev.Flags(m.Flags),
		Name:      m.Name,
		Data:      m.Data,
	}
	if m.Name == kbusdev.NameReplierBindEvent {
		if e, err := kbusdev.ParseBindEvent(m.Data, kbusdev.LittleEndian64.Order); err == nil {
			msg.Event, msg.Data = &e, nil
		}
	}
	return msg
}

// Files lists the recordings to replay: those in testdata that match pattern,
// and those in the folder named by the environment variable GOLDEN_DIR, if it
// is set. There must be at least one.
func Files(t testing.TB, testdata, pattern string) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{testdata, os.Getenv("GOLDEN_DIR")} {
		if dir == "" {
			continue
		}
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatalf("no recording %s in %s", pattern, testdata)
	}
	return files
}

// Load reads a gzipped recording, one JSON story a line.
func Load[Story any](t testing.TB, file string) []Story {
	t.Helper()
	stories, err := load[Story](file)
	if err != nil {
		t.Fatalf("recording %s: %v", file, err)
	}
	if len(stories) == 0 {
		t.Fatalf("recording %s has no story", file)
	}
	return stories
}

func load[Story any](file string) ([]Story, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var stories []Story
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s Story
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(stories)+1, err)
		}
		stories = append(stories, s)
	}
	return stories, lines.Err()
}
