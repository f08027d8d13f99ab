"""The heads of HTTP messages, as far as a proxy for WebSockets has to read and to change them (RFC 9112, 2)."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from farend.tape.format import Headers

MOST: Final = 64 << 10
"""Bytes of the longest head that is read."""
_REQUEST: Final = re.compile(r"[A-Z]+ \S+ HTTP/1\.\d")
_ANSWER: Final = re.compile(r"HTTP/1\.\d (\d{3})(?: .*)?")


@dataclass(frozen=True, slots=True)
class Head:
    """A first line, and the header fields in order."""

    first: str
    headers: Headers

    @property
    def target(self) -> str:
        """What a request asks for."""
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ")[1])

    def header(self, name: str) -> str | None:
        """The value of a field; the first, where there are several."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def without(self, name: str) -> Head:
        """The same without a field."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() != name))

    def with_field(self, name: str, value: str) -> Head:
        """The same with another value of a field."""
        key = name.lower()
        return replace(self, headers=tuple((one, value if one.lower() == key else old) for one, old in self.headers))

    def towards(self, url: str, own: set[str]) -> Head:
        """The request, sent on to the server at `url`: its own host, and its own page where it was this proxy's.

        `own` are the authorities by which clients know the proxy, as `127.0.0.1:4000`.
        """
        there = urlsplit(url)
        method, target, version = self.first.split(" ")
        if target in ("/", there.path):
            target = (there.path or "/") + (f"?{there.query}" if there.query else "")
        host = there.netloc.rpartition("@")[2]
        origin = f"{'https' if there.scheme == 'wss' else 'http'}://{host}"
        changed = {"host": host}
        if urlsplit(self.header("origin") or "").netloc in own:
            changed["origin"] = origin
        headers = tuple((name, changed.get(name.lower(), value)) for name, value in self.headers)
        if there.username is not None and self.header("authorization") is None:
            user = f"{unquote(there.username)}:{unquote(there.password or '')}"
            headers = (*headers, ("Authorization", f"Basic {b64encode(user.encode()).decode()}"))
        return replace(self, first=f"{method} {target} {version}", headers=headers)

    def __bytes__(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


def parsed(data: bytes, *, request: bool) -> Head | None:
    r"""The head that the bytes are, with the empty line at its end; None where they are none.

    >>> parsed(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n", request=True)
    Head(first='GET /feed HTTP/1.1', headers=(('Host', 'a'),))
    """
    first, *rest = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if (_REQUEST if request else _ANSWER).fullmatch(first) is None:
        return None
    fields = [line.partition(":") for line in rest]
    if any(not colon or not name or name != name.strip() for name, colon, _ in fields):
        return None
    return Head(first, tuple((name, value.strip(" \t")) for name, _, value in fields))
