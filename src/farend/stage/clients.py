"""Far ends that dial: `TcpClient` and `WebSocketClient` play a script against a server under test."""

from __future__ import annotations

import asyncio
import math
import os
import ssl as ssl_module
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from farend.core import arguments
from farend.core.faults import Fault
from farend.core.findings import Finding, NotConnected
from farend.core.matchers import described
from farend.core.names import hinted
from farend.core.script import Script
from farend.core.stream import StreamWire
from farend.errors import InvalidArguments, WrongType
from farend.stage import tls as tls_module
from farend.stage.driver import Driver, Wire
from farend.stage.far_end import Deadline, FarEnd
from farend.stage.peer import BlockingPeer, Peer
from farend.stage.tunnel import HANDSHAKE_CUT, Tunnel

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL says of an answer that is no TLS."""


class Client(FarEnd):
    """What both clients have: they dial when they are entered, and play until they are left."""

    side = "client"
    _without_tls = "leave tls= out"
    _driver: Driver | None = None

    async def _open(self) -> None:
        __tracebackhide__ = True
        try:
            async with self.limit(self.deadline):
                await self._dial()
            return
        except (OSError, TimeoutError) as error:
            problem = self._problem(error)
        self._raise([NotConnected(self._place(), problem)])

    async def _dial(self) -> None:
        raise NotImplementedError

    def _problem(self, error: OSError) -> str:
        if isinstance(error, TimeoutError) and not error.args:
            waited, _ = self.waited(self.deadline)
            return f"{self._where()} did not answer" + (f" within {waited:g} s" if waited < math.inf else "")
        if isinstance(error, ConnectionRefusedError):
            return f"nobody listens on {self._where()}: is the server under test started, and is this its port?"
        if isinstance(error, FileNotFoundError):
            return f"there is no Unix socket {self._where()}"
        if isinstance(error, ssl_module.SSLError) and error.reason in _NO_TLS:
            return f"{self._where()} does not speak TLS ({described(error)}): {self._without_tls}"
        hint = f"; if it does not speak TLS, {self._without_tls}" if HANDSHAKE_CUT in error.args else ""
        return f"{self._where()}: {described(error)}{hint}"

    def _wire(self) -> Wire:
        raise NotImplementedError

    def _new_driver(self) -> Driver:
        driver = Driver(self, self._wire(), 1)
        self._drivers.append(driver)
        return driver

    async def _connect(self, host: str, port: int, tls: ssl_module.SSLContext | None, server_name: str) -> None:
        loop = asyncio.get_running_loop()
        driver = self._new_driver()
        opened: asyncio.Future[None] = loop.create_future()
        protocol: asyncio.BaseProtocol = driver
        if tls is not None:
            protocol = Tunnel(driver, tls, self.deadline, server_name=server_name, opened=opened)
        try:
            await loop.create_connection(lambda: protocol, host, port)
            if tls is not None:
                await opened
        except BaseException:
            self._forget(driver)
            raise

    async def _connect_to_path(self, path: str) -> None:
        driver = self._new_driver()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: driver, path)
        except BaseException:
            self._forget(driver)
            raise

    def _forget(self, driver: Driver) -> None:
        if driver.transport is None:  # there is no connection, and will be none
            self._drivers.remove(driver)

    @property
    def peer(self) -> Peer:
        """The connection, to hold in your hand."""
        return self.connections[0]

    @property
    def blocking_peer(self) -> BlockingPeer:
        """The connection, to hold in your hand in a plain test."""
        return BlockingPeer(self.peer)


class TcpClient(Client):
    r"""A far end that dials a TCP server under test, and plays its script with it.

    >>> from farend import Script, TcpClient, TcpServer
    >>> script = Script().expect(b"PING\n").send(b"PONG\n")
    >>> with TcpServer(script) as server:
    ...     with TcpClient(script.mirrored(), server.host, server.port):
    ...         pass

    `host` and `port` are the server's, or `unix_path` is. `tls` is True where the server has farend's
    throw-away certificate, or your own `ssl.SSLContext`. `faults` are as for `TcpServer`. The `with`
    raises `Failure` if nobody answers there; leaving it plays out what is left, and raises `Failure` if
    something went wrong.
    """

    @hinted
    def __init__(
        self,
        script: Script | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        unix_path: str | os.PathLike[str] | None = None,
        tls: bool | ssl_module.SSLContext = False,
        name: str | None = None,
        deadline: Deadline = "default",
        max_size: int | None = None,
        faults: Iterable[Fault] | Fault = (),
    ) -> None:
        __tracebackhide__ = True
        _check_single(script)
        if unix_path is None and not port:
            raise InvalidArguments("TcpClient needs the port of the server under test: TcpClient(script, host, port)")
        super().__init__(script, name=name, deadline=deadline, max_size=max_size, faults=faults)
        self._host = host
        self._port = port
        self._unix_path = None if unix_path is None else os.fspath(unix_path)
        self._tls = tls_module.chosen(tls, server=False)

    def _where(self) -> str:
        return self._unix_path or f"{self._host}:{self._port}"

    def _wire(self) -> Wire:
        return StreamWire()

    async def _dial(self) -> None:
        if self._unix_path is not None:
            await self._connect_to_path(self._unix_path)
        else:
            await self._connect(self._host, self._port, self._tls, self._host)


class WebSocketClient(Client):
    """A far end that dials a WebSocket server under test, and plays its script with it.

    >>> from farend import Script, WebSocketClient, WebSocketServer
    >>> script = Script().expect("hello").send("there")
    >>> with WebSocketServer(script) as server:
    ...     with WebSocketClient(script.mirrored(), server.url):
    ...         pass

    `url` begins with `ws://` or `wss://`. `headers` and `origin` go into the handshake, and
    `subprotocols` are offered there, the preferred first; `compression` offers permessage-deflate.
    `tls` is as for `TcpClient`, and needed only where a `wss://` server has farend's certificate or an
    own context is wanted.
    """

    _stream = False
    _without_tls = "dial ws://"

    @hinted
    def __init__(
        self,
        script: Script | None,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        subprotocols: Sequence[str] | None = None,
        compression: bool = False,
        tls: bool | ssl_module.SSLContext | None = None,
        name: str | None = None,
        deadline: Deadline = "default",
        max_size: int | None = None,
        faults: Iterable[Fault] | Fault = (),
    ) -> None:
        __tracebackhide__ = True
        _check_single(script)
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise InvalidArguments(f"WebSocketClient needs a URL such as 'ws://127.0.0.1:8000/feed', not {url!r}")
        super().__init__(script, name=name, deadline=deadline, max_size=max_size, faults=faults)
        self._url = url
        self._secure = parts.scheme == "wss"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._headers = dict(headers or {})
        self._origin = origin
        arguments.subprotocols(subprotocols)
        self._subprotocols = subprotocols
        self._compression = arguments.compression(compression)
        if not self._secure:
            self._tls: ssl_module.SSLContext | None = None
        elif tls is None:
            self._tls = ssl_module.create_default_context()
        else:
            self._tls = tls_module.chosen(tls, server=False)

    def _where(self) -> str:
        return self._url

    def _wire(self) -> Wire:
        from farend.core.websocket import ClientWire

        return ClientWire(
            self._url,
            max_size=self.max_size,
            subprotocols=self._subprotocols,
            compression=self._compression,
            headers=self._headers,
            origin=self._origin,
        )

    async def _dial(self) -> None:
        __tracebackhide__ = True
        await self._connect(self._host, self._port, self._tls, self._host)
        [driver] = self._drivers
        if not driver.begun:
            await self._until_begun(driver)

    async def _until_begun(self, driver: Driver) -> None:
        """Until the server has answered the handshake: then the script is being played, or cannot be."""
        __tracebackhide__ = True
        with self._watching() as progress:
            while not driver.begun and not driver.is_lost:
                progress.clear()
                await progress.wait()
        findings: tuple[Finding, ...] = self.findings
        # What went wrong in the conversation itself, if it began already, is told where every stage tells it.
        if findings and driver.conversation.transcript.opening is None:
            self._raise(findings)
        if not driver.begun:
            raise ConnectionResetError("the server ended the connection without answering the handshake")


def _check_single(script: Any) -> None:
    if script is not None and not isinstance(script, Script):
        raise WrongType(f"a client plays one Script, not {script!r}")
    if script is not None:
        script.check_for_client()
