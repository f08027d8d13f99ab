"""TLS with a throw-away authority: made once for each process, trusted by nobody who is not told to."""

from __future__ import annotations

import datetime
import functools
import importlib.util
import ssl
import threading
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from farend.errors import MissingExtra, WrongType

if TYPE_CHECKING:
    import trustme

NAMES: Final = ("localhost", "127.0.0.1", "::1")


@functools.cache
def authority() -> trustme.CA:
    """The throw-away certificate authority of this process. Raises `MissingExtra` without `trustme`."""
    try:
        import trustme
    except ImportError:
        raise MissingExtra("tls=True needs trustme, for a throw-away certificate: pip install 'farend[tls]'") from None
    return trustme.CA()


assumed: Final[Counter[str]] = Counter()
"""The names that the throw-away servers go by at the moment, beside their own: those of hosts that are rerouted."""


def assume(names: Iterable[str]) -> None:
    """Let the throw-away servers go by these names as well, until `unassume`."""
    with _lock:
        assumed.update(names)


def unassume(names: Iterable[str]) -> None:
    """Once less."""
    with _lock:
        assumed.subtract(names)
        for name in [name for name, times in assumed.items() if not times]:
            del assumed[name]


_lock: Final = threading.Lock()


@functools.cache
def server_context(names: tuple[str, ...] = NAMES) -> ssl.SSLContext:
    """A server's context, with a certificate for `names`; who asks for an assumed name gets one for that."""
    context = _context(authority().issue_cert(*names))
    context.sni_callback = _assume
    return context


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context that sends no session tickets: they come behind the handshake (RFC 8446, 4.6.1).

    A client that never reads leaves them unread, which would make a reset of its close. And a client that reads on a
    thread of its own, as websockets' blocking one does, takes them in while it may be writing: Python lets both
    threads into OpenSSL, which minds, and what was written is lost, or the heap is (python/cpython#143756).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.num_tickets = 0
    return context


def _assume(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
    """Choose the certificate by the name that the client gives (RFC 6066, 3)."""
    if name in assumed and name is not None:
        connection.context = server_context((name,))


@functools.cache
def bad_context(fault: str) -> ssl.SSLContext:
    """A server's context that no client must go on with: "expired", "wrong name", "untrusted".

    Whatever name a client asks for, nothing else is wrong with the certificate.
    """
    context = _bad_context(fault, NAMES)
    if fault != "wrong name":
        context.sni_callback = functools.partial(_assume_badly, fault)
    return context


@functools.cache
def _bad_context(fault: str, names: tuple[str, ...]) -> ssl.SSLContext:
    signer = authority()
    if fault == "untrusted":
        import trustme

        signer = trustme.CA()
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC) if fault == "expired" else None
    names = ("another.name.invalid",) if fault == "wrong name" else names
    before = None if past is None else past - datetime.timedelta(days=1)
    return _context(signer.issue_cert(*names, not_before=before, not_after=past))


def _assume_badly(fault: str, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
    if name is not None and name not in NAMES:
        connection.context = _bad_context(fault, (name,))


@functools.cache
def client_context() -> ssl.SSLContext:
    """A client's context, which trusts the throw-away authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def is_available() -> bool:
    """Whether there can be throw-away certificates: whether `trustme` is installed."""
    return importlib.util.find_spec("trustme") is not None


def is_throw_away(context: ssl.SSLContext | None) -> bool:
    """Whether a server's context is the one that `tls=True` asks for."""
    return context is not None and is_available() and context is server_context()


def chosen(tls: bool | ssl.SSLContext, *, server: bool, name: str = "tls") -> ssl.SSLContext | None:
    """The context that `tls=`, or the argument of that name, asks for: True is the throw-away one."""
    if isinstance(tls, ssl.SSLContext):
        return tls
    if not isinstance(tls, bool):
        raise WrongType(f"{name}= takes True, or an ssl.SSLContext of your own, not {tls!r}")
    if not tls:
        return None
    return server_context() if server else client_context()
