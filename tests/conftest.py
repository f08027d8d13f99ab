"""What all rooms' tests share: the Hypothesis profile, uvloop's closing, a Redis server, the scripts of Hypothesis."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme  # noqa: F401 (pytester takes away what its tests import first, and this bears no second import)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from farend.core import framing
from farend.core.matchers import json as json_matcher
from farend.core.matchers import regex
from farend.core.script import Script
from farend.core.steps import forever
from farend.stage.settings import settings as of_far_ends

collect_ignore_glob = (
    [] if "DJANGO_SETTINGS_MODULE" in os.environ else ["in_django/*", "seeds/*_django.py", "examples/*_django.py"]
)
"""What needs Django's settings is run by `test_django.py`, in a process that has them."""

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would all that it starts: the tests of Ctrl-C start programs.
    signal.signal(signal.SIGINT, signal.default_int_handler)


with contextlib.suppress(ImportError):  # there is none for Windows
    import uvloop

    _uvloop_closes = uvloop.Loop.close

    def _close(loop: uvloop.Loop) -> None:
        """Warn afterwards of what is left open.

        uvloop closes no handle whose warning is an error (`-W error`), and then waits for it for ever:
        a test that fails before it has stopped its server would hang all others.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _uvloop_closes(loop)
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    uvloop.Loop.close = _close  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def patient() -> Iterator[None]:
    """Deadlines that a machine which stands still for seconds does not reach, for tests in which none is to pass."""
    before, of_far_ends.scale = of_far_ends.scale, max(of_far_ends.scale, 4.0)
    yield
    of_far_ends.scale = before


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """The path of the Unix socket of a Redis server of our own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    folder = tempfile.mkdtemp(prefix="farend-redis-")
    path = os.path.join(folder, "s")
    options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder]
    server = subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if "eady to accept connections" in line or "ready to accept connections" in line:
                break
        else:
            pytest.fail(f"redis-server did not start: exit status {server.wait()}")
        yield path
    finally:
        server.terminate()
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def scripts() -> Callable[..., st.SearchStrategy[Script]]:
    """Strategies for scripts in which one message decides each choice; `scripts(stream=True)`."""
    return _scripts


def _reply_in_kind(message: Any) -> Any:
    return message + (b"!" if isinstance(message, bytes) else "!")


def _reply_twice(message: Any) -> Any:
    return [_reply_in_kind(message), _reply_in_kind(message) + _reply_in_kind(message)[:0]]


def _reply_nothing(message: Any) -> None:
    return None


def _cut_at_dot(data: bytes) -> tuple[int, bytes] | None:
    end = data.find(b".")
    return None if end < 0 else (end + 1, data[:end])


def _with_dot(message: bytes) -> bytes:
    return message + b"."


def _framings(message: bytes) -> list[framing.Framing]:
    """What can cut `message` out of a stream, and nothing shorter."""
    return [
        framing.exactly(len(message)),
        framing.until(b"|"),
        framing.until("%%", keep=True),
        framing.lines(),
        framing.lines(b"\r\n"),
        framing.length_prefixed(">I"),
        framing.length_prefixed("<H"),
        framing.length_prefixed("B"),
        framing.framed_by(_cut_at_dot, _with_dot),
    ]


class _Writer:
    """Writes one script. Every message begins with a number of its own, so that none is another's."""

    def __init__(self, draw: Any, stream: bool, script_framing: framing.Framing | None) -> None:
        self.draw = draw
        self.stream = stream
        self.framing = script_framing
        self.number = 0

    def message(self) -> str | bytes:
        self.number += 1
        text = f"<{self.number}>" + self.draw(st.text("abcé", max_size=5))
        return text.encode() if self.draw(st.booleans()) else text

    def framed(self) -> tuple[Any, framing.Framing | None]:
        message = self.message()
        if not self.stream or self.framing is not None or self.draw(st.booleans()):
            return message, None
        raw = message if isinstance(message, bytes) else message.encode()
        return message, self.draw(st.sampled_from(_framings(raw)))

    def body(self, depth: int, *, size: int = 3, expects_first: bool = False, alone: bool = True) -> Script:
        script = Script()
        if expects_first:
            self.expect(script)
        for _ in range(self.draw(st.integers(0 if expects_first else 1, size))):
            self.step(script, depth, alone)
        return script

    def step(self, script: Script, depth: int, alone: bool) -> None:
        kinds = ["expect", "send", "matcher", "reply", "pause"]
        kinds += ["greedy"] if self.stream and alone and self.framing is None else []
        kinds += ["any_order", "repeat", "forever", "optional"] if depth else []
        getattr(self, self.draw(st.sampled_from(kinds)))(script, depth, alone)

    def expect(self, script: Script, *_: Any) -> None:
        message, cut = self.framed()
        script.expect(message, framing=cut)

    def send(self, script: Script, *_: Any) -> None:
        message, cut = self.framed()
        if not self.stream and self.draw(st.booleans()):
            script.send_fragments(message[:2], message[2:])
        else:
            script.send(message, framing=cut)

    def matcher(self, script: Script, *_: Any) -> None:
        self.number += 1
        kind = self.draw(st.sampled_from(["json", "send json", "partial", "regex"]))
        value = {"id": f"<{self.number}>", "list": [1, None, {"é": True}]}
        if kind == "json":
            script.expect(json=value)
        elif kind == "send json":
            script.send(json=value)
        elif kind == "partial":
            more = f'{{"more": 1, "id": "<{self.number}>"}}'
            script.expect(json_matcher({"id": f"<{self.number}>"}), example=more)
        else:
            script.expect(regex(f"<{self.number}>[xé]+;"), example=f"<{self.number}>xéx;")

    def reply(self, script: Script, *_: Any) -> None:
        self.expect(script)
        script.reply(self.draw(st.sampled_from([_reply_in_kind, _reply_twice, _reply_nothing])))

    def pause(self, script: Script, *_: Any) -> None:
        script.pause(self.draw(st.sampled_from([0, 0.5, 1.5])))

    def greedy(self, script: Script, *_: Any) -> None:
        """`at_least` takes all of a burst, so whoever said it must wait for an answer then."""
        message = self.message()
        cut = framing.at_least(self.draw(st.integers(1, 3)))
        if self.draw(st.booleans()):
            script.expect(message, framing=cut)
            self.send(script)
        else:
            script.send(message, framing=cut)
            self.expect(script)

    def any_order(self, script: Script, depth: int, alone: bool) -> None:
        branches = self.draw(st.integers(1, 3))
        script.any_order(*(self.body(depth - 1, size=2, alone=False) for _ in range(branches)))
        self.expect(script)

    def repeat(self, script: Script, depth: int, alone: bool) -> None:
        script.repeat(self.draw(st.integers(1, 3)), self.body(depth - 1, size=2, alone=alone))
        self.expect(script)

    def forever(self, script: Script, depth: int, alone: bool) -> None:
        script.repeat(forever, self.body(depth - 1, size=2, expects_first=True, alone=alone))
        self.expect(script)

    def optional(self, script: Script, depth: int, alone: bool) -> None:
        script.optional(self.body(depth - 1, size=2, expects_first=True, alone=alone))
        self.expect(script)

    def end(self, script: Script) -> None:
        kind = self.draw(st.sampled_from(["", "close", "expect_close", "abort", "expect_reset"]))
        code = None if self.stream else self.draw(st.sampled_from([None, 1000, 1001, 4000]))
        reason = "" if self.stream or code is None else self.draw(st.sampled_from(["", "bye", "é"]))
        match kind:
            case "close":
                script.close(code, reason)
            case "expect_close":
                script.expect_close(code, reason or None)
            case "abort":  # a reset loses what is under way, so all must have come before
                self.send(script)
                self.expect(script)
                script.abort()
            case "expect_reset":
                self.expect(script)
                self.send(script)
                script.expect_close(reset=True)


@st.composite
def _scripts(draw: Any, *, stream: bool, ends: bool = True) -> Script:
    cuts = [None, None, framing.lines(), framing.length_prefixed(">H"), framing.until("%%")]
    writer = _Writer(draw, stream, draw(st.sampled_from(cuts)) if stream else None)
    script = Script(writer.body(depth=2, size=5).steps, framing=writer.framing)
    if ends:
        writer.end(script)
    return script
