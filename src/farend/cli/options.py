"""What several commands share: options, and how they speak, to people and to programs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click
from click.core import ParameterSource

from farend.errors import AddressError, FarendError, MissingExtra, TapeTorn
from farend.tape.format import MAX_LINE

if TYPE_CHECKING:
    import asyncio

    from farend.stage.far_end import Deadline

F = TypeVar("F", bound=Callable[..., Any])
TAPE: Final = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_OF_LISTENING: Final = (AddressError, MissingExtra)
_ARGUMENTS: Final = (
    (re.compile(r"(?<!\S)(host|port)=(?=\s)"), r"--\1"),
    (re.compile(r"(?<!\S)(host|port)=(?=\S)"), r"--\1 "),
    (re.compile(r"(?<!\S)tls=True(?!\S)"), "--tls"),
    (re.compile(r"the far end's \.port\b"), "the port that is printed"),
)
"""How errors name the arguments of far ends that listen, and what these are on the command line."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
CANNOT: Final = 2
"""The exit status of what cannot be done; 1 is for what was found."""


def max_line(command: F) -> F:
    """`--max-line`."""
    return click.option(
        "--max-line",
        type=click.IntRange(1),
        default=MAX_LINE,
        metavar="BYTES",
        help="The longest line of a tape that is read; 64 MiB unless set.",
    )(command)


_OF_A_TAPE: Final = (
    click.option("--ignore", multiple=True, metavar="PATH", help="A place in JSON that may hold anything: '$.id'."),
    click.option("--strict", is_flag=True, help="The order of both directions, and all ends, as on the tape."),
    click.option("--no-correlate", is_flag=True, help="Ids of a random shape have to be those of the tape."),
    click.option("--allow-unplayed", multiple=True, metavar="TEXT", help="What may be left out: '*ping*'."),
    click.option("--lines", is_flag=True, help="On TCP: messages are lines (else bytes are just bytes)."),
    max_line,
)


def rules(command: F) -> F:
    """The options that say how strictly a tape is compared; the command gets them as `rules`, for `replay`."""
    return _gathered(command, "rules", _rules, *_OF_A_TAPE)


def no_rules(script: Path) -> None:
    """Leave, with what they are for, where some of the options of `rules` were given, and a script is played."""
    context = click.get_current_context()
    given = [
        one.opts[0]
        for one in _parameters(_OF_A_TAPE)
        if one.name is not None and context.get_parameter_source(one.name) is not ParameterSource.DEFAULT
    ]
    if given:
        cannot(
            f"{script} is a script, and {', '.join(given)} is for a tape alone: how it is read and compared. Leave "
            "that out, and write into the script's steps what the client may say"
        )


def _rules(
    ignore: Sequence[str], strict: bool, no_correlate: bool, allow_unplayed: Sequence[str], lines: bool, max_line: int
) -> dict[str, Any]:
    from farend.core.framing import lines as by_lines

    return {
        "ignore": ignore,
        "strict": strict,
        "correlate": not no_correlate,
        "allow_unplayed": allow_unplayed,
        "framing": by_lines() if lines else None,
        "max_line": max_line,
    }


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a command listens, and whom it tells."""

    host: str
    port: int
    port_file: Path | None
    tls: bool
    ca_to: Path | None

    def begin(self) -> None:
        """What is there before the first client: the authority that it is to trust."""
        if self.ca_to is not None:
            if not self.tls:
                cannot("--ca-to writes the authority of the throw-away certificate: it goes with --tls")
            from farend.stage.tls import authority

            _written(self.ca_to, authority().cert_pem.bytes())

    def tell(self, port: int) -> None:
        """Write the port, once clients can connect."""
        if self.port_file is not None:
            _written(self.port_file, b"%d\n" % port)


def listening(command: F) -> F:
    """The options of what listens; the command gets them as `where`."""
    file = click.Path(dir_okay=False, path_type=Path)
    return _gathered(
        command,
        "where",
        Listening,
        click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=0, help="The port to listen on; 0 is the system's choice."
        ),
        click.option("--port-file", type=file, help="Write the port to this file, once clients can connect."),
        click.option("--tls", is_flag=True, help="Clients speak TLS, to a throw-away certificate (needs farend[tls])."),
        click.option("--ca-to", type=file, help="With --tls: write the authority that clients are to trust, as PEM."),
    )


def in_between(command: F) -> F:
    """The options of what stands between a client and its server, beside those of what listens."""
    for option in (
        as_json,
        deadline(),
        click.option("--connections", type=click.IntRange(1), help="End when so many connections are over."),
        click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so many seconds."),
        click.option(
            "--ca-file", type=click.Path(dir_okay=False, path_type=Path), help="Certificates to trust, as PEM."
        ),
        click.option("--insecure", is_flag=True, help="Do not check the server's certificate."),
    ):
        command = option(command)
    return command


def _gathered(command: F, name: str, make: Callable[..., Any], *options: Callable[[Any], Any]) -> F:
    """The command with these options, which it gets as one argument: `make` is called with all of them."""
    known = [one.name for one in _parameters(options)]

    @functools.wraps(command)
    def gathering(**given: Any) -> Any:
        own = {one: given.pop(one) for one in known if one is not None}
        return command(**given, **{name: make(**own)})

    for option in reversed(options):
        gathering = option(gathering)
    return gathering  # type: ignore[return-value]


def _parameters(options: Sequence[Callable[[Any], Any]]) -> list[click.Parameter]:
    """What click makes of options."""

    def nothing() -> None: ...

    for option in options:
        option(nothing)
    parameters: list[click.Parameter] = nothing.__click_params__  # type: ignore[attr-defined]
    return parameters


def deadline(default: str | None = None) -> Callable[[F], F]:
    """`--deadline`, as far ends take it; None is what they have where nobody says otherwise."""
    return click.option(
        "--deadline",
        metavar="SECONDS",
        default=default,
        show_default=default is not None,
        help="How long each wait may last, or 'none'.",
        callback=lambda _context, _parameter, text: _seconds(text),
    )


def _seconds(text: str | None) -> Deadline:
    if text is None:
        return "default"
    from farend.stage.settings import parsed_deadline

    with told_errors():
        return parsed_deadline(text, "--deadline")


def as_json(command: F) -> F:
    """`--json`."""
    return click.option("--json", "machine", is_flag=True, help="Speak JSON, one object a line.")(command)


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """What farend raises becomes a line, and the exit status 2; a warning becomes a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", TapeTorn)
        warnings.showwarning = _told_warning  # type: ignore[assignment]
        try:
            yield
        except FarendError as error:
            cannot(text(error))


def _told_warning(message: Warning | str, *_: object) -> None:
    click.echo(f"Warning: {message}", err=True)


def text(error: BaseException) -> str:
    """An error without its number, in the words of the command line."""
    told = str(error.args[1]) if isinstance(error, OSError) and len(error.args) > 1 else str(error)
    return _in_options(told) if isinstance(error, _OF_LISTENING) else told


def _in_options(text: str) -> str:
    """What is written for those who call `farend.TcpServer(host=…)`, for those who write `--host`.

    >>> _in_options("port 80 is taken. Leave port= out, and give your client the far end's .port")
    'port 80 is taken. Leave --port out, and give your client the port that is printed'
    >>> _in_options("host='nowhere' is no address of this machine")
    "--host 'nowhere' is no address of this machine"
    """
    for argument, option in _ARGUMENTS:
        text = argument.sub(option, text)
    return text


def cannot(text: str) -> NoReturn:
    """Say why it cannot be done, and leave."""
    raise _CannotError(text)


def say(text: str, *, nl: bool = True) -> None:
    """Say it on standard output, at once; where that cannot be written, leave, and say so.

    Half of a character, which JSON may hold and UTF-8 cannot, is said as JSON writes it.
    """
    try:
        click.echo(_SURROGATES.sub(_escaped, text), nl=nl)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # who has read enough: click ends the command
    except OSError as error:
        _give_up_stdout()
        cannot(f"standard output cannot be written: {error.strerror}")


def _escaped(surrogate: re.Match[str]) -> str:
    return f"\\u{ord(surrogate[0]):04x}"


def _give_up_stdout() -> None:
    """What is left in the buffer is written to nowhere, or the interpreter would try once more when it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


class _CannotError(click.ClickException):
    exit_code = CANNOT


@contextlib.contextmanager
def busy(text: str) -> Iterator[None]:
    """Show that work is under way, where somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _written(file: Path, data: bytes) -> None:
    """Write a file, so that whoever waits for it never reads half of it."""
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        half.write_bytes(data)
        half.replace(file)
    except OSError as error:
        cannot(f"{file} cannot be written: {error.strerror}")


@contextlib.contextmanager
def signalled(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    """An event that Ctrl-C sets, or who ends the program in order. On Windows, Ctrl-C interrupts the loop instead."""
    import asyncio

    stop = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(NotImplementedError):
        for number in numbers:
            loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)


class Voice:
    """Says things to a person, or to a program: `machine` is one JSON object a line on standard output."""

    def __init__(self, machine: bool) -> None:
        self.machine = machine

    def say(self, text: str, event: str, **facts: Any) -> None:
        """Say it, at once: `text` to a person, the facts of the event to a program."""
        say(json.dumps({"event": event, **facts}, default=str, ensure_ascii=False) if self.machine else text)

    def findings(self, findings: Sequence[Any]) -> None:
        """Tell what was found."""
        if not self.machine:
            from farend.report.text import print_screen

            print_screen(findings)
            return
        from farend.cli.findings import as_json

        for finding in findings:
            self.say("", "finding", **as_json(finding))
