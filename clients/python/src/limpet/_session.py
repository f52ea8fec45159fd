"""A program's session with a daemon: what is numbered, acknowledged, and sent again.

Nothing here waits, looks at a clock or knows gRPC: frames go in and out, and the time, in seconds,
is an argument. So a session can be cut at every frame in a test.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ._message import Message, from_proto, to_proto
from ._proto import attach_pb2 as pb
from ._proto import link_pb2, message_pb2

VERSION = 1
WINDOW_MESSAGES = 4096
WINDOW_BYTES = 1 << 20
PING_EVERY = 3.0
ACK_DELAY = 0.002
MAX_BATCH = 256
MAX_BATCH_BYTES = 32 * 1024 - 512

_OPERATION_OVERHEAD = 144  # bytes that an operation takes beyond its name and data, at most
_RESULT_SIZE = 64  # what a result counts for beside its texts and data
_BIND_EVENT_HEADER = 12
_MAX_PAST_WINDOW = 32768  # results, which come past a full window
_MAX_OVERRUN = 1 << 20  # bytes by which the last message may exceed the window


class Code(enum.IntEnum):
    """Why a stream or session was ended. Others come as plain numbers."""

    VERSION = link_pb2.ERROR_CODE_VERSION
    NOT_AUTHORISED = link_pb2.ERROR_CODE_NOT_AUTHORISED
    REPLACED = link_pb2.ERROR_CODE_REPLACED
    PROTOCOL = link_pb2.ERROR_CODE_PROTOCOL
    STALLED = link_pb2.ERROR_CODE_STALLED
    GOING_AWAY = link_pb2.ERROR_CODE_GOING_AWAY
    BUS = link_pb2.ERROR_CODE_BUS
    EXPIRED = link_pb2.ERROR_CODE_EXPIRED


class Verdict(Exception):
    """The end of a stream, with a reason that one side gives. Most of them end the session too."""

    def __init__(self, code: int, message: str, *, remote: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.remote = code, message, remote

    @property
    def final(self) -> bool:
        """Whether the session cannot be resumed."""
        return self.code not in (Code.STALLED, Code.BUS)


class Lane(enum.Enum):
    """How an operation is queued: NORMAL ones wait for room in the window, CONTROL ones do not."""

    NORMAL = 0
    CONTROL = 1


@dataclass(slots=True)
class _Item:
    operation: pb.Operation
    plain: bool  # a message without a result
    lane: Lane
    size: int
    expires: float  # when the message's time is over; 0 is never

    def message(self, now: float) -> message_pb2.Message:
        m = self.operation.message
        if self.expires:
            m.expires_in_ms = max(1, round((self.expires - now) * 1000))
        return m


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the daemon has sent: a message or a result."""

    sequence: int
    size: int
    message: Message | None
    result: pb.Result | None


class Session:
    """The program's side of a session. Each stream begins with greeting and welcome."""

    def __init__(self, mode: int, window_messages: int = WINDOW_MESSAGES, window_bytes: int = WINDOW_BYTES) -> None:
        self.ksock = 0
        self.grace = 0.0
        self.missed = 0
        self.attached = False
        self._mode = mode
        self._window_messages = window_messages
        self._window_bytes = window_bytes
        self._id = b""
        self._instance = b""

        self._queued: deque[_Item] = deque()  # never handed to a stream
        self._unacked: deque[_Item] = deque()  # handed: acked + 1 to handed
        self._handed = self._sent = self._acked = 0  # acked <= sent <= handed
        self._in_lane = {lane: [0, 0] for lane in Lane}  # operations and bytes, queued or not acknowledged

        self._received = self._done = self._ack_sent = 0
        self._early: dict[int, None] = {}  # decided before one that came earlier
        self._bytes = self._freed = 0
        self._ping_at = 0.0
        self._ack_at: float | None = None
        self._final: Verdict | None = None
        self._ended = False

    # The beginning and end of a stream.

    def greeting(self) -> pb.AttachRequest:
        """Returns the first frame of a stream: it asks for a new session, or to resume this one."""
        return pb.AttachRequest(hello=pb.AttachHello(
            protocol_version=VERSION, mode=self._mode, session_id=self._id, instance_id=self._instance,  # type: ignore[arg-type]
            expected_sequence=self._received + 1, window_messages=self._window_messages, window_bytes=self._window_bytes,
        ))  # fmt: skip

    def welcome(self, now: float, frame: pb.AttachResponse) -> None:
        """Takes the first frame of the daemon's; it starts the stream. What the daemon has not
        received will be sent again. Raises Verdict: the daemon's refusal, or a welcome that
        cannot be."""
        if frame.WhichOneof("kind") == "error":
            raise Verdict(frame.error.code, frame.error.message, remote=True)
        w = frame.welcome
        if frame.WhichOneof("kind") != "welcome":
            raise Verdict(Code.PROTOCOL, "the first frame must be a welcome")
        if w.protocol_version != VERSION:
            raise Verdict(Code.VERSION, f"the daemon speaks version {w.protocol_version} of the protocol for programs, this side {VERSION}")
        if len(w.session_id) != 16 or len(w.instance_id) != 16 or not w.ksock or not w.window_messages or not w.window_bytes:
            raise Verdict(Code.PROTOCOL, "the daemon's welcome lacks a session, a Ksock or a window")
        if self._id and w.session_id != self._id:
            raise Verdict(Code.PROTOCOL, "the daemon answers with another session than the one to be resumed")
        if not self._acked < w.expected_sequence <= self._handed + 1:
            raise Verdict(Code.PROTOCOL, f"the daemon expects sequence number {w.expected_sequence}, {self._acked} are acknowledged and {self._handed} were sent")
        if not self._id:
            self._id, self._instance, self.ksock = w.session_id, w.instance_id, w.ksock
            self.grace = min(w.grace_ms, 1 << 40) / 1000
            self._window_messages = min(self._window_messages, w.window_messages)
            self._window_bytes = min(self._window_bytes, w.window_bytes)
        self._sent = w.expected_sequence - 1
        self.attached = True
        self._ping_at = now + PING_EVERY
        self._ack_sent = 0  # the last one may have been lost
        self._ack_at = now if self._done else None

    def detach(self) -> None:
        """Ends the stream. What was sent on it and is not acknowledged is kept."""
        self.attached = False

    def end(self, why: Verdict | None = None) -> None:
        """Ends the session: nothing but why is sent any more."""
        self._final, self._ended = why, True

    # What is sent.

    def room(self) -> bool:
        """Reports whether the window has room for one more operation."""
        operations, size = self._in_lane[Lane.NORMAL]
        return operations < self._window_messages and size < self._window_bytes

    def idle(self) -> bool:
        """Reports whether the daemon has acknowledged everything."""
        return not self._queued and not self._unacked

    def put(self, operation: pb.Operation, lane: Lane = Lane.NORMAL, *, message: Message | None = None, now: float = 0.0) -> None:
        """Queues an operation, whether or not there is room: callers ask room before. message is
        what is to be sent, at now; an operation that sends one and has no tag has a result only
        if it is refused."""
        size = len(operation.name) + len(operation.data)
        expires = 0.0
        if message is not None:
            operation.message.CopyFrom(to_proto(message))
            size += len(operation.message.name.encode()) + len(message.data)
            if message.expires_in is not None:
                expires = now + message.expires_in
        plain = message is not None and not operation.tag
        self._queued.append(_Item(operation, plain, lane, size, expires))
        used = self._in_lane[lane]
        used[0] += 1
        used[1] += size

    def next(self, now: float) -> tuple[pb.AttachRequest | None, float, bool]:
        """Returns the next frame for the stream. If there is none now it is None, and the second
        value is when to ask again; the third reports that nothing will follow."""
        if self._ended:
            if self._final is None:
                return None, now, True
            why, self._final = self._final, None
            return pb.AttachRequest(error=link_pb2.Error(code=why.code, message=why.message)), now, False  # type: ignore[arg-type]
        if now >= self._ping_at:
            self._ping_at = now + PING_EVERY
            return pb.AttachRequest(ping=link_pb2.Ping(received_sequence=self._received)), now, False
        batch = self._batch(now)
        if batch is not None:
            batch.ack = self._take_ack()
            return pb.AttachRequest(batch=batch), now, False
        if self._ack_at is None or now < self._ack_at:
            return None, min(self._ping_at, self._ack_at or self._ping_at), False
        ack = self._take_ack()
        if ack:
            return pb.AttachRequest(ack=link_pb2.Ack(sequence=ack)), now, False
        return None, self._ping_at, False

    def _batch(self, now: float) -> pb.OperationBatch | None:
        batch = pb.OperationBatch(first_sequence=self._sent + 1)
        encoded = n = 0
        for item in self._to_send():
            encoded += item.size + _OPERATION_OVERHEAD
            if n and encoded > MAX_BATCH_BYTES:
                break
            if item.plain:
                batch.messages.append(item.message(now))
            else:
                if item.operation.HasField("message"):
                    item.message(now)
                item.operation.after = len(batch.messages)
                batch.operations.append(item.operation)
            n += 1
            if n == MAX_BATCH:
                break
        if not n:
            return None
        self._sent += n
        while self._handed < self._sent:
            self._unacked.append(self._queued.popleft())
            self._handed += 1
        return batch

    def _to_send(self) -> Iterator[_Item]:
        """What was handed, but not to this stream, and then what never was."""
        for i in range(self._sent - self._acked, len(self._unacked)):
            yield self._unacked[i]
        yield from self._queued

    def _take_ack(self) -> int:
        self._ack_at = None
        if self._done == self._ack_sent:
            return 0
        self._ack_sent, self._freed = self._done, 0
        return self._done

    # What is received.

    def receive(self, now: float, frame: pb.AttachResponse) -> list[Event]:
        """Takes a frame, and returns what has come. Raises Verdict: the daemon's, or that it has
        broken the protocol; then the session must be ended."""
        match frame.WhichOneof("kind"):
            case "batch":
                events = self._events(frame.batch)
                if frame.batch.ack:
                    self._acknowledged(frame.batch.ack)
                return events
            case "ack":
                self._acknowledged(frame.ack.sequence)
            case "ping":
                if frame.ping.received_sequence > self._sent:
                    raise Verdict(Code.PROTOCOL, f"the daemon has received sequence number {frame.ping.received_sequence}, only {self._sent} were sent")
            case "error":
                raise Verdict(frame.error.code, frame.error.message, remote=True)
            case "welcome":
                raise Verdict(Code.PROTOCOL, "a welcome in the middle of a session")
        return []  # frames of other kinds are ignored

    def _events(self, batch: pb.EventBatch) -> list[Event]:
        n = len(batch.messages) + len(batch.results)
        if not 0 < n <= MAX_BATCH:
            raise Verdict(Code.PROTOCOL, f"a batch of {n} events, 1 to {MAX_BATCH} are allowed")
        sequence = self._received + 1
        if batch.first_sequence != sequence:
            raise Verdict(Code.PROTOCOL, f"a batch starts with sequence number {batch.first_sequence}, expected was {sequence}")
        events: list[Event] = []
        taken = 0
        for r in [*batch.results, None]:
            after = len(batch.messages) if r is None else r.after
            if not taken <= after <= len(batch.messages):
                raise Verdict(Code.PROTOCOL, f"a result stands after {after} messages of {len(batch.messages)}, and after one that stands after {taken}")
            for m in batch.messages[taken:after]:
                events.append(Event(sequence, _message_size(m), from_proto(m), None))
                sequence += 1
            taken = after
            if r is not None:
                events.append(Event(sequence, _result_size(r), None, r))
                sequence += 1
        size = sum(e.size for e in events)
        in_flight = self._received - self._done + n
        if in_flight > self._window_messages + _MAX_PAST_WINDOW or self._bytes + size > 2 * (self._window_bytes + _MAX_OVERRUN):
            raise Verdict(Code.PROTOCOL, f"{in_flight} events and {self._bytes + size} bytes in flight, the window has room for {self._window_messages} and {self._window_bytes}")
        self._received += n
        self._bytes += size
        self.missed = max(self.missed, batch.missed)
        return events

    def _acknowledged(self, sequence: int) -> None:
        if sequence > self._sent:
            raise Verdict(Code.PROTOCOL, f"an acknowledgement of sequence number {sequence}, only {self._sent} were sent")
        while self._acked < sequence:
            item = self._unacked.popleft()
            used = self._in_lane[item.lane]
            used[0] -= 1
            used[1] -= item.size
            self._acked += 1

    def decided(self, now: float, event: Event) -> None:
        """Tells that an event was taken. It is acknowledged when all before it were, too."""
        self._bytes -= event.size
        self._freed += event.size
        self._early[event.sequence] = None
        while self._done + 1 in self._early:
            self._done += 1
            del self._early[self._done]
        owed = self._done - self._ack_sent
        if not owed:
            return
        if owed >= self._window_messages // 4 or self._freed >= self._window_bytes // 4:  # the daemon may wait for room
            self._ack_at = now
        elif self._ack_at is None:
            self._ack_at = now + ACK_DELAY


def _message_size(m: message_pb2.Message) -> int:
    if m.HasField("bind_event"):
        return len(m.name) + _BIND_EVENT_HEADER + ((len(m.bind_event.name) + 4) & ~3)
    return len(m.name) + len(m.data)


def _result_size(r: pb.Result) -> int:
    return _RESULT_SIZE + len(r.errno) + len(r.op) + len(r.name) + len(r.message) + len(r.data)
