// Package run measures: every contestant at every work, in turns.
package run
