"""A tape as Python: a test to be read, and changed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Final

from farend.core.arguments import EXTERNAL_CLOSE_CODES
from farend.core.messages import Ping
from farend.errors import InvalidArguments
from farend.tape.format import Kind, Line
from farend.tape.index import Index, Taped

WIDTH: Final = 100
_INDENT: Final = " " * 4


def python_test(tape: Index, connections: Collection[int] = ()) -> str:
    """The source of a test module: a script for each connection, or for those of these numbers.

    Raises `InvalidArguments` where the tape has none of them.
    """
    chosen = [one for one in tape.playable if not connections or one.number in connections]
    if not chosen:
        there = ", ".join(str(one.number) for one in tape.playable) or "none"
        raise InvalidArguments(f"{tape.path} has no such connection to write a script of: there is {there}")
    scripts = [_script(tape, one) for one in chosen]
    names = ", ".join(_name(one) for one in chosen)
    websocket = tape.header.wire == "websocket"
    kind = "WebSocket" if websocket else "Tcp"
    dial = "server.url + path" if websocket else "server.host, server.port"
    used = ["Script", f"{kind}Client", f"{kind}Server"]
    body = "\n\n".join(scripts)
    used += [name for name in ("Ping",) if re.search(rf"\b{name}\(", body)]
    used += ["json"] if "json({" in body or "json([" in body or "json(\n" in body else []
    said = f" from {tape.header.target}" if tape.header.target else ""
    paths = [one.target for one in chosen]
    loop = f"for script, path in zip(SCRIPTS, {paths!r}, strict=True):" if websocket else "for script in SCRIPTS:"
    return f'''"""What {tape.path.name} says, recorded{said}; written by `farend script`."""

from farend import {", ".join(used)}

{body}

SCRIPTS = [{names}]


def test_{_identifier(tape.path.stem)}():
    with {kind}Server(SCRIPTS) as server:
        # Put your client here, in place of the mirror that says what it said on the tape.
        {loop}
            with {kind}Client(script.mirrored(), {dial}):
                pass
'''


def _name(taped: Taped) -> str:
    return f"CONNECTION_{taped.number}"


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower() or "tape"


def _script(tape: Index, taped: Taped) -> str:
    steps = list(_steps(tape, taped))
    return "\n".join([f"{_name(taped)} = (", f"{_INDENT}Script()", *(f"{_INDENT}.{step}" for step in steps), ")"])


def _steps(tape: Index, taped: Taped) -> Iterator[str]:
    websocket = tape.header.wire == "websocket"
    if websocket:
        query = f", query={taped.query!r}" if taped.query else ""
        yield f"expect_handshake({taped.path!r}{query})"
    for line in tape.lines(taped):
        match line.kind:
            case Kind.MESSAGE if line.payload is not None:
                verb = "send" if line.sender == "server" else "expect"
                yield f"{verb}({_payload(line.payload, verb)})"
            case Kind.PING if line.sender == "server":
                data = line.payload.encode() if isinstance(line.payload, str) else line.payload or b""
                yield f"send({Ping(data)!r})"
            case Kind.CLOSE | Kind.END | Kind.ABORT:
                yield _end(line, websocket)
                return


def _end(line: Line, websocket: bool) -> str:
    if line.sender == "server":
        if line.kind is Kind.ABORT or (websocket and line.kind is Kind.END):
            return "abort()"
        code = line.code if line.code in EXTERNAL_CLOSE_CODES or (line.code or 0) >= 3000 else None
        values = [repr(value) for value in (code, line.reason) if value]
        return f"close({', '.join(values)})"
    if line.kind is Kind.CLOSE:
        return f"expect_close({line.code})" if line.code else "expect_close()"
    return "expect_close()" if line.kind is Kind.END and not websocket else "expect_close(reset=True)"


def _payload(payload: str | bytes, verb: str) -> str:
    """The argument of `send` or `expect`: JSON where that says the same."""
    if isinstance(payload, str) and payload[:1] in "{[" and payload:
        try:
            value = json.loads(payload, parse_constant=_no_python)
            shown = _value(value, _INDENT)
        except (ValueError, RecursionError):
            return repr(payload)
        if verb == "expect":
            return f"json({shown}, partial=False)"
        if json.dumps(value, ensure_ascii=False) == payload:
            return f"json={shown}"
    return repr(payload)


def _no_python(name: str) -> object:
    raise ValueError(f"{name} is neither JSON nor Python")


def _value(value: object, indent: str) -> str:
    """A value as a formatter would write it: on one line, or each of its parts on lines of its own."""
    text = repr(value)
    if not isinstance(value, dict | list) or len(indent) + len(text) <= WIDTH:
        return text
    inner = indent + _INDENT
    if isinstance(value, dict):
        parts = [f"{inner}{key!r}: {_value(part, inner)},\n" for key, part in value.items()]
        return "{\n" + "".join(parts) + indent + "}"
    return "[\n" + "".join([f"{inner}{_value(part, inner)},\n" for part in value]) + indent + "]"
