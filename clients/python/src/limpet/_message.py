"""Messages, as programs see them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

from ._proto import message_pb2 as pb


class MsgId(NamedTuple):
    """Names a message: the network it was first sent on, 0 for this bus, and its number there."""

    network: int = 0
    serial: int = 0

    def __str__(self) -> str:
        return f"[{self.network}:{self.serial}]"


class Address(NamedTuple):
    """A Ksock seen across networks; network 0 is the bus that the message is on."""

    network: int = 0
    local: int = 0

    def __str__(self) -> str:
        return f"{{{self.network}:{self.local}}}"


class Flags(enum.IntFlag, boundary=enum.KEEP):
    """The flag bits that KBUS knows. The upper 16 bits are the user's."""

    WANT_A_REPLY = 1 << 0
    """It is a request."""
    WANT_YOU_TO_REPLY = 1 << 1
    """Set by the bus on the copy of a request that its replier reads."""
    SYNTHETIC = 1 << 2
    """Set by the bus on messages that it made itself."""
    URGENT = 1 << 3
    """It goes to the front of its recipients' queues."""
    ALL_OR_WAIT = 1 << 8
    """Sending waits until every recipient has room."""
    ALL_OR_FAIL = 1 << 9
    """Sending fails with EBUSY unless every recipient has room."""


@dataclass(frozen=True, slots=True)
class BindEvent:
    """A replier that was bound, or unbound, as a message of name $.KBUS.ReplierBindEvent tells."""

    is_bind: bool
    binder: int
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the bus. To be sent it needs a name, and most often data, and no more."""

    name: str
    data: bytes = b""
    flags: Flags = Flags(0)
    to: int = 0
    """The Ksock that a reply goes to, or the replier that a stateful request insists on."""
    in_reply_to: MsgId = MsgId()
    """The request that it answers."""
    final_to: Address = Address()
    """The far replier that a stateful request insists on."""
    expires_in: float | None = None
    """For how many seconds the answer to a request is of use, from when it was sent or read."""
    id: MsgId = MsgId()
    """Given by the bus, as are from_ and orig_from."""
    from_: int = 0
    """The Ksock that sent it; 0 is the bus itself."""
    orig_from: Address = Address()
    """Who first sent a message that has come over a link."""
    event: BindEvent | None = None
    """What a replier bind event says, in place of data."""
    traceparent: str = ""
    """The trace that it belongs to, as W3C's header of that name has it; empty is none."""

    @classmethod
    def request(cls, name: str, data: bytes | str = b"", *, replier: Message | None = None, flags: int = 0, expires_in: float | None = None, traceparent: str = "") -> Message:
        """Returns a request. If replier is a reply, only who wrote that may answer: the request is
        part of a dialogue, and fails with EPIPE, or Replier.NotSameKsock, if it has gone."""
        to, final = (replier.from_, replier.orig_from) if replier else (0, Address())
        return cls(name, encoded(data), Flags(flags) | Flags.WANT_A_REPLY, to=to, final_to=final, expires_in=expires_in, traceparent=traceparent)

    def reply(self, data: bytes | str = b"", *, name: str | None = None, flags: int = 0) -> Message:
        """Returns the answer to this request; name is the request's unless it is given."""
        return Message(name or self.name, encoded(data), Flags(flags), to=self.from_, in_reply_to=self.id)

    @property
    def text(self) -> str:
        """The data as text, with a mark in the place of what is no UTF-8."""
        return self.data.decode("utf-8", "replace")

    @property
    def is_reply(self) -> bool:
        """Whether it answers a request."""
        return self.in_reply_to != (0, 0)

    @property
    def is_request(self) -> bool:
        """Whether it asks for a reply."""
        return bool(self.flags & Flags.WANT_A_REPLY)

    @property
    def wants_us_to_reply(self) -> bool:
        """Whether the Ksock that read it owes the answer."""
        return bool(self.flags & Flags.WANT_YOU_TO_REPLY)

    @property
    def kind(self) -> str:
        """What it is, in a word or two."""
        if self.is_reply:
            return "reply"
        if self.is_request:
            return "stateful request" if self.to else "request"
        return "announcement"

    def __str__(self) -> str:
        """Says what it is on one line, without its data."""
        words = [self.kind, self.name, f"id {self.id}"]
        if self.is_reply:
            words.append(f"in_reply_to {self.in_reply_to}")
        words.append(f"from {self.from_}")
        if self.to:
            words.append(f"to {self.to}")
        if any(self.orig_from):
            words.append(f"orig_from {self.orig_from}")
        return " ".join([*words, f"{len(self.data)} bytes"])


def encoded(data: bytes | str) -> bytes:
    """Returns data as bytes; text becomes UTF-8."""
    return data.encode() if isinstance(data, str) else bytes(data)


def plain_name(name: str) -> str:
    """Returns a name that protobuf can carry: of one that is no text what is not becomes "?"."""
    return name.encode("utf-8", "replace").decode()


_TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def _trace_bytes(traceparent: str) -> bytes:
    if not traceparent:
        return b""
    found = _TRACEPARENT.fullmatch(traceparent)
    if not found:
        raise ValueError(f"traceparent {traceparent!r}: give 00-, 32 hexadecimal digits, -, 16, - and 2, as W3C's trace context has it")
    return bytes.fromhex("".join(found.groups()))


def _trace_text(context: bytes) -> str:
    if len(context) != 25:
        return ""
    return f"00-{context[:16].hex()}-{context[16:24].hex()}-{context[24:].hex()}"


def to_proto(m: Message) -> pb.Message:
    """Returns m for the wire, without the time that it has left."""
    return pb.Message(
        name=plain_name(m.name), data=m.data, flags=int(m.flags) & 0xFFFFFFFF, to=m.to,
        id_network=m.id.network, id_serial=m.id.serial,
        in_reply_to_network=m.in_reply_to.network, in_reply_to_serial=m.in_reply_to.serial,
        final_to_network=m.final_to.network, final_to_local=m.final_to.local,
        orig_from_network=m.orig_from.network, orig_from_local=m.orig_from.local, trace_context=_trace_bytes(m.traceparent),
    )  # fmt: skip


def from_proto(m: pb.Message) -> Message:
    """Returns a message that the daemon has sent."""
    event = None
    if m.HasField("bind_event"):
        e = m.bind_event
        event = BindEvent(e.is_bind, e.binder, e.name)
    return Message(
        m.name, m.data, Flags(m.flags), m.to, MsgId(m.in_reply_to_network, m.in_reply_to_serial),
        Address(m.final_to_network, m.final_to_local), m.expires_in_ms / 1000 if m.expires_in_ms else None,
        MsgId(m.id_network, m.id_serial), getattr(m, "from"), Address(m.orig_from_network, m.orig_from_local), event, _trace_text(m.trace_context),
    )  # fmt: skip
