"""How an application answered a connect."""

from __future__ import annotations

from typing import Any, Self

from farend.asgi.session import Session


class Opening(tuple[bool, Any]):
    """How a connect was answered: `(accepted, subprotocol)`, or `(False, code)`, as in Channels.

    `status`, `headers` and `body` are what a client sees: 101, or the HTTP response of a rejection.
    """

    accepted: bool
    subprotocol: str | None
    code: int | None
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __new__(cls, session: Session) -> Self:
        accepted = session.accepted is not None
        answer = session.accepted or session.response or {}
        subprotocol = answer.get("subprotocol") if accepted else None
        self = super().__new__(cls, (accepted, subprotocol if accepted else session.close_code))
        self.accepted = accepted
        self.subprotocol = subprotocol
        self.code = session.close_code
        # RFC 6455, 4.2.2; a server answers a close before the accept with 403 (ASGI, "Close send event")
        self.status = 101 if accepted else answer.get("status", 403)
        self.headers = [(_text(name), _text(value)) for name, value in answer.get("headers") or ()]
        self.body = session.body
        return self


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part
