// Package test tries the rooms together: limpets over real gRPC in one process,
// and limpetd and limpetctl as processes. Its benchmarks measure the whole way.
package test
