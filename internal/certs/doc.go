// Package certs makes a private CA and certificates, for a first try and for tests.
package certs
