// Package verify plays records of decisions to the machines of this version, and tells what
// they make of them now.
package verify
