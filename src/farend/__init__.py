"""farend plays the other end of the wire: scripted TCP and WebSocket far ends for your tests.

    from farend import Script, WebSocketServer

    async with WebSocketServer(Script().expect("hello").send("there")) as server:
        ...  # point any client at server.url

The names below are imported when they are first used, so that importing farend costs nearly nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module

from farend.version import __version__

TYPE_CHECKING = False  # type checkers take it for true; `typing` would take longer than all the rest of this import

_HOMES = {
    "farend.core.journal": ("Attempt", "Journal"),
    "farend.core.plan": ("Plan", "then_abort", "then_close", "then_drop", "then_stall"),
    "farend.core.script": ("Script",),
    "farend.core.steps": ("forever",),
    "farend.core.matchers": ("Matcher", "anything", "json", "regex", "where"),
    "farend.core.framing": (
        "Framing",
        "at_least",
        "exactly",
        "framed_by",
        "json_lines",
        "length_prefixed",
        "lines",
        "pattern",
        "until",
    ),
    "farend.core.messages": ("Fragments", "Handshake", "Ping", "Pong", "Raw"),
    "farend.core.by_hand": ("Frame",),
    "farend.core.events": ("Ended",),
    "farend.core.faults": (
        "Bandwidth",
        "ByteAtATime",
        "Coalesce",
        "Corrupt",
        "CutAfter",
        "Duplicate",
        "EndOfStream",
        "Fault",
        "Garbage",
        "Latency",
        "NoCloseFrame",
        "Reorder",
        "Reset",
        "Segments",
        "Silence",
        "SlowReader",
    ),
    "farend.core.findings": ("Finding",),
    "farend.core.transcript": ("Transcript",),
    "farend.stage.servers": ("TcpServer", "WebSocketServer"),
    "farend.stage.clients": ("TcpClient", "WebSocketClient"),
    "farend.stage.checking": ("ClientCheck",),
    "farend.stage.every_split": ("every_split", "play_every_split"),
    "farend.stage.memory": ("rehearse",),
    "farend.stage.peer": ("BlockingPeer", "Peer"),
    "farend.stage.proxy": ("Proxy", "RecordingProxy", "proxy", "record"),
    "farend.dialects.commands": ("BREAK", "RECEIVE", "AsyncioCommandServer", "CommandServer", "OneShotServer"),
    "farend.dialects.taped": ("TapedClient",),
    "farend.dialects.testing_socket": ("TestingSocket",),
    "farend.dialects.expectations": ("ExpectationsServer", "read_frame", "write_frame"),
    "farend.dialects.pairs": ("assert_communication", "respond_with"),
    "farend.dialects.written": ("read_communication", "write_communication"),
    "farend.intercept.reroute": ("reroute",),
    "farend.intercept.virtual": ("virtual_network",),
    "farend.intercept.current": (
        "async_websocket_mock",
        "in_any_order",
        "sandbox",
        "sync_websocket_mock",
        "verify_mocks",
    ),
    "farend.intercept.plugins": ("AsyncWebSocketPlugin", "SyncWebSocketPlugin"),
    "farend.intercept.verifier": ("StrictVerifier",),
    "farend.dialects.replay": ("replay", "verify"),
    "farend.tape.reader": ("TapeReader",),
    "farend.tape.redaction": ("Redaction",),
    "farend.tape.transcripts": ("write_tape",),
    "farend.tape.writer": ("TapeWriter",),
    "farend.errors": (
        "AddressError",
        "AssertionInsideSandboxError",
        "ApplicationClosed",
        "AsgiViolation",
        "DeadlineExceeded",
        "Failure",
        "FaultError",
        "FarendError",
        "InteractionMismatchError",
        "InvalidArguments",
        "InvalidStateError",
        "MissingAssertionFieldsError",
        "MissingAttribute",
        "MissingExtra",
        "NonStrict",
        "NotConfigured",
        "Rejected",
        "PlanError",
        "ScriptError",
        "SplitFailure",
        "Standstill",
        "UnassertedInteractionsError",
        "UnmockedInteractionError",
        "UnusedMocksError",
        "UndeclaredMessage",
        "Unsettled",
        "NoWebSocket",
        "NotATape",
        "ScriptError",
        "TapeDamaged",
        "TapeError",
        "TapeTooLarge",
        "TapeTooNew",
        "TapeTorn",
        "TapeUnavailable",
        "UsageError",
        "VerificationError",
        "WrongState",
        "WrongType",
    ),
}
_MODULES = {"findings": "farend.findings", "malformed": "farend.core.malformed"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if TYPE_CHECKING:
    from farend import findings as findings
    from farend.core import malformed as malformed
    from farend.core.by_hand import Frame as Frame
    from farend.core.events import Ended as Ended
    from farend.core.faults import Bandwidth as Bandwidth
    from farend.core.faults import ByteAtATime as ByteAtATime
    from farend.core.faults import Coalesce as Coalesce
    from farend.core.faults import Corrupt as Corrupt
    from farend.core.faults import CutAfter as CutAfter
    from farend.core.faults import Duplicate as Duplicate
    from farend.core.faults import EndOfStream as EndOfStream
    from farend.core.faults import Fault as Fault
    from farend.core.faults import Garbage as Garbage
    from farend.core.faults import Latency as Latency
    from farend.core.faults import NoCloseFrame as NoCloseFrame
    from farend.core.faults import Reorder as Reorder
    from farend.core.faults import Reset as Reset
    from farend.core.faults import Segments as Segments
    from farend.core.faults import Silence as Silence
    from farend.core.faults import SlowReader as SlowReader
    from farend.core.findings import Finding as Finding
    from farend.core.framing import Framing as Framing
    from farend.core.framing import at_least as at_least
    from farend.core.framing import exactly as exactly
    from farend.core.framing import framed_by as framed_by
    from farend.core.framing import json_lines as json_lines
    from farend.core.framing import length_prefixed as length_prefixed
    from farend.core.framing import lines as lines
    from farend.core.framing import pattern as pattern
    from farend.core.framing import until as until
    from farend.core.journal import Attempt as Attempt
    from farend.core.journal import Journal as Journal
    from farend.core.matchers import Matcher as Matcher
    from farend.core.matchers import anything as anything
    from farend.core.matchers import json as json
    from farend.core.matchers import regex as regex
    from farend.core.matchers import where as where
    from farend.core.messages import Fragments as Fragments
    from farend.core.messages import Handshake as Handshake
    from farend.core.messages import Ping as Ping
    from farend.core.messages import Pong as Pong
    from farend.core.messages import Raw as Raw
    from farend.core.plan import Plan as Plan
    from farend.core.plan import then_abort as then_abort
    from farend.core.plan import then_close as then_close
    from farend.core.plan import then_drop as then_drop
    from farend.core.plan import then_stall as then_stall
    from farend.core.script import Script as Script
    from farend.core.steps import forever as forever
    from farend.core.transcript import Transcript as Transcript
    from farend.dialects.commands import BREAK as BREAK
    from farend.dialects.commands import RECEIVE as RECEIVE
    from farend.dialects.commands import AsyncioCommandServer as AsyncioCommandServer
    from farend.dialects.commands import CommandServer as CommandServer
    from farend.dialects.commands import OneShotServer as OneShotServer
    from farend.dialects.expectations import ExpectationsServer as ExpectationsServer
    from farend.dialects.expectations import read_frame as read_frame
    from farend.dialects.expectations import write_frame as write_frame
    from farend.dialects.pairs import assert_communication as assert_communication
    from farend.dialects.pairs import respond_with as respond_with
    from farend.dialects.replay import replay as replay
    from farend.dialects.replay import verify as verify
    from farend.dialects.taped import TapedClient as TapedClient
    from farend.dialects.testing_socket import TestingSocket as TestingSocket
    from farend.dialects.written import read_communication as read_communication
    from farend.dialects.written import write_communication as write_communication
    from farend.errors import AddressError as AddressError
    from farend.errors import ApplicationClosed as ApplicationClosed
    from farend.errors import AsgiViolation as AsgiViolation
    from farend.errors import AssertionInsideSandboxError as AssertionInsideSandboxError
    from farend.errors import DeadlineExceeded as DeadlineExceeded
    from farend.errors import Failure as Failure
    from farend.errors import FarendError as FarendError
    from farend.errors import FaultError as FaultError
    from farend.errors import InteractionMismatchError as InteractionMismatchError
    from farend.errors import InvalidArguments as InvalidArguments
    from farend.errors import InvalidStateError as InvalidStateError
    from farend.errors import MissingAssertionFieldsError as MissingAssertionFieldsError
    from farend.errors import MissingAttribute as MissingAttribute
    from farend.errors import MissingExtra as MissingExtra
    from farend.errors import NonStrict as NonStrict
    from farend.errors import NotATape as NotATape
    from farend.errors import NotConfigured as NotConfigured
    from farend.errors import NoWebSocket as NoWebSocket
    from farend.errors import PlanError as PlanError
    from farend.errors import Rejected as Rejected
    from farend.errors import ScriptError as ScriptError
    from farend.errors import SplitFailure as SplitFailure
    from farend.errors import Standstill as Standstill
    from farend.errors import TapeDamaged as TapeDamaged
    from farend.errors import TapeError as TapeError
    from farend.errors import TapeTooLarge as TapeTooLarge
    from farend.errors import TapeTooNew as TapeTooNew
    from farend.errors import TapeTorn as TapeTorn
    from farend.errors import TapeUnavailable as TapeUnavailable
    from farend.errors import UnassertedInteractionsError as UnassertedInteractionsError
    from farend.errors import UndeclaredMessage as UndeclaredMessage
    from farend.errors import UnmockedInteractionError as UnmockedInteractionError
    from farend.errors import Unsettled as Unsettled
    from farend.errors import UnusedMocksError as UnusedMocksError
    from farend.errors import UsageError as UsageError
    from farend.errors import VerificationError as VerificationError
    from farend.errors import WrongState as WrongState
    from farend.errors import WrongType as WrongType
    from farend.intercept.current import async_websocket_mock as async_websocket_mock
    from farend.intercept.current import in_any_order as in_any_order
    from farend.intercept.current import sandbox as sandbox
    from farend.intercept.current import sync_websocket_mock as sync_websocket_mock
    from farend.intercept.current import verify_mocks as verify_mocks
    from farend.intercept.plugins import AsyncWebSocketPlugin as AsyncWebSocketPlugin
    from farend.intercept.plugins import SyncWebSocketPlugin as SyncWebSocketPlugin
    from farend.intercept.reroute import reroute as reroute
    from farend.intercept.verifier import StrictVerifier as StrictVerifier
    from farend.intercept.virtual import virtual_network as virtual_network
    from farend.stage.checking import ClientCheck as ClientCheck
    from farend.stage.clients import TcpClient as TcpClient
    from farend.stage.clients import WebSocketClient as WebSocketClient
    from farend.stage.every_split import every_split as every_split
    from farend.stage.every_split import play_every_split as play_every_split
    from farend.stage.memory import rehearse as rehearse
    from farend.stage.peer import BlockingPeer as BlockingPeer
    from farend.stage.peer import Peer as Peer
    from farend.stage.proxy import Proxy as Proxy
    from farend.stage.proxy import RecordingProxy as RecordingProxy
    from farend.stage.proxy import proxy as proxy
    from farend.stage.proxy import record as record
    from farend.stage.servers import TcpServer as TcpServer
    from farend.stage.servers import WebSocketServer as WebSocketServer
    from farend.tape.reader import TapeReader as TapeReader
    from farend.tape.redaction import Redaction as Redaction
    from farend.tape.transcripts import write_tape as write_tape
    from farend.tape.writer import TapeWriter as TapeWriter

# What `from farend import *` brings, without the words that a test module has for something else: `findings`,
# `json`, `lines`, `pattern`, `record`, `replay`, `sandbox`, `until`, `verify` and `where` are imported by name.
__all__ = [
    "BREAK",
    "RECEIVE",
    "AddressError",
    "ApplicationClosed",
    "AsgiViolation",
    "AssertionInsideSandboxError",
    "AsyncWebSocketPlugin",
    "AsyncioCommandServer",
    "Attempt",
    "Bandwidth",
    "BlockingPeer",
    "ByteAtATime",
    "ClientCheck",
    "Coalesce",
    "CommandServer",
    "Corrupt",
    "CutAfter",
    "DeadlineExceeded",
    "Duplicate",
    "EndOfStream",
    "Ended",
    "ExpectationsServer",
    "Failure",
    "FarendError",
    "Fault",
    "FaultError",
    "Finding",
    "Fragments",
    "Frame",
    "Framing",
    "Garbage",
    "Handshake",
    "InteractionMismatchError",
    "InvalidArguments",
    "InvalidStateError",
    "Journal",
    "Latency",
    "Matcher",
    "MissingAssertionFieldsError",
    "MissingAttribute",
    "MissingExtra",
    "NoCloseFrame",
    "NoWebSocket",
    "NonStrict",
    "NotATape",
    "NotConfigured",
    "OneShotServer",
    "Peer",
    "Ping",
    "Plan",
    "PlanError",
    "Pong",
    "Proxy",
    "Raw",
    "RecordingProxy",
    "Redaction",
    "Rejected",
    "Reorder",
    "Reset",
    "Script",
    "ScriptError",
    "Segments",
    "Silence",
    "SlowReader",
    "SplitFailure",
    "Standstill",
    "StrictVerifier",
    "SyncWebSocketPlugin",
    "TapeDamaged",
    "TapeError",
    "TapeReader",
    "TapeTooLarge",
    "TapeTooNew",
    "TapeTorn",
    "TapeUnavailable",
    "TapeWriter",
    "TapedClient",
    "TcpClient",
    "TcpServer",
    "TestingSocket",
    "Transcript",
    "UnassertedInteractionsError",
    "UndeclaredMessage",
    "UnmockedInteractionError",
    "Unsettled",
    "UnusedMocksError",
    "UsageError",
    "VerificationError",
    "WebSocketClient",
    "WebSocketServer",
    "WrongState",
    "WrongType",
    "__version__",
    "anything",
    "assert_communication",
    "async_websocket_mock",
    "at_least",
    "every_split",
    "exactly",
    "forever",
    "framed_by",
    "in_any_order",
    "json_lines",
    "length_prefixed",
    "malformed",
    "play_every_split",
    "proxy",
    "read_communication",
    "read_frame",
    "regex",
    "rehearse",
    "reroute",
    "respond_with",
    "sync_websocket_mock",
    "then_abort",
    "then_close",
    "then_drop",
    "then_stall",
    "verify_mocks",
    "virtual_network",
    "write_communication",
    "write_frame",
    "write_tape",
]


if not TYPE_CHECKING:  # a type checker would take every misspelt name for something of type Any

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return import_module(_MODULES[name])
        home = _HOME_OF.get(name)
        if home is None:
            from farend.core.names import hint

            raise AttributeError(f"farend has no {name!r}{hint(name, __dir__())}")
        module = import_module(home)
        globals().update({one: getattr(module, one) for one in _HOMES[home]})
        return globals()[name]

    class _Module(type(sys)):
        """This module itself, which can be the block that intercepts client libraries: `with farend:`."""

        def __enter__(self):
            __tracebackhide__ = True
            block = self.sandbox()
            block.__enter__()
            self._blocks = [*getattr(self, "_blocks", ()), block]
            return self

        def __exit__(self, kind, error, traceback):
            __tracebackhide__ = True
            *self._blocks, block = self._blocks
            block.__exit__(kind, error, traceback)

        async def __aenter__(self):
            __tracebackhide__ = True
            await self.sandbox().__aenter__()

        async def __aexit__(self, kind, error, traceback):
            """Never reached: `__aenter__` raises."""

    sys.modules[__name__].__class__ = _Module


def __dir__() -> list[str]:
    return sorted([*_HOME_OF, *_MODULES, "__version__"])
