"""The handshake's answer, changed."""

from __future__ import annotations

import base64

import pytest
from websockets.utils import accept_key

from farend.core.answers import OTHER_ACCEPT, WRONG_ACCEPT, Answer

RIGHT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
RIGHT += b"Sec-WebSocket-Accept: mine\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "old", "new"),
    [
        (Answer(), b"", b""),
        (Answer("200 OK"), b"101 Switching Protocols", b"200 OK"),
        (Answer(without=("upgrade",)), b"Upgrade: websocket\r\n", b""),
        (Answer(without=("Upgrade", "Connection")), b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b""),
        (Answer(fields=(("sec-websocket-accept", "x"),)), b"Sec-WebSocket-Accept: mine", b"sec-websocket-accept: x"),
        (WRONG_ACCEPT, b"mine", OTHER_ACCEPT.encode()),
        (Answer(lower=True), RIGHT[34:-8], RIGHT[34:-8].lower().replace(b"upgrade\r", b"Upgrade\r")),
    ],
)
def test_the_answer_is_the_right_one_but_for_what_is_changed(answer: Answer, old: bytes, new: bytes) -> None:
    assert answer.of(RIGHT) == (RIGHT.replace(old, new) if old else RIGHT)


def test_a_field_may_come_twice_and_what_is_behind_the_head_stays() -> None:
    changed = Answer(fields=(("A", "1"), ("A", "2"))).of(RIGHT + b"a frame: of bytes\r\n\r\n")
    assert changed == RIGHT[:-2] + b"A: 1\r\nA: 2\r\n\r\n" + b"a frame: of bytes\r\n\r\n"


def test_the_wrong_accept_is_that_of_a_key_which_no_client_has() -> None:
    key = base64.b64encode(b"farend, far away").decode()
    assert accept_key(key) == OTHER_ACCEPT
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") != OTHER_ACCEPT
