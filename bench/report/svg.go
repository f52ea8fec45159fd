package report

import (
	"fmt"
	"html"
	"strings"
)

// palette has colours that can be told apart on white and on black.
var palette = []string{
	"#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#2aa198", "#d4a017", "#9c755f", "#e377c2", "#888888", "#6c71c4", "#17becf",
}

// A drawing is an SVG in the making. It has no background; the text follows what the
// reader prefers, dark or light.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func (d *drawing) rect(x, y, w, h float64, colour string) {
	fmt.Fprintf(&d.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, w, h, colour)
}

func (d *drawing) dot(x, y, r float64, colour string) {
	fmt.Fprintf(&d.b, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>`+"\n", x, y, r, colour)
}

func (d *drawing) line(x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(&d.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/>`+"\n", x1, y1, x2, y2, colour)
}

func (d *drawing) grid(x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", x1, y1, x2, y2)
}

// The classes of text.
const (
	title  = "title"
	plain  = "plain"
	right  = "right"
	middle = "middle"
)

func (d *drawing) text(x, y float64, class, text string) {
	fmt.Fprintf(&d.b, `<text class="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, x, y, html.EscapeString(text))
}

func (d *drawing) String() string {
	//nolint:misspell // CSS is American
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">
<style>
text { font: 12px sans-serif; fill: #1f2328; }
.title { font-weight: bold; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
.grid { stroke: #888; stroke-opacity: 0.35; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }
</style>
%s</svg>
`, d.width, d.height, d.width, d.height, d.b.String())
}
