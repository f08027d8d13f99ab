"""The table of what is rerouted, and the addresses that stand for names."""

from __future__ import annotations

import ipaddress
import threading

from farend import AddressError
from farend.intercept import routes
from farend.intercept.addresses import Address
from farend.intercept.routes import Block, Route, Table


def route(host: str, port: int | None = 80, *, ours: bool = False) -> Route:
    return Route(Address(host, port), "127.0.0.1", 4000, f"far end of {host}", ours=ours)


def test_the_more_exact_route_goes_first() -> None:
    exact, every = route("a.example", 80), route("a.example", None)
    table = Table([Block((every,), False, "here"), Block((exact,), False, "there")])
    assert table.find("a.example", 80) is exact
    assert table.find("a.example", 81) is every
    assert table.find("b.example", 80) is None


def test_a_refusal_is_kept_by_the_strict_blocks() -> None:
    strict, lax = Block((route("a.example"),), True, "here"), Block((route("b.example"),), False, "there")
    error = Table([strict, lax]).refuse("::1", 443)
    assert isinstance(error, AddressError)
    assert "[::1]:443 is not rerouted" in str(error)
    assert "Rerouted: a.example:80, b.example:80" in str(error)
    assert (strict.refused, lax.refused) == ([error], [])


def test_nothing_rerouted_is_told_as_nothing() -> None:
    assert str(Table().refuse("a", 1)).endswith("Rerouted: nothing")


def test_names_are_assumed_as_long_as_any_block_has_them() -> None:
    one, other = (
        Block((route("a.example", 1, ours=True),), False, ""),
        Block((route("a.example", 2, ours=True),), False, ""),
    )
    routes.enter(one)
    routes.enter(other)
    routes.leave(one)
    assert routes.tls.assumed["a.example"] == 1
    routes.leave(other)
    assert "a.example" not in routes.tls.assumed


def test_stand_ins_never_leave_the_machine_and_lead_back() -> None:
    names = [f"name-{number}.example" for number in range(300)]
    made = [routes.stand_in(name) for name in names]
    assert len(set(made)) == 300
    assert all(ipaddress.ip_address(one) in ipaddress.ip_network("127.128.0.0/9") for one in made)
    assert [routes.named(one) for one in made] == names
    assert [routes.named(f"::ffff:{one}") for one in made] == names
    assert all(routes.is_stand_in(one) for one in made)
    assert not routes.is_stand_in("127.0.0.1")
    assert routes.named("Other.Example") == "other.example"


def test_threads_agree_on_a_stand_in() -> None:
    made: set[str] = set()
    begin = threading.Barrier(8)

    def make() -> None:
        begin.wait(10)
        made.update(routes.stand_in(f"shared-{number}.example") for number in range(50))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 50
