"""One Attach call."""

from __future__ import annotations

import asyncio

import grpc

from ._address import Target
from ._errors import StatusError
from ._proto import attach_pb2 as pb
from ._proto import limpet_status_pb2
from ._session import Code, Verdict

SERVICE = "/kbus.limpet.v1.BusService/"
_CLOSE_TIMEOUT = 1.0

# A connection whose other end is dead is noticed within 12 s.
_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.keepalive_time_ms", 6000),
    ("grpc.keepalive_timeout_ms", 6000),
    ("grpc.http2.max_pings_without_data", 0),
)


class Lost(Exception):
    """A stream that has ended without a reason of the daemon's."""


class Stream:
    """The program's end of an Attach call, on a connection of its own. It lives on the event loop
    that made it, and must be closed."""

    def __init__(self, to: Target) -> None:
        self._channel = to.channel(*_OPTIONS)
        method = self._channel.stream_stream(
            SERVICE + "Attach",
            request_serializer=pb.AttachRequest.SerializeToString,
            response_deserializer=pb.AttachResponse.FromString,
        )
        self._call = method()

    async def write(self, frame: pb.AttachRequest) -> None:
        """Sends a frame. Raises Lost or Verdict."""
        try:
            await self._call.write(frame)
        except (grpc.RpcError, asyncio.InvalidStateError):
            raise await self._why() from None

    async def read(self) -> pb.AttachResponse:
        """Returns the next frame. Raises Lost or Verdict."""
        try:
            frame: pb.AttachResponse = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError):
            raise await self._why() from None
        if frame is grpc.aio.EOF:
            raise await self._why()
        return frame

    async def finish(self) -> None:
        """Tells the daemon that no more comes, and waits a little for it to end the call."""
        try:
            await self._call.done_writing()
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
            pass  # it has ended, or is ended now

    async def close(self) -> None:
        """Ends the call and the connection at once."""
        self._call.cancel()
        await self._channel.close()

    async def _why(self) -> Exception:
        """Returns why the call has ended, without gRPC's words."""
        code, details = await self._call.code(), await self._call.details() or ""
        match code:
            case grpc.StatusCode.OK:
                return Lost("the daemon closed the stream")
            case grpc.StatusCode.ABORTED:
                return Verdict(Code.REPLACED, details, remote=True)
            case grpc.StatusCode.UNIMPLEMENTED:
                return Verdict(Code.VERSION, "the daemon offers no Ksocks to programs: it is an older one", remote=True)
            case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
                return Verdict(Code.NOT_AUTHORISED, details, remote=True)
        return Lost(details or f"the stream ended: {code.name}")


def status_error(e: grpc.RpcError) -> tuple[StatusError, str]:
    """Returns the error of a call as one of ours, and the name of the bus's errno in it, or ""."""
    assert isinstance(e, grpc.aio.AioRpcError)
    ours = StatusError(e.code().name, e.details() or e.code().name)
    for key, value in e.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in limpet_status_pb2.Status.FromString(value).details:
            if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                info = limpet_status_pb2.ErrorInfo.FromString(detail.value)
                if info.domain == "kbus":
                    return ours, info.metadata.get("errno", "")
    return ours, ""
