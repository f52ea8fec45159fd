// Package contestants has everything that the benchmarks compare.
package contestants
