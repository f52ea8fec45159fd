"""A daemon's bus."""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import grpc

from ._address import TLS, Target, default_address, parse
from ._caller import Caller, never_left
from ._errors import BusError, Closed, Unreachable
from ._ksock import Ksock
from ._message import Flags, Message, MsgId, encoded
from ._proto import admin_pb2, attach_pb2, bus_pb2
from ._stream import SERVICE, status_error

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
_CALL_QUEUE = 1 << 16  # how many replies may wait on the bus, and so how many requests may be open
_ADMIN = "/kbus.limpet.v1.AdminService/"


class Mode(enum.IntEnum):
    """What a Ksock is opened for."""

    READ = attach_pb2.KSOCK_MODE_READ
    WRITE = attach_pb2.KSOCK_MODE_WRITE
    BOTH = attach_pb2.KSOCK_MODE_BOTH


class Binding(NamedTuple):
    """A name that a Ksock has bound; replier says how."""

    ksock: int
    name: str
    replier: bool


class Replier(NamedTuple):
    """A name that somebody replies to. link is the name of the link over which the replier is
    reached, and network_id the network of its peer; "" and 0 if it is on the daemon's bus."""

    ksock: int
    name: str
    link: str
    network_id: int


class Link(NamedTuple):
    """A link of the daemon's. state is "connecting", "up", "draining" or "detached"; of a link that
    is gone only the name is told."""

    name: str
    state: str = ""
    network_id: int = 0
    last_error: str = ""
    transport: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Changes(Generic[T]):
    """What a watch tells at once. What is gone comes before what is here."""

    gone: list[T]
    here: list[T]
    whole: bool
    """Now everything has been told that was there at the beginning or restart."""
    restart: bool = False
    """This program was so slow that everything told before is void, and told again."""


class Opening(Awaitable[T]):
    """Something that is opened by await, or for a while by async with."""

    def __init__(self, opening: Callable[[], Awaitable[T]]) -> None:
        self._opening = opening
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._opening().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._opening()
        return self._opened

    async def __aexit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        await self._opened.close()  # type: ignore[union-attr]


def open(address: str | os.PathLike[str] | None = None, *, tls: TLS | None = None, insecure: bool = False) -> Bus:
    """Returns the bus of the daemon whose API is at address: host:port, or the path of a Unix
    socket; None is a limpetd of this user on this machine. It does not wait for the daemon; the
    first call does, or fails. Over TCP to another machine it takes tls, or insecure=True. Raises
    ValueError for what is no address.

    A Bus belongs to the event loop on which it is first used, and is to be closed:

        async with limpet.open() as bus:
            reply = await bus.call("$.Clock.Now", timeout=5)
    """
    return Bus(parse(default_address() if address is None else address, tls, insecure))


class Bus:
    """A daemon's bus. Any number of tasks may use it at a time; see open."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._caller: Caller | None = None
        self._turn = asyncio.Lock()  # of who opens the caller
        self._channel: grpc.aio.Channel | None = None
        self._is_closed = False

    def ksock(self, mode: Mode = Mode.BOTH) -> Opening[Ksock]:
        """Opens a Ksock, by await or async with. Raises Unreachable. It outlives this Bus."""
        return Opening(lambda: Ksock(self._target, int(mode))._open())

    async def send(self, name: str, data: bytes | str = b"", *, flags: int = 0, timeout: float | None = None, traceparent: str = "") -> MsgId:
        """Sends an announcement. Raises BusError, and Unreachable; Closed means that the daemon went
        away meanwhile, and nobody knows whether it was sent. With Flags.ALL_OR_WAIT it waits for
        room until the timeout, in seconds, is over. traceparent is the trace that it belongs to."""
        caller = await self._calls()
        return await caller.ksock.send(Message(name, encoded(data), Flags(flags), traceparent=traceparent), timeout)

    async def call(self, name: str, data: bytes | str = b"", *, timeout: float | None = None, flags: int = 0, replier: Message | None = None, traceparent: str = "") -> Message:
        """Sends a request, and returns the reply that a replier has written. Everything else is a
        NoAnswer, which tells whether the request may have run: NeverRan, MayHaveRun or Expired.

        The timeout, in seconds, goes with the request, so that no replier is given it in vain. When
        it is over, or the task is cancelled, a request that no replier has read is taken back
        where the bus can do that. replier is the reply before in a dialogue: who wrote that must
        answer this too.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        try:
            async with asyncio.timeout_at(until):
                caller = await self._calls()
        except (Unreachable, Closed, BusError, TimeoutError) as e:
            raise never_left(name, e) from e
        left = None if until is None else until - loop.time()
        if left is not None and left <= 0:
            raise never_left(name, TimeoutError())
        return await caller.call(Message.request(name, data, replier=replier, flags=flags, expires_in=left, traceparent=traceparent), until)

    def listen(self, *names: str, max_messages: int = 0, only_once: bool = False) -> Opening[Listener]:
        """Listens to names and wildcards, by await or async with; async for gives what is heard.
        max_messages bounds what may wait on the bus, 0 is the bus's own bound; with only_once a
        message that several names match is heard once. It resumes as a Ksock does."""

        async def opening() -> Listener:
            return Listener(await self._bound(names, False, max_messages, only_once))

        return Opening(opening)

    def serve(self, *names: str, max_messages: int = 0) -> Opening[Server]:
        """Replies to names and wildcards, by await or async with; async for gives the requests.
        It resumes as a Ksock does, and keeps what it owes."""

        async def opening() -> Server:
            return Server(await self._bound(names, True, max_messages, False))

        return Opening(opening)

    async def find_replier(self, name: str) -> Binding | None:
        """Asks who replies to a name, wildcards considered; the name in the answer is what was
        bound."""
        r = await self._unary("FindReplier", bus_pb2.FindReplierRequest(name=name), bus_pb2.FindReplierResponse, name)
        return Binding(r.ksock, r.binding, True) if r.found else None

    async def bindings(self) -> list[Binding]:
        """Lists what is bound, newest first."""
        all: list[Binding] = []
        token = ""
        while True:
            r = await self._unary("ListBindings", bus_pb2.ListBindingsRequest(page_token=token), bus_pb2.ListBindingsResponse)
            all += map(_binding, r.bindings)
            token = r.next_page_token
            if not token:
                return all

    async def watch_bindings(self, name: str = "") -> AsyncIterator[Changes[Binding]]:
        """Yields what is bound, and then what changes: of names that have a name in common with the
        name or wildcard given; "" is all. Only the embedded bus can be watched, of a device it
        raises StatusError, code UNIMPLEMENTED. When the connection breaks it raises StatusError,
        and may be begun anew."""
        async for r in self._watch(SERVICE + "WatchBindings", bus_pb2.WatchBindingsRequest(name=name), bus_pb2.WatchBindingsResponse):
            yield Changes([*map(_binding, r.unbound)], [*map(_binding, r.bound)], r.whole, r.restart)

    async def watch_repliers(self, name: str) -> AsyncIterator[Changes[Replier]]:
        """Yields likewise who replies to a name, or to any name of a wildcard: on the daemon's bus,
        and over its links on any other."""
        async for r in self._watch(SERVICE + "WatchRepliers", bus_pb2.WatchRepliersRequest(name=name), bus_pb2.WatchRepliersResponse):
            yield Changes([*map(_replier, r.gone)], [*map(_replier, r.here)], r.whole, r.restart)

    async def watch_links(self, name: str = "") -> AsyncIterator[Changes[Link]]:
        """Yields likewise the daemon's links, or the one of that name."""
        async for r in self._watch(_ADMIN + "WatchLinks", admin_pb2.WatchLinksRequest(link=name), admin_pb2.WatchLinksResponse):
            yield Changes([Link(gone) for gone in r.removed], [*map(_link, r.links)], r.whole)

    async def close(self) -> None:
        """Closes the Ksock that sends and asks: calls that wait fail. Closing again does nothing."""
        self._is_closed = True
        async with self._turn:
            caller, self._caller = self._caller, None
            channel, self._channel = self._channel, None
        if caller is not None:
            await caller.close()
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _calls(self) -> Caller:
        """Returns the caller, on a Ksock that lives."""
        async with self._turn:
            if self._is_closed:
                raise Closed("the bus is closed")
            if self._caller is not None and self._caller.live:
                return self._caller
            if self._caller is not None:
                caller, self._caller = self._caller, None
                await caller.close()  # its session is over
            ksock = await self.ksock()
            try:
                await ksock.prefetch()
                await ksock.max_messages(_CALL_QUEUE)
            except BaseException:
                await ksock.close()
                raise
            self._caller = Caller(ksock)
            return self._caller

    async def _bound(self, names: tuple[str, ...], replier: bool, max_messages: int, only_once: bool) -> Ksock:
        if not names:
            raise ValueError("give at least one name")
        ksock = await self.ksock(Mode.BOTH if replier else Mode.READ)
        try:
            if max_messages:
                await ksock.max_messages(max_messages)
            if only_once:
                await ksock.only_once(True)
            for name in names:
                await ksock.bind(name, replier=replier)
        except BaseException:
            await ksock.close()
            raise
        return ksock

    def _conn(self) -> grpc.aio.Channel:
        if self._is_closed:
            raise Closed("the bus is closed")
        if self._channel is None:
            self._channel = self._target.channel(
                ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 5000),
            )  # fmt: skip
        return self._channel

    async def _unary(self, method: str, request: Any, response: type[T], name: str = "") -> T:
        call = self._conn().unary_unary(SERVICE + method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString)  # type: ignore[attr-defined]
        try:
            return await call(request)  # type: ignore[no-any-return]
        except grpc.RpcError as e:
            raise _failed(method, name, e) from None

    async def _watch(self, method: str, request: Any, response: type[T]) -> AsyncIterator[T]:
        watch = self._conn().unary_stream(method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString)  # type: ignore[attr-defined]
        call = watch(request)
        try:
            async for r in call:
                yield r
        except grpc.RpcError as e:
            raise _failed("watch", "", e) from None
        finally:
            call.cancel()


class Listener:
    """Hears messages; made by Bus.listen, and to be closed. Any number of tasks may wait for the
    next one at a time: each message goes to one of them."""

    def __init__(self, ksock: Ksock) -> None:
        self.ksock = ksock
        """The Ksock that listens."""
        self._heard: list[Message] = []  # in reverse
        self._turn = asyncio.Lock()  # to ask for more

    @property
    def missed(self) -> int:
        """How many messages it had missed, because its queue was full, when the daemon sent the
        last ones."""
        return self.ksock.missed

    async def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message. Raises TimeoutError, and Closed."""
        if not self._heard:
            await self._hear(timeout)
        return self._heard.pop()

    async def _hear(self, timeout: float | None) -> None:
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        async with asyncio.timeout(timeout):  # also of 0 seconds: a lock that is free is taken at once
            await self._turn.acquire()
        try:
            if not self._heard:
                left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
                self._heard = (await self.ksock.recv_batch(timeout=left))[::-1]
        finally:
            self._turn.release()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            try:
                message = await self.recv()
            except Closed:
                if self.ksock._closing:
                    return
                raise
            yield message

    async def close(self) -> None:
        """Stops listening. Closing again does nothing."""
        await self.ksock.close()


class Server:
    """Gets requests and answers them; made by Bus.serve, and to be closed. What it owes then is
    answered by the bus. Any number of tasks may answer at a time."""

    def __init__(self, ksock: Ksock) -> None:
        self.ksock = ksock
        """The Ksock that replies."""

    async def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next request. Raises TimeoutError, and Closed."""
        while not (request := await self.ksock.recv(timeout)).wants_us_to_reply:
            pass  # an answer to nobody
        return request

    async def reply(self, request: Message, data: bytes | str = b"", *, name: str | None = None, flags: int = 0) -> None:
        """Answers a request. name is the reply's; None is the request's. Raises BusError: with errno
        EADDRNOTAVAIL or ECONNREFUSED nobody waits for the answer any more."""
        await self.ksock.send(request.reply(data, name=name, flags=flags))

    async def __aiter__(self) -> AsyncIterator[Message]:
        async for message in self.ksock:
            if message.wants_us_to_reply:
                yield message

    async def close(self) -> None:
        """Unbinds, after the replies before have been given to the bus. Closing again does
        nothing."""
        await self.ksock.close()


def _failed(op: str, name: str, e: grpc.RpcError) -> Exception:
    ours, errno_name = status_error(e)
    return BusError(op, name, errno_name, str(ours)) if errno_name else ours


def _binding(b: bus_pb2.Binding) -> Binding:
    return Binding(b.ksock, b.name, b.is_replier)


def _replier(r: bus_pb2.Replier) -> Replier:
    return Replier(r.ksock, r.name, r.link, r.network_id)


def _link(s: admin_pb2.LinkStatus) -> Link:
    state = admin_pb2.LinkState.Name(s.state).removeprefix("LINK_STATE_").lower()
    return Link(s.name, state, s.peer_network_id, s.last_error, s.transport, s.identity)
