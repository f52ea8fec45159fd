package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/bench/measure"
)

func example() *Report {
	sample := func(contestant, work string, round int, rate uint64) measure.Sample {
		return measure.Sample{
			Contestant: contestant, Work: work, Round: round, Sent: rate, Arrived: rate, Elapsed: time.Second, CPU: time.Second,
			P50: time.Microsecond, P99: 30 * time.Microsecond, P999: 2 * time.Millisecond, Idle: 1 << 20, Peak: 3 << 20, StartUp: 20 * time.Millisecond,
		}
	}
	lost := sample("ours", "w1", 2, 3000)
	lost.Sent += 7
	return &Report{
		Command: "bench", Limpetd: "v1", Machine: measure.Machine{CPU: "a CPU", Cores: 2},
		Contestants: []Contestant{{"ours", "one | two"}, {"nats", "theirs"}, {"<floor>", "bare"}},
		Skipped:     []Contestant{{"gone", "not installed"}},
		Floor:       "<floor>", NATS: "nats",
		Samples: []measure.Sample{
			sample("ours", "w1", 1, 1000), lost,
			sample("nats", "w1", 1, 2000), sample("nats", "w1", 2, 6000),
			sample("<floor>", "w1", 1, 4000), {Contestant: "<floor>", Work: "w1", Round: 2, Error: "it\nbroke"},
			{Contestant: "ours", Work: "w2", Round: 1, Error: "never ran"},
			sample("nats", "w2", 1, 5),
		},
		Curves: []Curve{{
			Name: "size", XName: "bytes", X: map[string]int{"s-0": 0, "s-1000": 1000},
			Samples: []measure.Sample{
				sample("ours", "s-0", 1, 100), sample("nats", "s-0", 1, 300),
				sample("ours", "s-1000", 1, 200), {Contestant: "nats", Work: "s-1000", Round: 1, Error: "too large"},
			},
		}},
	}
}

func TestMarkdown(t *testing.T) {
	text := example().Markdown()
	for _, want := range []string{
		"Machine: a CPU, 2 cores",
		`| ours | one \| two |`,
		"| gone | skipped: not installed |",
		// 1000 and 3000 messages in a second each; half of NATS's in both rounds, a quarter of the floor's in the one it has
		"| ours | 2.00 k | 100 % | 667 | 100 % | 1.00 µs | 30.0 µs | 2.00 ms | 7 | 1.00 MiB | 3.00 MiB | 20.0 ms | 0.50 | 0.25 | 2.00 | 4.00 |",
		"| ours | failed, see below |",
		"- round 2, w1, <floor>: it broke\n",
		"- round 1, s-1000, nats: too large\n",
		"| messages a second: bytes | ours | nats |\n|---|---|---|\n| 0 | 100 | 300 |\n| 1000 | 200 | – |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	columns := 0
	for line := range strings.Lines(text) { // every line of a table has as many cells as its head
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns > 0 && n > 0 && n != columns {
			t.Errorf("%d cells, the table has %d: %s", n-1, columns-1, line)
		}
		columns = n
	}
}

// Every plot is well-formed, and nothing in it is outside.
func TestPlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := example().Write(dir); err != nil {
		t.Fatal(err)
	}
	plots, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(plots) != 3+len(metrics) {
		t.Fatalf("%d plots, %v", len(plots), err)
	}
	for _, name := range plots {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkPlot(t, filepath.Base(name), string(text))
	}
	if text, err := os.ReadFile(filepath.Join(dir, "samples.json")); err != nil || !strings.Contains(string(text), `"it\nbroke"`) {
		t.Errorf("samples.json: %v\n%s", err, text)
	}
}

func checkPlot(t *testing.T, name, text string) {
	t.Helper()
	var width, height float64
	elements := 0
	in := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		elements++
		at := make(map[string]float64)
		for _, a := range e.Attr {
			if v, err := strconv.ParseFloat(a.Value, 64); err == nil {
				at[a.Name.Local] = v
			}
		}
		if e.Name.Local == "svg" {
			width, height = at["width"], at["height"]
			continue
		}
		for _, x := range []float64{at["x"] + at["width"], at["x1"], at["x2"], at["cx"]} {
			if x < 0 || x > width {
				t.Errorf("%s: %+v is outside of 0 to %v", name, e, width)
			}
		}
		for _, y := range []float64{at["y"] + at["height"], at["y1"], at["y2"], at["cy"]} {
			if y < 0 || y > height {
				t.Errorf("%s: %+v is outside of 0 to %v", name, e, height)
			}
		}
	}
	if elements < 10 {
		t.Errorf("%s has %d elements", name, elements)
	}
}

func TestLogAxis(t *testing.T) {
	a := newLogAxis([]float64{20, 3000}, 100, 400)
	for v, want := range map[float64]float64{0: 100, 1: 100, 10: 100, 100: 200, 1000: 300, 10_000: 400} {
		if got := a.at(v); math.Abs(got-want) > 0.001 {
			t.Errorf("%v is at %v, want %v", v, got, want)
		}
	}
	if m := a.marks(); !slices.Equal(m, []float64{10, 100, 1000, 10_000}) {
		t.Errorf("marks %v", m)
	}
	for _, values := range [][]float64{nil, {0}, {10}} {
		if a := newLogAxis(values, 0, 1); a.low >= a.high {
			t.Errorf("of %v: %+v", values, a)
		}
	}
}

// 0 has a place of its own, before the smallest other value.
func TestLogAxisWithZero(t *testing.T) {
	a := newLogAxis([]float64{0, 20, 3000}, 0, 400)
	if a.at(0) != 0 || a.at(10) != 100 || a.at(10_000) != 400 {
		t.Errorf("0 is at %v, 10 at %v, 10 000 at %v", a.at(0), a.at(10), a.at(10_000))
	}
	if m := a.marks(); !slices.Equal(m, []float64{0, 10, 100, 1000, 10_000}) {
		t.Errorf("marks %v", m)
	}
}
