// Package clients holds the clients of limpetd for other languages than Go, and the stories that
// each of them, and package client, must tell alike. It has no code of its own.
package clients
