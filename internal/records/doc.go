// Package records keeps the records of what epochs decide in a folder: a file after the
// other for each, of bounded size, the oldest of which make room for new ones. Whoever
// records waits for nothing: what the disk does not take in time is a gap in the record.
package records
