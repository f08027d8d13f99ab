"""The pytest plugin: far ends as fixtures, and farend's settings as options.

No hook here is one that every test passes through when it runs, and nothing is imported before a fixture or a mock is
used. One looks, when tests are collected, whether a test names the fixture that has a run for each case.
How a fixture's far end comes to live in the test's body stands in `pytest_body`, how mocks do, in `pytest_mocks`, and
how a forgotten `close()` is noticed, in `pytest_started`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from farend.intercept import lifetime
from farend.stage import forgotten

if TYPE_CHECKING:
    from farend.dialects.expectations import ExpectationsServer
    from farend.intercept.verifier import StrictVerifier
    from farend.pytest_body import Body
    from farend.pytest_tape import Tape
    from farend.stage.checking import ClientCheck
    from farend.stage.servers import Server, TcpServer, WebSocketServer

    S = TypeVar("S", bound=Server)

# -- settings -------------------------------------------------------------------------------------

_OPTIONS: Final = {
    "deadline": ("SECONDS", "how long each wait of a far end may last, or 'none' for no end (default: 5)"),
    "scale": ("FACTOR", "multiplies all deadlines of far ends, for slow machines (default: 1)"),
    "max_size": ("BYTES", "the largest message that a far end takes (default: 16 MiB)"),
    "tail": ("LINES", "how much of a transcript leads up to a failure on its screen (default: 12)"),
}
_RECORD: Final = "when tapes are recorded: none, once, new_episodes, all (default: once, and none in CI)"
_MARK: Final = (
    "tape(url, path=…, mode=…, ignore=…): replay the test's tape, or record it from the server at url; "
    "see the fixture tape"
)
_MALFORMED: Final = (
    "malformed(*names, strict=False): the cases that the fixture malformed_frame has, by name ('utf8-*') or clause "
    "('5.5'); with strict, what a client SHOULD do counts as what it MUST"
)
_collected: Final = pytest.StashKey[list[pytest.Item]]()
"""The tests of a session, also those that are deselected."""
_told: Final = pytest.StashKey[dict[str, list[str]]]()
_before: Final = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("farend", "farend, the other end of the wire")
    for name, (metavar, text) in _OPTIONS.items():
        group.addoption(_flag(name), dest=f"farend_{name}", metavar=metavar, help=text)
        parser.addini(f"farend_{name}", text)
    modes = ["none", "once", "new_episodes", "all"]
    group.addoption(_flag("record"), dest="farend_record", metavar="MODE", choices=modes, help=_RECORD)
    parser.addini("farend_record", _RECORD)


def pytest_configure(config: pytest.Config) -> None:
    """Take the settings, where there are any; see to it that mocks, and started servers, belong to their test.

    Where pytest-django is at work, the fixtures for Django come in.
    """
    lifetime.claims[:] = [_claim]
    forgotten.watchers[:] = [_watch]
    if "DJANGO_SETTINGS_MODULE" in os.environ and config.pluginmanager.hasplugin("django"):
        config.pluginmanager.import_plugin("farend.pytest_django")
    config.addinivalue_line("markers", _MARK)
    config.addinivalue_line("markers", _MALFORMED)
    asked = [one for name in _OPTIONS if (one := _asked(config, name)) is not None]
    if not asked and not any(f"FAREND_{name.upper()}" in os.environ for name in _OPTIONS):
        return
    from farend.errors import InvalidArguments

    try:
        from farend.stage.settings import settings

        config.stash[_before] = dict(vars(settings))
        for name, text, source in asked:
            settings.take(name, text, source)
    except InvalidArguments as error:
        raise pytest.UsageError(str(error)) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put the settings back: a session may run inside another."""
    before = config.stash.get(_before, None)
    if before is not None:
        from farend.stage.settings import settings

        vars(settings).update(before)


def _claim(verifier: StrictVerifier) -> bool:
    from farend.pytest_mocks import claim

    return claim(verifier)


def _watch(server: Server) -> None:
    from farend.pytest_started import watch

    watch(server)


def _asked(config: pytest.Config, name: str) -> tuple[str, str, str] | None:
    """What the command line, or else the ini file, says of a setting, and which of them does."""
    if (text := config.getoption(f"farend_{name}")) is not None:
        return name, text, _flag(name)
    if text := config.getini(f"farend_{name}"):
        return name, str(text), f"farend_{name} in {config.inipath.name if config.inipath else 'the ini file'}"
    return None


def _flag(name: str) -> str:
    return f"--farend-{name.replace('_', '-')}"


# -- what is told at the end ----------------------------------------------------------------------

_TITLES: Final = {
    "farend_tapes": "tapes that no test uses",
    "farend_splits": "splits that were not played",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember the tests, also those that are deselected: their tapes are used."""
    config.stash[_collected] = list(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Find what is to be told; a worker of xdist tells it to who prints."""
    config = session.config
    told = {"farend_tapes": _unused_tapes(config), "farend_splits": _splits_left_out()}
    _tell(config, told)
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(told)


def _unused_tapes(config: pytest.Config) -> list[str]:
    items = config.stash.get(_collected, None)
    if not items or any("::" in str(argument) for argument in config.args):
        return []  # of their modules, not all tests are known
    if not any((path.parent / "tapes").is_dir() for path in {item.path for item in items}):
        return []
    from farend.pytest_tape import unused

    return [os.path.relpath(path) for path in unused(items)]


def _splits_left_out() -> list[str]:
    every_split = sys.modules.get("farend.stage.every_split")
    if every_split is None:
        return []
    lines = list(every_split.left_out)
    every_split.left_out.clear()
    return lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a worker of xdist has found."""
    _tell(node.config, getattr(node, "workeroutput", {}))


def _tell(config: pytest.Config, told: Mapping[str, list[str]]) -> None:
    nothing: dict[str, list[str]] = {name: [] for name in _TITLES}
    known = config.stash.setdefault(_told, nothing)
    for name, lines in known.items():
        lines += [line for line in told.get(name, ()) if line not in lines]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List the tapes that no test uses, and the tests of which not every split was played."""
    for name, lines in config.stash.get(_told, {}).items():
        if lines:
            terminalreporter.section(_TITLES[name])
            for line in lines:
                terminalreporter.write_line(line)


# -- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def tape() -> Tape:
    """The test's tape, replayed or recorded: connect to `tape.url`, or `tape.host` and `tape.port`.

    `@pytest.mark.tape("wss://example.com/feed")` says where the real server is, and how strictly the tape is
    compared; its keywords are those of `farend.replay` and `farend.record`, and `path` and `mode`. The tape is
    `tapes/<module>/<test>.jsonl` beside the module. A test that fails changes no tape.
    """
    from farend.pytest_tape import tape_of

    request = _request()
    return tape_of(request, request.config.stash[_collected])


@pytest.fixture
def tape_url(request: pytest.FixtureRequest) -> str | None:
    """Where the real server is, for the fixture `tape`: the mark's, unless a fixture of your own says it."""
    mark = request.node.get_closest_marker("tape")
    return mark.args[0] if mark and mark.args else None


@pytest.fixture
def tcp_far_end() -> TcpServer:
    """A `farend.TcpServer`, listening on `host` and `port` when the test begins.

    Tell it what to say with `tcp_far_end.play(script)`, before your client connects; or take each
    connection in hand with `await tcp_far_end.connection()`, in a plain test `tcp_far_end.accept()`.
    What was not played, and what was not expected, fails the test when its body is over.
    """
    from farend.stage.servers import TcpServer

    return _body().take_in(TcpServer())


@pytest.fixture
def websocket_far_end() -> WebSocketServer:
    """A `farend.WebSocketServer`, listening on `url` when the test begins; used as `tcp_far_end` is."""
    from farend.stage.servers import WebSocketServer

    return _body().take_in(WebSocketServer())


@pytest.fixture
def start_far_end() -> Callable[[S], S]:
    """A function that starts a server of your own.

    `server = start_far_end(TcpServer(script, tls=True))` has it listen, and gives it back. It can be
    called several times. Each server is left, and judged, when the test's body is over.
    """
    return _body().take_in


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that names `malformed_frame` a run for each case."""
    if "malformed_frame" in metafunc.fixturenames:
        from farend.pytest_malformed import parametrize

        parametrize(metafunc)


@pytest.fixture
def malformed_frame() -> Iterator[ClientCheck]:
    """One case of `farend.malformed`: `with malformed_frame as url:`, and let your client connect to the URL.

    The test runs once for each case, as `test_name[masked-frame]`. The client sends back each message that it gets,
    and may raise when it fails the connection. The block's end fails the test where the client did not what RFC 6455
    says it MUST, and warns where it did not what it SHOULD. `async with` is for clients on the test's loop.
    `@pytest.mark.malformed("utf8-*", "5.5", strict=True)` chooses cases, and makes warnings failures.
    """
    from farend.pytest_malformed import check_of

    yield from check_of(_request())


@pytest.fixture
def tcpserver() -> ExpectationsServer:
    """A `farend.ExpectationsServer`: tell it what the client will do, and ask with `await tcpserver.join()`."""
    from farend.dialects.expectations import ExpectationsServer

    return _body().take_in(ExpectationsServer())


@pytest.fixture
def tcpserver_factory() -> Callable[..., Any]:
    """A function that makes servers like `tcpserver`, where a test needs several.

    Write `server = await tcpserver_factory()`, or in a plain test `server = tcpserver_factory()`. It takes
    what `farend.ExpectationsServer` takes.
    """
    from farend.dialects.expectations import ExpectationsServer
    from farend.stage.far_end import in_async_code

    body = _body()

    async def awaited(server: ExpectationsServer) -> ExpectationsServer:
        return server

    def make(**options: Any) -> Any:
        server = body.take_in(ExpectationsServer(**options))
        return awaited(server) if in_async_code() else server

    return make


def _body() -> Body:
    from farend.pytest_body import body_of

    return body_of(_request())


def _request() -> pytest.FixtureRequest:
    """The request of the fixture that is being set up.

    A fixture that asks for `request` by its name has pytest 9 make and inspect it three times, which takes
    longer than all else in its set-up. Whoever sets it up has the request at hand, as a local variable:
    `pytest_fixture_setup(fixturedef, request)` is called by the names of its arguments.
    """
    frame = sys._getframe(2)
    while frame.f_back is not None:
        frame = frame.f_back
        request = frame.f_locals.get("request")
        if isinstance(request, pytest.FixtureRequest):
            return request
    raise RuntimeError("farend's fixtures are set up by pytest: name them as arguments of a test or a fixture")
