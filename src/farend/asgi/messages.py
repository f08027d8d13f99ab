"""Message objects: what the test says as objects, and what the application says as the objects it declares.

A consumer declares its messages as chanx does: `outgoing_message_adapter` (of pydantic) makes an object
of what came. Without a declaration a message is a `Message`, which has its fields as attributes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from farend.core.messages import printed
from farend.errors import MissingExtra, UndeclaredMessage, WrongType

_ENVELOPE: Final = frozenset({"version", "topic", "ref", "seq"})
"""What chanx puts around a message that belongs to a topic."""


_RAW: Final[dict[type, str]] = {str: "text", bytes: "bytes", list: "json"}
"""What is no message object, and the method that sends it."""


class Message(dict[str, Any]):
    """A JSON object whose fields are attributes as well, down to the innermost.

    >>> message = Message({"action": "news", "payload": {"title": "rain"}})
    >>> message.action, message.payload.title, message["action"]
    ('news', 'rain', 'news')
    """

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            known = ", ".join(map(str, self)) or "nothing"
            raise AttributeError(f"the message has no {name!r}; it has {known}") from None
        return Message(value) if isinstance(value, dict) else value

    def __repr__(self) -> str:
        return f"Message({dict(self)!r})"


def plain(message: object) -> object:
    """What JSON is made of: the fields of a pydantic model, a dataclass, a msgspec struct, an attrs class.

    Raises `WrongType` for an object that none of these is.
    """
    __tracebackhide__ = True
    if isinstance(message, Mapping):
        return dict(message)
    dump = getattr(message, "model_dump", None)
    if callable(dump) and not isinstance(message, type):
        return dump(mode="json")
    if dataclasses.is_dataclass(message) and not isinstance(message, type):
        return dataclasses.asdict(message)
    if hasattr(type(message), "__struct_fields__"):
        return sys.modules["msgspec"].to_builtins(message)
    if hasattr(type(message), "__attrs_attrs__"):
        return sys.modules["attr"].asdict(message)
    hint = " It is a class: write it with brackets behind." if isinstance(message, type) else ""
    hint = f" For {type(message).__name__} there is send_{_RAW[type(message)]}()." if type(message) in _RAW else hint
    raise WrongType(
        f"send_message() takes a message object (pydantic, dataclass, msgspec, attrs) or a dict, "
        f"not {printed(message)}.{hint}"
    )


def to_json(value: object, what: str) -> str:
    """JSON text; raises `WrongType`, which names what cannot be said in JSON, and where it is."""
    __tracebackhide__ = True
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        where = _culprit(value, "")
        raise WrongType(f"{what} cannot be serialised as JSON: {where or error}") from None


def _culprit(value: object, path: str) -> str:
    """The innermost part that JSON has no word for."""
    parts: list[tuple[object, object]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    for key, part in parts:
        try:
            json.dumps({key: part} if isinstance(value, dict) else part)
        except (TypeError, ValueError):
            return _culprit(part, f"{path}[{key!r}]") or f"{path}[{key!r}] is {printed(part)}"
    return "" if parts or not path else f"{path} is {printed(value)}"


class Codec:
    """Objects to JSON values and back, as one consumer declares them; `consumer` may be None."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def encode(self, message: object) -> object:
        """The JSON value that says the message."""
        __tracebackhide__ = True
        value = plain(message)
        return _humps().camelize(value) if self._camelizes else value

    def decode(self, raw: object) -> Any:
        """The object that the consumer declares for what came. Raises `UndeclaredMessage`."""
        __tracebackhide__ = True
        if self._camelizes:
            raw = _humps().decamelize(raw)
        adapter = getattr(self._consumer, "outgoing_message_adapter", None)
        if adapter is None:
            if not isinstance(raw, dict):
                raise UndeclaredMessage(f"A message is a JSON object, and the application said {printed(raw)}.", raw)
            return Message(raw)
        problem = ""
        for one, value in [(adapter, raw), *self._of_topics(raw)]:
            try:
                return one.validate_python(value)
            except Exception as error:  # pydantic's, or whatever a validator of the user's raises
                problem = problem or str(error)
        name = getattr(self._consumer, "__name__", "the consumer")
        action = raw.get(self.action_key) if isinstance(raw, dict) else None
        advice = "Declare it (output_type=, emits), or read it with receive_json()."
        if action == "authentication":
            advice = (
                "chanx says with it how the authentication ended: take it first, by `await comm.wait_for_auth()` "
                "where the communicator is farend.django's, or by receive_json()."
            )
        raise UndeclaredMessage(
            f"The application said what {name} does not declare: action {action!r}.\n  {printed(raw, 400)}\n"
            f"{problem}\n{advice}",
            raw,
        )

    def decode_by(self, adapter: Any, raw: object) -> Any:
        """The object that a topic declares for what came, with its envelope taken off."""
        if self._camelizes:
            raw = _humps().decamelize(raw)
        return adapter.validate_python(_unwrapped(raw))

    def _of_topics(self, raw: object) -> list[tuple[Any, object]]:
        topics = getattr(self._consumer, "topics", None) or ()
        adapters = [getattr(topic, "outgoing_message_adapter", None) for topic in topics]
        return [(adapter, _unwrapped(raw)) for adapter in adapters if adapter is not None]

    @property
    def action_key(self) -> str:
        """The field that says what a message is."""
        return str(getattr(self._consumer, "discriminator_field", "action"))

    @property
    def _camelizes(self) -> bool:
        own = getattr(self._consumer, "camelize", None)
        if own is not None or not hasattr(self._consumer, "should_camelize"):
            return bool(own)
        from chanx.core.config import config  # type: ignore[import-not-found,unused-ignore]

        return bool(config.camelize)


def _unwrapped(raw: object) -> object:
    return {key: value for key, value in raw.items() if key not in _ENVELOPE} if isinstance(raw, dict) else raw


def _humps() -> Any:
    try:
        import humps  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtra("camelCase messages need pyhumps: pip install 'farend[chanx]'") from error
    return humps
