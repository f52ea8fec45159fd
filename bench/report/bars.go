package report

import (
	"math"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// The measures of plots with a line for each contestant, in pixels.
const (
	barPlotWidth = 860.0
	nameWidth    = 160.0
	valueWidth   = 90.0
	lineHeight   = 18.0
	groupGap     = 34.0
	barsWidth    = barPlotWidth - nameWidth - valueWidth
)

// byWork calls group at the top of each work, and line for each of its rows, with where
// they are, and returns the height of all.
func byWork(rows []measure.Row, group func(y float64, rows []measure.Row), line func(y float64, r *measure.Row)) float64 {
	y := groupGap
	for start := 0; start < len(rows); {
		end := start
		for end < len(rows) && rows[end].Work == rows[start].Work {
			end++
		}
		y += groupGap
		group(y, rows[start:end])
		for i := start; i < end; i++ {
			y += lineHeight
			line(y, &rows[i])
		}
		start = end
	}
	return y + lineHeight
}

// bars draws a bar for each row. Each work has its own scale, from 0 to its largest.
func bars(what string, rows []measure.Row, colours map[string]string, value func(*measure.Row) float64, format func(float64) string) string {
	d := &drawing{width: barPlotWidth}
	d.text(0, lineHeight, title, what)
	largest := 0.0
	group := func(y float64, rows []measure.Row) {
		d.text(0, y, title, rows[0].Work)
		largest = 0
		for i := range rows {
			largest = math.Max(largest, value(&rows[i]))
		}
	}
	line := func(y float64, r *measure.Row) {
		d.text(nameWidth-8, y, right, r.Contestant)
		w := 0.0
		if largest > 0 {
			w = barsWidth * value(r) / largest
		}
		d.rect(nameWidth, y-lineHeight+6, w, lineHeight-4, colours[r.Contestant])
		d.text(nameWidth+w+6, y, plain, format(value(r)))
	}
	d.height = byWork(rows, group, line)
	return d.String()
}

// spans draws three quantiles for each row, on one logarithmic scale.
func spans(what string, rows []measure.Row, colours map[string]string) string {
	d := &drawing{width: barPlotWidth}
	d.text(0, lineHeight, title, what)
	var all []float64
	for i := range rows {
		if r := &rows[i]; r.P50 > 0 {
			all = append(all, float64(r.P50), float64(r.P999))
		}
	}
	axis := newLogAxis(all, nameWidth, nameWidth+barsWidth)
	group := func(y float64, rows []measure.Row) {
		d.text(0, y, title, rows[0].Work)
		for _, v := range axis.marks() {
			x := axis.at(v)
			d.grid(x, y+4, x, y+4+lineHeight*float64(len(rows)))
			d.text(x, y, middle, markDuration(v))
		}
	}
	line := func(y float64, r *measure.Row) {
		d.text(nameWidth-8, y, right, r.Contestant)
		if r.P50 == 0 {
			return
		}
		colour := colours[r.Contestant]
		a, b, c := axis.at(float64(r.P50)), axis.at(float64(r.P99)), axis.at(float64(r.P999))
		d.line(a, y-4, c, y-4, colour)
		d.dot(a, y-4, 5, colour)
		d.dot(b, y-4, 3.5, colour)
		d.dot(c, y-4, 2, colour)
		d.text(c+8, y, plain, formatDuration(r.P50))
	}
	d.height = byWork(rows, group, line)
	return d.String()
}
