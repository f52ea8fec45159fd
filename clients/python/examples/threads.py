"""The same without asyncio: a thread answers, and this one asks."""

import threading

import limpet.sync


def answer(server: limpet.sync.Server) -> None:
    for request in server:
        server.reply(request, request.text.upper())


with limpet.sync.open() as bus:
    with bus.serve("$.Loud") as server:
        threading.Thread(target=answer, args=(server,)).start()
        print(bus.call("$.Loud", "hello", timeout=5).text)
