"""The server's answer to an opening handshake (RFC 6455, 4.2.2), and how it can be another than it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OTHER_ACCEPT: Final = "Oj55RqyPM5DkKu5lYfr2IXLgdf0="
"""The `Sec-WebSocket-Accept` of a key that no client has; that of RFC 6455's own example, many a hand-made one has."""


@dataclass(frozen=True, slots=True)
class Answer:
    r"""What is changed in an answer that lets a client in.

    `status` stands in place of `101 Switching Protocols`. `fields` are pairs of a header's name and its value, each in
    place of those that there are of that name; `without` are names that are left out. With `lower`, names are in
    small letters.

    >>> right = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    >>> Answer(without=("Upgrade",), fields=(("Connection", "close"),)).of(right)
    b'HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n'
    """

    status: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    lower: bool = False

    def of(self, right: bytes) -> bytes:
        """The answer, made of the one that would be right."""
        head, _, behind = right.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if self.status is not None:
            first = f"HTTP/1.1 {self.status}"
        own = {name.lower() for name in (*self.without, *(name for name, _ in self.fields))}
        kept = [line.partition(": ")[::2] for line in lines if line.partition(":")[0].lower() not in own]
        fields = [f"{name.lower() if self.lower else name}: {value}" for name, value in (*kept, *self.fields)]
        return "\r\n".join([first, *fields, "", ""]).encode("latin-1") + behind


WRONG_ACCEPT: Final = Answer(fields=(("Sec-WebSocket-Accept", OTHER_ACCEPT),))
"""The answer to another client's key: a client must not take it for its own (RFC 6455, 4.1)."""
