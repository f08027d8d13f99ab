"""The faults of a proxy, switched on and off while it runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from farend.core.faults import Ability, Fault, check_able, checked, clashes
from farend.errors import FaultError, WrongState
from farend.stage.far_end import running_loop
from farend.stage.settings import DEADLINE


class Switched(Protocol):
    """Who has the connections."""

    def impair(self, faults: tuple[Fault, ...]) -> None:
        """Do these to every connection that there is."""
        ...

    def repair(self, faults: tuple[Fault, ...]) -> None:
        """Do these no more."""
        ...


class Switches:
    """The faults that are active: on every connection that there is, and on each that comes.

    They can be switched from any thread, and from any event loop; when a call returns, it is done. It can be
    asked for its length, looped over, and asked whether it has a fault.
    """

    def __init__(self, who: Switched, ability: Ability, faults: tuple[Fault, ...]) -> None:
        __tracebackhide__ = True
        check_able(ability, faults)
        self._who = who
        self._ability = ability
        self._active: tuple[Fault, ...] = faults
        self._home: asyncio.AbstractEventLoop | None = None

    def add(self, *faults: Fault) -> None:
        """Switch these on as well.

        Raises `FaultError` for one that contradicts another which is on, or cannot be done by this proxy.
        """
        __tracebackhide__ = True
        new = checked(faults, "add()")
        check_able(self._ability, new)
        for fault in new:
            for other in clashes(fault, self._active):
                raise FaultError(
                    f"add(): '{fault}' and '{other}', which is on, contradict each other: remove() that first, or "
                    "set() what is to be on from now on"
                )
        self._at_home(self._begin, new)

    def remove(self, *faults: Fault) -> None:
        """Switch these off; raises `FaultError` for one that is not on."""
        __tracebackhide__ = True
        old = checked(faults, "remove()")
        for fault in old:
            if fault not in self._active:
                on = ", ".join(f"'{one}'" for one in self._active) or "nothing"
                raise FaultError(f"remove(): '{fault}' is not on; there is {on}")
        self._at_home(self._end, old)

    def clear(self) -> None:
        """Switch all off: what they held back goes on. What has been cut stays cut."""
        __tracebackhide__ = True
        self._at_home(self._end, self._active)

    def set(self, *faults: Fault) -> None:
        """From now on, these are on, and no others."""
        __tracebackhide__ = True
        new = checked(faults, "set()")
        check_able(self._ability, new)
        self._at_home(self._replace, new)

    @contextlib.contextmanager
    def during(self, *faults: Fault) -> Iterator[None]:
        """Switch these on for a `with` block."""
        __tracebackhide__ = True
        self.add(*faults)
        try:
            yield
        finally:
            left = [fault for fault in faults if fault in self._active]
            if left:
                self.remove(*left)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._active)

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, fault: object) -> bool:
        return fault in self._active

    def __repr__(self) -> str:
        return f"<faults: {', '.join(map(str, self._active)) or 'none'}>"

    # -- at home ----------------------------------------------------------------------------------

    def live_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The connections are on this loop; None where they are over."""
        self._home = loop

    def _begin(self, faults: tuple[Fault, ...]) -> None:
        self._who.impair(faults)
        self._active += faults

    def _end(self, faults: tuple[Fault, ...]) -> None:
        self._active = tuple(fault for fault in self._active if fault not in faults)
        self._who.repair(faults)

    def _replace(self, faults: tuple[Fault, ...]) -> None:
        old = self._active
        self._end(tuple(fault for fault in old if fault not in faults))
        self._begin(tuple(fault for fault in faults if fault not in old))

    def _at_home(self, act: Callable[..., None], *arguments: Any) -> None:
        __tracebackhide__ = True
        at_home(self._home, act, *arguments)


def at_home(home: asyncio.AbstractEventLoop | None, act: Callable[..., None], *arguments: Any) -> None:
    """Do it on that loop, and wait until it is done; where there is none, here."""
    __tracebackhide__ = True
    if home is None or home is running_loop():
        act(*arguments)
        return
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def do() -> None:
        try:
            act(*arguments)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    try:
        home.call_soon_threadsafe(do)
    except RuntimeError:
        raise WrongState("the event loop that the proxy lives on is closed") from None
    try:
        done.result(DEADLINE)
    except TimeoutError:
        raise WrongState(
            f"the event loop that the proxy lives on has not come round to it in {DEADLINE:g} s: is it blocked?"
        ) from None
