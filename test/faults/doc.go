// Package faults has tests of limpetd processes whose links and lives are cut
// short: what programs were told is compared with what happened.
package faults
