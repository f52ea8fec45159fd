"""Many requests at a time over one Ksock."""

from __future__ import annotations

import asyncio

from ._errors import BusError, Closed, Expired, MayHaveRun, NeverRan, NoAnswer, no_answer, refusal
from ._ksock import WITHDRAW_TIMEOUT, Ksock, Unknown
from ._message import Message, MsgId
from ._proto import attach_pb2 as pb
from ._session import Lane


class Caller:
    """Makes requests from one Ksock, and hands each reply to who waits for it."""

    def __init__(self, ksock: Ksock) -> None:
        self._ksock = ksock
        self._began = 0  # sends, ever
        self._sending: dict[int, None] = {}  # oldest first
        self._waiting: dict[MsgId, asyncio.Future[Message | None]] = {}  # None is that the Ksock is over
        self._early: dict[MsgId, tuple[int, Message]] = {}  # came before the id of its request
        self._reader = asyncio.create_task(self._read())

    @property
    def live(self) -> bool:
        """Whether its session goes on."""
        return not self._reader.done()

    @property
    def ksock(self) -> Ksock:
        """The Ksock that asks."""
        return self._ksock

    async def close(self) -> None:
        """Closes the Ksock; calls that wait fail."""
        await self._ksock.close()
        await asyncio.wait([self._reader])

    async def call(self, request: Message, until: float | None) -> Message:
        """Sends a request and returns its reply. Raises NoAnswer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message | None] = loop.create_future()
        sent = MsgId()

        def on_result(r: pb.Result) -> None:
            nonlocal sent
            if r.errno:
                return
            sent = MsgId(r.id_network, r.id_serial)
            if answer.cancelled():  # nobody waits any more
                self._withdraw(sent)
            else:
                self._expect(sent, answer)

        try:
            await self._ksock._window(until)
        except (Closed, TimeoutError) as e:
            raise never_left(request.name, e) from e
        began = self._begin()
        try:
            r = await self._ksock._send(request, until, on_result=on_result)
        except (Unknown, Closed) as e:
            answer.cancel()
            raise MayHaveRun(request.name, why=str(e)) from e
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            self._sent(began)
        if r.errno:
            refused = BusError(r.op or "call", request.name, r.errno, r.message)
            expired = r.errno == "EAGAIN" and until is not None and loop.time() >= until
            raise refusal(request.name, refused, expired) from refused
        try:
            await asyncio.wait([answer], timeout=None if until is None else max(0.0, until - loop.time()))
            late = None if answer.done() else await self._gave_up(request.name, sent)
        except asyncio.CancelledError:
            self._withdraw(sent)
            raise
        finally:
            self._forget(sent)
        reply = answer.result() if answer.done() else None  # it may have come at the last moment
        if reply is None:
            raise late or MayHaveRun(request.name, why=str(self._ksock._closed()))
        if failed := no_answer(request.name, reply):
            raise failed
        return reply

    async def _gave_up(self, name: str, sent: MsgId) -> NoAnswer:
        """Takes a request back whose time is over, and returns what became of it."""
        answer = self._ksock._answer()
        try:
            if self.live:
                self._ksock._put(_withdrawal(sent), Lane.CONTROL, answer=answer)
                await asyncio.wait([answer], timeout=WITHDRAW_TIMEOUT)
            if answer.done() and answer.exception() is None and answer.result().found:
                return Expired(name, why="its deadline has passed")
        finally:
            answer.cancel()
        return MayHaveRun(name, why="its deadline has passed")

    def _withdraw(self, request: MsgId) -> None:
        """Takes a request back, and does not ask whether that is in time."""
        if self.live:
            self._ksock._put(_withdrawal(request), Lane.CONTROL)

    def _begin(self) -> int:
        self._began += 1
        self._sending[self._began] = None
        return self._began

    def _expect(self, request: MsgId, answer: asyncio.Future[Message | None]) -> None:
        if request in self._early:
            _, reply = self._early.pop(request)
            if not answer.done():
                answer.set_result(reply)
        else:
            self._waiting[request] = answer

    def _forget(self, request: MsgId) -> None:
        self._waiting.pop(request, None)

    def _sent(self, began: int) -> None:
        """Notes that the fate of a send is known, and forgets the replies that came when nobody was
        sending who is still."""
        del self._sending[began]
        if self._early:
            oldest = next(iter(self._sending), self._began + 1)
            self._early = {i: e for i, e in self._early.items() if e[0] >= oldest}

    async def _read(self) -> None:
        """Gives each reply to its caller, until the Ksock is over."""
        while True:
            try:
                replies = await self._ksock.recv_batch()
            except Closed:
                for answer in self._waiting.values():
                    if not answer.done():
                        answer.set_result(None)
                return
            for m in replies:
                waits = self._waiting.pop(m.in_reply_to, None)
                if waits is None:
                    if self._sending:
                        self._early[m.in_reply_to] = (self._began, m)
                elif not waits.done():
                    waits.set_result(m)


def _withdrawal(request: MsgId) -> pb.Operation:
    return pb.Operation(action=pb.ACTION_WITHDRAW, value=request.network << 32 | request.serial)


def never_left(name: str, e: Exception) -> NoAnswer:
    """Returns the error of a request that was not sent."""
    return (Expired if isinstance(e, TimeoutError) else NeverRan)(name, why=str(e) or "its deadline has passed")


