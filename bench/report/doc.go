// Package report writes what was measured as Markdown and SVG. It measures nothing.
package report
