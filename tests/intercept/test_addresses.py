"""The addresses that users list: every form, and what is said of what is none."""

from __future__ import annotations

from typing import Any

import pytest

from farend import InvalidArguments, WrongType
from farend.intercept.addresses import Address, is_ip, parsed, plain_host, where


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("wss://api.exchange.com/feed", Address("api.exchange.com", 443, True)),
        ("ws://api.exchange.com", Address("api.exchange.com", 80, False)),
        ("https://api.exchange.com/v1?a=b#c", Address("api.exchange.com", 443, True)),
        ("http://api.exchange.com:8080/", Address("api.exchange.com", 8080, False)),
        ("WSS://API.Exchange.COM./feed", Address("api.exchange.com", 443, True)),
        ("wss://user:secret@api.exchange.com", Address("api.exchange.com", 443, True)),
        ("tcp://device:5025", Address("device", 5025, False)),
        ("tls://device:5025", Address("device", 5025, True)),
        ("wss://[2001:DB8:0::5]/feed", Address("2001:db8::5", 443, True)),
        ("wss://10.0.0.5:8443", Address("10.0.0.5", 8443, True)),
        ("wss://bücher.example", Address("xn--bcher-kva.example", 443, True)),
        (("db.internal", 5432), Address("db.internal", 5432)),
        (("DB.internal.", 1), Address("db.internal", 1)),
        (("[::1]", 65535), Address("::1", 65535)),
        (("::ffff:10.0.0.5", 80), Address("10.0.0.5", 80)),
        (("my_service", 80), Address("my_service", 80)),
        ("api.exchange.com", Address("api.exchange.com")),
        ("localhost", Address("localhost")),
        ("2001:db8::5", Address("2001:db8::5")),
        ("10.0.0.5", Address("10.0.0.5")),
    ],
)
def test_every_form(key: Any, address: Address) -> None:
    assert parsed(key) == address


@pytest.mark.parametrize(
    ("key", "error", "said"),
    [
        (
            "redis://cache:6379/0",
            InvalidArguments,
            r"neither a WebSocket's URL nor an HTTP one: write \('cache', 6379\)",
        ),
        ("postgresql://db/x", InvalidArguments, r"write \('db', port\)"),
        ("wss://", InvalidArguments, "'wss://' names no host: write a URL such as 'wss://api.exchange.com/feed'"),
        ("wss:///feed", InvalidArguments, "names no host"),
        ("wss://host:port/feed", InvalidArguments, "is no URL: Port could not be cast"),
        ("wss://host:99999/feed", InvalidArguments, "is no URL: Port out of range"),
        ("wss://host:0/feed", InvalidArguments, "ports go from 1 to 65535"),
        ("wss://[::1/feed", InvalidArguments, "is no URL: Invalid IPv6"),
        ("wss://a b/feed", InvalidArguments, "'a b' is no host"),
        ("tcp://device", InvalidArguments, "names no port, and tcp has no usual one: write 'tcp://device:5432'"),
        ("db.internal:5432", InvalidArguments, r"write the pair \('db.internal', 5432\)"),
        ("api.exchange.com/feed", InvalidArguments, "is no host; write a URL such as"),
        ("", InvalidArguments, "'' is no host"),
        ("-bad", InvalidArguments, "is no host"),
        ("a..b", InvalidArguments, "is no host"),
        ("\udcff.example", InvalidArguments, "is no host"),
        (("db", 0), InvalidArguments, "for every port of a host, write the host alone"),
        (("db", 65536), InvalidArguments, "ports go from 1 to 65535"),
        (("", 5432), InvalidArguments, "'' is no host"),
        (("db", "5432"), WrongType, r"an address is a host and a number, such as \('db.internal', 5432\)"),
        (("db", True), WrongType, "a host and a number"),
        ((b"db", 5432), WrongType, "a host and a number"),
        (("db", 5432, 0), WrongType, "is no address: write a URL such as"),
        (5432, WrongType, "5432 is no address"),
        (b"db", WrongType, "is no address"),
        (None, WrongType, "None is no address"),
    ],
)
def test_what_is_no_address(key: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parsed(key)


def test_hosts_are_compared_in_one_spelling() -> None:
    assert plain_host("A.Example.") == "a.example"
    assert plain_host("0:0:0:0:0:0:0:1") == "::1"
    assert plain_host("fe80::1%eth0") == "fe80::1"
    assert plain_host("no host\0") == "no host\0"
    assert plain_host("ü" * 80) == "ü" * 80  # nobody can dial that, and who tries is told by the system


def test_what_is_an_ip_address() -> None:
    assert is_ip("10.0.0.5")
    assert is_ip("::1")
    assert not is_ip("10.example")
    assert not is_ip("1234")


def test_addresses_print_as_people_write_them() -> None:
    assert str(Address("db", 5432)) == "db:5432"
    assert str(Address("::1", 5432)) == "[::1]:5432"
    assert str(Address("db")) == "every port of db"
    assert where("db", "https") == "db:https"
