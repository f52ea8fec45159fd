// Package notify tells the service manager what a daemon is doing, as sd_notify(3) says.
// Where none has asked for that, its functions do nothing. An error in telling it is
// dropped: the manager misses what it waits for, and a daemon could do nothing about it.
package notify

import (
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Enabled reports whether a service manager listens.
func Enabled() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Ready says that the daemon serves, or that a reload is over.
func Ready() { send(daemon.SdNotifyReady) }

// Stopping says that the daemon begins to stop.
func Stopping() { send(daemon.SdNotifyStopping) }

// Status gives what the manager shows people, one line.
func Status(text string) { send("STATUS=" + strings.ReplaceAll(text, "\n", " ")) }

// Reloading says that the daemon begins to read its configuration again. Ready must follow,
// also if the configuration was refused: until then the manager waits.
func Reloading() { send(daemon.SdNotifyReloading + monotonic()) }

func send(state string) { _, _ = daemon.SdNotify(false, state) }
