"""A script against an application: what goes well, and what is found."""

from __future__ import annotations

import pytest

from farend import Failure, Ping, Script, ScriptError, WrongType
from farend.asgi import play


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event["text"] == "bye":
            await send({"type": "websocket.close", "code": 4001})
            return
        if event["text"] == "boom":
            raise ZeroDivisionError
        await send({"type": "websocket.send", "text": event["text"].upper()})


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script().send("a").expect("A").close(1001),
        Script().send("a").expect("A").abort(),
        Script().send_fragments("a", "b").expect("AB"),
        Script().pause(1000).send("a").expect("A"),
        Script().send("bye").expect_close(4001),
        Script().repeat(300, Script().send("a")).repeat(300, Script().expect("A")),
    ],
    ids=str,
)
def test_it_goes_well(run, script):
    run(play(script, app, "/"))


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        (Script().send("a").expect("B"), Failure, "Expected 'B', got 'A'"),
        (Script().expect("a"), Failure, r"Waited 100 s \(5 s, with a scale of 20\) for the near end to say 'a'"),
        (Script().send("a"), Failure, "after the script's last step"),
        (Script().send("bye").expect("x"), Failure, "before the script's end"),
        (Script().send("boom").expect("x"), ZeroDivisionError, "^$"),
        (Script().send(Ping(b"x")), ScriptError, "never sees"),
        ("a", WrongType, "takes a Script"),
    ],
)
def test_what_goes_wrong(run, script, error, text):
    with pytest.raises(error, match=text):
        run(play(script, app, "/"))
