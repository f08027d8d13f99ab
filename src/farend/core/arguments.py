"""What users write, checked: each function gives the value as farend keeps it, or raises at the caller's line."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping

from farend.core.framing import Framing
from farend.core.matchers import matcher
from farend.core.messages import CONTROL, Fragments, OnWire, Payload, Ping, Pong, Raw, printed
from farend.errors import ScriptError, UsageError, WrongType

EXTERNAL_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def as_json(value: object) -> str:
    """`value` as JSON text."""
    __tracebackhide__ = True
    try:
        return _sayable(json_module.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongType(f"json={printed(value)} cannot be written as JSON: {error}") from None


def fragments(parts: tuple[str | bytes, ...]) -> Fragments:
    """The parts of one message, checked."""
    __tracebackhide__ = True
    if not parts or not (
        all(isinstance(part, str) for part in parts) or all(isinstance(part, bytes) for part in parts)
    ):
        raise WrongType("fragments are all text or all bytes, and at least one")
    return Fragments(tuple(_sayable(part) if isinstance(part, str) else part for part in parts))  # type: ignore[arg-type]


def payload(payload: object, name: str) -> Payload:
    """What can be said, as the wires know it: no subclasses of text and bytes, no buffers that change."""
    __tracebackhide__ = True
    if type(payload) is bytes:
        return payload
    match payload:
        case str():
            return _sayable(payload)
        case bytes() | bytearray() | memoryview():
            return bytes(payload)
        case Ping() | Pong():
            if not isinstance(payload.data, bytes) or len(payload.data) > 125:
                raise ScriptError(f"{printed(payload)}: a ping or pong holds at most 125 bytes (RFC 6455, 5.5)")
            return payload
        case Fragments():
            return fragments(tuple(payload.parts))
        case Raw():
            if not isinstance(payload.data, bytes | bytearray | memoryview):
                raise WrongType(f"Raw() takes bytes, not {printed(payload.data)}")
            return Raw(bytes(payload.data))
        case OnWire():
            return payload
    as_json = "return json.dumps(…)" if name == "a reply" else f"write {name}(json=…)"
    raise WrongType(
        f"{name} takes str, bytes, Ping, Pong, Fragments, Frame or Raw, not {printed(payload)}; to say it as JSON, "
        f"{as_json}"
    )


def _sayable(text: str) -> str:
    """Text as plain `str`, if it can be written in UTF-8, which is how text goes over every wire."""
    __tracebackhide__ = True
    text = str.__str__(text)  # of a subclass, such as an enum's member, its value
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ScriptError(f"{printed(text)} cannot be said: it has no UTF-8 ({error.reason})") from None
    return text


def expected(what: object) -> object:
    """Plain messages stay as they are, which keeps a step small; all else becomes a matcher."""
    __tracebackhide__ = True
    if isinstance(what, (str, bytes, bytearray, memoryview, *CONTROL)):
        return payload(what, "expect")
    if isinstance(what, int | float | dict | list | tuple | None):
        raise WrongType(
            f"expect() takes text, bytes, or a matcher, not {printed(what)}: no message is equal to that; "
            f"for JSON, write expect(json={printed(what)})"
        )
    if isinstance(what, type) and issubclass(what, int | float | dict | list | tuple):
        raise WrongType(
            f"expect({what.__name__}): a message is text or bytes, so none is of that type; write expect(str), "
            f"expect(bytes), or for JSON expect(json=…)"
        )
    return matcher(what)


def path(path: object) -> object:
    """The path of a handshake: a matcher, or text that can be one."""
    __tracebackhide__ = True
    if isinstance(path, str) and not path.startswith("/"):
        raise ScriptError(f"{path!r} is no path: it begins with a slash; write {'/' + path!r}")
    if isinstance(path, str) and "?" in path:
        name, _, value = path.partition("?")[2].partition("=")
        raise ScriptError(f"{path!r}: a path has no query; write query={{{name!r}: {value!r}}}")
    return path


def fields(value: object, name: str) -> dict[str, object] | None:
    """The fields of a query, or of headers, by name: their values are text, or matchers."""
    __tracebackhide__ = True
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise WrongType(f"{name}= takes a mapping of names to values, such as {{'depth': '5'}}, not {printed(value)}")
    for key, one in value.items():
        if not isinstance(key, str) or isinstance(one, int | float | bytes):
            raise WrongType(f"{name}={{{key!r}: {one!r}}}: names and values are text here; write {{'{key}': '{one}'}}")
    return dict(value)


def subprotocols(value: object) -> object:
    """Subprotocols: a list of them, or a matcher; one text would be taken for its letters."""
    __tracebackhide__ = True
    if isinstance(value, str | bytes):
        raise WrongType(f"subprotocols= takes a list; write subprotocols=[{value!r}]")
    return value


def compression(value: object) -> bool:
    """Whether permessage-deflate is offered, or agreed to."""
    __tracebackhide__ = True
    if not isinstance(value, bool):
        raise WrongType(f"compression= takes True, for permessage-deflate, or False, not {printed(value)}")
    return value


def framing(framing: Framing | None) -> Framing | None:
    """A framing, or None."""
    __tracebackhide__ = True
    if framing is not None and not isinstance(framing, Framing):
        raise WrongType(f"framing= takes a framing such as farend.lines(), not {printed(framing)}")
    return framing


def seconds(value: float | None, name: str, error: type[UsageError] = ScriptError) -> float | None:
    """A number of seconds, or None; `error` is what is raised for one that cannot be."""
    __tracebackhide__ = True
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{name} takes a number of seconds, not {printed(value)}")
    if not 0 <= value < float("inf"):
        raise error(f"{name}={value!r}: a number of seconds is 0 or more, and has an end")
    return float(value)


def close_code(code: int | None) -> int | None:
    """A close code that can come."""
    __tracebackhide__ = True
    if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
        raise WrongType(f"a close code is a number, not {printed(code)}")
    if code is not None and not 1000 <= code <= 4999:
        raise ScriptError(f"{code} is no close code: they go from 1000 to 4999 (RFC 6455, 7.4)")
    return code


def sent_close_code(code: int | None) -> int | None:
    """A close code that can be sent: some only tell how a connection ended (RFC 6455, 7.4.1)."""
    __tracebackhide__ = True
    code = close_code(code)
    if code is not None and code < 3000 and code not in EXTERNAL_CLOSE_CODES:
        raise ScriptError(
            f"the close code {code} cannot be sent (RFC 6455, 7.4); use 1000 to 1003, 1007 to 1014, or 3000 up"
        )
    return code
