// Package membus is a whole KBUS bus inside this process, for machines without
// the kernel module and for tests. It keeps the module's rules exactly, down to
// which refused send uses a serial number, with two promises that the module
// breaks: a stateful request whose replier goes away unread still gets its
// synthetic reply, and a write while a send is pending is refused without losing
// that send.
//
// One mutex per bus orders everything, as the module's does. What it guards is
// short: finding the recipients of a name costs the same with ten bindings or a
// hundred thousand, and data is shared between recipients, never copied.
package membus
