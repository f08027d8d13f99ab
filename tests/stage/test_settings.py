"""Deadlines, the scale and the limits: where they come from, and what they can be."""

from __future__ import annotations

from typing import Any

import pytest

from farend import InvalidArguments, TcpServer, WebSocketServer, WrongType
from farend.stage.settings import (
    DEADLINE,
    MAX_SIZE,
    PARSERS,
    Settings,
    checked_deadline,
    checked_size,
    from_environment,
    parsed_deadline,
    parsed_number,
    parsed_scale,
    settings,
)


def test_the_defaults_are_the_documented_ones() -> None:
    """Bad input: the default limit is 16 MiB."""
    assert Settings() == Settings(deadline=5.0, scale=1.0, max_size=16 << 20)
    assert (DEADLINE, MAX_SIZE) == (5.0, 16 << 20)


def test_the_scale_stretches_every_deadline() -> None:
    slow = Settings(deadline=2.0, scale=3.0)
    assert slow.effective() == 6.0
    assert slow.effective("default") == 6.0
    assert slow.effective(0.5) == 1.5
    assert slow.effective(None) is None
    assert Settings(deadline=None, scale=3.0).effective() is None


def test_a_far_end_takes_the_settings_that_hold_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "deadline", 7.0)
    monkeypatch.setattr(settings, "scale", 2.0)
    monkeypatch.setattr(settings, "max_size", 1000)
    server = TcpServer()
    assert (server.deadline, server.max_size) == (14.0, 1000)
    assert TcpServer(deadline=1).deadline == 2.0
    assert WebSocketServer(deadline=None).deadline is None
    assert WebSocketServer(max_size=5).max_size == 5


@pytest.mark.parametrize("value", ["5", True, [], b"1"])
def test_a_deadline_of_another_type(value: Any) -> None:
    with pytest.raises(WrongType, match=r"deadline= takes a number of seconds, or None for no end, not "):
        TcpServer(deadline=value)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_deadline_that_is_none(value: float) -> None:
    with pytest.raises(InvalidArguments, match="a deadline is a number of seconds above 0, or None for no end"):
        checked_deadline(value)


@pytest.mark.parametrize("value", ["1", True, 0, -5, 1.5])
def test_a_size_that_is_none(value: Any) -> None:
    with pytest.raises(WrongType, match="max_size= takes a number of bytes, not "):
        checked_size(value)
    with pytest.raises(WrongType, match="max_size= takes a number of bytes, not "):
        WebSocketServer(max_size=value)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parsed_deadline, "2.5", 2.5),
        (parsed_deadline, " none ", None),
        (parsed_deadline, "NONE", None),
        (parsed_scale, "3", 3.0),
        (parsed_number, "17", 17),
    ],
)
def test_text_from_outside_is_read(parse: Any, text: str, value: Any) -> None:
    assert parse(text, "--option") == value


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "inf", "nan"])
@pytest.mark.parametrize("parse", [parsed_deadline, parsed_scale, parsed_number])
def test_text_from_outside_that_means_nothing_names_its_source(parse: Any, text: str) -> None:
    with pytest.raises(InvalidArguments, match="^--option takes a ") as caught:
        parse(text, "--option")
    assert repr(text) in str(caught.value)


def test_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PARSERS:
        monkeypatch.delenv(f"FAREND_{name.upper()}", raising=False)
    assert from_environment() == Settings()
    monkeypatch.setenv("FAREND_DEADLINE", "none")
    monkeypatch.setenv("FAREND_SCALE", "4")
    monkeypatch.setenv("FAREND_MAX_SIZE", "100")
    read = from_environment()
    assert (read.deadline, read.scale, read.max_size, read.asked) == (None, 4.0, 100, True)
    monkeypatch.setenv("FAREND_SCALE", "quick")
    with pytest.raises(InvalidArguments, match="FAREND_SCALE takes a factor above 0, such as 3, not 'quick'"):
        from_environment()
