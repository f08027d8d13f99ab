"""How JSON and URLs write a secret, which is the same one in each of these ways."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

NUMBER: Final = re.compile(rb"-?\d[\d.eE+-]*")
_PERCENT: Final = re.compile(rb"%[0-9A-F]{2}")
_LEFT_IN_URLS: Final = ("", "/", "=", "!'()*")
"""What may stand in a URL as it is: what Python leaves, in paths and in values, and what JavaScript does."""
_ESCAPED: Final = re.compile(rb"\\u[0-9a-f]{4}")
_IN_HTML: Final = re.compile(rb"[<>&]")
_WARY: Final = re.compile(r"\\[\"]|[+'<>&`]|[^\x20-\x7e]")
"""What .NET escapes in JSON by number, of text in which JSON's own escapes are."""
_JSON_BEGINS: Final = re.compile(rb"\s*\d*\s*[{\[]")
"""An object, or an array, and what Socket.IO says in front of one."""
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|-?\d[\w.+-]*', re.DOTALL)


def ways(secret: bytes) -> set[bytes]:
    r"""The secret as it is, and as it is usual to write it in URLs, in forms and in JSON.

    >>> sorted(ways(b"a/b"))
    [b'a%2Fb', b'a%2fb', b'a/b', b'a\\/b']
    >>> sorted(ways("pä".encode()))
    [b'p%C3%A4', b'p%c3%a4', b'p\\u00E4', b'p\\u00e4', b'p\xc3\xa4']
    """
    return {secret} | _in_urls(secret) | _in_json(secret)


def _in_urls(secret: bytes) -> set[bytes]:
    found = {quote_from_bytes(secret, safe=left).encode() for left in _LEFT_IN_URLS}
    found.add(quote_from_bytes(secret, safe="*").replace("~", "%7E").encode())  # a browser's form
    found |= {one.replace(b"%20", b"+") for one in found}
    return found | {_PERCENT.sub(lambda code: code[0].lower(), one) for one in found}


def _in_json(secret: bytes) -> set[bytes]:
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return set()
    found = {json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode()}
    found |= {one.replace(b"/", rb"\/") for one in found}
    found |= {_IN_HTML.sub(lambda sign: b"\\u%04x" % ord(sign[0]), one) for one in found}
    found |= {_ESCAPED.sub(lambda code: b"\\u" + code[0][2:].upper(), one) for one in found}
    wary = _WARY.sub(lambda sign: _by_number(sign[0][-1]), json.dumps(text, ensure_ascii=False)[1:-1])
    return found | {wary.encode("utf-8", "surrogatepass")}


def _by_number(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def meant(written: bytes) -> bytes:
    r"""The secret itself, where it is written for JSON or for a URL.

    >>> meant(rb"a\/b"), meant(b"a%2Fb")
    (b'a/b', b'a/b')
    """
    if b"\\" in written:
        try:
            return str(json.loads(b'"' + written + b'"')).encode("utf-8", "surrogatepass")
        except ValueError:
            return written
    return unquote_to_bytes(written) if b"%" in written else written


def meant_in_a_form(written: bytes) -> bytes:
    """The secret itself, where it is written in a form, whose `+` are blanks."""
    return unquote_to_bytes(written.replace(b"+", b" "))


def numbers_replaced(data: bytes, placeholders: Mapping[bytes, bytes]) -> bytes:
    """JSON with a placeholder, as text, in place of each number that is a secret, or that has one in it.

    What is in texts is left alone, and so is all that does not look like JSON.

    >>> numbers_replaced(b'{"n":123456,"s":"123456"}', {b"123456": b"<secret:pin:1>"})
    b'{"n":"<secret:pin:1>","s":"123456"}'
    """
    if not placeholders or _JSON_BEGINS.match(data) is None:
        return data

    def replaced(token: re.Match[bytes]) -> bytes:
        written = token[0]
        if written[:1] == b'"' or not _is_value(data, *token.span()):
            return written
        placeholder = placeholders.get(written) or next(
            (placeholders[one] for one in placeholders if one in written), None
        )
        return written if placeholder is None else b'"' + placeholder + b'"'

    return _TOKENS.sub(replaced, data)


def _is_value(data: bytes, begin: int, end: int) -> bool:
    """Whether what stands there is a value of an object or of an array."""
    while begin and data[begin - 1] in b" \t\r\n":
        begin -= 1
    while end < len(data) and data[end] in b" \t\r\n":
        end += 1
    return begin > 0 and data[begin - 1] in b":,[" and (end == len(data) or data[end] in b",]}")
