// Package rules decides who may do what with which names: identity, action and name in,
// a verdict and the rule that gave it out. It is pure: where an identity comes from, and
// what is done about a verdict, is for others.
package rules
