package report

import (
	"slices"

	"github.com/kbus-limpet/limpet/bench/measure"
)

// The measures of a curve's plot, in pixels.
const (
	curveWidth  = 720.0
	curveHeight = 360.0
	leftMargin  = 60.0
	rightMargin = 170.0 // for the legend
	topMargin   = 40.0
	footMargin  = 50.0
)

// plot draws a metric: a line for each contestant, both axes logarithmic. What
// is not known has no dot.
func (c *Curve) plot(m metric, colours map[string]string) string {
	d := &drawing{width: curveWidth, height: curveHeight}
	d.text(0, lineHeight, title, m.title)
	rows := measure.Rows(c.Samples)
	var xs, ys []float64
	var contestants []string
	for i := range rows {
		r := &rows[i]
		xs = append(xs, float64(c.X[r.Work]))
		if v := m.of(r); v > 0 {
			ys = append(ys, v)
		}
		if !slices.Contains(contestants, r.Contestant) {
			contestants = append(contestants, r.Contestant)
		}
	}
	x := newLogAxis(xs, leftMargin, curveWidth-rightMargin)
	y := newLogAxis(ys, curveHeight-footMargin, topMargin)
	for _, v := range x.marks() {
		d.grid(x.at(v), y.from, x.at(v), y.to)
		d.text(x.at(v), y.from+lineHeight, middle, formatCount(v))
	}
	for _, v := range y.marks() {
		d.grid(x.from, y.at(v), x.to, y.at(v))
		d.text(x.from-8, y.at(v)+4, right, formatCount(v))
	}
	d.text((x.from+x.to)/2, curveHeight-8, middle, c.XName)
	for i, name := range contestants {
		colour := colours[name]
		legend := topMargin + float64(i)*lineHeight
		d.rect(x.to+16, legend-9, 10, 10, colour)
		d.text(x.to+32, legend, plain, name)
		var fromX, fromY float64
		for j := range rows {
			r := &rows[j]
			if r.Contestant != name || r.Rounds == 0 || m.of(r) == 0 {
				continue
			}
			toX, toY := x.at(float64(c.X[r.Work])), y.at(m.of(r))
			if fromX > 0 {
				d.line(fromX, fromY, toX, toY, colour)
			}
			d.dot(toX, toY, 3.5, colour)
			fromX, fromY = toX, toY
		}
	}
	return d.String()
}
