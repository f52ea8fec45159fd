// Package web is the door for HTTP and browsers: the services of the local API as JSON, and a
// page that shows them.
//
// Each connection of HTTP has one of gRPC behind it, inside the process, which stands for it:
// the server at its end knows who is there, and judges and bounds every call as if it had come
// by gRPC. Beside that the door only keeps out what browsers are led to send.
package web
