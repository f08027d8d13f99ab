"""How JSON and URLs write a secret, which is the same one in each of these ways."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

NUMBER: Final = re.compile(rb"-?\d[\d.eE+-]*")
_PERCENT: Final = re.compile(rb"%[0-9A-F]{2}")
_ESCAPED: Final = re.compile(rb"\\u[0-9a-f]{4}")
_IN_HTML: Final = re.compile(rb"[<>&]")


def ways(secret: bytes) -> set[bytes]:
    r"""The secret as it is, and as it is usual to write it in URLs, in forms and in JSON.

    >>> sorted(ways(b"a/b c"))
    [b'a%2Fb%20c', b'a%2Fb+c', b'a%2fb%20c', b'a%2fb+c', b'a/b c', b'a\\/b c']
    >>> sorted(ways("pä".encode()))
    [b'p%C3%A4', b'p%c3%a4', b'p\\u00E4', b'p\\u00e4', b'p\xc3\xa4']
    """
    in_urls = quote_from_bytes(secret, safe="").encode()
    found = {secret, in_urls, in_urls.replace(b"%20", b"+")}
    found |= {_PERCENT.sub(lambda code: code[0].lower(), one) for one in found}
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return found
    in_json = {json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode()}
    in_json |= {_ESCAPED.sub(lambda code: b"\\u" + code[0][2:].upper(), one) for one in in_json}
    in_json |= {one.replace(b"/", rb"\/") for one in in_json}
    in_json |= {_IN_HTML.sub(lambda sign: b"\\u%04x" % ord(sign[0]), one) for one in in_json}
    return found | in_json


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


def replaced(data: bytes, written: bytes, placeholder: bytes) -> bytes:
    """The data with the placeholder wherever the secret is written so; where that is a number in JSON, as text.

    >>> replaced(b'{"n":123456,"s":"123456"}', b"123456", b"<secret:pin:1>")
    b'{"n":"<secret:pin:1>","s":"<secret:pin:1>"}'
    """
    if data[:1] in (b"{", b"[") and NUMBER.fullmatch(written):
        number = re.escape(written)
        either = re.compile(rb'"(?:[^"\\]|\\.)*"?|(?<![\w.+-])%s(?![\w.+-])' % number, re.DOTALL)
        data = either.sub(
            lambda found: b'"' + placeholder + b'"' if found[0] == written else found[0],
            data,
        )
    return data.replace(written, placeholder)
