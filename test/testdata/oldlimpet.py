"""The far end of a limpet link over upstream's socket protocol, as far as a test
needs it: says hello, binds a name, answers one request, announces, and ends.

It writes its words one by one, as upstream does, and reads whatever comes.
"""
import socket
import struct
import sys

START, END = 0x7375624B, 0x4B627573
WANT_A_REPLY, WANT_YOU_TO_REPLY, SYNTHETIC = 1, 2, 4


def pad(b, least=0):
    return b + b"\0" * (-(len(b) + least) % 4 + least)


def exactly(sock, n):
    b = b""
    while len(b) < n:
        more = sock.recv(n - len(b))
        if not more:
            sys.exit("the daemon has closed the connection")
        b += more
    return b


def send(sock, name, data=b"", id=(0, 0), in_reply_to=(0, 0), to=0, from_=0, orig_from=(0, 0), flags=0):
    words = [START, *id, *in_reply_to, to, from_, *orig_from, 0, 0, 0, flags, len(name), len(data), END]
    for w in words:
        sock.sendall(struct.pack("!I", w))
    sock.sendall(pad(name, 1))
    sock.sendall(pad(data))
    sock.sendall(struct.pack("!I", END))


def receive(sock):
    w = struct.unpack("!16I", exactly(sock, 64))
    name_len, data_len = w[13], w[14]
    name = exactly(sock, len(pad(b"x" * name_len, 1)))[:name_len]
    data = exactly(sock, len(pad(b"x" * data_len)))[:data_len]
    (end,) = struct.unpack("!I", exactly(sock, 4))
    if (w[0], w[15], end) != (START, END, END):
        sys.exit("bad guards")
    return {"id": w[1:3], "from": w[6], "orig_from": w[7:9], "flags": w[12], "name": name, "data": data}


host, port, network = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sock = socket.create_connection((host, port))
for byte in b"HELO" + struct.pack("!I", network):
    sock.sendall(bytes([byte]))
hello = exactly(sock, 8)
if hello[:4] != b"HELO":
    sys.exit("hello %r" % hello)
(them,) = struct.unpack("!I", hello[4:])

name = b"$.Python.Ask"
event = struct.pack("!3I", 1, 9, len(name)) + pad(name, 1)
send(sock, b"$.KBUS.ReplierBindEvent", event, id=(network, 1), orig_from=(network, 0), flags=SYNTHETIC)
while True:
    q = receive(sock)
    if q["name"] == name and q["flags"] & WANT_YOU_TO_REPLY:
        break
assert q["id"][0] == them and q["orig_from"][0] == them, q
send(sock, name, b"Hello " + q["data"], id=(network, 2), in_reply_to=q["id"], to=q["from"], orig_from=(network, 9))
send(sock, b"$.Python.News", b"done", id=(network, 3), from_=9, orig_from=(network, 9))
sock.shutdown(socket.SHUT_WR)
while sock.recv(4096):
    pass
print("ok")
