package kbusdev

// DeviceListedIn returns the device at path, which need not be there, with its bindings
// listed in the file proc instead of /proc/kbus/bindings.
func DeviceListedIn(path, proc string) Bus { return &device{path: path, proc: proc} }
