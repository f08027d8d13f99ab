"""The addresses that users list: a URL, `(host, port)`, or a host; and hosts as they are compared."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from farend.errors import InvalidArguments, WrongType

SCHEMES: Final[dict[str, tuple[int | None, bool]]] = {
    "ws": (80, False),
    "wss": (443, True),
    "http": (80, False),
    "https": (443, True),
    "tcp": (None, False),
    "tls": (None, True),
}
"""Each scheme's usual port (None: there is none), and whether it is TLS."""
FORMS: Final = "a URL such as 'wss://api.exchange.com/feed', a pair such as ('db.internal', 5432), or a host"
_HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class Address:
    """Where a client dials: `port` None is every port; `secure` is whether it is TLS, None if that is not known."""

    host: str
    port: int | None = None
    secure: bool | None = None

    @property
    def key(self) -> tuple[str, int | None]:
        """What has to be the same for two addresses to be one."""
        return self.host, self.port

    def __str__(self) -> str:
        return f"every port of {self.host}" if self.port is None else where(self.host, self.port)


def where(host: str, port: object) -> str:
    """`host:port`, as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parsed(key: Any) -> Address:
    """The address that a user means. Raises `WrongType` or `InvalidArguments`, with what to write instead."""
    __tracebackhide__ = True
    match key:
        case str() if "://" in key:
            return _from_url(key)
        case str():
            return Address(_checked_host(key, key))
        case (host, port):
            if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
                raise WrongType(f"{key!r}: an address is a host and a number, such as ('db.internal', 5432)")
            return Address(_checked_host(host, key), _checked_port(port, key))
    raise WrongType(f"{key!r} is no address: write {FORMS}")


def _from_url(url: str) -> Address:
    __tracebackhide__ = True
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidArguments(f"{url!r} is no URL: {error}") from None
    if not parts.hostname:
        raise InvalidArguments(f"{url!r} names no host: write {FORMS}")
    if parts.scheme not in SCHEMES:
        raise InvalidArguments(
            f"{url!r} is neither a WebSocket's URL nor an HTTP one: {_instead(parts, port)} "
            f"(the schemes are {', '.join(SCHEMES)})"
        )
    usual, secure = SCHEMES[parts.scheme]
    if port is None and usual is None:
        raise InvalidArguments(f"{url!r} names no port, and {parts.scheme} has no usual one: write '{url}:5432'")
    return Address(_checked_host(parts.hostname, url), usual if port is None else _checked_port(port, url), secure)


def _instead(parts: SplitResult, port: int | None) -> str:
    return f"write ({parts.hostname!r}, {port or 'port'})"


def _checked_host(host: str, key: Any) -> str:
    __tracebackhide__ = True
    plain = plain_host(host.strip("[]"))
    if is_ip(plain) or _HOST.fullmatch(plain):
        return plain
    name, _, port = host.partition(":")
    if port.isdecimal() and name:
        raise InvalidArguments(f"{key!r}: write the pair ({name!r}, {int(port)})")
    raise InvalidArguments(f"{key!r}: {host!r} is no host; write {FORMS}")


def _checked_port(port: int, key: Any) -> int:
    __tracebackhide__ = True
    if not 1 <= port <= 65535:
        raise InvalidArguments(f"{key!r}: ports go from 1 to 65535; for every port of a host, write the host alone")
    return port


@functools.lru_cache(4096)
def plain_host(host: str) -> str:
    """A host as it is compared: lower case, in ASCII, an IP address in its shortest form."""
    if (address := _ip(host)) is not None:
        return address
    if not host.isascii():
        with contextlib.suppress(UnicodeError):  # no host, which whoever dials it will be told
            host = host.encode("idna").decode("ascii")
    return host.lower().rstrip(".")


@functools.lru_cache(4096)
def is_ip(plain: str) -> bool:
    """Whether a plain host is an IP address, which needs no resolving."""
    return _ip(plain) is not None


def _ip(host: str) -> str | None:
    """The shortest form of an IP address; IPv4 written as IPv6 is IPv4. None for what is none."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            packed = socket.inet_pton(family, host.partition("%")[0])
            return socket.inet_ntop(family, packed).removeprefix("::ffff:")
    return None
