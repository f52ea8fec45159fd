// Package sockaddr is where daemons listen and are dialled: addresses, Unix
// socket files and their folders, and listeners that outlast what goes wrong.
package sockaddr
