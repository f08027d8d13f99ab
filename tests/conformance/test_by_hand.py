"""STYLE 4, 11: near ends written by hand, which do to a connection what no well-behaved client does."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.uri import parse_uri

from farend import Failure, Script

pytestmark = pytest.mark.on("servers", "by hand")


class Hand:
    """A blocking near end: a socket, with `websockets` without I/O above it where that is spoken.

    `cut` is how many bytes go into one `send`; None is all.
    """

    def __init__(self, far: Any, stage: Any, cut: int | None = None) -> None:
        self._cut = cut
        if far.unix_path is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(5)
            self.socket.connect(far.unix_path)
        else:
            self.socket = socket.create_connection((far.host, far.port), timeout=5)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if stage.options.get("tls"):
            self.socket = far.client_ssl_context.wrap_socket(self.socket, server_hostname=far.host)
        self._frames: Iterator[Any] = iter(())
        self._protocol: ClientProtocol | None = None
        if not stage.stream:
            deflate = [ClientPerMessageDeflateFactory()] if stage.options.get("compression") else None
            self._protocol = ClientProtocol(parse_uri(far.url), extensions=deflate)
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            self._next()
            assert self._protocol.handshake_exc is None

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def say(self, text: str) -> None:
        if self._protocol is None:
            self.raw(text.encode())
        else:
            self._protocol.send_text(text.encode())
            self._flush()

    def raw(self, data: bytes) -> None:
        step = self._cut or len(data) or 1
        for at in range(0, len(data), step):
            self.socket.sendall(data[at : at + step])

    def hear(self, text: str) -> None:
        if self._protocol is None:
            heard = b""
            while len(heard) < len(text.encode()):
                data = self.socket.recv(len(text.encode()) - len(heard))
                assert data, f"the far end ended the connection after {heard!r}"
                heard += data
        else:
            frame = self._next()
            assert isinstance(frame, Frame)
            heard = bytes(frame.data)
        assert heard.decode() == text

    def hear_the_end(self) -> int | None:
        """Wait until nothing more comes; on a WebSocket, give the close code."""
        if self._protocol is not None:
            self._flush()  # the answer to a close frame that came with the last message
        while data := self.socket.recv(1 << 16):
            if self._protocol is not None:
                self._protocol.receive_data(data)
                self._flush()
        return self._protocol.close_rcvd.code if self._protocol and self._protocol.close_rcvd else None

    def cut(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if isinstance(self.socket, ssl.SSLSocket):
            socket.socket(fileno=self.socket.detach()).close()
        else:
            self.socket.close()

    def _flush(self) -> None:
        assert self._protocol is not None
        self.raw(b"".join(self._protocol.data_to_send()))

    def _next(self) -> Any:
        assert self._protocol is not None
        while True:
            for event in self._frames:
                return event
            data = self.socket.recv(1 << 16)
            assert data, "the far end ended the connection"
            self._protocol.receive_data(data)
            self._frames = iter(self._protocol.events_received())


def _as_text(message: Any) -> Any:
    return message.decode(errors="backslashreplace") if isinstance(message, bytes) else message


def play(stage: Any, script: Script, hand: Any, cut: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Play the script with a near end by hand; give what was found, and what was received."""

    def beside(far: Any) -> None:
        with Hand(far, stage, cut) as near:
            hand(near)

    async def body() -> Any:
        far = stage.server(script)
        found: list[str] = []
        try:
            async with stage.entered(far):
                await stage.by_hand(beside, far)
        except Failure as failure:
            found = [type(finding).__name__ for finding in failure.findings]
        received = [transcript.received for transcript in far.transcripts]
        return found, [[_as_text(one) for one in said] for said in received]

    return stage.run(body())


@pytest.mark.parametrize("cut", [None, 1, 7])
def test_however_it_is_cut(stage: Any, cut: int | None) -> None:
    def hand(near: Hand) -> None:
        near.say("hello")
        near.hear("there")
        near.say("x" * 300)
        near.hear("y" * 300)

    script = Script().expect("hello").send("there").expect("x" * 300).send("y" * 300)
    assert play(stage, script, hand, cut) == ([], [["hello", "x" * 300]])


def test_all_in_one_breath(stage: Any) -> None:
    def hand(near: Hand) -> None:
        for number in range(100):
            near.say(f"{number};")
        for number in range(100):
            near.hear(f"{number}!")

    script = Script()
    for number in range(100):
        script.expect(f"{number};").send(f"{number}!")
    assert play(stage, script, hand)[0] == []


def test_it_leaves_without_a_word(stage: Any) -> None:
    def hand(near: Hand) -> None:
        near.say("a")
        near.hear("b")

    script = Script().expect("a").send("b").expect("c")
    assert play(stage, script, hand) == (["EndedEarly"], [["a"]])


def test_it_leaves_without_a_word_once_all_was_said(stage: Any) -> None:
    def hand(near: Hand) -> None:
        near.say("a")
        near.hear("b")

    assert play(stage, Script().expect("a").send("b"), hand) == ([], [["a"]])


def test_it_cuts_the_connection(stage: Any) -> None:
    if not stage.resets:
        pytest.skip("a Unix socket cannot be reset")

    def hand(near: Hand) -> None:
        near.say("a")
        near.hear("b")
        near.cut()

    assert play(stage, Script().expect("a").send("b").expect_close(reset=True), hand) == ([], [["a"]])
    assert play(stage, Script().expect("a").send("b").expect("c"), hand) == (["EndedEarly"], [["a"]])


def test_it_does_not_hang_on_a_mismatch(stage: Any) -> None:
    def hand(near: Hand) -> None:
        near.say("x")
        code = near.hear_the_end()
        assert code == (None if stage.stream else 1008)

    assert play(stage, Script().expect("a").send("b"), hand) == (["Mismatch"], [["x"]])


def test_it_hears_the_end_of_the_script(stage: Any) -> None:
    def hand(near: Hand) -> None:
        near.say("a")
        near.hear("b")
        code = near.hear_the_end()
        assert code == (None if stage.stream else 1000)

    assert play(stage, Script().expect("a").send("b").close(), hand) == ([], [["a"]])


@pytest.mark.on("stream")
def test_it_ends_its_side_and_still_hears(stage: Any) -> None:
    if stage.transport == "tls":
        pytest.skip("a client's close_notify is answered at once, so there is no half-open TLS")

    def hand(near: Hand) -> None:
        near.say("ask")
        near.socket.shutdown(socket.SHUT_WR)
        near.hear("answer" * 10_000)
        near.hear("more")
        near.hear_the_end()

    script = Script().expect("ask").expect_close().pause(0.01).send("answer" * 10_000).pause(0.01).send("more").close()
    assert play(stage, script, hand) == ([], [["ask"]])


@pytest.mark.on("messages")
def test_it_breaks_the_protocol(stage: Any) -> None:
    def hand(near: Hand) -> None:
        near.raw(b"\x83\x80\x00\x00\x00\x00")  # an opcode that is not one (RFC 6455, 5.2)
        assert near.hear_the_end() == 1002

    assert play(stage, Script().expect("a"), hand) == (["ProtocolViolation"], [["\\x83\\x80\0\0\0\0"]])
