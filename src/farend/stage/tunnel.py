"""TLS between a transport and a driver: to the transport it is a protocol, to the driver a transport.

asyncio's own TLS would be shorter. But then nobody is told of a handshake that fails, nor of what came
in its place; the far end could not end its side and still listen; and every event loop has its own way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Final, Protocol

from farend.core.commands import Abort, Close
from farend.core.events import Event, Received, Violated
from farend.core.matchers import described
from farend.core.outcomes import TlsProblem
from farend.stage import tls
from farend.stage.transports import reset

CHUNK: Final = 256 << 10
"""Bytes that are decrypted at once."""
HANDSHAKE_CUT: Final = "ended in the TLS handshake"
"""What is said of a connection that is gone before its TLS is there."""
_RECORDS: Final = (0x15, 0x16)
"""The first byte of what can open a TLS connection: an alert, a handshake (RFC 8446, 5.1)."""


class Inside(Protocol):
    """What has its connection through a tunnel: a driver, or one side of a proxy's pipe."""

    transport: Any
    activity: int

    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def at_work(self) -> bool: ...
    def poke(self, event: Event) -> None: ...
    def refused(self, transport: Any, violation: Violated) -> None: ...
    def shut(self) -> None: ...


class Tunnel(asyncio.Protocol):
    """Gives the driver a connection once the TLS handshake is done, and a violation if it fails.

    `patience` is how long the handshake may take, in seconds; None for no end. A client gives the
    server's name, and learns by `opened` that the handshake is done, or why it failed.
    """

    def __init__(
        self,
        driver: Inside,
        context: ssl.SSLContext,
        patience: float | None,
        *,
        server_name: str | None = None,
        opened: asyncio.Future[None] | None = None,
    ) -> None:
        self._driver = driver
        self._protocol: Any = driver
        """Who is told what happens: the driver, or what stands in front of it."""
        self._patience = patience
        self._opened = opened
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=opened is None, server_hostname=server_name
        )
        self._heard = bytearray()
        self._is_open = self._failed = self._said_goodbye = self._heard_the_end = False
        self._raw: Any = None
        self._timer: asyncio.TimerHandle | None = None

    # -- the transport's protocol -----------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._raw = transport
        self._driver.transport = self
        loop = asyncio.get_running_loop()
        self.connected_at = loop.time()
        """When there was a connection, before its TLS."""
        if self._patience is not None:
            self._timer = loop.call_later(self._patience, self._too_late)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            self._incoming.write(data)
            self._read()
            return
        self._driver.activity += 1
        if self._failed:
            if not self._speaks_tls:
                self._driver.poke(Received(data))
            return
        self._heard += data
        self._incoming.write(data)
        self._shake_hands()

    def eof_received(self) -> bool:
        if not self._is_open and not self._failed:
            self._fail(ConnectionResetError(HANDSHAKE_CUT))
        if self._is_open or self._opened is None:  # else the driver of a client has heard of no connection
            self._hear_the_end()
        return not self._raw.is_closing()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_open and not self._failed:
            self._fail(error if isinstance(error, OSError) else ConnectionResetError(HANDSHAKE_CUT))
        self._stop_timer()
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        if self._is_open:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._protocol.resume_writing()

    # -- the driver's transport -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._said_goodbye or self._raw.is_closing():
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def can_write_eof(self) -> bool:
        return bool(self._raw.can_write_eof())

    def write_eof(self) -> None:
        # A close_notify ends our side (RFC 8446, 6.1). The end of the stream itself comes when the near end has
        # left as well: uvloop's TLS client forgets what it has not handed on yet when that comes at once.
        self._say_goodbye()

    def close(self) -> None:
        self._say_goodbye()
        self._raw.close()

    def abort(self) -> None:
        self._failed = not self._is_open  # by ourselves, which is no finding
        self._raw.abort()

    def is_closing(self) -> bool:
        return bool(self._raw.is_closing())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return int(self._raw.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        low, high = self._raw.get_write_buffer_limits()
        return low, high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    # -- inside -----------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except OSError as error:  # among them all that TLS has to say
            self._flush()
            self._fail(error)
            return
        self._flush()
        self._acknowledge()
        self._stop_timer()
        self._is_open = True
        self._heard.clear()
        self._driver.connection_made(self)
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        self._read()

    def _acknowledge(self) -> None:
        """Say now that the handshake's last words came, since nothing is sent that would.

        The near end's system may hold back what it says next until then (Nagle), and ours takes its time: 40 ms.
        """
        sock = self._raw.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):  # no TCP
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read(self) -> None:
        while not self._raw.is_closing():
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except OSError as error:
                self._driver.poke(Violated(f"its TLS cannot be read: {described(error)}", about="tls"))
                self._raw.abort()
                return
            if not data:
                self._hear_the_end()
                break
            self._protocol.data_received(data)
        self._flush()

    def _hear_the_end(self) -> None:
        if not self._heard_the_end:
            self._heard_the_end = True
            # Many clients wait for an answer to their close_notify (RFC 5246, 7.2.1) and hear nothing else, so
            # the other half stays open only as long as the script has something to say.
            if not (self._protocol.eof_received() and self._driver.at_work()):
                self.close()

    def _say_goodbye(self) -> None:
        if self._is_open and not self._said_goodbye:
            self._said_goodbye = True
            with contextlib.suppress(OSError):  # it waits for the near end's goodbye, and we do not
                self._tls.unwrap()
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    # -- when the handshake fails -----------------------------------------------------------------

    @property
    def _speaks_tls(self) -> bool:
        return not self._heard or self._heard[0] in _RECORDS

    def _too_late(self) -> None:
        self._timer = None
        self._fail(TimeoutError(f"it connected, and finished no TLS handshake within {self._patience:g} s"))

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self._stop_timer()
        if self._opened is not None:
            if not self._opened.done():
                self._opened.set_exception(error)
            self._driver.shut()
            return
        said = b"" if self._speaks_tls else bytes(self._heard)
        answer = None if isinstance(error, ConnectionError) else Close()
        self._driver.refused(self, Violated(_problem(error, said), said, "tls", answer=answer))
        if self._raw.can_write_eof() and not self._raw.is_closing():
            self._raw.write_eof()  # what else it says is still heard
        else:
            self._raw.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class CutTunnel(Tunnel):
    """Resets the connection when the near end has said its first words."""

    def _shake_hands(self) -> None:
        if not self._heard:
            super()._shake_hands()
            return
        self._failed = True
        self._stop_timer()
        reset(self._raw)
        self._driver.refused(self, Violated("the far end has cut the TLS handshake", about="tls", answer=Abort()))


def bad_tunnel(driver: Inside, fault: TlsProblem, patience: float | None) -> Tunnel:
    """A server's tunnel in which TLS goes wrong."""
    if fault == "cut":
        return CutTunnel(driver, tls.server_context(), patience)
    return Tunnel(driver, tls.bad_context(fault), patience)


def _problem(error: OSError, said: bytes) -> str:
    if isinstance(error, TimeoutError):
        return str(error)
    text = described(error)
    reason = getattr(error, "reason", None) or text
    for sign, problem in _PROBLEMS.items():
        if sign in str(reason) or sign in text:
            return f"{problem} ({text})"
    return f"{_NO_TLS} ({text})" if said else f"the TLS handshake failed: {text}"


_REFUSED = (
    "the client refused the certificate: give it the far end's client_ssl_context, which trusts its throw-away CA"
)
_NO_TLS = "the client does not speak TLS, and this far end does (tls=True)"
_PROBLEMS = {
    "UNKNOWN_CA": _REFUSED,
    "CERTIFICATE": _REFUSED,
    "HTTP_REQUEST": "the client speaks plain HTTP where TLS was expected: use https:// or wss://",
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "ConnectionResetError": "the client left during the TLS handshake",
    "BrokenPipeError": "the client left during the TLS handshake",
}
