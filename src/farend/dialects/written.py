"""What a client and a server said, written down as JSON, and read back as pairs. From seed 000.

One call of `write_communication` writes one array, of an object for each message:

    [{"type": "send", "data": "Hello"}, {"type": "receive", "data": {"base64": "AAE="}}]
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import inspect
import json
import os
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from farend.core.messages import Payload, printed
from farend.errors import InvalidArguments, WrongType

if TYPE_CHECKING:
    from farend.dialects.pairs import Pair


class AsyncClient(Protocol):
    """What `write_communication` needs of a client: two coroutines, as `websockets.connect` has them."""

    def send(self, message: Any, /) -> Awaitable[object]: ...
    def recv(self) -> Awaitable[Any]: ...


class Writable(Protocol):
    """A text file to write to."""

    def write(self, text: str, /) -> object: ...


class Readable(Protocol):
    """A text file to read from."""

    def read(self) -> str: ...


async def write_communication(
    *,
    to_send: str | bytes,
    client: AsyncClient,
    file: Writable | None = None,
    timeout: float | None = None,
    num_responses: int | None = None,
    tape: str | os.PathLike[str] | None = None,
) -> None:
    """Send one message through a client, and write down that and what comes back, as JSON.

    >>> import asyncio, io, websockets
    >>> from farend import respond_with, write_communication
    >>> async def hear() -> str:
    ...     file = io.StringIO()
    ...     async with respond_with(port=0, responses=["General"]) as server:
    ...         async with websockets.connect(server.url) as client:
    ...             await write_communication(to_send="Hello", client=client, file=file, num_responses=1)
    ...     return file.getvalue()
    >>> asyncio.run(hear())
    '[{"type": "send", "data": "Hello"}, {"type": "receive", "data": "General"}]'

    `client` is anything with the coroutines `send` and `recv`, connected to any server; `file` is
    anything with a `write` for text, and is neither rewound nor closed. What is written is one JSON
    array of objects with a `type` (`"send"` or `"receive"`) and `data`. Text is a JSON string; bytes are
    an object with their base64, `{"base64": "AAE="}`. `read_communication` reads it back.

    It stops after `num_responses` messages, or when nothing has come for `timeout` seconds; None means
    no limit, of the one or the other. If the client raises while it receives, what had come is written,
    and the exception comes through.

    With `tape`, a path, the conversation goes on a tape as well, message by message, and without its
    secrets; `file` may be left out then.

    Raises `InvalidArguments` if there is no limit at all, or nothing to write to, and `WrongType` for
    arguments of other types, before anything is sent; `WrongType` also if the client's methods turn out to
    be no coroutines.
    """
    if timeout is None and num_responses is None:
        raise InvalidArguments(f"Both cannot be `None`: {timeout = } and {num_responses = }")
    if file is None and tape is None:
        raise InvalidArguments("there is nothing to write to: give file=, a text file, or tape=, a path")
    _check_limits(timeout, num_responses)
    _check_ends(client, file)
    with contextlib.ExitStack() as stack:
        if tape is not None:
            from farend.dialects.taped import TapedClient

            client = stack.enter_context(TapedClient(client, tape))
        await _communicate(to_send, client, file, timeout, num_responses)


async def _communicate(
    to_send: str | bytes, client: AsyncClient, file: Writable | None, timeout: float | None, num_responses: int | None
) -> None:
    entries = [_entry("send", to_send, "to_send= takes")]
    await _awaitable(client.send(to_send), client, "send")
    try:
        while num_responses is None or len(entries) <= num_responses:
            try:
                async with asyncio.timeout(timeout) as clock:
                    message = await _awaitable(client.recv(), client, "recv")
            except TimeoutError:
                if not clock.expired():  # the client's own, then
                    raise
                break
            entries.append(_entry("receive", message, "client.recv() has to give"))
    finally:
        if file is not None:
            file.write(json.dumps(entries))


def read_communication(file: Readable) -> list[Pair]:
    """The pairs that `write_communication` wrote down, ready for `assert_communication`.

    >>> import io
    >>> read_communication(io.StringIO('[{"type": "send", "data": "Hello"}, {"type": "receive", "data": "General"}]'))
    [('Hello', ['General'])]

    `file` is anything with a `read` that gives text. It may hold what several calls wrote, one behind
    the other: each has a pair of its own. Raises `InvalidArguments` where it holds something else.
    """
    text = file.read()
    if not isinstance(text, str):
        raise WrongType("read_communication() takes a file that is open for text: open(path, encoding='utf-8')")
    pairs: list[tuple[Any, list[Payload]]] = []
    for number, entry in enumerate(_entries(text), 1):
        kind, message = _message(number, entry)
        if kind == "send":
            pairs.append((message, []))
        elif pairs:
            pairs[-1][1].append(message)
        else:
            pairs.append((None, [message]))
    return list(pairs)


def _check_limits(timeout: object, num_responses: object) -> None:
    if timeout is not None and (not isinstance(timeout, int | float) or isinstance(timeout, bool)):
        raise WrongType(f"timeout= takes a number of seconds, or None for no limit, not {printed(timeout)}")
    if timeout is not None and not 0 <= timeout < float("inf"):
        raise InvalidArguments(f"timeout={timeout!r}: a number of seconds is 0 or more; for no limit, write None")
    if num_responses is not None and (not isinstance(num_responses, int) or isinstance(num_responses, bool)):
        raise WrongType(
            f"num_responses= takes a number of messages, or None for no limit, not {printed(num_responses)}"
        )
    if num_responses is not None and num_responses < 0:
        raise InvalidArguments(f"num_responses={num_responses!r}: a number of messages is 0 or more")


def _check_ends(client: object, file: object) -> None:
    for name, value, methods in (("client", client, ("send", "recv")), ("file", file, ("write",))):
        if name == "file" and value is None:  # a tape is written instead
            continue
        missing = [method for method in methods if not callable(getattr(value, method, None))]
        if missing:
            raise WrongType(f"{name}= needs a method {' and a method '.join(missing)}, and {printed(value)} has none")


def _awaitable(answer: Any, client: object, method: str) -> Awaitable[Any]:
    if not inspect.isawaitable(answer):
        raise WrongType(
            f"client.{method}() of {type(client).__name__} gave {printed(answer)} and nothing to await: "
            "write_communication() takes an async client, such as websockets.connect gives"
        )
    return answer


def _entry(kind: str, message: object, who: str) -> dict[str, object]:
    match message:
        case str():
            return {"type": kind, "data": message}
        case bytes() | bytearray() | memoryview():
            return {"type": kind, "data": {"base64": base64.b64encode(message).decode()}}
    raise WrongType(f"{who} text or bytes, not {printed(message)}")


def _entries(text: str) -> Iterator[object]:
    """The entries of all the arrays in the text."""
    rest = text.strip()
    if not rest:
        raise InvalidArguments("the file is empty, or was read to its end already: rewind it with file.seek(0)")
    decoder = json.JSONDecoder()
    while rest:
        try:
            entries, end = decoder.raw_decode(rest)
        except json.JSONDecodeError as error:
            raise InvalidArguments(f"the file is none that write_communication() wrote: {error}") from None
        if not isinstance(entries, list):
            raise InvalidArguments(f"the file is none that write_communication() wrote: it holds {printed(entries)}")
        yield from entries
        rest = rest[end:].lstrip()


def _message(number: int, entry: object) -> tuple[str, Payload]:
    match entry:
        case {"type": "send" | "receive" as kind, "data": str() as text}:
            return kind, text
        case {"type": "send" | "receive" as kind, "data": {"base64": str() as code}}:
            try:
                return kind, base64.b64decode(code, validate=True)
            except binascii.Error as error:
                raise InvalidArguments(f"entry {number} of the file has base64 that is none: {error}") from None
    raise InvalidArguments(
        f"entry {number} of the file is {printed(entry)}, where an object with a type (send, receive) and data "
        '(text, or {"base64": …}) was expected'
    )
