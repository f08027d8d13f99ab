"""What users write, checked: each function gives what it was given, or raises with what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farend.core.messages import printed
from farend.errors import InvalidArguments, WrongType


def checked_app(app: Any) -> Any:
    """An ASGI application, or `WrongType`."""
    __tracebackhide__ = True
    if isinstance(app, type):
        hint = f": write {app.__name__}.as_asgi()" if hasattr(app, "as_asgi") else ""
        raise WrongType(f"the first argument is an ASGI application, not the class {app.__name__}{hint}")
    if not callable(app):
        raise WrongType(
            f"the first argument is an ASGI application, called with (scope, receive, send), not {printed(app)}"
        )
    return app


def checked_path(path: Any) -> str:
    """A path, or an exception that says what one is."""
    __tracebackhide__ = True
    if not isinstance(path, str):
        raise WrongType(f"the path is text such as '/ws/chat?room=1', not {printed(path)}")
    if path.startswith("/"):
        return path
    scheme, _, rest = path.partition("://")
    if scheme in ("http", "https"):
        raise InvalidArguments(f"a WebSocket is not reached by {scheme}: ws{scheme[4:]}://{rest}, or the path alone")
    if not path.startswith(("ws://", "wss://")):
        raise InvalidArguments(f"the path begins with a slash: {'/' + path!r}, not {path!r}")
    return path


def checked_consumer(consumer: Any) -> Any:
    """A consumer class, or None; or `WrongType`."""
    __tracebackhide__ = True
    if consumer is None:
        return None
    if not isinstance(consumer, type):
        known = getattr(consumer, "consumer_class", type(consumer))
        hint = f": write consumer={known.__name__}" if _is_consumer(known) else ""
        raise WrongType(f"consumer= takes a consumer class, not {printed(consumer)}{hint}")
    if not _is_consumer(consumer):
        raise WrongType(f"consumer= takes a consumer class; {consumer.__name__} is none: it has no as_asgi()")
    return consumer


def _is_consumer(kind: Any) -> bool:
    names = ("as_asgi", "outgoing_message_adapter", "websocket_connect")
    return isinstance(kind, type) and any(hasattr(kind, name) for name in names)


def checked_headers(headers: Any, cookies: Any) -> list[tuple[bytes, bytes]]:
    """Pairs of bytes, cookies included; or `WrongType`."""
    __tracebackhide__ = True
    if not headers and not cookies:
        return []
    if isinstance(headers, str | bytes):
        raise WrongType(f"headers= takes a dict, or pairs of name and value, not {printed(headers)}")
    checked = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers or ():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise WrongType(f"headers= takes a dict, or pairs of name and value; {printed(pair)} is none")
        checked.append((_raw(pair[0]).lower(), _raw(pair[1])))
    if cookies:
        if not isinstance(cookies, Mapping):
            raise WrongType(f"cookies= takes a dict of names and values, not {printed(cookies)}")
        checked.append((b"cookie", _raw("; ".join(f"{name}={value}" for name, value in cookies.items()))))
    return checked


def _raw(part: Any) -> bytes:
    __tracebackhide__ = True
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        try:
            return part.encode("latin-1")
        except UnicodeEncodeError:
            text = f"a header is in Latin-1, which has not all of {printed(part)}: encode it, as %xx for example"
            raise InvalidArguments(text) from None
    raise WrongType(f"a header is text or bytes, not {printed(part)}")


def checked_subprotocols(subprotocols: Any) -> list[str]:
    """A list of text; or `WrongType`."""
    __tracebackhide__ = True
    if isinstance(subprotocols, str | bytes):
        raise WrongType(f"subprotocols= takes a list: [{subprotocols!r}]")
    checked = list(subprotocols or ())
    for one in checked:
        if not isinstance(one, str):
            raise WrongType(f"a subprotocol is text, not {printed(one)}")
        if not (one.isascii() and one.isprintable()) or not one or set(one) & set(' ,;"'):
            raise InvalidArguments(f"{one!r} is no subprotocol: a word of ASCII letters, digits and signs")
    return checked


def checked_scope(scope: Any, user: Any, spec_version: Any) -> dict[str, Any]:
    """What goes into the scope beside what a server puts there; or `WrongType`."""
    __tracebackhide__ = True
    if scope is not None and not isinstance(scope, Mapping):
        raise WrongType(f"scope= takes a dict of further keys of the scope, not {printed(scope)}")
    more = dict(scope or {})
    if user is not None:
        more["user"] = user
    if spec_version is not None:
        more["asgi"] = {"version": "3.0", "spec_version": str(spec_version)}
    return more


def checked_code(code: Any) -> None:
    """Nothing for a close code; an exception for everything else."""
    __tracebackhide__ = True
    if not isinstance(code, int) or isinstance(code, bool):
        raise WrongType(f"a close code is a number, such as 1000, not {printed(code)}")
    if not 1000 <= code <= 4999:
        raise InvalidArguments(f"{code} is no close code: they go from 1000 to 4999 (RFC 6455, 7.4)")


def checked_seconds(name: str, value: Any) -> None:
    """Nothing for a number of seconds; an exception for everything else."""
    __tracebackhide__ = True
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise WrongType(f"{name}= takes a number of seconds, not {printed(value)}")
    if not 0 <= value < float("inf"):
        raise InvalidArguments(f"{name}={value!r}: a number of seconds is not negative, and has an end")


def checked_type(value: Any, kind: Any, method: str, other: str) -> Any:
    """`value`, if it is of this kind; or `WrongType`, which names the method for the other one."""
    __tracebackhide__ = True
    if not isinstance(value, kind):
        raise WrongType(f"{method}() takes {'text' if kind is str else 'bytes'}, not {printed(value)}; see {other}()")
    return value


def checked_mode(mode: Any) -> str:
    """A mode of JSON messages, or `InvalidArguments`."""
    __tracebackhide__ = True
    if mode not in ("text", "binary"):
        raise InvalidArguments(f"mode= is 'text' or 'binary', not {mode!r}")
    return str(mode)
