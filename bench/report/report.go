package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// A Report is what was measured, and where.
type Report struct {
	// Command is how the benchmark was called, Limpetd the version of limpetd.
	Command, Limpetd string
	// Machine is as it was before.
	Machine measure.Machine
	// Contestants are those that took part, Skipped those that could not.
	Contestants, Skipped []Contestant
	// Floor and NATS are the names of the contestants to which the others are compared.
	Floor, NATS string
	// Samples are of the works, by work and contestant.
	Samples []measure.Sample
	// Curves were asked for.
	Curves []Curve
}

// A Contestant is a name with what it is, or why it was skipped.
type Contestant struct{ Name, About string }

// A Curve is the samples of works as something grows.
type Curve struct {
	// Name is of a curve, XName says what grows.
	Name, XName string
	// X has the value for each work.
	X map[string]int
	// Samples are by work, in the order of X.
	Samples []measure.Sample
}

// Write writes report.md, the plots and, with every sample, samples.json into a folder,
// which is made if need be. Files of these names are overwritten.
func (r *Report) Write(dir string) error {
	files := map[string]string{"report.md": r.Markdown()}
	if len(r.Samples) > 0 {
		rows := measure.Rows(r.Samples)
		colours := r.colours()
		files["rate.svg"] = bars("messages a second", rows, colours, func(m *measure.Row) float64 { return m.Rate }, formatRate)
		files["cpu.svg"] = bars("microseconds of CPU for each message", rows, colours, func(m *measure.Row) float64 { return m.CPUMicros }, formatMicros)
		files["latency.svg"] = spans("how long it takes: p50, p99 and p99.9", rows, colours)
	}
	for i := range r.Curves {
		c := &r.Curves[i]
		for _, m := range metrics {
			files[c.file(m)] = c.plot(m, r.colours())
		}
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	files["samples.json"] = string(raw) + "\n"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}

// colours gives each contestant one, the same in all plots.
func (r *Report) colours() map[string]string {
	all := make(map[string]string)
	for i, c := range r.Contestants {
		all[c.Name] = palette[i%len(palette)]
	}
	return all
}

// A metric is one thing that a curve shows.
type metric struct {
	name   string
	title  string
	of     func(*measure.Row) float64
	format func(float64) string
}

var metrics = []metric{
	{"cpu", "microseconds of CPU for each message", func(r *measure.Row) float64 { return r.CPUMicros }, formatMicros},
	{"rate", "messages a second", func(r *measure.Row) float64 { return r.Rate }, formatRate},
	{"p50", "p50 in microseconds", func(r *measure.Row) float64 { return float64(r.P50.Nanoseconds()) / 1000 }, formatMicros},
	{"memory", "peak memory of the daemons in MiB", func(r *measure.Row) float64 { return r.Peak / (1 << 20) }, formatMicros},
}

func (c *Curve) file(m metric) string { return fmt.Sprintf("curve-%s-%s.svg", c.Name, m.name) }
