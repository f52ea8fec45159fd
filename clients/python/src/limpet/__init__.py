"""A client of limpetd: announcements, requests that always get exactly one reply, and stateful
dialogues on a KBUS bus, also on the buses that it is linked with.

    import asyncio
    import limpet

    async def main() -> None:
        async with limpet.open() as bus:
            reply = await bus.call("$.Clock.Now", timeout=5)
            print(reply.text)

    asyncio.run(main())

limpet.sync has the same without asyncio. Bus has what most programs need; Ksock is all that KBUS
can do. What goes wrong is a LimpetError.
"""

from ._address import TLS, default_address
from ._bus import Binding, Bus, Changes, Link, Listener, Mode, Opening, Replier, Server, open
from ._errors import BusError, Closed, Expired, LimpetError, MayHaveRun, NeverRan, NoAnswer, Outcome, Refused, StatusError, Unreachable
from ._ksock import Ksock
from ._message import Address, BindEvent, Flags, Message, MsgId

__all__ = [
    "Address", "BindEvent", "Binding", "Bus", "BusError", "Changes", "Closed", "Expired", "Flags", "Ksock", "LimpetError",
    "Link", "Listener", "MayHaveRun", "Message", "Mode", "MsgId", "NeverRan", "NoAnswer", "Opening", "Outcome", "Refused",
    "Replier", "Server", "StatusError", "TLS", "Unreachable", "default_address", "open",
]  # fmt: skip
