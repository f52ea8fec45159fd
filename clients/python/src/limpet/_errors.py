"""What can go wrong, and what it means."""

from __future__ import annotations

import enum
import errno as _errno

from ._message import Message


class LimpetError(Exception):
    """The base of all errors of this package."""


class BusError(LimpetError, OSError):
    """The bus refused what was asked of it; errno says why, for example errno.EADDRNOTAVAIL."""

    errno: int
    op: str
    """What was being done: "bind", "send"."""
    name: str
    """The name concerned; may be empty."""

    def __init__(self, op: str, name: str, errno_name: str, message: str = "") -> None:
        number = errno_from_name(errno_name) or _errno.EIO
        why = message or f"{_MEANING.get(errno_name, 'the bus says')} ({errno_name})"
        super().__init__(number, why)
        self.errno_name, self.op, self.name = errno_name, op, name

    def __str__(self) -> str:
        return f"{self.op} {self.name}: {self.strerror}" if self.name else f"{self.op}: {self.strerror}"


class Closed(LimpetError, ConnectionError):
    """The Ksock is over: it was closed here, or its session with the daemon was lost. Of the
    latter the text says why; what had no result by then may have happened."""


class Unreachable(LimpetError, ConnectionError):
    """The daemon cannot be reached, or does not let this program in."""


class StatusError(LimpetError):
    """What the daemon, or gRPC in its place, says of a call that failed; code is gRPC's name
    for it, such as "UNIMPLEMENTED"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Outcome(enum.Enum):
    """What became of a request."""

    ANSWERED = "ANSWERED"
    NEVER_RAN = "NEVER_RAN"
    MAY_HAVE_RUN = "MAY_HAVE_RUN"
    EXPIRED = "EXPIRED"


class NoAnswer(LimpetError):
    """No replier has answered a request. It is always one of the classes below, which tell
    whether the request may have run."""

    outcome: Outcome

    def __init__(self, name: str, reason: str = "", reply: Message | None = None, why: str = "") -> None:
        super().__init__(f"no answer to {name}: {why or explain(reason)}; {self._PROMISE}")
        self.name = name
        self.reason = reason
        """The word of the bus or limpet that answered in the replier's place, such as
        "Replier.GoneAway" or "RemoteError.EADDRNOTAVAIL"; the errno's name if our own bus
        refused the request; empty if nobody has said anything."""
        self.reply = reply
        """What the bus or limpet answered, or None."""
        self.errno: int | None = errno_from_name(reason.removeprefix(_REMOTE))
        """The errno in the reason, or None."""

    _PROMISE = ""


class NeverRan(NoAnswer):
    """No replier has read the request, and none will: it is safe to repeat."""

    outcome = Outcome.NEVER_RAN
    _PROMISE = "it never ran, and is safe to repeat"


class MayHaveRun(NoAnswer):
    """A replier may have read the request, and may have carried it out."""

    outcome = Outcome.MAY_HAVE_RUN
    _PROMISE = "it may have run"


class Expired(NeverRan, TimeoutError):  # type: ignore[misc]  # its errno may be None
    """The deadline passed before a replier was given the request, which never ran."""

    outcome = Outcome.EXPIRED
    _PROMISE = "it never ran"


class Refused(LimpetError, ExceptionGroup[BusError]):
    """What the bus has refused of all that was posted; more counts those beyond the thousand
    that are kept."""

    more: int = 0


# The errnos that a bus has, with what they mean.
_MEANING = {
    "EACCES": "the rules of the daemon do not allow it",
    "EADDRINUSE": "another replier is bound to that name",
    "EADDRNOTAVAIL": "nobody is there to take it: no replier is bound, or the requester has gone",
    "EAGAIN": "a queue is full; try again",
    "EALREADY": "an earlier send is still pending",
    "EBADF": "the Ksock was not opened for that",
    "EBADMSG": "not a valid message name",
    "EBUSY": "a recipient's queue is full",
    "ECONNREFUSED": "the requester is not waiting for that reply",
    "EINVAL": "not a valid argument, or no such binding",
    "EMSGSIZE": "the message is too large for this bus",
    "ENAMETOOLONG": "the name is too long",
    "ENOLCK": "our own queue has no room for the reply",
    "ENOMSG": "there is no message to send",
    "EPIPE": "the replier is no longer the Ksock asked for",
}
_NUMBERS = {
    13: "EACCES", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL", 11: "EAGAIN", 114: "EALREADY", 9: "EBADF", 74: "EBADMSG",
    16: "EBUSY", 111: "ECONNREFUSED", 14: "EFAULT", 4: "EINTR", 22: "EINVAL", 5: "EIO", 90: "EMSGSIZE",
    36: "ENAMETOOLONG", 2: "ENOENT", 37: "ENOLCK", 12: "ENOMEM", 42: "ENOMSG", 25: "ENOTTY", 32: "EPIPE",
}  # fmt: skip
_NAMES = frozenset(_NUMBERS.values())
_REMOTE = "RemoteError."
_PREFIX = "$.KBUS."
_BUS_REPLIES: dict[str, tuple[type[NoAnswer], str]] = {
    "Replier.GoneAway": (NeverRan, "its replier went away before it read the request"),
    "Replier.Unbound": (NeverRan, "its replier unbound before it read the request"),
    "Replier.Disappeared": (NeverRan, "its replier went away while the request waited for room"),
    "Replier.NotSameKsock": (NeverRan, "its replier is no longer the one asked for"),
    "Replier.Ignored": (MayHaveRun, "its replier went away without an answer"),
    "ErrorSending": (NeverRan, "the bus failed to send the request when it had waited for room"),
    "RemoteError.NotDelivered": (NeverRan, "the link was lost before the request left"),
    "RemoteError.OutcomeUnknown": (MayHaveRun, "the link was lost, or the replier keeps silent"),
    "RemoteError.Expired": (Expired, "its deadline passed before a replier was given it"),
}
_REFUSES = frozenset(_MEANING) - {"EACCES", "EADDRINUSE"}  # of a request that it has not queued
_REFUSES_REQUESTS_ONLY = frozenset({"EADDRNOTAVAIL", "ENOLCK", "EPIPE"})


def errno_from_name(word: str) -> int | None:
    """Returns this machine's number of an errno that is given by its name, or by Linux's number
    as the C limpet does; None for any other word."""
    name = _errno_name(word)
    return getattr(_errno, name, None) if name else None


def _errno_name(word: str) -> str | None:
    if word.isascii() and word.isdigit():
        return _NUMBERS.get(int(word))
    return word if word in _NAMES else None


def explain(reason: str) -> str:
    """Says what the reason of a NoAnswer means."""
    if reason in _BUS_REPLIES:
        return _BUS_REPLIES[reason][1]
    name = _errno_name(reason.removeprefix(_REMOTE))
    match name:
        case None:
            return f"the bus says {reason}" if reason else "nobody says why"
        case "EADDRNOTAVAIL":
            return "no replier is bound to it"
        case "EBUSY":
            return "a queue on the way is full"
    return f"a bus on the way says: {_MEANING.get(name, name)} ({name})"


def no_answer(name: str, reply: Message) -> NoAnswer | None:
    """Returns what a reply says of the request of that name that it answers: None if a replier
    has written it."""
    if not reply.name.startswith(_PREFIX):
        return None
    word = reply.name.removeprefix(_PREFIX)
    if word in _BUS_REPLIES:
        return _BUS_REPLIES[word][0](name, word, reply)
    if not word.startswith(_REMOTE):
        # A bus may know more words; any other name is a program's own.
        return MayHaveRun(name, word, reply) if word.startswith("Replier.") else None
    errno_name = _errno_name(word.removeprefix(_REMOTE))
    if errno_name is None:
        return MayHaveRun(name, word, reply)
    ran = errno_name not in _REFUSES or errno_name not in _REFUSES_REQUESTS_ONLY and any(reply.orig_from)
    return (MayHaveRun if ran else NeverRan)(name, _REMOTE + errno_name, reply)


def refusal(name: str, e: BusError, expired: bool) -> NoAnswer:
    """Returns what the refusal of a request by our own bus says of it; expired reports that it
    had waited for room until its deadline."""
    if e.errno_name not in _REFUSES:
        return MayHaveRun(name, e.errno_name, why=e.strerror)
    return (Expired if expired else NeverRan)(name, e.errno_name, why=e.strerror)
