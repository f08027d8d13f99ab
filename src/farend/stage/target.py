"""The server behind a proxy: its URL, checked, and how it is reached."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ipaddress
import socket
import ssl as ssl_module
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from farend.core.messages import printed
from farend.errors import InvalidArguments, WrongType

PORTS: Final = {"ws": 80, "wss": 443, "tcp": None, "tls": None}
SECURE: Final = ("wss", "tls")
_INSTEAD: Final = {"http": "ws", "https": "wss", "ssl": "tls", "redis": "tcp", "rediss": "tls"}


def checked_url(url: object, call: str = "record") -> SplitResult:
    """The server's URL, taken apart; `call` is what the user wrote it in."""
    __tracebackhide__ = True
    if not isinstance(url, str):
        raise WrongType(
            f"{call}() takes the server's URL as text, such as 'wss://example.com/feed', not {printed(url)}"
        )
    try:
        there = urlsplit(url)
        port = there.port
    except ValueError as error:
        raise InvalidArguments(f"{url!r} is no URL: {error}") from None
    if there.scheme not in PORTS:
        instead = _INSTEAD.get(there.scheme)
        hint = f"write {instead}://{url.partition('://')[2]}" if instead else "write ws://, wss://, tcp:// or tls://"
        raise InvalidArguments(f"{url!r} is no server that a proxy can stand in front of: {hint}")
    if not there.hostname:
        raise InvalidArguments(f"{url!r} names no host")
    if port is None and PORTS[there.scheme] is None:
        raise InvalidArguments(
            f"{url!r} names no port: write {there.scheme}://{there.hostname}:6379, or whichever it is"
        )
    return there


def context(tls: object) -> ssl_module.SSLContext:
    """How the server's certificate is checked."""
    __tracebackhide__ = True
    if isinstance(tls, ssl_module.SSLContext):
        return tls
    if not isinstance(tls, bool):
        raise WrongType(f"tls= takes True, False to check no certificate, or an ssl.SSLContext, not {tls!r}")
    chosen = ssl_module.create_default_context()
    if not tls:
        chosen.check_hostname = False
        chosen.verify_mode = ssl_module.CERT_NONE
    return chosen


async def resolved(host: str, port: int) -> list[tuple[Any, ...]]:
    """The addresses of a host. The loop's own threads would outlive the proxy."""
    if host == "localhost":
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    pool = ThreadPoolExecutor(1, "farend-resolver")
    here = contextvars.copy_context()
    try:
        return await asyncio.get_running_loop().run_in_executor(
            pool, lambda: here.run(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        )
    finally:
        pool.shutdown(wait=False)


def why_not(error: Exception, there: SplitResult, deadline: float | None) -> str:
    """Why the server was not reached, and what to do."""
    where = f"{there.hostname}:{there.port or PORTS[there.scheme]}"
    plain = {"wss": "ws", "tls": "tcp"}.get(there.scheme)
    match error:
        case ssl_module.SSLCertVerificationError():
            return (
                f"its certificate is not trusted ({error.verify_message}); give tls= a context that trusts it, "
                "or tls=False (farend record --insecure) to check none"
            )
        case ssl_module.SSLError():
            return f"the TLS handshake failed ({error.reason or error}); if it speaks no TLS, record {plain}://"
        case TimeoutError():
            return f"no answer from {where} in {deadline or 0:g} s"
        case ConnectionRefusedError():
            return f"nobody listens at {where}"
        case socket.gaierror():
            return f"there is no host {there.hostname} ({error.strerror})"
        case ConnectionError() if plain:
            return f"it ended the TLS handshake; if it speaks no TLS, record {plain}://"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
