// Package bus lets local programs onto a bus, over gRPC.
package bus
