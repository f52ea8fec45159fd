// Package bustest proves that a bus behaves as the KBUS module does. It replays
// stories recorded from the real module, step by step, and compares everything
// that each step answers. It also makes up stories of its own, and compares a bus
// with a Model, which is slow and obviously right.
package bustest
