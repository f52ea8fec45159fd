// Package rulefile reads rules, and the tests of what should follow from them, where they
// stand in a YAML file. Values are taken as they are written, so that YAML's own ideas of what
// a number or a truth is play no part. What the rules mean is for package rules.
package rulefile
