"""The scenes of `farend demo`: real clients against scripted far ends, told as they go."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from farend import Failure, Script, TcpServer, Transcript, WebSocketServer, lines
from farend.core.messages import counted
from farend.report.text import conversation_text, print_screen

FIRST_TEST = '''"""A first test with farend: run it with `pytest`."""

import socket

from farend import Script, TcpServer


def ask_temperature(host: str, port: int) -> float:
    """The code under test: a client of a thermometer that speaks lines over TCP."""
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(b"READ TEMP\\n")
        reply = connection.makefile("rb").readline()
    return float(reply.split()[1])


def test_the_client_reads_the_temperature():
    thermometer = Script().expect(b"READ TEMP\\n").send(b"TEMP 21.5\\n")
    with TcpServer(thermometer) as server:
        assert ask_temperature(server.host, server.port) == 21.5


def test_the_client_survives_a_reply_in_pieces():
    thermometer = Script().expect(b"READ TEMP\\n").send(b"TEMP").pause(0.01).send(b" 21.5\\n")
    with TcpServer(thermometer) as server:
        assert ask_temperature(server.host, server.port) == 21.5
'''

NODE_CLIENT = """
const socket = require("net").connect(+process.argv[1], "127.0.0.1");
socket.setEncoding("utf8");
socket.write("*IDN?\\n");
socket.on("data", (line) => { console.log(line.trim()); socket.end(); });
"""


def play(only: str | None = None, console: Console | None = None) -> bool:
    """Play the scenes, or one of them; whether each went as it should."""
    console = console or Console(highlight=False, soft_wrap=True)
    began = time.perf_counter()
    chosen = {name: scene for name, scene in SCENES.items() if only in (None, name)}
    went_well = [scene(console) for scene in chosen.values()]
    seconds = time.perf_counter() - began
    console.print(f"[dim]{counted(len(went_well), 'scene')} on real sockets, {seconds:.1f} s.[/]")
    _the_way_on(console)
    return all(went_well)


# -- the scenes -------------------------------------------------------------------------------------


def feed(console: Console) -> bool:
    """An exchange's WebSocket feed, and the `websockets` client."""
    script = (
        Script(name="exchange feed")
        .expect_handshake("/feed", query={"depth": "5"})
        .expect(json={"op": "subscribe", "channel": "trades"})
        .send(json={"event": "subscribed", "channel": "trades"})
        .send(json={"price": "64250.5", "size": "0.2"})
        .send(json={"price": "64251.0", "size": "1.1"})
        .close(1001, "maintenance")
    )
    _title(console, "1. A WebSocket feed", "The far end is an exchange; the client is the websockets library.")
    _show(console, script)
    with _expecting(console, None) as verdict, WebSocketServer(script) as server:
        _subscribe(server.url + "/feed?depth=5", "trades")
    _said(console, server.transcripts)
    return verdict[0]


def device(console: Console) -> bool:
    """A measuring device on TCP, asked by plain sockets, and by another language where there is one."""
    script = Script(name="power supply", framing=lines()).expect("*IDN?").send("ACME,PSU-3000,42,1.7")
    node = shutil.which("node")
    clients = "a plain socket, then Node.js" if node else "a plain socket"
    _title(console, "2. A device on TCP", f"The far end is a power supply that speaks lines; the client is {clients}.")
    _show(console, script)
    with _expecting(console, None) as verdict, TcpServer(script) as server:
        with socket.create_connection((server.host, server.port), timeout=5) as client:
            client.sendall(b"*IDN?\n")
            console.print(f"   the socket read:  {client.makefile('rb').readline()!r}")
        if node:
            done = subprocess.run(
                [node, "-e", NODE_CLIENT, str(server.port)], capture_output=True, text=True, timeout=20, check=True
            )
            console.print(f"   Node.js read:     {done.stdout.strip()!r}")
    _said(console, server.transcripts)
    return verdict[0]


def mismatch(console: Console) -> bool:
    """A client that subscribes to the wrong channel, and the screen that tells it."""
    script = (
        Script(name="exchange feed")
        .expect(json={"op": "subscribe", "channel": "trades", "depth": 5})
        .send(json={"event": "subscribed"})
        .expect(json={"op": "ping"})
    )
    client = "websocket-client" if _has_websocket_client() else "websockets, blocking"
    _title(
        console,
        "3. A mismatch",
        f"The client ({client}) subscribes to another channel. The far end says what it missed.",
    )
    _show(console, script)
    with _expecting(console, "Mismatch") as verdict, WebSocketServer(script) as server:
        _subscribe_blocking(server.url, "books")
    return verdict[0]


def hang(console: Console) -> bool:
    """A client that waits for what never comes: both sides would wait for ever."""
    script = Script(name="chat").expect("hello").send("welcome").expect("join #python").send("joined")
    _title(console, "4. A client that would have hung", "It waits for a second message, and the far end for its turn.")
    _show(console, script)
    with _expecting(console, "TimedOut") as verdict, WebSocketServer(script, deadline=0.5) as server:
        _chat(server.url)
    return verdict[0]


SCENES: dict[str, Callable[[Console], bool]] = {"feed": feed, "device": device, "mismatch": mismatch, "hang": hang}


# -- the clients ------------------------------------------------------------------------------------


def _subscribe(url: str, channel: str) -> None:
    from websockets.sync.client import connect

    with connect(url) as client:
        client.send(f'{{"op": "subscribe", "channel": "{channel}"}}')
        for _ in client:
            pass


def _subscribe_blocking(url: str, channel: str) -> None:
    message = f'{{"op": "subscribe", "channel": "{channel}"}}'
    if not _has_websocket_client():
        from websockets.sync.client import connect

        with connect(url) as client:
            client.send(message)
            client.recv()
        return
    import websocket

    connection = websocket.create_connection(url, timeout=5)
    try:
        connection.send(message)
        if connection.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE:
            raise ConnectionResetError("the exchange hung up")
    finally:
        connection.shutdown()  # type: ignore[no-untyped-call]  # close() leaves the socket open once the other side has closed


def _chat(url: str) -> None:
    from websockets.sync.client import connect

    with connect(url) as client:
        client.send("hello")
        client.recv()
        client.recv()  # nobody has anything to say now


def _has_websocket_client() -> bool:
    from importlib.util import find_spec

    return find_spec("websocket") is not None


# -- telling ----------------------------------------------------------------------------------------


@contextmanager
def _expecting(console: Console, finding: str | None) -> Iterator[list[bool]]:
    """Play what is inside; tell how it ended, and whether that is how it should."""
    verdict = [False]
    try:
        yield verdict
    except Failure as failure:
        verdict[0] = type(failure.findings[0]).__name__ == finding
        console.print()
        print_screen(failure.findings, console=console)
        console.print()
    else:
        verdict[0] = finding is None
        console.print("   [green]✓ every step was played[/]")
    if not verdict[0]:
        console.print(f"   [red]This scene should have ended otherwise ({finding or 'with every step played'}).[/]")


def _title(console: Console, title: str, sentence: str) -> None:
    console.print()
    console.print(f"[bold]{escape(title)}[/]")
    console.print(f"   {escape(sentence)}")


def _show(console: Console, script: Script) -> None:
    for line in str(script).splitlines():
        _line(console, line, "cyan")


def _said(console: Console, transcripts: tuple[Transcript, ...]) -> None:
    for transcript in transcripts:
        console.print(f"   [dim]What was said on connection {transcript.number}:[/]")
        for line in conversation_text(transcript):
            _line(console, line.strip())


def _line(console: Console, text: str, style: str = "") -> None:
    """One line, indented; the terminal wraps it where it is too narrow."""
    console.print(Text("   " + text, style=style), soft_wrap=True)


def _the_way_on(console: Console) -> None:
    console.print("\n[bold]The way on[/]")
    _line(console, "A test looks like this:")
    console.print()
    example = FIRST_TEST[FIRST_TEST.index("def test_the_client_reads") :].split("\n\n\n")[0]
    for line in example.splitlines():
        _line(console, "    " + line, "cyan")
    console.print()
    farend = "farend" if shutil.which("farend") else shlex.join([sys.executable, "-m", "farend"])
    _line(console, f"Get it as a file that runs:   {farend} demo --write test_first.py && pytest test_first.py")
    _line(console, "                              (which needs pytest: pip install pytest)")
    _line(console, "Read on:                      README.md, then docs/guide.md")
