"""Many things are looked for in one pass, where the library for it is there, and nothing is said where it is not."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.tape import at_once
from farend.tape.at_once import AtOnce, Expression, exactly

KEYS = [Expression(rb"(?:api[-_]?)?key\s*=", any_case=True), Expression(rb"eyJ")]
PIECES = st.lists(st.sampled_from([b"api", b"-", b"Key", b"KEY", b" ", b"=", b"eyJ", b"EYJ", b"\xff\0"]), max_size=20)


@given(PIECES)
def test_it_says_what_an_expression_after_the_other_says(pieces):
    data = b"".join(pieces)
    search = AtOnce(KEYS, worth_it=0)
    key, token = re.compile(rb"key\s*=", re.IGNORECASE), re.compile(rb"eyJ")
    assert search.are_in(data) == bool(key.search(data) or token.search(data))
    assert search.ends(data, 0) == [found.end() for found in key.finditer(data)]
    assert search.ends(data, 1) == [found.end() for found in token.finditer(data)]


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=50))
def test_just_these_bytes_are_looked_for(needle, data):
    search = AtOnce([Expression(exactly(needle))], worth_it=0)
    assert search.are_in(data) == (needle in data)
    assert search.are_in(data + needle + data)
    assert re.fullmatch(exactly(needle), needle)


def test_it_says_nothing_until_it_is_worth_it():
    search = AtOnce(KEYS, worth_it=10)
    assert [search.are_in(b"key=12") for _ in range(3)] == [None, None, True]
    assert AtOnce(KEYS).ends(b"key=", 0) is None


@pytest.mark.parametrize("expressions", [[], [Expression(b"(")], [Expression(b"(" * 50_000)]])
def test_it_says_nothing_where_there_is_nothing_to_look_for(expressions):
    assert AtOnce(expressions, worth_it=0).are_in(b"(") is None


def test_it_says_nothing_while_another_thread_looks():
    tables = at_once._tables(KEYS)
    found = []

    def note(number, end):
        other = threading.Thread(target=lambda: found.append(tables.scan(b"key=", lambda number, end: True)))
        other.start()
        other.join(30)
        return True

    assert tables.scan(b"eyJ", note)
    assert found == [False]
    assert tables.scan(b"key=", lambda number, end: False)


def test_nothing_is_said_of_what_nobody_was_free_to_look_at():
    tables = at_once._tables(KEYS)
    assert tables._take()
    assert tables.are_in(b"eyJ") is None
    tables._give_back()
    assert tables.are_in(b"eyJ")


def test_it_goes_without_the_library():
    code = (
        "import sys; sys.modules['hyperscan'] = None\n"
        "from farend.tape.at_once import AtOnce, Expression\n"
        "assert AtOnce([Expression(b'x')], worth_it=0).are_in(b'x') is None\n"
        "from farend import Redaction\n"
        "filler = b'x' * 3_000_000\n"
        "assert Redaction().start().said(filler + b' token=abc') == filler + b' token=<secret:token:1>'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_goes_wrong_while_it_looks_is_raised_and_it_can_look_again():
    tables = at_once._tables(KEYS)
    with pytest.raises(ZeroDivisionError):
        tables.scan(b"eyJ", lambda number, end: 1 / 0)
    assert tables.scan(b"eyJ", lambda number, end: False)
