"""Plays the stories of clients/stories.yaml, which says what a step means."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Coroutine
from typing import Any

import limpet
from limpet import _errors

from .daemons import PATIENCE, Cable, World

Step = dict[str, Any]

FLAGS = {"urgent": limpet.Flags.URGENT, "all_or_fail": limpet.Flags.ALL_OR_FAIL, "all_or_wait": limpet.Flags.ALL_OR_WAIT}
OUTCOMES = {"NEVER_RAN": limpet.NeverRan, "MAY_HAVE_RUN": limpet.MayHaveRun, "EXPIRED": limpet.Expired}


class Failed(Exception):
    """Something in a story is not as it should be."""


def equal(what: str, got: object, want: object) -> None:
    if got != want:
        raise Failed(f"{what} is {got!r}, want {want!r}")


def renamed(value: Any, prefix: str) -> Any:
    """Puts the story's own names in the place of those in a step."""
    if isinstance(value, str) and value.startswith("$.") and not value.startswith("$.KBUS."):
        return prefix + value[2:]
    if isinstance(value, list):
        return [renamed(v, prefix) for v in value]
    return value


class Play:
    """One story that is being played."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.prefix = f"$.S{number}."
        self.buses: list[limpet.Bus] = []
        self.things: dict[str, Any] = {}  # Ksocks, callers, listeners, servers and watches by name
        self.cables: dict[str, Cable] = {}
        self.labels: dict[str, Any] = {}  # messages, and ids of requests
        self.started: dict[str, asyncio.Task[None]] = {}

    async def play(self, steps: list[Step]) -> None:
        try:
            for i, step in enumerate(steps, 1):
                try:
                    await self.step({key: renamed(value, self.prefix) for key, value in step.items()})
                except Exception as e:
                    raise Failed(f"step {i} {step}: {type(e).__name__}: {e}") from e
            if self.started:
                raise Failed(f"{', '.join(self.started)} was not finished")
        finally:
            await self.end()

    async def step(self, step: Step) -> None:
        do = getattr(self, "do_" + step.pop("do"))
        start, errno = step.pop("start", ""), step.pop("errno", "")
        if do == self.do_call:
            step["errno"] = errno
            errno = ""
        if "as" in step:
            step["as_"] = step.pop("as")
        inspect.signature(do).bind(**step)  # a word that is not known is an error
        run = self.refused(errno, do(**step))
        if not start:
            await run
            return
        self.started[start] = asyncio.create_task(run)
        await asyncio.sleep(0)

    async def refused(self, errno: str, run: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(PATIENCE):
            try:
                await run
            except limpet.BusError as e:
                if not errno:
                    raise
                equal("errno", e.errno_name, errno)
                return
        if errno:
            raise Failed(f"it is not refused with {errno}")

    async def end(self) -> None:
        for task in self.started.values():
            task.cancel()
        await asyncio.gather(*self.started.values(), return_exceptions=True)
        for cable in self.cables.values():
            cable.mend()
        await asyncio.gather(*(self.closed(x) for x in self.things.values()))
        for bus in self.buses:
            await bus.close()
        for cable in self.cables.values():
            cable.close()

    async def closed(self, thing: Any) -> None:
        await (thing.aclose() if hasattr(thing, "aclose") else thing.close())

    async def bus(self, at: int, by: str = "", cuttable: bool = False) -> limpet.Bus:
        address = self.world.daemons[at].api
        if cuttable:
            cable = self.cables[by] = Cable(f"{address}.{by}", address)
            await cable.lay()
            address = cable.path
        bus = limpet.open(address)
        self.buses.append(bus)
        return bus

    def message(self, name: str, data: str, size: int, flags: list[str], user_flags: int) -> limpet.Message:
        all = limpet.Flags(user_flags << 16)
        for flag in flags:
            all |= FLAGS[flag]
        return limpet.Message(name, b"x" * size if size else data.encode(), all)

    # What is opened and closed.

    async def do_open(self, by: str, at: int, mode: str = "both", cuttable: bool = False) -> None:
        bus = await self.bus(at, by, cuttable)
        self.things[by] = await bus.ksock(limpet.Mode[mode.upper()])

    async def do_caller(self, by: str, at: int, cuttable: bool = False) -> None:
        self.things[by] = await self.bus(at, by, cuttable)

    async def do_listen(self, by: str, at: int, names: list[str], max_messages: int = 0, only_once: bool = False, cuttable: bool = False) -> None:
        bus = await self.bus(at, by, cuttable)
        self.things[by] = await bus.listen(*names, max_messages=max_messages, only_once=only_once)

    async def do_serve(self, by: str, at: int, names: list[str], cuttable: bool = False) -> None:
        bus = await self.bus(at, by, cuttable)
        self.things[by] = await bus.serve(*names)

    async def do_close(self, by: str) -> None:
        await self.closed(self.things.pop(by))

    # What a Ksock does.

    async def do_bind(self, by: str, name: str = "", as_: str = "listener", name_length: int = 0) -> None:
        await self.things[by].bind(self.long(name_length) or name, replier=as_ == "replier")

    async def do_unbind(self, by: str, name: str, as_: str = "listener") -> None:
        await self.things[by].unbind(name, replier=as_ == "replier")

    def long(self, length: int) -> str:
        return (self.prefix + "x" * length)[:length]

    async def do_announce(self, by: str, name: str, data: str = "", size: int = 0, flags: list[str] = [], user_flags: int = 0, times: int = 0, timeout_ms: int = 0) -> None:
        for i in range(1, max(times, 1) + 1):
            m = self.message(name, str(i) if times else data, size, flags, user_flags)
            await self.things[by].send(m, timeout_ms / 1000 if timeout_ms else None)

    async def do_request(
        self, by: str, name: str, data: str = "", flags: list[str] = [], user_flags: int = 0, as_: str = "", replier: str = "", deadline_ms: int = 0
    ) -> None:
        plain = self.message(name, data, 0, flags, user_flags)
        m = limpet.Message.request(
            name, data, flags=plain.flags, replier=self.labels[replier] if replier else None, expires_in=deadline_ms / 1000 if deadline_ms else None
        )
        self.labels[as_] = await self.things[by].send(m)

    async def do_reply(self, by: str, to: str, data: str = "", size: int = 0, flags: list[str] = []) -> None:
        who, m = self.things[by], self.message("$.A", data, size, flags, 0)
        if isinstance(who, limpet.Server):
            await who.reply(self.labels[to], m.data, flags=m.flags)
        else:
            await who.send(self.labels[to].reply(m.data, flags=m.flags))

    async def do_post(self, by: str, name: str, data: str = "", times: int = 0) -> None:
        for i in range(1, max(times, 1) + 1):
            await self.things[by].post(limpet.Message(name, (str(i) if times else data).encode()))

    async def do_flush(self, by: str, refused: list[str] = []) -> None:
        try:
            await self.things[by].flush()
            got = []
        except limpet.Refused as e:
            got = [x.errno_name for x in e.exceptions if isinstance(x, limpet.BusError)]
        equal("what was refused", got, refused)

    async def do_recv(self, by: str, nothing: bool = False, times: int = 0, as_: str = "", **want: Any) -> None:
        if nothing:
            try:
                m = await self.things[by].recv(0)
            except TimeoutError:
                return
            raise Failed(f"there is {m}")
        for i in range(1, max(times, 1) + 1):
            m = await self.things[by].recv()
            if times:
                want["data"] = str(i)
            self.compare(m, **want)
        self.labels[as_] = m

    def compare(self, m: limpet.Message, **want: Any) -> None:
        failed = _errors.no_answer("it", m) if m.is_reply else None
        has: dict[str, Any] = {
            "name": m.name, "data": m.text, "size": len(m.data), "kind": m.kind, "ours": m.wants_us_to_reply, "far": any(m.orig_from),
            "user_flags": int(m.flags) >> 16, "deadline": m.expires_in is not None, "outcome": failed.outcome.name if failed else "ANSWERED",
            "reason": failed.reason if failed else "", "bound": m.event.name if m.event and m.event.is_bind else "",
            "unbound": m.event.name if m.event and not m.event.is_bind else "",
        }  # fmt: skip
        for what, value in want.items():
            match what:
                case "answers":
                    label = self.labels[value]
                    equal("what it answers", m.in_reply_to, label.id if isinstance(label, limpet.Message) else label)
                case "sender":
                    thing = self.things[value]
                    equal("the sender", m.from_, getattr(thing, "ksock", thing).id)
                case "flags":
                    equal("the flags", [f for f in value if m.flags & FLAGS[f]], value)
                case _:
                    equal(what, has[what], value)

    async def do_call(
        self, by: str, name: str, errno: str, data: str = "", size: int = 0, replier: str = "", timeout_ms: int = 0,
        outcome: str = "ANSWERED", outcomes: list[str] = [], reason: str | None = None, answer: str | None = None, as_: str = "",
    ) -> None:  # fmt: skip
        try:
            reply = await self.things[by].call(
                name, b"x" * size if size else data, timeout=timeout_ms / 1000 if timeout_ms else None, replier=self.labels[replier] if replier else None
            )
        except limpet.NoAnswer as e:
            if e.outcome.name not in outcomes:
                equal("the outcome", e.outcome.name, outcome)
            assert isinstance(e, OUTCOMES[e.outcome.name])
            if reason is not None:
                equal("the reason", e.reason, reason)
            if errno:
                equal("errno", e.errno, _errors.errno_from_name(errno))
            return
        equal("the outcome", "ANSWERED", outcome)
        if answer is not None:
            equal("the answer", reply.text, answer)
        self.labels[as_] = reply

    async def do_finish(self, what: str) -> None:
        await self.started.pop(what)

    async def do_ask(self, by: str, what: str, want: Any, until: bool = False) -> None:
        ksock = self.things[by]
        while True:
            match what:
                case "missed":
                    got = ksock.missed
                case "only_once":
                    got = int(await ksock.only_once())
                case _:
                    got = await getattr(ksock, what)()
            if not until or got == want:
                break
        equal(what, got, want)

    async def do_set(self, by: str, what: str, value: int) -> None:
        await getattr(self.things[by], what)(value if what == "max_messages" else bool(value))

    # What a bus says.

    async def do_find(self, at: int, name: str, want: str = "", nobody: bool = False, until: bool = False) -> None:
        bus = await self.bus(at)
        while True:
            found = await bus.find_replier(name)
            got = found.name if found else ""
            if not until or got == want:
                break
        equal("the replier's name", got, want)

    async def do_bindings(self, at: int, names: list[str]) -> None:
        bus = await self.bus(at)
        equal("what is bound", sorted(b.name for b in await bus.bindings() if b.name.startswith(self.prefix)), sorted(names))

    async def do_watch(self, by: str, at: int, what: str, name: str = "") -> None:
        bus = await self.bus(at)
        self.things[by] = getattr(bus, "watch_" + what)(name)

    async def do_told(self, by: str, here: list[str] = [], gone: list[str] = []) -> None:
        here, gone = sorted(here), sorted(gone)
        while here or gone:
            changes = await anext(self.things[by])
            for b in changes.gone:
                if b.name in gone:
                    gone.remove(b.name)
            for b in changes.here:
                if b.name in here:
                    here.remove(b.name)

    # What breaks.

    async def do_cut(self, by: str, away: bool = False) -> None:
        self.cables[by].cut(away)

    async def do_mend(self, by: str) -> None:
        self.cables[by].mend()

    async def do_kill(self, at: int) -> None:
        await self.world.daemons[at].end()

    async def do_stop(self, at: int) -> None:
        await self.world.daemons[at].end(signal.SIGTERM)

    async def do_start(self, at: int) -> None:
        await self.world.daemons[at].start()
        await self.world.linked()

    async def do_lost(self, by: str) -> None:
        try:
            await self.things[by].recv()
        except limpet.Closed as e:
            if "session" not in str(e):
                raise Failed(f"it says {e}") from e
            return
        raise Failed("it goes on")
