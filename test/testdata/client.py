"""A program as one written for the KBUS module, in Python with ctypes and fcntl."""
import ctypes
import fcntl
import os
import select
import struct
import sys

BIND, KSOCKID, NEXTMSG, SEND = 0x40086B02, 0x80086B04, 0x80086B06, 0x80086B08
HEADER = "=15I4xQQI4x"


class Bind(ctypes.Structure):
    _fields_ = [("is_replier", ctypes.c_uint32), ("name_len", ctypes.c_uint32), ("name", ctypes.c_char_p)]


def bind(fd, name, replier):
    fcntl.ioctl(fd, BIND, Bind(replier, len(name), name))


def u32(fd, request):
    value = ctypes.c_uint32()
    result = fcntl.ioctl(fd, request, value)
    return result, value.value


def send(fd, name, data, flags=0, to=0, in_reply_to=(0, 0)):
    head = [0x7375624B, 0, 0, *in_reply_to, to, 0, 0, 0, 0, 0, 0, flags, len(name), len(data), 0, 0, 0x4B627573]
    message = struct.pack(HEADER, *head) + name + b"\0" * (4 - len(name) % 4) + data + b"\0" * (-len(data) % 4)
    message += struct.pack("=I", 0x4B627573)
    assert os.write(fd, message) == len(message)
    ids = (ctypes.c_uint32 * 2)()
    fcntl.ioctl(fd, SEND, ids)
    return tuple(ids)


def receive(fd):
    assert select.select([fd], [], [], 5)[0], "nothing to read within 5 s"
    result, size = u32(fd, NEXTMSG)
    assert result == 1
    message = os.read(fd, size)
    assert len(message) == size and os.read(fd, 1) == b""
    h = struct.unpack(HEADER, message[:88])
    start = 88 + (h[13] + 4) // 4 * 4
    return h, message[start : start + h[14]]


asker, replier = (os.open(sys.argv[1], os.O_RDWR) for _ in range(2))
bind(replier, b"$.Py.*", 1)
asked = send(asker, b"$.Py.Ask", b"what?", flags=1)
h, data = receive(replier)
assert data == b"what?" and h[12] == 3 and (h[1], h[2]) == asked, h
send(replier, b"$.Py.Ask", b"that", to=h[6], in_reply_to=asked)
h, data = receive(asker)
assert data == b"that" and (h[3], h[4]) == asked, h
try:
    bind(asker, b"$.Py.*", 1)
    raise SystemExit("two repliers for one name")
except OSError as e:
    assert e.errno == 98, e
print("ok")
