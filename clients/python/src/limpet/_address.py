"""Where a daemon is, and how to reach it."""

from __future__ import annotations

import ipaddress
import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

_MAX_SOCKET_PATH = 107


def default_address() -> str:
    """Returns where a daemon's local API is unless it was told otherwise: in the user's runtime
    folder, in /run/limpetd for root."""
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return str(Path(folder, "limpetd", "api.sock"))
    if os.getuid() == 0:
        return "/run/limpetd/api.sock"
    return str(Path(tempfile.gettempdir(), f"limpetd-{os.getuid()}", "api.sock"))


@dataclass(frozen=True, slots=True)
class TLS:
    """The PEM files of a program, for connections over TCP with certificates at both ends. They
    are read for each new connection; while they cannot be used, it is not made."""

    cert: str | os.PathLike[str]
    """The program's certificate, and behind it those between it and the CA."""
    key: str | os.PathLike[str]
    """Its private key."""
    ca: str | os.PathLike[str]
    """The certificates of those that may sign the daemon's."""
    name: str = ""
    """The DNS name, or IP address, that the daemon's certificate must have; empty is the host
    that is dialled."""

    def credentials(self) -> grpc.ChannelCredentials:
        cert, key, ca = (Path(p).read_bytes() for p in (self.cert, self.key, self.ca))
        return grpc.ssl_channel_credentials(ca, key, cert)


@dataclass(frozen=True, slots=True)
class Target:
    """What is dialled, and how. It is made by parse."""

    address: str
    grpc_target: str
    tls: TLS | None
    check: Callable[[], None] = field(default=lambda: None)

    def __str__(self) -> str:
        return self.address

    def channel(self, *options: tuple[str, int | str]) -> grpc.aio.Channel:
        """Returns a channel with a connection of its own, which dials when there is a call.
        Raises OSError if files cannot be read, or the socket's folder cannot be trusted."""
        self.check()
        own = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1), *options]
        if self.tls is None:
            return grpc.aio.insecure_channel(self.grpc_target, own)
        if self.tls.name:
            own.append(("grpc.ssl_target_name_override", self.tls.name))
        return grpc.aio.secure_channel(self.grpc_target, self.tls.credentials(), own)


def parse(address: str | os.PathLike[str], tls: TLS | None, insecure: bool) -> Target:
    """Returns what to dial for an address: a word with a slash in it, or that starts with "unix:",
    is the path of a Unix socket, host:port is TCP. Raises ValueError."""
    word = os.fspath(address)
    path = word.removeprefix("unix:")
    if path != word or "/" in word:
        if not path or "\0" in path:
            raise ValueError(f"address {word!r}: give host:port, or the path of a Unix socket")
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise ValueError(f"address {word!r}: the path of a Unix socket has at most {_MAX_SOCKET_PATH} bytes, this one {len(os.fsencode(path))}")
        check = (lambda: _check_folder(path)) if word == default_address() else (lambda: None)
        return Target(word, "unix:" + path, None, check)
    host, colon, port = word.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or ":" in host and not word.startswith("["):
        raise ValueError(f"address {word!r}: give host:port, or the path of a Unix socket with a slash in it, or unix:PATH")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ValueError(f"address {word!r}: port {port!r} is not a number from 0 to 65535")
    if tls is None and not insecure and not _is_local(host):
        raise ValueError(
            f"{word}: only this machine's daemons are dialled without TLS, over a Unix socket or a loopback address; "
            "give tls=limpet.TLS(...), or allow it all the same with insecure=True"
        )
    return Target(word, f"dns:///{word}", tls)


def _is_local(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_folder(path: str) -> None:
    """Makes sure that nobody else can have put a socket where a daemon of this user's would be. If
    there is no folder, there is no daemon either."""
    folder = os.path.dirname(path)
    try:
        found = os.lstat(folder)
        if stat.S_ISLNK(found.st_mode) and _trusted(found.st_uid):
            found = os.stat(folder)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"socket {path}: {folder} is no folder; take away what is there, or choose another address")
    if not _trusted(found.st_uid) or found.st_mode & 0o022:
        raise PermissionError(
            f"socket {path}: its folder {folder} belongs to user {found.st_uid} and has mode {stat.S_IMODE(found.st_mode):04o}, "
            "so another user could take the socket's place; choose a folder that only you can write"
        )


def _trusted(owner: int) -> bool:
    return owner in (0, os.geteuid())
