from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any

import pytest

from farend.core import arguments
from farend.core.by_hand import Frame
from farend.core.framing import lines
from farend.core.malformed import RSV1
from farend.core.matchers import Equal, OfType, Regex, regex
from farend.core.messages import Fragments, Ping, Pong, Raw
from farend.errors import ScriptError, WrongType


class Word(StrEnum):
    HELLO = "hello"


class Old(str, Enum):  # noqa: UP042
    HELLO = "hello"


class Code(bytes, Enum):
    ACK = b"\x06"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("é", "é"),
        (b"a", b"a"),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (Word.HELLO, "hello"),
        (Old.HELLO, "hello"),
        (Code.ACK, b"\x06"),
        (Ping(b"a"), Ping(b"a")),
        (Pong(), Pong()),
        (Fragments(["a", "b"]), Fragments(("a", "b"))),  # type: ignore[arg-type]
        (Raw(bytearray(b"a")), Raw(b"a")),  # type: ignore[arg-type]
        (Frame(0x3), Frame(0x3)),
        (RSV1, RSV1),
    ],
)
def test_a_payload_is_kept_as_wires_know_it(given: Any, kept: Any) -> None:
    payload = arguments.payload(given, "send")
    assert payload == kept
    assert type(payload) is type(kept)


def test_a_buffer_is_copied() -> None:
    buffer = bytearray(b"a")
    payload = arguments.payload(buffer, "send")
    buffer[0] = 0
    assert payload == b"a"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (1, WrongType, r"send takes str, bytes, Ping, Pong, Fragments, Frame or Raw, not 1; .* send\(json=…\)"),
        (None, WrongType, "not None"),
        ("\ud800", ScriptError, "no UTF-8"),
        (Ping(b"x" * 126), ScriptError, "at most 125 bytes"),
        (Pong("x"), ScriptError, "at most 125 bytes"),  # type: ignore[arg-type]
        (Fragments(()), WrongType, "at least one"),
        (Raw("a"), WrongType, r"Raw\(\) takes bytes, not 'a'"),  # type: ignore[arg-type]
        (Fragments(("a", b"b")), WrongType, "all text or all bytes"),  # type: ignore[arg-type]
        (Fragments(("a", "\udfff")), ScriptError, "no UTF-8"),
    ],
)
def test_what_cannot_be_said_is_told(given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        arguments.payload(given, "send")


@pytest.mark.parametrize(
    ("name", "advice"),
    [("send", "write send(json=…)"), ("broadcast", "write broadcast(json=…)"), ("a reply", "return json.dumps(…)")],
)
def test_json_is_advised_for_the_call_that_was_made(name: str, advice: str) -> None:
    with pytest.raises(WrongType) as caught:
        arguments.payload(5, name)
    assert str(caught.value).endswith(advice)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a", "a"),
        (Word.HELLO, "hello"),
        (memoryview(b"a"), b"a"),
        (Ping(), Ping()),
        (str, OfType(str)),
        (regex("a"), Regex("a")),
        (Fragments(("a",)), Equal(Fragments(("a",)))),
    ],
)
def test_what_is_expected_stays_plain_or_becomes_a_matcher(given: Any, kept: Any) -> None:
    assert arguments.expected(given) == kept


@pytest.mark.parametrize("given", [1, 1.5, True, None, {"a": 1}, ["a"], ("a",)])
def test_what_no_message_is_equal_to_is_told(given: Any) -> None:
    with pytest.raises(WrongType, match=r"no message is equal to that; for JSON, write expect\(json="):
        arguments.expected(given)


@pytest.mark.parametrize(("value", "text"), [({"é": [1, None]}, '{"é": [1, null]}'), (True, "true")])
def test_json_is_written_as_text(value: object, text: str) -> None:
    assert arguments.as_json(value) == text


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), circle(), {1j: 2}])
def test_what_is_no_json_is_told(value: object) -> None:
    with pytest.raises(WrongType, match="cannot be written as JSON"):
        arguments.as_json(value)


def test_json_that_has_no_utf8_is_told() -> None:
    with pytest.raises(WrongType, match="no UTF-8"):
        arguments.as_json("\ud800")


@pytest.mark.parametrize(("value", "kept"), [(None, None), (0, 0.0), (1, 1.0), (0.5, 0.5)])
def test_seconds(value: Any, kept: Any) -> None:
    assert arguments.seconds(value, "within") == kept


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", WrongType), (True, WrongType), (-1, ScriptError), (float("inf"), ScriptError), (float("nan"), ScriptError)],
)
def test_seconds_that_cannot_be_meant_are_told(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="within"):
        arguments.seconds(value, "within")


@pytest.mark.parametrize("code", [None, 1000, 1003, 1007, 1014, 3000, 4999])
def test_close_codes_that_can_be_sent(code: int | None) -> None:
    assert arguments.sent_close_code(code) == arguments.close_code(code) == code


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 2000, 2999])
def test_close_codes_that_only_come(code: int) -> None:
    assert arguments.close_code(code) == code
    with pytest.raises(ScriptError, match=f"{code} cannot be sent"):
        arguments.sent_close_code(code)


@pytest.mark.parametrize(
    ("code", "error"), [("1000", WrongType), (True, WrongType), (999, ScriptError), (5000, ScriptError)]
)
def test_what_is_no_close_code_is_told(code: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="close code"):
        arguments.close_code(code)


def test_a_framing_is_a_framing() -> None:
    assert arguments.framing(None) is None
    assert arguments.framing(lines()) == lines()
    with pytest.raises(WrongType, match="framing= takes a framing"):
        arguments.framing(b"\n")  # type: ignore[arg-type]
