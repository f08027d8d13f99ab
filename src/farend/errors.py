"""Every exception that farend raises, and what each one means.

    FarendError
    ├── Failure (AssertionError)          the conversation went wrong; `.findings` has the data
    │   ├── UnmockedInteractionError      a mocked library was asked for what no session has a step for
    │   ├── InteractionMismatchError      an assertion names another interaction than the one that is next
    │   ├── VerificationError             a test with mocks is over, and not all was as it should be:
    │   │   ├── UnusedMocksError            required steps were not used
    │   │   └── UnassertedInteractionsError interactions were not asserted
    │   ├── SplitFailure                  a test fails when the far end's bytes are cut otherwise
    │   ├── Rejected                      an application in process did not accept the WebSocket
    │   ├── ApplicationClosed             it closed, or ended, where a message was awaited
    │   ├── AsgiViolation                 it broke the ASGI protocol
    │   └── UndeclaredMessage             it said what its consumer does not declare
    ├── UsageError                        a call that cannot be meant; nothing was done
    │   ├── ScriptError (ValueError)      a script that cannot be played
    │   ├── PlanError (ValueError)        a plan that cannot be carried out
    │   ├── FaultError (ValueError)       a fault that cannot be, contradicts another, or is not possible there
    │   ├── WrongType (TypeError)         an argument of the wrong type
    │   │   └── MissingAssertionFieldsError an assertion on a mock leaves out what it has to say
    │   ├── InvalidArguments (ValueError) arguments that exclude each other
    │   ├── WrongState (RuntimeError)     a server not started, a call on the wrong loop or thread
    │   │   ├── AssertionInsideSandboxError an assertion on a mock inside the block that intercepts
    │   │   └── InvalidStateError           a mocked connection was used after its end
    │   ├── NotConfigured (RuntimeError)  a setting of the project under test is missing
    │   ├── MissingAttribute (AttributeError) what a test case is about was not set; a name that does not exist
    │   └── MissingExtra (ImportError)    an optional library is needed and not there
    ├── TapeError                         a tape that cannot be used
    │   ├── TapeUnavailable (OSError)     the file cannot be read, or cannot be written
    │   ├── NotATape (ValueError)         the file is something else
    │   ├── TapeTooNew (ValueError)       a newer farend wrote it
    │   ├── TapeDamaged (ValueError)      a line in it is none; `.line` is its number
    │   │   └── TapeTooLarge              a line in it is longer than the limit
    │   └── TapeTorn (UserWarning)        its last line is cut off, and was left away
    ├── AddressError (OSError)            the address cannot be listened on or reached
    ├── NoWebSocket (ConnectionError)     who was called speaks no WebSocket there
    ├── ClientDisconnected (ConnectionError) raised in an application that speaks on after the test has left
    ├── DeadlineExceeded (TimeoutError)   a wait reached its deadline; the text says for what
    │   ├── Unsettled                     an application has not finished reacting; names what goes on
    │   └── Standstill                    nothing can happen any more in a virtual network; names who waits for what
    └── NonStrict (UserWarning)           a client under test did what it must, and not what it should

`Failure` is an `AssertionError`, so that every test runner shows it as a failed test and not as an
error of the test's own code. Texts are made where the facts are known; this module holds no logic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farend.core.findings import Finding


class FarendError(Exception):
    """The base of all of farend's exceptions."""


class Failure(FarendError, AssertionError):
    """The conversation did not go as scripted.

    `findings` holds what went wrong, as data, the first cause first; the text is the failure screen.
    `near_end_error` is what the program under test raised then, where the far end ended the connection
    because of a finding; None otherwise. A note tells it in a line.
    """

    def __init__(self, text: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(text)
        self.findings: tuple[Finding, ...] = tuple(findings)
        self.near_end_error: BaseException | None = None


class UnmockedInteractionError(Failure):
    """A mocked library was asked for something that no session has a step for; the text has the line to write."""


class InteractionMismatchError(Failure):
    """An assertion names another interaction than the one that is next; the text names that one."""


class VerificationError(Failure):
    """A test that used mocks is over, and not everything was as it should be."""


class UnusedMocksError(VerificationError):
    """Required steps of a mock's sessions were not used."""


class UnassertedInteractionsError(VerificationError):
    """Interactions with a mock were not asserted; the text has the lines to paste."""


class SplitFailure(Failure):
    """A test fails when the far end's bytes are cut otherwise, as the text shows; it was raised from the test's own.

    `played` of `possible` splits were played until one failed. `findings` are those of the test's own failure.
    """

    def __init__(self, text: str, findings: Sequence[Finding], played: int, possible: int) -> None:
        super().__init__(text, findings)
        self.played = played
        self.possible = possible


class Rejected(Failure):
    """The application did not accept the WebSocket: its answer is in `status`, `headers`, `body` and `code`."""

    def __init__(self, text: str, status: int, headers: Sequence[tuple[str, str]], body: bytes, code: int) -> None:
        super().__init__(text)
        self.status = status
        self.headers = dict(headers)
        self.body = body
        self.code = code


class ApplicationClosed(Failure):
    """The application closed its WebSocket, or ended, where something else was awaited; `code` and `reason` say how."""

    def __init__(self, text: str, code: int | None = None, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class AsgiViolation(Failure, RuntimeError):
    """The application broke the ASGI protocol; raised in its own `send()`, as a server would do it."""


class ClientDisconnected(FarendError, ConnectionError):
    """Raised in an application's `send()` when it goes on to speak after the test has disconnected (ASGI 2.4)."""


class UndeclaredMessage(Failure):
    """The application said what its consumer does not declare; `raw` is the message as it came."""

    def __init__(self, text: str, raw: object) -> None:
        super().__init__(text)
        self.raw = raw


class UsageError(FarendError):
    """A call that cannot be meant; nothing was done."""


class ScriptError(UsageError, ValueError):
    """A script that cannot be played, told at the line that wrote it."""


class PlanError(UsageError, ValueError):
    """A plan that contradicts itself, or that a far end cannot carry out; the text says which can."""


class FaultError(UsageError, ValueError):
    """A fault that cannot be, that contradicts another, or that a stage cannot do; the text says which can."""


class WrongType(UsageError, TypeError):
    """An argument of the wrong type."""


class MissingAssertionFieldsError(WrongType):
    """An assertion on a mock leaves out what it has to say of an interaction, such as the message."""


class InvalidArguments(UsageError, ValueError):
    """Arguments that exclude each other, or that leave nothing to do."""


class WrongState(UsageError, RuntimeError):
    """A server that is not started, or a call on the wrong event loop or thread."""


class AssertionInsideSandboxError(WrongState):
    """An assertion on a mock was made inside the block that intercepts; write it behind the block."""


class InvalidStateError(WrongState):
    """A mocked connection was used after its end. What is raised is the library's own exception as well."""


class NotConfigured(UsageError, RuntimeError):
    """A setting of the project under test is missing; the text says which, and what to write."""


class MissingAttribute(UsageError, AttributeError):
    """A test case was not told what it is about (its `ws_path`, its `consumer`), or a mock has no such name."""


class MissingExtra(UsageError, ImportError):
    """An optional library is needed and is not installed; the text names the extra."""


class TapeError(FarendError):
    """A tape that cannot be used."""


class TapeUnavailable(TapeError, OSError):
    """A tape's file cannot be read, or cannot be written; the text says why."""


class NotATape(TapeError, ValueError):
    """The file is no tape."""


class TapeTooNew(TapeError, ValueError):
    """A newer farend wrote the tape, in a format that this one does not know."""


class TapeDamaged(TapeError, ValueError):
    """A line of the tape is none: `line` is its number, the header's being 1."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


class TapeTooLarge(TapeDamaged):
    """A line of the tape is longer than the limit: `line` is its number."""


class TapeTorn(TapeError, UserWarning):
    """A warning: the last line of a tape is cut off, and what is before it is used."""


class AddressError(FarendError, OSError):
    """The address cannot be listened on, or cannot be reached; the text says why."""


class NoWebSocket(FarendError, ConnectionError):
    """The server that was called opened no WebSocket, and did not turn the client away in order either."""


class DeadlineExceeded(FarendError, TimeoutError):
    """A wait reached its deadline; the text says what was waited for."""


class Unsettled(DeadlineExceeded):
    """An application has not finished reacting within the limit; `under_way` says what still goes on."""

    def __init__(self, text: str, under_way: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.under_way: tuple[str, ...] = tuple(under_way)


class Standstill(DeadlineExceeded):
    """Nothing can happen any more in a virtual network, and the test waits; `waiting` says who waits for what."""

    def __init__(self, text: str, waiting: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.waiting: tuple[str, ...] = tuple(waiting)


class NonStrict(FarendError, UserWarning):
    """A warning: a client that is checked did what RFC 6455 says it MUST, and not what it says it SHOULD."""


for _public in (
    FarendError,
    Failure,
    UnmockedInteractionError,
    InteractionMismatchError,
    VerificationError,
    UnusedMocksError,
    UnassertedInteractionsError,
    SplitFailure,
    Rejected,
    ApplicationClosed,
    AsgiViolation,
    UndeclaredMessage,
    UsageError,
    ScriptError,
    PlanError,
    FaultError,
    WrongType,
    MissingAssertionFieldsError,
    InvalidArguments,
    WrongState,
    AssertionInsideSandboxError,
    InvalidStateError,
    NotConfigured,
    MissingAttribute,
    MissingExtra,
    TapeError,
    TapeUnavailable,
    NotATape,
    TapeTooNew,
    TapeTorn,
    TapeDamaged,
    TapeTooLarge,
    AddressError,
    NoWebSocket,
    DeadlineExceeded,
    Unsettled,
    Standstill,
    NonStrict,
):
    _public.__module__ = "farend"  # where users import them from, and what summaries print
