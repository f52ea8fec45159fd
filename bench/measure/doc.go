// Package measure counts: durations, CPU time, memory, medians. Its statistics are pure.
package measure
