// Package kbusfs serves membus buses as device files to unmodified programs, over
// FUSE: each file answers the system calls and ioctls that the module's /dev/kbusN
// would. It speaks the FUSE protocol itself (Linux, little or big endian as the host).
//
// One reader per device handles requests in the order they arrive, RELEASE
// included: that is what makes a close visible to whoever looks next. stat() says
// "regular file", which FUSE cannot help.
package kbusfs
