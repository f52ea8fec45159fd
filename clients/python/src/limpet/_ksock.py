"""A Ksock over one stream after the other."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._address import Target
from ._errors import BusError, Closed, Refused, Unreachable
from ._message import Message, MsgId
from ._proto import attach_pb2 as pb
from ._session import Code, Event, Lane, Session, Verdict
from ._stream import Lost, Stream

if TYPE_CHECKING:
    from typing import Self

GREET_TIMEOUT = 5.0
FIRST_DELAY, LAST_DELAY = 0.02, 1.0  # of dialling again; the first time there is none
SILENT_AFTER = 12.0  # the daemon notices a broken stream that much later than we do, at most
WEDGED_AFTER = 45.0  # without any frame the daemon behind a living connection does not live
CLOSE_TIMEOUT = 2.0
FATE_TIMEOUT = 5.0
WITHDRAW_TIMEOUT = 0.1
MAX_REFUSALS = 1000
MAX_RECEIVE = 256
_ASK = 0xFFFFFFFF


class Ksock:
    """A Ksock of a daemon's bus: made by Bus.ksock, and to be closed.

    When its stream breaks, it dials again by itself and resumes its session: what is bound, queued
    and owed stays, and every operation is carried out once and in order; calls wait meanwhile. If
    the daemon was restarted, or cannot be reached for longer than its grace, the Ksock is over:
    every call raises Closed, which says why, and what had no result by then may have happened.

    It belongs to the event loop that it was made on. Any number of tasks may use it at a time.
    Refusals by the bus are BusErrors.
    """

    def __init__(self, to: Target, mode: int) -> None:
        self._to = to
        self._session = Session(mode)
        self._tag = 0
        self._answers: dict[int, tuple[asyncio.Future[pb.Result], Callable[[pb.Result], None] | None]] = {}
        self._over: Closed | None = None
        self._closing = False
        self._wake = asyncio.Event()  # there may be something for the stream
        self._room: deque[asyncio.Future[None]] = deque()  # of tasks that wait for the window
        self._refused: list[BusError] = []
        self._refused_more = 0
        self._inbox = _Inbox()
        self._keeper: asyncio.Task[None] | None = None

    async def _open(self) -> Self:
        """Dials the daemon, once, and returns when it has made the Ksock."""
        try:
            stream = await self._dial()
        except (Lost, Verdict, OSError) as e:
            raise Unreachable(f"{self._to}: {e}") from e
        self._keeper = asyncio.create_task(self._keep(stream))
        return self

    @property
    def id(self) -> int:
        """The Ksock's id on its bus."""
        return self._session.ksock

    @property
    def missed(self) -> int:
        """How many messages the bus had dropped because this Ksock's queue was full, when the
        daemon sent the last ones. Of a device it is always 0, for that does not tell."""
        return self._session.missed

    async def bind(self, name: str, *, replier: bool = False) -> None:
        """Binds a name or wildcard: as listener, or as its only replier."""
        await self._do("bind", pb.ACTION_BIND, name, replier)

    async def unbind(self, name: str, *, replier: bool = False) -> None:
        """Undoes the newest identical binding."""
        await self._do("unbind", pb.ACTION_UNBIND, name, replier)

    async def replier(self, name: str) -> int | None:
        """Returns the Ksock that is bound as replier to exactly this name, or None."""
        r = await self._do("replier", pb.ACTION_FIND_REPLIER, name, True)
        return r.value if r.found else None

    async def send(self, message: Message, timeout: float | None = None) -> MsgId:
        """Sends a message, and returns its id when the bus has taken it. One with ALL_OR_WAIT waits
        for room until the timeout, in seconds, is over; it fails with EAGAIN then. TimeoutError is
        that of a daemon that does not answer: the message may be sent or not."""
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        r = await self._send(message, until, wait=timeout is None or timeout > 0)
        _check("send", message.name, r)
        return MsgId(r.id_network, r.id_serial)

    async def post(self, message: Message) -> None:
        """Queues a message to be sent, and waits only for room in the window of 4096 messages and
        1 MiB. Messages go in the order of post and send. What the bus refuses is told by flush."""
        await self._window()
        self._put(pb.Operation(action=pb.ACTION_SEND, wait=True), message=message)

    async def flush(self) -> None:
        """Waits until the bus has taken or refused all that was posted. Raises Refused, a group of
        BusErrors: what it has refused since the last flush."""
        await self._do("flush", pb.ACTION_FLUSH)
        if self._refused:
            e = Refused(f"{len(self._refused) + self._refused_more} messages were refused", self._refused)
            e.more, self._refused, self._refused_more = self._refused_more, [], 0
            raise e

    async def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message of the queue, and returns it. Raises TimeoutError when none
        has come within so many seconds; 0 asks the bus once."""
        return (await self.recv_batch(1, timeout))[0]

    async def recv_batch(self, most: int = MAX_RECEIVE, timeout: float | None = None) -> list[Message]:
        """Waits like recv, and returns all messages that are queued then: at least one, and at most
        so many."""
        inbox = self._inbox
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        asked_once = False
        inbox.receivers += 1
        try:
            while True:
                if self._closing:
                    raise self._closed()
                if got := self._take(most):
                    return got
                if inbox.failed is not None:
                    failed, inbox.failed = inbox.failed, None
                    raise failed
                if self._over is not None:
                    raise self._closed()
                if timeout is not None and timeout <= 0:
                    if asked_once or inbox.prefetch or inbox.asked and inbox.receivers > 1:
                        raise TimeoutError("no message is queued")
                    if not inbox.asked:
                        asked_once = True
                        self._ask(most, wait=False)
                    await inbox.wait(None)  # the bus answers at once
                    continue
                if not inbox.asked and not inbox.prefetch:
                    self._ask(most, wait=True)
                try:
                    await inbox.wait(until)
                except TimeoutError:
                    if not inbox.arrived:
                        raise TimeoutError("no message has come") from None
        finally:
            inbox.receivers -= 1
            if inbox.receivers == 0:
                self._cancel_asked()  # what it brings all the same is for the next call

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yields the messages as they come, until the Ksock is closed here. Raises Closed when its
        session is lost."""
        while True:
            try:
                message = await self.recv()
            except Closed:
                if self._closing:
                    return
                raise
            yield message

    async def prefetch(self, on: bool = True) -> None:
        """Turns on that the daemon sends messages before recv asks for them, as far as the window
        has room: recv is much faster then. They are not in the queue on the bus any more, so that
        unbind does not take them back, and a replier that dies has read them."""
        inbox = self._inbox
        if on:
            inbox.prefetch = True
            self._cancel_asked()
        try:
            await self._do("prefetch", pb.ACTION_STREAM, value=int(on))
        except BaseException:
            inbox.prefetch = False
            raise
        finally:
            inbox.news()
        inbox.prefetch = on

    async def max_messages(self, n: int = 0) -> int:
        """Sets the bound of the queue, in messages, and returns it; 0 asks."""
        return await self._number("maxmsgs", pb.ACTION_MAX_MESSAGES, n)

    async def max_message_size(self, n: int = 0) -> int:
        """Sets the bus's bound on an entire message, in bytes, and returns it; 0 asks, and 1 asks
        for the absolute maximum."""
        return await self._number("maxmsgsize", pb.ACTION_MAX_MESSAGE_SIZE, n)

    async def only_once(self, on: bool | None = None) -> bool:
        """Turns on that a message reaches this Ksock once however often it is bound; None asks.
        Returns the previous value."""
        return await self._switch("onlyonce", pb.ACTION_ONLY_ONCE, on)

    async def verbose(self, on: bool | None = None) -> bool:
        """Turns on the bus's own log, where it has one, likewise."""
        return await self._switch("verbose", pb.ACTION_VERBOSE, on)

    async def report_replier_binds(self, on: bool | None = None) -> bool:
        """Turns on that the bus announces repliers bound and unbound, likewise."""
        return await self._switch("reportreplierbinds", pb.ACTION_REPORT_REPLIER_BINDS, on)

    async def last_sent(self) -> MsgId:
        """Returns the id of the last message that this Ksock tried to send."""
        r = await self._do("lastsent", pb.ACTION_LAST_SENT)
        return MsgId(r.id_network, r.id_serial)

    async def num_messages(self) -> int:
        """Returns how many messages wait to be received."""
        r = await self._do("nummsgs", pb.ACTION_NUM_MESSAGES)
        return r.value + max(0, r.given - self._inbox.taken)

    async def unreplied(self) -> int:
        """Returns how many requests were received and not answered."""
        r = await self._do("unrepliedto", pb.ACTION_UNREPLIED)
        return max(0, r.value - max(0, r.given - self._inbox.requests))

    async def new_device(self) -> int:
        """Makes another bus beside this one, and returns its number."""
        return await self._number("newdevice", pb.ACTION_NEW_DEVICE, 0)

    async def withdraw(self, request: MsgId) -> bool:
        """Takes a request back that this Ksock has sent. Reports whether no replier has read it,
        and none will; no reply comes then. A device cannot do that."""
        return (await self._do("withdraw", pb.ACTION_WITHDRAW, value=request.network << 32 | request.serial)).found

    async def close(self) -> None:
        """Has the daemon close the Ksock, and waits for that, but not longer than 2 s: a daemon
        that cannot be reached closes it when its grace is over. What was posted before is sent
        first. Every other call that waits raises Closed. Closing again does nothing."""
        if self._closing or self._keeper is None:
            return
        self._closing = True
        if self._over is None:
            self._fail(Closed("the Ksock is closed"))
            answer = self._answer()
            self._put(pb.Operation(action=pb.ACTION_CLOSE), Lane.CONTROL, answer=answer)
            either: list[asyncio.Future[Any]] = [answer, self._keeper]
            await asyncio.wait(either, timeout=CLOSE_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():  # end the stream in order
                self._session.end()
                self._wake.set()
                await asyncio.wait([self._keeper], timeout=CLOSE_TIMEOUT)
            answer.cancel()
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Ksock {self.id} at {self._to}{': ' + str(self._over) if self._over else ''}>"

    # Operations.

    def _put(
        self, op: pb.Operation, lane: Lane = Lane.NORMAL, *, message: Message | None = None,
        answer: asyncio.Future[pb.Result] | None = None, on_result: Callable[[pb.Result], None] | None = None,
    ) -> int:  # fmt: skip
        """Queues an operation. answer gets its result, and on_result before that, the moment it
        comes. Returns its tag."""
        if answer is not None:
            self._tag = op.tag = self._tag + 1
        self._session.put(op, lane, message=message, now=asyncio.get_running_loop().time())
        if answer is not None:
            self._answers[op.tag] = (answer, on_result)
        self._wake.set()
        self._wake_room()
        return op.tag

    def _answer(self) -> asyncio.Future[pb.Result]:
        return asyncio.get_running_loop().create_future()

    async def _window(self, until: float | None = None) -> None:
        """Waits until the window has room. Raises Closed, and TimeoutError."""
        while self._over is None and not self._session.room():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(turn)
            try:
                async with asyncio.timeout_at(until):
                    await turn
            except BaseException:
                self._wake_room()  # the turn may have been given to us
                raise
        if self._over is not None:
            raise self._closed()

    def _wake_room(self) -> None:
        """Wakes one task that waits for room, if there is any; when it has put, it wakes the next."""
        while self._room and self._session.room():
            turn = self._room.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _call(self, op: pb.Operation) -> pb.Result:
        await self._window()
        answer = self._answer()
        self._put(op, answer=answer)
        return await answer

    async def _do(self, what: str, action: pb.Action, name: str = "", replier: bool = False, value: int = 0) -> pb.Result:
        r = await self._call(pb.Operation(action=action, name=name.encode("utf-8", "replace"), is_replier=replier, value=value))
        _check(what, name, r)
        return r

    async def _number(self, what: str, action: pb.Action, n: int) -> int:
        return (await self._do(what, action, value=n)).value

    async def _switch(self, what: str, action: pb.Action, on: bool | None) -> bool:
        return bool((await self._do(what, action, value=_ASK if on is None else int(on))).value)

    async def _send(self, message: Message, until: float | None, wait: bool = True, on_result: Callable[[pb.Result], None] | None = None) -> pb.Result:
        """Sends a message, and returns its fate, which on_result gets the moment it comes. When
        until comes, or the task is cancelled, the send is cancelled. Raises Closed; TimeoutError
        when nothing was sent; Unknown when it may have been."""
        try:
            await self._window(until if wait else None)
        except TimeoutError:
            raise TimeoutError("the window has no room; nothing was sent") from None
        answer = self._answer()
        tag = self._put(pb.Operation(action=pb.ACTION_SEND, wait=wait), message=message, answer=answer, on_result=on_result)
        try:
            await asyncio.wait([answer], timeout=None if not wait or until is None else max(0.0, until - asyncio.get_running_loop().time()))
            if not answer.done():
                self._cancel(tag)
                await asyncio.wait([answer], timeout=FATE_TIMEOUT)
        except asyncio.CancelledError:
            self._cancel(tag)
            answer.cancel()
            raise
        if answer.done():
            return answer.result()
        answer.cancel()
        raise Unknown("the daemon does not answer, the message may be sent or not")

    def _cancel(self, tag: int) -> None:
        if self._over is None:
            self._put(pb.Operation(action=pb.ACTION_CANCEL, value=tag), Lane.CONTROL)

    # Receiving.

    def _ask(self, most: int, wait: bool) -> None:
        inbox = self._inbox
        inbox.asked = self._tag = self._tag + 1
        inbox.asked_cancelled = False
        self._put(pb.Operation(action=pb.ACTION_RECEIVE, tag=self._tag, value=most, wait=wait), Lane.CONTROL)

    def _cancel_asked(self) -> None:
        if self._inbox.asked and not self._inbox.asked_cancelled:
            self._inbox.asked_cancelled = True
            self._cancel(self._inbox.asked)

    def _take(self, most: int) -> list[Message]:
        inbox = self._inbox
        if not inbox.arrived:
            return []
        now = asyncio.get_running_loop().time()
        taken: list[Message] = []
        while inbox.arrived and len(taken) < most:
            event = inbox.arrived.popleft()
            assert event.message is not None
            taken.append(event.message)
            inbox.requests += event.message.wants_us_to_reply
            self._session.decided(now, event)
        inbox.taken += len(taken)
        self._wake.set()  # an acknowledgement is owed
        if inbox.arrived:
            inbox.news()  # for another task that waits
        return taken

    def _event(self, now: float, event: Event) -> None:
        inbox = self._inbox
        if event.message is not None:
            inbox.arrived.append(event)
            inbox.news()
            return
        r = event.result
        assert r is not None
        self._session.decided(now, event)
        if r.tag and r.tag == inbox.asked:
            inbox.asked = 0
            if r.errno:
                inbox.failed = BusError(r.op or "recv", "", r.errno, r.message)
            inbox.news()
        elif r.tag:
            answer, on_result = self._answers.pop(r.tag, (None, None))
            if on_result is not None:
                on_result(r)
            if answer is not None and not answer.done():
                answer.set_result(r)
        elif r.op == "recv":
            inbox.failed = BusError(r.op, "", r.errno, r.message)
            inbox.news()
        elif len(self._refused) < MAX_REFUSALS:
            self._refused.append(BusError(r.op or "send", r.name, r.errno, r.message))
        else:
            self._refused_more += 1

    # Streams.

    def _fail(self, why: Closed) -> None:
        if self._over is not None:
            return
        self._over = why
        self._inbox.news()
        answers, self._answers = self._answers, {}
        for answer, _ in answers.values():
            if not answer.done():
                answer.set_exception(self._closed())
        for turn in self._room:
            if not turn.done():
                turn.set_result(None)
        self._room.clear()

    def _closed(self) -> Closed:
        """Returns why the Ksock is over, as an error of its own for each call."""
        assert self._over is not None
        e = Closed(str(self._over))
        e.__cause__ = self._over.__cause__
        return e

    async def _dial(self) -> Stream:
        """Opens a stream and greets the daemon. Raises Lost, Verdict or OSError."""
        stream = Stream(self._to)
        try:
            async with asyncio.timeout(GREET_TIMEOUT):
                await stream.write(self._session.greeting())
                frame = await stream.read()
            self._session.welcome(asyncio.get_running_loop().time(), frame)
        except TimeoutError:
            await stream.close()
            raise Lost(f"no welcome within {GREET_TIMEOUT:g} s") from None
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _keep(self, stream: Stream | None) -> None:
        """Serves one stream after the other until the session is over."""
        try:
            while stream is not None:
                why = await self._serve(stream)
                self._session.detach()
                stream = await self._resume(why)
        except asyncio.CancelledError:
            self._fail(Closed("the Ksock is closed"))
            raise
        except Exception as e:
            self._fail(_lost(e))
            if not isinstance(e, (Lost, Verdict, OSError)):
                raise

    async def _serve(self, stream: Stream) -> BaseException | None:
        """Carries frames until the stream ends, and returns why it has: None if all was said."""
        sending = asyncio.create_task(self._send_frames(stream))
        receiving = asyncio.create_task(self._receive_frames(stream))
        try:
            await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() is None:
                receiving.cancel()
                await asyncio.wait([receiving])
                await stream.finish()
                return None
            if not receiving.done():  # it says why
                await asyncio.wait([receiving], timeout=1)
            elif isinstance(receiving.exception(), Verdict):  # ours is the last frame
                await asyncio.wait([sending], timeout=1)
            return next(e for t in (receiving, sending) if t.done() and (e := t.exception()))
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
            await stream.close()

    async def _send_frames(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            frame, again, over = self._session.next(loop.time())
            if over:
                return
            if frame is not None:
                await stream.write(frame)
                continue
            try:
                async with asyncio.timeout_at(again):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _receive_frames(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(WEDGED_AFTER):
                    frame = await stream.read()
            except TimeoutError:
                raise Lost(f"nothing was heard of the daemon for {WEDGED_AFTER:g} s") from None
            now = loop.time()
            try:
                events = self._session.receive(now, frame)
            except Verdict as e:
                if not e.remote:  # the daemon is told, and the session is over
                    self._session.end(e)
                    self._wake.set()
                raise
            for event in events:
                self._event(now, event)
            self._wake.set()
            self._wake_room()

    async def _resume(self, broken: BaseException | None) -> Stream | None:
        """Dials until the daemon resumes the session. Raises why it does not."""
        if broken is None:
            return None
        if isinstance(broken, Verdict) and broken.final:
            raise broken
        loop = asyncio.get_running_loop()
        patience = self._session.grace + SILENT_AFTER
        give_up = loop.time() + patience
        wait, following = 0.0, FIRST_DELAY
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._dial()
            except Verdict as e:
                if e.final:
                    raise
                why: Exception = e
            except (Lost, OSError) as e:
                why = e
            if loop.time() > give_up:
                raise Lost(f"the daemon cannot be reached for {patience:g} s: {why} (the stream ended with: {broken})")
            wait = following * random.uniform(0.5, 1)
            following = min(2 * following, LAST_DELAY)


class _Inbox:
    """What has come, and nobody has taken; it is acknowledged when it is taken."""

    def __init__(self) -> None:
        self.arrived: deque[Event] = deque()
        self.taken = 0  # messages, ever
        self.requests = 0  # to us, among these
        self.asked = 0  # the tag of the receive that is under way
        self.asked_cancelled = False
        self.receivers = 0  # tasks in recv_batch
        self.prefetch = False
        self.failed: BusError | None = None  # of a receive, for the next call
        self._waiting: deque[asyncio.Future[None]] = deque()

    def news(self) -> None:
        """Wakes every task that waits: there are few, and each looks for itself."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    async def wait(self, until: float | None) -> None:
        """Waits for news. Raises TimeoutError."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        async with asyncio.timeout_at(until):
            await turn


class Unknown(TimeoutError):
    """Nobody knows whether a message was sent."""


def _check(what: str, name: str, r: pb.Result) -> None:
    if r.errno:
        raise BusError(r.op or what, name, r.errno, r.message)


def _lost(e: Exception) -> Closed:
    why = f"{e} ({Code(e.code).name.lower()})" if isinstance(e, Verdict) and e.code in list(Code) else str(e)
    closed = Closed(f"the session with the daemon is over, and the Ksock with it; what has no result yet may have happened: {why}")
    closed.__cause__ = e
    return closed
