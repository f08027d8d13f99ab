"""One case of `malformed`, played to a client under test, and judged."""

from __future__ import annotations

import warnings
from types import TracebackType

from farend.core.findings import Place
from farend.core.malformed import Case, case_of
from farend.core.reactions import ROOM, ClauseBroken, Result, Verdict, judge, script_of
from farend.core.transcript import Kind
from farend.errors import NonStrict, WrongState
from farend.report.raised import raised
from farend.stage import verdict
from farend.stage.far_end import Deadline
from farend.stage.servers import WebSocketServer


class CaseServer(WebSocketServer):
    """A far end that plays a case to whoever connects; `result` judges the first who did.

    `patience` is how long it is waited for somebody to connect, in seconds; None for as long as for anything else.
    """

    def __init__(
        self,
        case: Case,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        deadline: Deadline = "default",
        patience: float | None = None,
    ) -> None:
        super().__init__(
            script_of(case),
            host=host,
            port=port,
            deadline=deadline,
            max_size=ROOM,
            compression=case.compressed,
            name=f"the far end of {case.name}",
        )
        self.case = case
        self._case_patience = patience

    def _patience(self) -> float | None:
        return self.deadline if self._case_patience is None else self._case_patience

    @property
    def result(self) -> Result:
        """The verdict on what was seen so far."""
        transcripts = self.transcripts
        return judge(self.case, transcripts[0] if transcripts else None)


class ClientCheck:
    """Whether a client reacts to a case of `farend.malformed` as RFC 6455 asks: `with ClientCheck(case) as url:`.

    >>> from farend import ClientCheck
    >>> from websockets.sync.client import connect
    >>> def echo(url):
    ...     with connect(url) as client:
    ...         for message in client:
    ...             client.send(message)
    >>> with ClientCheck("masked-frame") as url:
    ...     echo(url)

    The client is let in at the URL, and sends back each message that it gets, until the connection is over; it may
    raise then, as clients do that fail a connection. What it raises that is the test's own (an assertion, a mistake
    in its code) is not held back. Leaving the block raises `Failure` where the client did not what it MUST, and warns
    with `NonStrict` where it did not what it SHOULD; that is a failure, too, where the check is `strict`. `deadline`
    is how long the client has for each step, in seconds. `async with` does the same for a client on the test's loop.
    """

    def __init__(self, case: str | Case, *, strict: bool = False, deadline: Deadline = "default") -> None:
        __tracebackhide__ = True
        self.case = case_of(case)
        self.strict = strict
        self._server = CaseServer(self.case, deadline=deadline)
        self._result: Result | None = None

    @property
    def url(self) -> str:
        """Where the client is to connect, once the block is entered."""
        return self._server.url

    @property
    def entered(self) -> bool:
        """Whether the block was entered."""
        return self._server.has_home

    @property
    def result(self) -> Result:
        """The verdict, once the block is left. Raises `WrongState` before."""
        if self._result is None:
            raise WrongState(f"{self!r} has no result yet: it has one when its `with` is left")
        return self._result

    def __enter__(self) -> str:
        __tracebackhide__ = True
        self._server.__enter__()
        return self.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        over = _is_clients(error)
        self._server.close(wait=over, check=None)
        return over and self._judged(error)

    async def __aenter__(self) -> str:
        __tracebackhide__ = True
        await self._server.__aenter__()
        return self.url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        over = _is_clients(error)
        await self._server.aclose(wait=over, check=None)
        return over and self._judged(error)

    def _judged(self, error: BaseException | None) -> bool:
        __tracebackhide__ = True
        self._result = result = self._server.result
        if result.broken or (self.strict and result.verdict is Verdict.NON_STRICT):
            transcript = result.transcript
            place = Place(0 if transcript is None else 1, far_end=self._server.name, transcript=transcript)
            hung_up = transcript is not None and any(entry.kind is Kind.FOUND for entry in transcript)
            told = "" if error is None or hung_up else raised(error)  # what a hung-up client raises, tells nothing
            failure = verdict.failure([ClauseBroken(place, result, told)])
            failure.near_end_error = error
            raise failure from None
        if result.verdict is Verdict.NON_STRICT:
            warnings.warn(NonStrict(str(result)), stacklevel=3)
        return True

    def __repr__(self) -> str:
        return f"<check of {self.case.name}>"


def _is_clients(error: BaseException | None) -> bool:
    """Whether this may be a client's way to say that its connection is over."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_clients(one) for one in error.exceptions)
    return error is None or (isinstance(error, Exception) and not isinstance(error, verdict.OWN))
