"""Tapes beside the tests: what `@pytest.mark.tape` and the `tape` fixture do.

    none            replay; a test without a tape fails
    once            replay where there is a tape, and record one where there is none
    new_episodes    replay the connections that are on the tape, and record the others behind them
    all             record anew

A recording goes to a file of its own, and becomes the tape when the test has passed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from farend.errors import FarendError, InvalidArguments, WrongType
from farend.pytest_body import body_of
from farend.pytest_phases import look_between_phases

MODES: Final = ("none", "once", "new_episodes", "all")
FOLDER: Final = "tapes"
"""The folder beside the test modules; each module has a folder in it."""
_RECORDING_OPTIONS: Final = ("redact", "times", "tls")
"""What of a mark is for recording, and not for replaying."""
_OPTIONS: Final = (
    *("ignore", "matchers", "correlate", "strict", "allow_unplayed", "handshake", "framing", "deadline", "max_line"),
    *_RECORDING_OPTIONS,
)


class Tape:
    """What the `tape` fixture gives: the address for the client, in place of the real server's.

    `path` is the tape, `mode` the record mode, `is_recording` whether the real server is there behind it.
    """

    def __init__(self, path: Path, mode: str, far_end: Any, is_recording: bool) -> None:
        self.path = path
        self.mode = mode
        self.is_recording = is_recording
        self._far_end = far_end

    @property
    def far_end(self) -> Any:
        """What listens there: the replay, or the recording proxy. `reroute` takes a `Tape` as it is."""
        return self._far_end

    @property
    def url(self) -> str:
        """Where to connect to."""
        return str(self._far_end.url)

    @property
    def host(self) -> str:
        """The address."""
        return str(self._far_end.host)

    @property
    def port(self) -> int:
        """The port."""
        return int(self._far_end.port)

    def __repr__(self) -> str:
        return f"<Tape {self.path.name}: {'recording' if self.is_recording else 'replaying'}>"


def tape_of(request: pytest.FixtureRequest, collected: list[pytest.Item]) -> Tape:
    """The tape of the test, replayed or recorded as the mode says; `collected` has the tests deselected, too."""
    item: Any = request.node
    mark = item.get_closest_marker("tape")
    options = dict(mark.kwargs) if mark else {}
    path = path_of(item)
    _check_path(item, path)
    _check_alone(item, path, collected)
    asked = options.pop("mode", None)
    mode = mode_of(request.config, asked)
    options.pop("path", None)
    if unknown := set(options) - set(_OPTIONS):
        raise InvalidArguments(
            f"@pytest.mark.tape takes no {', '.join(sorted(unknown))}; it takes {', '.join(_OPTIONS)}"
        )
    there = path.exists()
    rules = {name: value for name, value in options.items() if name not in _RECORDING_OPTIONS}
    if mode == "all" or (mode in ("once", "new_episodes") and not there):
        return _recorded(request, path, mode, rules, options)
    if not there:
        raise pytest.fail.Exception(
            f"there is no tape {_short(path)}, and nothing is recorded (mode 'none'"
            + (", as always in CI): record it on your machine" if os.environ.get("CI") else "): record it")
            + " with --farend-record=once, and commit it",
            pytrace=False,
        )
    if mode == "new_episodes":
        return _continued(request, path, rules, options)
    from farend.dialects.replay import replay

    return Tape(path, mode, body_of(request).take_in(replay(path, **rules)), is_recording=False)


def mode_of(config: pytest.Config, asked: object) -> str:
    """The record mode: the command line's; none in CI; the mark's; the ini file's; once."""
    chosen = (
        config.getoption("farend_record")
        or ("none" if os.environ.get("CI") else None)
        or asked
        or config.getini("farend_record")
        or "once"
    )
    if chosen not in MODES:
        raise InvalidArguments(f"{chosen!r} is no record mode: there are {', '.join(MODES)}")
    return str(chosen)


def path_of(item: Any) -> Path:
    """Where a test's tape is: `tapes/<module>/<test>.jsonl` beside the module, or what `path=` says, below `tapes`."""
    mark = item.get_closest_marker("tape")
    named = mark.kwargs.get("path") if mark else None
    module: Path = item.path
    folder = module.parent / FOLDER
    if named is not None:
        return folder / _spelled(named)
    inside = f"{item.cls.__name__}." if getattr(item, "cls", None) is not None else ""
    name = re.sub(r"[^\w.\[\]=+-]+", "_", inside + item.name)
    return folder / module.stem / f"{name}.jsonl"


def _spelled(named: object) -> str:
    """What `path=` says, as text; what is no path, `_check_path` refuses."""
    return os.fsdecode(os.fspath(named)) if isinstance(named, os.PathLike) else str(named)


def _check_path(item: pytest.Item, path: Path) -> None:
    """What `path=` says is below `tapes`: only there does anybody look for tapes, and are they written over."""
    if not _is_named(item):
        return
    mark: Any = item.get_closest_marker("tape")
    named, folder = mark.kwargs["path"], Path(os.path.normpath(item.path.parent / FOLDER))
    if not isinstance(named, str | os.PathLike):
        raise WrongType(f"@pytest.mark.tape: path= takes the name of a file below {FOLDER}, not {named!r}")
    if folder not in Path(os.path.normpath(path)).parents:
        raise InvalidArguments(
            f"@pytest.mark.tape: path={_spelled(named)!r} is not below {_short(folder)}, where this module's tapes "
            "are: give the rest of the path, from there on, such as path='shared/feed.jsonl'"
        )


_USERS: Final = pytest.StashKey[dict[Path, list[pytest.Item]]]()
"""The tests of a session that have a tape of their own name, also the deselected ones, by its path, `_folded`."""


def _folded(path: Path) -> Path:
    """The same for files of one folder whose names macOS and Windows take for one."""
    return path.with_name(path.name.casefold())


def _users(session: pytest.Session, collected: list[pytest.Item]) -> dict[Path, list[pytest.Item]]:
    users = session.stash.get(_USERS, None)
    if users is None:
        users = session.stash[_USERS] = {}
        for item in collected:  # a test that is deselected would be given the tape another time
            if "tape" in getattr(item, "fixturenames", ()) and not _is_named(item):
                users.setdefault(_folded(path_of(item)), []).append(item)
    return users


def _check_alone(item: pytest.Item, path: Path, collected: list[pytest.Item]) -> None:
    """No other test has a name that makes the same file's: one would be given the other's conversation."""
    users = [] if _is_named(item) else _users(item.session, collected).get(_folded(path), [])
    other = next((one for one in users if one.nodeid != item.nodeid), None)  # the same, for who repeats a test
    if other is not None:
        raise InvalidArguments(
            f"{item.nodeid} and {other.nodeid} would share the tape {_short(path)}, for {_why_shared(item, other)}"
        )


def _why_shared(item: Any, other: Any) -> str:
    """Why two tests have one tape, and what to do."""
    advice = "give one of them another name, or id (pytest.param(…, id=…))"
    if path_of(item) != path_of(other):
        return f"names that differ in case alone are one file's on macOS and Windows: {advice}"
    if (item.name, item.parent.name) == (other.name, other.parent.name):
        return "its name has the innermost class alone: give the class another name in one of them"
    return f"no file's name has all that their names have: {advice}"


def _is_named(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("tape")
    return mark is not None and mark.kwargs.get("path") is not None


# -- recording ------------------------------------------------------------------------------------


def _target(request: pytest.FixtureRequest, path: Path) -> str:
    url = request.getfixturevalue("tape_url")
    if not url and path.exists():
        from farend.tape.reader import TapeReader

        with TapeReader(path) as reader:
            url = reader.header.target
    if not url:
        raise InvalidArguments(
            "to record a tape, say where the real server is: @pytest.mark.tape('wss://example.com/feed'), "
            "or a fixture of your own called tape_url"
        )
    return str(url)


def _proxy(request: pytest.FixtureRequest, path: Path, options: dict[str, Any]) -> Any:
    from farend.stage.proxy import record

    own = {name: value for name, value in options.items() if name in _RECORDING_OPTIONS}
    target = _target(request, path)
    recording = path.with_name(f".{path.name}.recording-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArguments(f"{_short(path.parent)} cannot be made: {error.strerror}") from None
    return record(target, recording, **own)


def _recorded(
    request: pytest.FixtureRequest, path: Path, mode: str, rules: dict[str, Any], options: dict[str, Any]
) -> Tape:
    from farend.dialects.replay import check_options

    proxy = _proxy(request, path, options)
    check_options(_short(path), proxy.wire, **rules)  # or the test would pass today, and fail from then on
    proxy.__enter__()
    _watch(request, _Recording(request.node, path, [proxy], lambda: _keep(proxy, path, rules)))
    return Tape(path, mode, proxy, is_recording=True)


def _keep(proxy: Any, path: Path, rules: dict[str, Any]) -> None:
    """The recording becomes the tape, if it can be replayed; else the test fails, as it would from then on."""
    from farend.dialects.replay import replay

    if not proxy.connections:
        raise pytest.fail.Exception(
            "nothing was recorded, so there would be nothing to replay: have the client connect to tape.url (or "
            "tape.host and tape.port), or leave the fixture tape out of the test",
            pytrace=False,
        )
    try:
        replay(proxy.tape, **rules)
    except FarendError as error:
        told = str(error).replace(str(proxy.tape), _short(path))
        raise pytest.fail.Exception(f"what was recorded could not be replayed: {told}", pytrace=False) from None
    os.replace(proxy.tape, path)


def _continued(request: pytest.FixtureRequest, path: Path, rules: dict[str, Any], options: dict[str, Any]) -> Tape:
    from farend.dialects.episodes import Switchboard, joined
    from farend.dialects.replay import replay

    proxy = _proxy(request, path, options)
    server = replay(path, **rules)
    proxy.__enter__()
    server.__enter__()
    board: Any = Switchboard(server, proxy)
    board.start()
    _watch(request, _Recording(request.node, path, [board, server, proxy], lambda: joined(path, proxy.tape)))
    return Tape(path, "new_episodes", board, is_recording=True)


class _Recording:
    """One test that records: its far ends are left before the report is made, and its tape is kept if it passed."""

    def __init__(self, item: pytest.Item, path: Path, far_ends: Sequence[Any], keep: Callable[[], object]) -> None:
        self._item = item
        self._path = path
        self._far_ends = far_ends
        self._keep = keep
        self._left = False

    def look(self, call: pytest.CallInfo[None]) -> None:
        """One phase of the test is over."""
        if call.when != "call":
            return
        error = call.excinfo.value if call.excinfo else None
        problem = self.leave(error)
        if problem is not None and error is None:
            call.excinfo = pytest.ExceptionInfo.from_exception(problem)
        if call.excinfo is None:
            try:
                self._keep()
            except (FarendError, OSError, pytest.fail.Exception) as problem:
                call.excinfo = pytest.ExceptionInfo.from_exception(problem)
        if call.excinfo is not None:
            kept = "as it was" if self._path.exists() else "not made"
            self._item.add_report_section(
                "call", "farend", f"The test did not pass: its tape {_short(self._path)} is {kept}."
            )

    def leave(self, error: BaseException | None) -> BaseException | None:
        """Leave the far ends; gives what went wrong, where nothing had before."""
        if self._left:
            return None
        self._left = True
        problem: BaseException | None = None
        for far_end in self._far_ends:
            try:
                if hasattr(far_end, "__exit__"):
                    raised = error or problem
                    far_end.__exit__(None if raised is None else type(raised), raised, None)
                else:
                    far_end.close()
            except FarendError as one:
                problem = problem or one
        return problem

    def drop(self) -> None:
        """The test is over: what was recorded, and is no tape, goes."""
        self.leave(None)
        from farend.tape.bulk import leftovers_of

        tape = self._far_ends[-1].tape
        for file in (tape, *leftovers_of(tape)):
            file.unlink(missing_ok=True)


def _watch(request: pytest.FixtureRequest, recording: _Recording) -> None:
    look_between_phases(request.node, recording.look)
    request.addfinalizer(recording.drop)


# -- tapes that nobody uses -----------------------------------------------------------------------


def unused(items: Iterable[Any]) -> list[Path]:
    """The tapes in the folders of the items' modules that no test has."""
    modules: dict[Path, set[Path]] = {}
    for item in items:
        if isinstance(item, pytest.Function):
            modules.setdefault(item.path.parent / FOLDER / item.path.stem, set()).add(path_of(item))
    return sorted(
        tape
        for folder, used in modules.items()
        if folder.is_dir()
        for tape in folder.glob("*.jsonl")
        if tape not in used
    )


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
