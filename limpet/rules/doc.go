// Package rules decides who may do what with which names. Compile makes a Set of the rules
// of a configuration; the Policy of somebody is what they amount to for that identity. It
// is pure: where an identity comes from, and what is done about a verdict, is for others.
//
// The first rule that matches decides. Without rules everything is allowed, and a nil
// *Policy says so at the cost of a comparison; with rules, what none of them matches is
// denied.
//
// Of two KBUS binding names either one covers the other, or they have no name in common.
// So what is allowed of a wildcard's names can be told exactly, without looking at names:
// see Policy.All and Policy.Any.
package rules
