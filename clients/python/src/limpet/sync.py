"""The same without asyncio, for threads.

    import limpet.sync

    with limpet.sync.open() as bus:
        print(bus.call("$.Clock.Now", timeout=5).text)

Everything here is as in limpet, but blocks. It runs on one event loop in a thread of its own, which
begins with the first call; any thread may use any object. A process that forks must not use what
was opened before in its child. One that uses limpet on an event loop of its own too gets what it
wants, but gRPC logs a harmless BlockingIOError now and then, as it does for any two loops.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _bus, _ksock
from ._address import TLS
from ._bus import Binding, Changes, Link, Mode, Replier
from ._errors import Closed
from ._message import Message, MsgId

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

__all__ = ["Bus", "Ksock", "Listener", "Server", "Watch", "open"]


class _Loop:
    """The event loop on which all this runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine, and returns what it does. If this thread is interrupted it is
        cancelled."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="limpet", daemon=True).start()
            loop = self._loop
        future = asyncio.run_coroutine_threadsafe(what, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


_run = _Loop().run


async def _await(opening: _bus.Opening[T]) -> T:
    return await opening


def open(address: str | os.PathLike[str] | None = None, *, tls: TLS | None = None, insecure: bool = False) -> Bus:
    """As limpet.open."""

    async def opening() -> _bus.Bus:
        return _bus.open(address, tls=tls, insecure=insecure)

    return Bus(_run(opening()))


class _Closing:
    """What can be closed, by close or the end of a with."""

    def close(self) -> None:
        """Closes it. Closing again does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Bus(_Closing):
    """A daemon's bus; see limpet.Bus."""

    def __init__(self, bus: _bus.Bus) -> None:
        self._bus = bus

    def ksock(self, mode: Mode = Mode.BOTH) -> Ksock:
        """Opens a Ksock."""
        return Ksock(_run(_await(self._bus.ksock(mode))))

    def send(self, name: str, data: bytes | str = b"", *, flags: int = 0, timeout: float | None = None, traceparent: str = "") -> MsgId:
        """Sends an announcement."""
        return _run(self._bus.send(name, data, flags=flags, timeout=timeout, traceparent=traceparent))

    def call(self, name: str, data: bytes | str = b"", *, timeout: float | None = None, flags: int = 0, replier: Message | None = None, traceparent: str = "") -> Message:
        """Sends a request, and returns the reply that a replier has written; else raises NoAnswer."""
        return _run(self._bus.call(name, data, timeout=timeout, flags=flags, replier=replier, traceparent=traceparent))

    def listen(self, *names: str, max_messages: int = 0, only_once: bool = False) -> Listener:
        """Listens to names and wildcards."""
        return Listener(_run(_await(self._bus.listen(*names, max_messages=max_messages, only_once=only_once))))

    def serve(self, *names: str, max_messages: int = 0) -> Server:
        """Replies to names and wildcards."""
        return Server(_run(_await(self._bus.serve(*names, max_messages=max_messages))))

    def find_replier(self, name: str) -> Binding | None:
        """Asks who replies to a name."""
        return _run(self._bus.find_replier(name))

    def bindings(self) -> list[Binding]:
        """Lists what is bound, newest first."""
        return _run(self._bus.bindings())

    def watch_bindings(self, name: str = "") -> Watch[Changes[Binding]]:
        """Watches what is bound."""
        return Watch(self._bus.watch_bindings(name))

    def watch_repliers(self, name: str) -> Watch[Changes[Replier]]:
        """Watches who replies to a name."""
        return Watch(self._bus.watch_repliers(name))

    def watch_links(self, name: str = "") -> Watch[Changes[Link]]:
        """Watches the daemon's links."""
        return Watch(self._bus.watch_links(name))

    def close(self) -> None:
        """Closes the Ksock that sends and asks."""
        _run(self._bus.close())


class Ksock(_Closing):
    """A Ksock of a daemon's bus; see limpet.Ksock. One thread may be in recv while others send."""

    def __init__(self, ksock: _ksock.Ksock) -> None:
        self._ksock = ksock

    @property
    def id(self) -> int:
        """The Ksock's id on its bus."""
        return self._ksock.id

    @property
    def missed(self) -> int:
        """How many messages the bus had dropped because the queue was full."""
        return self._ksock.missed

    def bind(self, name: str, *, replier: bool = False) -> None:
        """Binds a name or wildcard."""
        _run(self._ksock.bind(name, replier=replier))

    def unbind(self, name: str, *, replier: bool = False) -> None:
        """Undoes the newest identical binding."""
        _run(self._ksock.unbind(name, replier=replier))

    def replier(self, name: str) -> int | None:
        """Returns the Ksock that is bound as replier to exactly this name, or None."""
        return _run(self._ksock.replier(name))

    def send(self, message: Message, timeout: float | None = None) -> MsgId:
        """Sends a message, and returns its id."""
        return _run(self._ksock.send(message, timeout))

    def post(self, message: Message) -> None:
        """Queues a message to be sent; flush tells what was refused."""
        _run(self._ksock.post(message))

    def flush(self) -> None:
        """Waits until all that was posted has been sent. Raises Refused."""
        _run(self._ksock.flush())

    def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message."""
        return _run(self._ksock.recv(timeout))

    def recv_batch(self, most: int = _ksock.MAX_RECEIVE, timeout: float | None = None) -> list[Message]:
        """Waits for a message, and returns all that are queued then."""
        return _run(self._ksock.recv_batch(most, timeout))

    def __iter__(self) -> Iterator[Message]:
        """Yields the messages as they come, until the Ksock is closed here."""
        return _messages(self.recv, self._ksock)

    def prefetch(self, on: bool = True) -> None:
        """Turns on that the daemon sends messages before recv asks for them."""
        _run(self._ksock.prefetch(on))

    def max_messages(self, n: int = 0) -> int:
        """Sets the bound of the queue; 0 asks."""
        return _run(self._ksock.max_messages(n))

    def max_message_size(self, n: int = 0) -> int:
        """Sets the bus's bound on an entire message; 0 asks."""
        return _run(self._ksock.max_message_size(n))

    def only_once(self, on: bool | None = None) -> bool:
        """Turns on that a message reaches this Ksock once; None asks."""
        return _run(self._ksock.only_once(on))

    def verbose(self, on: bool | None = None) -> bool:
        """Turns on the bus's own log; None asks."""
        return _run(self._ksock.verbose(on))

    def report_replier_binds(self, on: bool | None = None) -> bool:
        """Turns on that repliers are announced; None asks."""
        return _run(self._ksock.report_replier_binds(on))

    def last_sent(self) -> MsgId:
        """Returns the id of the last message that this Ksock tried to send."""
        return _run(self._ksock.last_sent())

    def num_messages(self) -> int:
        """Returns how many messages wait to be received."""
        return _run(self._ksock.num_messages())

    def unreplied(self) -> int:
        """Returns how many requests were received and not answered."""
        return _run(self._ksock.unreplied())

    def new_device(self) -> int:
        """Makes another bus, and returns its number."""
        return _run(self._ksock.new_device())

    def withdraw(self, request: MsgId) -> bool:
        """Takes a request back. Reports whether no replier has read it."""
        return _run(self._ksock.withdraw(request))

    def close(self) -> None:
        """Has the daemon close the Ksock."""
        _run(self._ksock.close())


class Listener(_Closing):
    """Hears messages; see limpet.Listener."""

    def __init__(self, listener: _bus.Listener) -> None:
        self._listener = listener

    @property
    def missed(self) -> int:
        """How many messages it has missed, because its queue was full."""
        return self._listener.missed

    def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message."""
        return _run(self._listener.recv(timeout))

    def __iter__(self) -> Iterator[Message]:
        return _messages(self.recv, self._listener.ksock)

    def close(self) -> None:
        """Stops listening."""
        _run(self._listener.close())


class Server(_Closing):
    """Gets requests and answers them; see limpet.Server."""

    def __init__(self, server: _bus.Server) -> None:
        self._server = server

    def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next request."""
        return _run(self._server.recv(timeout))

    def reply(self, request: Message, data: bytes | str = b"", *, name: str | None = None, flags: int = 0) -> None:
        """Answers a request."""
        _run(self._server.reply(request, data, name=name, flags=flags))

    def __iter__(self) -> Iterator[Message]:
        return _messages(self.recv, self._server.ksock)

    def close(self) -> None:
        """Unbinds."""
        _run(self._server.close())


class Watch(_Closing, Iterator[T]):
    """Tells what there is, and then what changes, one after the other; to be closed."""

    def __init__(self, changes: AsyncIterator[T]) -> None:
        self._changes = changes

    def __next__(self) -> T:
        async def following() -> T:
            return await anext(self._changes)

        try:
            return _run(following())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Ends the watch. No other thread may be in it."""

        async def closing() -> None:
            await self._changes.aclose()  # type: ignore[attr-defined]  # it is a generator

        _run(closing())


def _messages(recv: Any, ksock: _ksock.Ksock) -> Iterator[Message]:
    while True:
        try:
            message = recv()
        except Closed:
            if ksock._closing:
                return
            raise
        yield message
