package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// Markdown returns the report as text with tables.
func (r *Report) Markdown() string {
	var b strings.Builder
	r.head(&b)
	if len(r.Samples) > 0 {
		r.works(&b)
	}
	for i := range r.Curves {
		r.Curves[i].markdown(&b)
	}
	r.failures(&b)
	return b.String()
}

func (r *Report) head(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "# Benchmarks\n\n`%s`\n\n", r.Command)
	fmt.Fprintf(b, "Machine: %s, %d cores, Linux %s, %s; load before: %s. limpetd: %s.\n\n", m.CPU, m.Cores, m.Kernel, m.Go, m.Load, r.Limpetd)
	b.WriteString("| contestant | what it is |\n|---|---|\n")
	for _, c := range r.Contestants {
		fmt.Fprintf(b, "| %s | %s |\n", cell(c.Name), cell(c.About))
	}
	for _, c := range r.Skipped {
		fmt.Fprintf(b, "| %s | skipped: %s |\n", cell(c.Name), cell(c.About))
	}
	b.WriteString(`
Every figure is the median of the rounds, and ± is (largest - smallest) / median. An announcement counts once for each
listener that heard it, a request and its reply count as one message. CPU is in microseconds for each message, of all
processes together: programs and daemons, by the kernel's accounting. p50, p99 and p99.9 are of a round trip where there
are requests, else of the way from sender to listener while the sender is as fast as it can, which is mostly waiting in
queues. Memory is resident, of the daemons together. Start-up is from starting the first daemon until a message has come
through.
`)
}

func (r *Report) works(b *strings.Builder) {
	fmt.Fprintf(b, "Ratios are medians of the rounds' ratios: to %s, and to %s.\n", r.NATS, r.Floor)
	b.WriteString("\n![messages a second](rate.svg)\n\n![CPU for each message](cpu.svg)\n\n![latency](latency.svg)\n")
	last := ""
	for _, row := range measure.Rows(r.Samples) {
		if row.Work != last {
			last = row.Work
			fmt.Fprintf(b, "\n## %s\n\n", row.Work)
			b.WriteString("| contestant | messages/s | ± | CPU µs | ± | p50 | p99 | p99.9 | lost | idle | peak | start-up | rate by NATS | by floor | CPU by NATS | by floor |\n")
			b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
		}
		r.row(b, &row)
	}
}

func (r *Report) row(b *strings.Builder, row *measure.Row) {
	if row.Rounds == 0 {
		fmt.Fprintf(b, "| %s | failed, see below |%s\n", cell(row.Contestant), strings.Repeat(" |", 14))
		return
	}
	fmt.Fprintf(b, "| %s |", cell(row.Contestant))
	for _, text := range []string{
		formatRate(row.Rate), formatSpread(row.RateSpread), formatMicros(row.CPUMicros), formatSpread(row.CPUSpread),
		formatDuration(row.P50), formatDuration(row.P99), formatDuration(row.P999),
		strconv.FormatInt(row.Lost, 10), formatBytes(row.Idle), formatBytes(row.Peak), formatDuration(row.StartUp),
		r.ratio(row, r.NATS, (*measure.Sample).Rate), r.ratio(row, r.Floor, (*measure.Sample).Rate),
		r.ratio(row, r.NATS, (*measure.Sample).CPUMicros), r.ratio(row, r.Floor, (*measure.Sample).CPUMicros),
	} {
		fmt.Fprintf(b, " %s |", text)
	}
	b.WriteString("\n")
}

func (r *Report) ratio(row *measure.Row, to string, value func(*measure.Sample) float64) string {
	return formatRatio(measure.Ratio(r.Samples, row.Work, row.Contestant, to, value))
}

// markdown writes a table of each metric: a line for each value of X.
func (c *Curve) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Curve: %s\n", c.XName)
	rows := measure.Rows(c.Samples)
	var contestants, works []string
	cells := make(map[[2]string]*measure.Row)
	for i := range rows {
		r := &rows[i]
		if !slices.Contains(contestants, r.Contestant) {
			contestants = append(contestants, r.Contestant)
		}
		if !slices.Contains(works, r.Work) {
			works = append(works, r.Work)
		}
		cells[[2]string{r.Work, r.Contestant}] = r
	}
	for _, m := range metrics {
		fmt.Fprintf(b, "\n![%s](%s)\n\n| %s: %s |", m.title, c.file(m), m.title, c.XName)
		for _, name := range contestants {
			fmt.Fprintf(b, " %s |", cell(name))
		}
		b.WriteString("\n|" + strings.Repeat("---|", 1+len(contestants)) + "\n")
		for _, w := range works {
			fmt.Fprintf(b, "| %d |", c.X[w])
			for _, name := range contestants {
				text := none
				if r := cells[[2]string{w, name}]; r != nil && r.Rounds > 0 {
					text = m.format(m.of(r))
				}
				fmt.Fprintf(b, " %s |", text)
			}
			b.WriteString("\n")
		}
	}
}

func (r *Report) failures(b *strings.Builder) {
	failed := r.Failed()
	if len(failed) == 0 {
		return
	}
	b.WriteString("\n## What failed\n\n")
	for _, s := range failed {
		fmt.Fprintf(b, "- round %d, %s, %s: %s\n", s.Round, s.Work, s.Contestant, strings.Join(strings.Fields(s.Error), " "))
	}
}

// Failed returns the samples that are none.
func (r *Report) Failed() (failed []measure.Sample) {
	all := r.Samples
	for _, c := range r.Curves {
		all = slices.Concat(all, c.Samples)
	}
	for _, s := range all {
		if s.Error != "" {
			failed = append(failed, s)
		}
	}
	return failed
}

// cell makes text fit into a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
