"""The opening handshake of a WebSocket, as nearly every client sends it: read in one go.

The `websockets` library reads any opening handshake, and says what is wrong with it. That alone would be
a tenth of a short conversation, so the ordinary one is recognised here. Whatever is out of the ordinary
is the library's to read and to judge.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from websockets.utils import accept_key

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_HEAD = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:%s:[\t -~]*\r\n)+)\r\n" % _TOKEN)
_KEY = re.compile(r"[+/0-9A-Za-z]{22}==")
_LARGEST, _MOST = 4096, 100
"""Bytes, and header fields, of an ordinary request: fewer than the library allows."""
_ELSEWHERE = ("content-length", "transfer-encoding", "sec-websocket-protocol")


class Opening(NamedTuple):
    """What the near end asked for, as `messages.Handshake` takes it, and the answer that lets it in."""

    target: str
    fields: list[tuple[str, str]]
    answer: bytes


def ordinary_opening(data: bytes) -> Opening | None:
    r"""The opening handshake, where `data` is a whole one that asks for nothing but a connection (RFC 6455, 4.2.1).

    >>> ordinary_opening(b"GET / HTTP/1.1\r\n\r\n") is None
    True
    """
    head = _HEAD.fullmatch(data) if len(data) <= _LARGEST else None
    if head is None:
        return None
    fields, headers = [], {}
    for line in head[2].decode().split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.strip(" \t")
        fields.append((name, value))
        headers[name.lower()] = value
    key = headers.get("sec-websocket-key", "")
    if (
        headers.get("upgrade", "").lower() != "websocket"
        or headers.get("connection", "").lower() != "upgrade"
        or headers.get("sec-websocket-version") != "13"
        or _KEY.fullmatch(key) is None
        or len(headers) != len(fields)  # one came twice
        or len(fields) > _MOST
        or any(name in headers for name in _ELSEWHERE)
    ):
        return None
    return Opening(head[1].decode(), fields, _ANSWER % accept_key(key).encode())


_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
