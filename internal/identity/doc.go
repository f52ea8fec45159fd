// Package identity is what connections are made with: gRPC credentials that find out who is
// at the other end. On a Unix socket that is what the kernel says of the process there, over
// TLS what its certificate says. What anybody may do is for others to judge.
package identity
