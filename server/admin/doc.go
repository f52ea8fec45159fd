// Package admin is a look inside a daemon, for operators and their programs: status,
// health and metrics.
package admin
