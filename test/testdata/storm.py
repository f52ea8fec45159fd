"""Binds a name, says so, reads requests without answering, and waits to be killed."""
import ctypes
import fcntl
import os
import sys
import time


class Bind(ctypes.Structure):
    _fields_ = [("is_replier", ctypes.c_uint32), ("name_len", ctypes.c_uint32), ("name", ctypes.c_char_p)]


name = sys.argv[2].encode()
extra = [os.open(sys.argv[1], os.O_RDWR) for _ in range(3)]
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(fd, 0x40086B02, Bind(1, len(name), name))
print("bound", flush=True)
while True:
    fcntl.ioctl(fd, 0x80086B06, ctypes.c_uint32())
    time.sleep(0.001)
