"""The communicator by itself: what it sends, receives, refuses and says."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from farend.asgi import (
    ApplicationClosed,
    AsgiViolation,
    Message,
    Rejected,
    UndeclaredMessage,
    Unsettled,
    WebsocketCommunicator,
    busy,
    lifespan,
)
from farend.errors import DeadlineExceeded, Failure, InvalidArguments, WrongState, WrongType

pytest_plugins = ["pytester"]


def app_of(handler, **accept):
    """An application that hands each event to the handler."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept", **accept})
        while (event := await receive())["type"] == "websocket.receive":
            await handler(event, send)

    return app


async def _echo(event, send):
    await send({**event, "type": "websocket.send"})


echo = app_of(_echo)


async def _answers(event, send):
    for text in ANSWERS[event["text"]]:
        await send({"type": "websocket.send", **({"bytes": text} if isinstance(text, bytes) else {"text": text})})


ANSWERS = {
    "none": [],
    "one": ["1"],
    "many": ["1", "2", "3"],
    "binary": [b"\x00\x01"],
    "json": ['{"action": "news", "payload": {"title": "rain"}}'],
    "mixed": ['{"n": 1}', b"\xff", '{"n": 2}'],
    "no json": ["{"],
    "stream": [
        '{"action": "part", "payload": 1}',
        '{"action": "part", "payload": 2}',
        '{"action": "end"}',
        '{"action": "more"}',
    ],
    "completions": ['{"action": "a"}', '{"action": "complete"}', '{"action": "b"}', '{"action": "group_complete"}'],
}
answers = app_of(_answers)


# -- life ---------------------------------------------------------------------------------------------


def test_connect_says_what_became_of_it(run):
    async def test():
        comm = WebsocketCommunicator(
            app_of(_echo, subprotocol="v2", headers=[(b"x-one", b"1")]), "/", subprotocols=["v1", "v2"]
        )
        opening = await comm.connect()
        assert opening == (True, "v2")
        assert (opening.status, opening.subprotocol, opening.headers) == (101, "v2", [("x-one", "1")])
        assert comm.subprotocol == "v2"
        await comm.disconnect()
        await comm.disconnect()

    run(test())


def test_a_rejection_by_close(run):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 4003, "reason": "go away"})

    async def test():
        opening = await WebsocketCommunicator(app, "/secret").connect()
        assert opening == (False, 4003)
        assert opening.status == 403
        with pytest.raises(
            Rejected, match="rejected /secret with close code 4003 'go away'; a server would answer HTTP 403.$"
        ) as caught:
            async with WebsocketCommunicator(app, "/secret"):
                raise AssertionError
        assert (caught.value.code, caught.value.status) == (4003, 403)

    run(test())


def test_a_denial_response(run):
    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        headers = [(b"www-authenticate", b"Basic")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"log ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"in"})

    async def test():
        opening = await WebsocketCommunicator(app, "/").connect()
        assert (opening.accepted, opening.status, opening.body) == (False, 401, b"log in")
        with pytest.raises(Rejected, match="with HTTP 401: 'log in'") as caught:
            async with WebsocketCommunicator(app, "/"):
                raise AssertionError
        assert caught.value.headers == {"www-authenticate": "Basic"}
        assert caught.value.body == b"log in"

    run(test())


def test_an_application_that_never_accepts(run):
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    async def test():
        with pytest.raises(
            DeadlineExceeded, match=r"neither accepted nor rejected(.|\n)*an event, test_communicator\.py"
        ):
            await WebsocketCommunicator(app, "/").connect(timeout=3600)  # of the clock, so it takes no time

    run(test())


def test_an_application_that_returns_without_an_answer(run):
    async def app(scope, receive, send):
        await receive()

    with pytest.raises(ApplicationClosed, match="returned, and has not answered /x"):
        run(WebsocketCommunicator(app, "/x").connect())


def test_an_application_that_hangs_on_disconnect_is_named(run):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def test():
        began = time.monotonic()
        with pytest.raises(
            Unsettled, match=r"does not end after its websocket\.disconnect(.|\n)*an event, test_comm"
        ) as caught:
            async with WebsocketCommunicator(app, "/"):
                pass
        assert time.monotonic() - began < 50  # it has a minute of the clock
        assert len(caught.value.under_way) == 1

    run(test())


def test_an_application_that_listens_on_after_the_disconnect_is_named(run):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        while True:
            await receive()

    async def test():
        with pytest.raises(Unsettled, match=r"a message \(receive\(\)\)"):
            async with WebsocketCommunicator(app, "/"):
                pass

    run(test())


def test_an_application_may_take_its_time_to_end(run):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        await asyncio.sleep(0.9)
        await asyncio.to_thread(time.sleep, 0.01)

    async def test():
        async with WebsocketCommunicator(app, "/"):
            pass

    run(test())


@pytest.mark.parametrize("where", ["connect", "message", "disconnect"])
def test_an_exception_of_the_application_is_raised_in_the_test(run, where):
    async def app(scope, receive, send):
        if where == "connect":
            raise ZeroDivisionError("here")
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                raise ZeroDivisionError("here")
        if where == "disconnect":
            raise ZeroDivisionError("here")

    async def test():
        with pytest.raises(ZeroDivisionError, match="here") as caught:
            async with WebsocketCommunicator(app, "/") as comm:
                if where == "message":
                    await comm.send_text("boom")
                    await comm.receive_text()
        assert any(entry.name == "app" for entry in caught.traceback)

    run(test())


@pytest.mark.parametrize(
    "method", ["receive_all", "receive_nothing", "settle", "receive_all_messages", "assert_closed"]
)
def test_a_failed_application_fails_whoever_asks(run, method):
    async def fails(event, send):
        raise ZeroDivisionError

    async def test():
        comm = WebsocketCommunicator(app_of(fails), "/")
        await comm.connect()
        await comm.send_text("x")
        with pytest.raises(ZeroDivisionError):
            await getattr(comm, method)()
        with pytest.raises(ApplicationClosed, match="has ended"):
            await comm.receive_text()
        with pytest.raises(ApplicationClosed, match="Cannot send: the application has ended"):
            await comm.send_text("x")
        await comm.disconnect()  # it was told once

    run(test())


def test_the_tests_own_exception_stays_and_the_applications_is_a_note(run):
    async def test():
        async def app(scope, receive, send):
            await send({"type": "websocket.accept"})
            await receive()
            await receive()
            raise ZeroDivisionError("at the end")

        with pytest.raises(KeyError) as caught:
            async with WebsocketCommunicator(app, "/"):
                raise KeyError("mine")
        assert "ZeroDivisionError: at the end" in caught.value.__notes__[0]

    run(test())


def test_a_close_by_the_application(run):
    async def closes(event, send):
        await send({"type": "websocket.send", "text": "bye"})
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})

    async def test():
        async with WebsocketCommunicator(app_of(closes), "/") as comm:
            await comm.send_text("x")
            with pytest.raises(Failure, match="Expected a close, and the application said 'bye'"):
                await comm.assert_closed()
            assert await comm.receive_text() == "bye"
            await comm.assert_closed()
            await comm.assert_closed(4001)
            with pytest.raises(Failure, match="Expected a close with 1000, and the application closed with 4001"):
                await comm.assert_closed(1000)
            with pytest.raises(ApplicationClosed, match="closed the WebSocket with 4001 'enough'") as caught:
                await comm.receive_text()
            assert (caught.value.code, caught.value.reason) == (4001, "enough")
            with pytest.raises(ApplicationClosed, match="Cannot send: .* 4001"):
                await comm.send_json({})

    run(test())


def test_one_that_does_not_close(run):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            with pytest.raises(Failure, match="Expected the application to close"):
                await comm.assert_closed()

    run(test())


# -- what the application must not do -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([{"type": "websocket.send", "text": "x"}], "before it had accepted"),
        ([{"type": "websocket.accept"}, {"type": "websocket.accept"}], "accepted the WebSocket twice"),
        ([{"type": "websocket.accept", "subprotocol": "x"}], "subprotocol 'x', and was offered"),
        ([{"type": "http.response.start"}], "a WebSocket takes websocket.accept"),
        ([{}], "a dict with a 'type'"),
        ([None], "a dict with a 'type'"),
        ([{"type": "websocket.accept"}, {"type": "websocket.send"}], "'text' or 'bytes', and one of them only"),
        ([{"type": "websocket.accept"}, {"type": "websocket.send", "text": b"x"}], "is a str, not b'x'"),
        ([{"type": "websocket.accept"}, {"type": "websocket.send", "bytes": "x"}], "is a byte string"),
        ([{"type": "websocket.accept"}, {"type": "websocket.close"}, {"type": "websocket.send"}], "had closed the"),
        ([{"type": "websocket.http.response.body"}], "before its start"),
        ([{"type": "websocket.http.response.start", "status": "x"}], "is a number"),
        ([{"type": "websocket.http.response.start", "status": 400}] * 2, "began its HTTP response twice"),
    ],
)  # fmt: skip
def test_the_protocol_is_kept(run, events, text):
    async def app(scope, receive, send):
        for event in events:
            await send(event)

    async def test():
        with pytest.raises(AsgiViolation, match="broke the ASGI protocol") as caught:
            async with WebsocketCommunicator(app, "/") as comm:
                await comm.receive_text()
        assert text in str(caught.value)

    run(test())


def test_what_is_said_after_the_client_has_gone_is_dropped(run):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        await send({"type": "websocket.send", "text": "too late"})
        await send({"type": "websocket.close"})

    async def test():
        async with WebsocketCommunicator(app, "/") as comm:
            pass
        assert comm.frames == ()

    run(test())


# -- messages -----------------------------------------------------------------------------------------


def test_text_bytes_and_json(run):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            await comm.send_text("héllo")
            assert await comm.receive_text() == "héllo"
            await comm.send_bytes(b"\x00")
            assert await comm.receive_bytes() == b"\x00"
            await comm.send_bytes(bytearray(b"\x01"))
            assert await comm.receive() == b"\x01"
            await comm.send_json({"a": [1, None]})
            assert await comm.receive_json(timeout=1.0) == {"a": [1, None]}
            await comm.send_json([1], mode="binary")
            assert await comm.receive_json(mode="binary") == [1]
            await comm.send_text("")
            assert await comm.receive_text() == ""
            await comm.send_to(text_data="t")
            assert await comm.receive_from() == "t"
            await comm.send_to(bytes_data=b"")
            assert await comm.receive_from() == b""
            await comm.send_json_to({"x": 1})
            assert await comm.receive_json_from() == {"x": 1}
            large = "x" * (4 << 20)
            assert await comm.exchange(large) == [large]

    run(test())


def test_the_wrong_kind_of_message(run):
    async def test():
        async with WebsocketCommunicator(answers, "/") as comm:
            await comm.send_text("binary")
            with pytest.raises(Failure, match=r"Expected text, got bytes: b'\\x00\\x01'"):
                await comm.receive_text()
            await comm.send_text("one")
            with pytest.raises(Failure, match="Expected bytes, got text: '1'"):
                await comm.receive_bytes()
            await comm.send_text("no json")
            with pytest.raises(Failure, match="Expected JSON, got '{'"):
                await comm.receive_json()
            await comm.send_text("mixed")
            with pytest.raises(Failure, match="Expected JSON in a text message, got bytes"):
                await comm.receive_all_json()
            assert await comm.receive_all_json() == [{"n": 1}, {"n": 2}]  # the others are still there

    run(test())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda comm: comm.send_text(b"x"), WrongType, r"send_text\(\) takes text, not b'x'; see send_bytes\(\)"),
        (lambda comm: comm.send_bytes("x"), WrongType, r"send_bytes\(\) takes bytes, not 'x'; see send_text\(\)"),
        (lambda comm: comm.send_json({"a": {"b": [1, object]}}), WrongType, r"\['a'\]\['b'\]\[1\] is <class 'object'>"),
        (lambda comm: comm.send_json({(1, 2): 3}), WrongType, "cannot be serialised as JSON"),
        (lambda comm: comm.send_json({}, mode="xml"), InvalidArguments, "'text' or 'binary', not 'xml'"),
        (lambda comm: comm.send_message(object()), WrongType, "takes a message object"),
        (lambda comm: comm.send_message(Message), WrongType, "It is a class"),
        (lambda comm: comm.send_to(), InvalidArguments, "one of them only"),
        (lambda comm: comm.receive_text(timeout="1"), WrongType, "timeout= takes a number of seconds, not '1'"),
        (lambda comm: comm.receive_text(timeout=-1), InvalidArguments, "not negative"),
        (lambda comm: comm.receive_text(timeout=float("inf")), InvalidArguments, "has an end"),
        (lambda comm: comm.settle(within=None), WrongType, "within= takes a number"),
        (lambda comm: comm.settle(limit=True), WrongType, "limit= takes a number"),
        (lambda comm: comm.clock.advance("x"), WrongType, "seconds= takes a number"),
        (lambda comm: comm.receive_all_messages(stop_action=3), WrongType, "takes an action"),
        (lambda comm: comm.connect(), WrongState, "connected already"),
    ],
)
def test_bad_calls(run, call, error, text):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            with pytest.raises(error, match=text):
                await call(comm)
            assert await comm.exchange("still there?") == ["still there?"]

    run(test())


class NoConsumer:
    pass


class AConsumer:
    @classmethod
    def as_asgi(cls):
        async def app(scope, receive, send): ...

        app.consumer_class = cls
        return app


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: WebsocketCommunicator(None, "/"), WrongType, "is an ASGI application"),
        (lambda: WebsocketCommunicator(NoConsumer, "/"), WrongType, "not the class NoConsumer"),
        (lambda: WebsocketCommunicator(AConsumer, "/"), WrongType, r"class AConsumer: write AConsumer\.as_asgi\(\)"),
        (lambda: WebsocketCommunicator(echo, 5), WrongType, "the path is text"),
        (lambda: WebsocketCommunicator(echo, "ws"), InvalidArguments, "begins with a slash: '/ws'"),
        (lambda: WebsocketCommunicator(echo, "/", consumer=NoConsumer), WrongType, "NoConsumer is none"),
        (lambda: WebsocketCommunicator(echo, "/", consumer=AConsumer()), WrongType, "write consumer=AConsumer"),
        (lambda: WebsocketCommunicator(echo, "/", consumer="chat"), WrongType, "takes a consumer class, not 'chat'$"),
        (lambda: WebsocketCommunicator(echo, "/", consumer=AConsumer.as_asgi()), WrongType, "write consumer=AConsumer"),
        (lambda: WebsocketCommunicator(echo, "/", headers=["x"]), WrongType, "'x' is none"),
        (lambda: WebsocketCommunicator(echo, "/", headers="json"), WrongType, "pairs of name and value, not 'json'"),
        (lambda: WebsocketCommunicator(echo, "/", headers={"x": 1}), WrongType, "a header is text or bytes, not 1"),
        (lambda: WebsocketCommunicator(echo, "/", cookies="a=b"), WrongType, "cookies= takes a dict"),
        (lambda: WebsocketCommunicator(echo, "/", subprotocols="v1"), WrongType, r"takes a list: \['v1'\]"),
        (lambda: WebsocketCommunicator(echo, "/", subprotocols=[1]), WrongType, "a subprotocol is text"),
        (lambda: WebsocketCommunicator(echo, "/").transcript, WrongState, "not connected"),
        (lambda: WebsocketCommunicator(echo, "/").opening, WrongState, "not connected yet"),
        (lambda: lifespan(3), WrongType, "takes an ASGI application"),
    ],
)
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_misuse_is_told_at_the_line_of_the_test(pytester):
    pytester.makepyfile(
        """
        import pytest
        from farend.asgi import WebsocketCommunicator, capture_broadcast_events, capture_group_sends

        async def app(scope, receive, send):
            await send({"type": "websocket.accept"})
            await receive()
            await receive()

        @pytest.mark.parametrize(
            "misuse",
            [
                lambda comm: WebsocketCommunicator(5, "/"),
                lambda comm: WebsocketCommunicator(app, "ws"),
                lambda comm: WebsocketCommunicator(app, "/", headers={"x": 1}),
                lambda comm: comm.send_message("x"),
                lambda comm: comm.send_json({1, 2}),
                lambda comm: comm.receive_json(timeout="1"),
                lambda comm: comm.receive_json(),
                lambda comm: comm.clock.advance(-1),
                lambda comm: capture_broadcast_events(app),
                lambda comm: capture_group_sends("default"),
            ],
        )
        def test_it(misuse):
            with WebsocketCommunicator(app, "/") as comm:
                misuse(comm)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short")
    result.assert_outcomes(failed=10)
    shown = [line for line in result.outlines if line.partition(": in ")[0].rpartition(":")[2].isdigit()]
    assert len(shown) == 20, "the lambda's line, and the call of it"
    assert all(line.startswith("test_a_misuse_is_told") for line in shown)


def test_a_second_receive_is_told_once(run):
    async def test():
        with pytest.raises(WrongState, match="another task waits") as caught:
            async with WebsocketCommunicator(echo, "/") as comm:
                first = asyncio.create_task(comm.receive())
                await asyncio.sleep(0)
                await comm.receive()
        assert not hasattr(caught.value, "__notes__")
        with pytest.raises(WrongState, match="has disconnected"):
            await first

    run(test())


@pytest.mark.parametrize(
    "wait",
    [
        lambda comm: comm.receive(),
        lambda comm: comm.receive(outside=True),
        lambda comm: comm.receive_all_messages("never"),
        lambda comm: comm.assert_closed(),
    ],
)
def test_who_still_waits_when_the_communicator_disconnects_is_told(run, wait):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            with busy("something"):  # so that nothing is settled
                waiting = asyncio.create_task(wait(comm))
                await asyncio.sleep(0)
                await comm.disconnect()
        with pytest.raises((WrongState, Failure)):
            await waiting

    run(test())


def test_who_still_settles_when_the_communicator_disconnects_is_let_go(run):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            with busy("something"):
                settling = asyncio.create_task(comm.settle(limit=60))
                await asyncio.sleep(0)
                await comm.disconnect()
                await settling

    run(test())


def test_after_the_disconnect(run):
    async def test():
        comm = WebsocketCommunicator(echo, "/")
        with pytest.raises(WrongState, match="not connected"):
            await comm.send_text("x")
        await comm.disconnect()
        async with comm:
            pass
        with pytest.raises(WrongState, match="cannot send: the communicator has disconnected"):
            await comm.send_text("x")
        with pytest.raises(WrongState, match="has disconnected"):
            await comm.receive_text()
        await comm.settle()

    run(test())


def test_no_loop_and_the_wrong_with():
    comm = WebsocketCommunicator(echo, "/")
    with pytest.raises(WrongState, match="write `with` in a plain test"):
        comm.connect().send(None)

    async def test():
        with pytest.raises(WrongState, match="write `async with`"):
            with WebsocketCommunicator(echo, "/"):
                pass

    asyncio.run(test())


def test_two_tasks_cannot_wait_on_one_communicator(run):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            first = asyncio.create_task(comm.receive_text(timeout=10, outside=True))
            await asyncio.sleep(0)
            with pytest.raises(WrongState, match="another task waits"):
                await comm.receive_text()
            with pytest.raises(WrongState, match="another task waits"):
                await comm.receive_text(outside=True)
            await comm.send_text("x")
            assert await first == "x"

    run(test())


# -- the scope ----------------------------------------------------------------------------------------


def test_the_scope(run):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await send({"type": "websocket.accept"})
        await receive()
        await receive()

    async def test():
        async with WebsocketCommunicator(
            app,
            "/caf%C3%A9/a%20b?x=1&y=2",
            {"X-One": "1", b"origin": b"http://testserver"},
            ["v1"],
            user="alice",
            cookies={"session": "abc", "theme": "dark"},
            scope={"url_route": {"kwargs": {"room": "a"}}},
        ):
            pass

    run(test())
    [scope] = scopes
    assert scope["type"] == "websocket"
    assert scope["path"] == "/café/a b"
    assert scope["raw_path"] == b"/caf%C3%A9/a%20b"
    assert scope["query_string"] == b"x=1&y=2"
    assert scope["user"] == "alice"
    assert scope["url_route"] == {"kwargs": {"room": "a"}}
    assert scope["subprotocols"] == ["v1"]
    assert scope["headers"] == [
        (b"host", b"testserver"),
        (b"x-one", b"1"),
        (b"origin", b"http://testserver"),
        (b"cookie", b"session=abc; theme=dark"),
        (b"sec-websocket-protocol", b"v1"),
    ]


# -- receiving ----------------------------------------------------------------------------------------


def test_a_receive_that_fails_never_harms_the_application(run):
    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await comm.receive_text()
                with pytest.raises(DeadlineExceeded):
                    await comm.receive_json(timeout=0.001, outside=True)
                task = asyncio.create_task(comm.receive_text(timeout=10, outside=True))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await comm.exchange("still there?") == ["still there?"]

    run(test())


def test_nothing_can_come_is_known_at_once(run):
    """Acceptance 7, without its time, which the benchmarks measure: it comes at once, with the chain of awaits."""

    async def test():
        async with WebsocketCommunicator(echo, "/ws") as comm:
            await comm.exchange("hello")
            with pytest.raises(DeadlineExceeded) as caught:
                await comm.receive_text(timeout=3600)
        text = str(caught.value)
        assert "Nothing came within 3600 s of its clock, and nothing can" in text
        assert "a message (receive()), test_communicator.py:" in text
        assert "(app_of.<locals>.app), caused by message 1" in text
        assert "→ 'hello'" in text

    run(test())


def test_nothing_is_proven(run):
    async def test():
        async with WebsocketCommunicator(answers, "/") as comm:
            assert await comm.receive_nothing(timeout=3600)
            await comm.send_text("many")
            with pytest.raises(Failure, match="Expected nothing, and the application said:\n  '1'\n  '2'\n  '3'"):
                await comm.receive_nothing()
            assert await comm.receive_all() == ["1", "2", "3"]

    run(test())


def test_stop_actions(run):
    async def test():
        async with WebsocketCommunicator(answers, "/") as comm:
            await comm.send_text("stream")
            got = await comm.receive_all_messages(stop_action="end")
            assert [message.action for message in got] == ["part", "part", "end"]
            assert got[0].payload == 1
            assert (await comm.receive_message()).action == "more"

            await comm.send_text("completions")
            assert [m.action for m in await comm.receive_all_messages()] == ["a"]
            assert [m.action for m in await comm.receive_all_messages(stop_action="group_complete")] == ["b"]
            await comm.send_text("completions")
            assert [m.action for m in await comm.receive_all_messages(stop_action=None)] == ["a", "b"]
            assert await comm.receive_all_messages() == []

    run(test())


def test_a_stop_action_that_does_not_come_shows_what_came(run):
    async def test():
        async with WebsocketCommunicator(answers, "/") as comm:
            await comm.send_text("stream")
            with pytest.raises(Failure, match=r"No message with the action 'done' came(.|\n)*\"payload\": 2") as caught:
                await comm.receive_all_messages(stop_action="done")
            assert "consumer=" not in str(caught.value)
            with pytest.raises(Failure, match="'complete' came, and none can come(.|\n)*No consumer= was given"):
                await comm.receive_all_messages(stop_action="complete")

    run(test())


def test_message_objects_without_a_declaration(run):
    @dataclasses.dataclass
    class Ask:
        action: str
        payload: dict

    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            [message] = await comm.exchange(Ask("news", {"title": "rain"}))
            assert (message.action, message.payload.title, message["action"]) == ("news", "rain", "news")
            assert "Message({" in repr(message)
            with pytest.raises(AttributeError, match="no 'titel'; it has title"):
                message.payload.titel  # noqa: B018
            await comm.send_json([1])
            with pytest.raises(UndeclaredMessage, match="a JSON object, and the application said"):
                await comm.receive_message()
            assert await comm.exchange({"a": 1}) == [{"a": 1}]

    run(test())


def test_other_kinds_of_message_objects(run):
    import attrs
    import msgspec
    import pydantic

    class Model(pydantic.BaseModel):
        action: str = "pydantic"

    class Struct(msgspec.Struct):
        action: str = "msgspec"

    @attrs.define
    class Attrs:
        action: str = "attrs"

    async def test():
        async with WebsocketCommunicator(echo, "/") as comm:
            for one in (Model(), Struct(), Attrs(), {"action": "dict"}):
                await comm.send_message(one, topic="t", ref="r")
                raw = await comm.receive_json()
                assert raw.keys() == {"action", "version", "topic", "ref"}

    run(test())


# -- plain tests --------------------------------------------------------------------------------------


def test_a_plain_test():
    with WebsocketCommunicator(echo, "/") as comm:
        comm.send_text("hello")
        assert comm.receive_text() == "hello"
        assert comm.exchange({"a": 1}) == [{"a": 1}]
        assert comm.receive_nothing()
        before = comm.clock.time()
        comm.clock.advance(10)
        assert comm.clock.time() - before >= 10
        assert comm.transcript.sent == ["hello", '{"a": 1}']
        with pytest.raises(TimeoutError):
            comm.receive_text()
        with pytest.raises(AttributeError):
            comm.nothing_like_it  # noqa: B018


def test_several_in_a_plain_test_share_a_loop():
    others = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        others.append(send)
        while (event := await receive())["type"] != "websocket.disconnect":
            for other in others:
                if "text" in event:
                    await other({"type": "websocket.send", "text": event["text"]})

    with WebsocketCommunicator(app, "/") as one, WebsocketCommunicator(app, "/") as two:
        one.send_text("to all")
        assert two.receive_text() == one.receive_text() == "to all"


def test_errors_in_a_plain_test():
    async def app(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        with WebsocketCommunicator(app, "/"):
            pass
    with pytest.raises(KeyError):
        with WebsocketCommunicator(echo, "/"):
            raise KeyError


# -- lifespan -----------------------------------------------------------------------------------------


def lifespan_of(*, startup=True, shutdown=True, hangs=False):
    async def app(scope, receive, send):
        await receive()
        if startup is not True:
            if isinstance(startup, Exception):
                raise startup
            await send({"type": "lifespan.startup.failed", "message": startup})
            return
        if hangs:
            await asyncio.Event().wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if shutdown is not True:
            await send({"type": "lifespan.shutdown.failed", "message": shutdown})
            return
        await send({"type": "lifespan.shutdown.complete"})

    return app


@pytest.mark.parametrize(
    ("app", "error", "text"),
    [
        (lifespan_of(startup="no database"), Failure, "startup failed: no database"),
        (lifespan_of(startup=ZeroDivisionError("here")), ZeroDivisionError, "here"),
        (lifespan_of(shutdown="disk full"), Failure, "shutdown failed: disk full"),
        (lifespan_of(hangs=True), Unsettled, "startup does not come to an end(.|\n)*an event"),
    ],
)
def test_a_lifespan_that_goes_wrong(run, app, error, text):
    async def test():
        with pytest.raises(error, match=text):
            async with lifespan(app):
                pass

    run(test())


def test_an_application_that_knows_no_lifespan(run):
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await echo(scope, receive, send)

    async def test():
        async with lifespan(app) as running, WebsocketCommunicator(running, "/") as comm:
            assert await comm.exchange("x") == ["x"]
        with pytest.raises(WrongState, match="started already"):
            await running.__aenter__()
        with pytest.raises(KeyError):
            async with lifespan(lifespan_of(shutdown="x")):
                raise KeyError

    run(test())
