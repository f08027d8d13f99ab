"""The layer that does faults to a connection: on a clock that jumps, with exact times, and on real sockets."""

import asyncio
import contextlib
import heapq
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from farend import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Duplicate,
    EndOfStream,
    Failure,
    FaultError,
    Garbage,
    Latency,
    NoCloseFrame,
    Ping,
    Plan,
    PlanError,
    Reorder,
    Reset,
    Script,
    ScriptError,
    Segments,
    Silence,
    SlowReader,
    TcpClient,
    TcpServer,
    WebSocketClient,
    WebSocketServer,
    WrongType,
    async_websocket_mock,
    rehearse,
    then_abort,
)
from farend.asgi import play
from farend.stage.faults import Impaired


class Clock:
    """A loop without a wire: what is due is done, in order, and the time jumps to it."""

    def __init__(self):
        self.now = 0.0
        self.soon = []
        self.timers = []

    def time(self):
        return self.now

    def call_soon(self, function, *arguments):
        handle = asyncio.Handle(function, arguments, self)
        self.soon.append(handle)
        return handle

    def call_at(self, when, function, *arguments):
        handle = asyncio.TimerHandle(when, function, arguments, self)
        heapq.heappush(self.timers, handle)
        return handle

    def call_later(self, delay, function, *arguments):
        return self.call_at(self.now + delay, function, *arguments)

    def get_debug(self):
        return False

    def _timer_handle_cancelled(self, handle):
        pass

    def turn(self):
        """One turn of the loop; False where nothing is left to be done."""
        if not self.soon:
            while self.timers and self.timers[0].cancelled():
                heapq.heappop(self.timers)
            if not self.timers:
                return False
            self.now = max(self.now, self.timers[0].when())
            while self.timers and self.timers[0].when() <= self.now:
                self.soon.append(heapq.heappop(self.timers))
        soon, self.soon = self.soon, []
        for handle in soon:
            if not handle.cancelled():
                handle._run()
        return True

    def until(self, when):
        while self.soon or any(not timer.cancelled() and timer.when() <= when for timer in self.timers):
            self.turn()
        self.now = when

    def run(self):
        while self.turn():
            pass

    @property
    def idle(self):
        return not self.soon and all(timer.cancelled() for timer in self.timers)


class Transport:
    """Notes what is done to it, and when."""

    def __init__(self, clock):
        self.clock = clock
        self.done = []
        self.protocol = None
        self.unsent = 0
        self.closing = False
        self.half_closes = True

    def set_protocol(self, protocol):
        self.protocol = protocol

    def _note(self, what):
        self.done.append((round(self.clock.now, 9), what))

    def write(self, data):
        self._note(data)

    def write_eof(self):
        self._note("eof")

    def close(self):
        self._note("close")
        self.lose(None)

    def abort(self):
        self._note("abort")
        self.lose(None)

    def lose(self, error):
        if not self.closing:
            self.closing = True
            self.clock.call_soon(self.protocol.connection_lost, error)

    def pause_reading(self):
        self._note("pause")

    def resume_reading(self):
        self._note("resume")

    def is_closing(self):
        return self.closing

    def can_write_eof(self):
        return self.half_closes

    def get_extra_info(self, name, default=None):
        return default

    def get_write_buffer_size(self):
        return self.unsent

    def get_write_buffer_limits(self):
        return (16, 64)

    def set_write_buffer_limits(self, high=None, low=None):
        self._note(("limits", high))


class Protocol:
    """Notes what it is told, and when."""

    def __init__(self, clock):
        self.clock = clock
        self.told = []
        self.stays = True

    def _note(self, what):
        self.told.append((round(self.clock.now, 9), what))

    def data_received(self, data):
        self._note(data)

    def eof_received(self):
        self._note("eof")
        return self.stays

    def connection_lost(self, error):
        self._note(("lost", error))

    def pause_writing(self):
        self._note("wait")

    def resume_writing(self):
        self._note("go on")

    # as an owner

    def noted(self, text):
        self._note(text)

    def comes(self, message):
        self._note(("comes", message))

    def cut(self, direction, how):
        self._note(("cut", direction, how))

    def idle(self):
        pass


class Line:
    """A protocol, a layer, and a transport, on one clock."""

    def __init__(self, monkeypatch, *faults):
        self.clock = Clock()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.clock)
        self.transport, self.protocol = Transport(self.clock), Protocol(self.clock)
        self.layer = Impaired(self.transport, self.protocol, self.protocol)
        self.layer.connection_made(self.transport)
        self.layer.begin(faults)

    @property
    def sent(self):
        return self.transport.done

    @property
    def heard(self):
        return self.protocol.told


@pytest.fixture
def line(monkeypatch):
    def make(*faults):
        made.append(Line(monkeypatch, *faults))
        return made[-1]

    made = []
    yield make
    for one in made:
        one.layer.abort()
        one.clock.run()
        assert one.clock.idle, "a timer is left"


# -- with no fault --------------------------------------------------------------------------------


def test_with_no_fault_it_is_a_transport_and_a_protocol_like_any(line):
    on = line()
    on.layer.write(b"a")
    on.layer.say(b"b")
    on.layer.data_received(b"c")
    on.layer.write_eof()
    assert on.layer.eof_received()
    on.layer.pause_writing()
    on.layer.resume_writing()
    on.layer.pause_reading()
    on.layer.resume_reading()
    assert on.sent == [(0, b"a"), (0, b"b"), (0, "eof"), (0, "pause"), (0, "resume")]
    assert on.heard == [(0, b"c"), (0, "eof"), (0, "wait"), (0, "go on")]
    assert (on.layer.is_closing(), on.layer.can_write_eof(), on.layer.active) == (False, True, False)
    on.layer.close()
    assert on.layer.is_closing()
    on.layer.write(b"late")
    on.layer.say(b"late")
    on.clock.run()
    assert on.sent[-1] == (0, "close")
    assert on.heard[-1] == (0, ("lost", None))


# -- times ----------------------------------------------------------------------------------------


def test_latency_in_both_directions(line):
    on = line(Latency(0.5, to="both"))
    on.layer.write(b"a")
    on.layer.data_received(b"b")
    on.clock.until(0.2)
    on.layer.write(b"c")
    assert (on.layer.get_write_buffer_size(), on.layer.holds) == (2, True)
    on.layer.write_eof()
    on.layer.eof_received()
    on.clock.run()
    assert on.sent == [(0.5, b"a"), (0.7, b"c"), (0.7, "eof")]
    assert on.heard == [(0.5, b"b"), (0.7, "eof")]
    assert (on.layer.get_write_buffer_size(), on.layer.holds) == (0, False)


def test_a_close_comes_behind_what_was_said(line):
    on = line(Latency(0.5))
    on.layer.write(b"a")
    on.layer.close()
    assert on.layer.is_closing()
    on.clock.run()
    assert on.sent == [(0.5, b"a"), (0.5, "close")]
    assert on.heard == [(0.5, ("lost", None))]


def test_an_abort_does_not_wait(line):
    on = line(Latency(0.5, to="both"))
    on.layer.write(b"a")
    on.layer.data_received(b"b")
    on.layer.abort()
    on.clock.run()
    assert on.sent == [(0, "abort")]
    assert on.heard == [(0, ("lost", None))]


def test_what_was_said_before_the_connection_was_lost_is_still_under_way(line):
    on = line(Latency(0.5, to="far"))
    on.layer.data_received(b"a")
    error = ConnectionResetError()
    on.layer.connection_lost(error)
    on.layer.write(b"to nobody")
    on.clock.run()
    assert on.heard == [(0.5, b"a"), (0.5, ("lost", error))]
    assert on.sent == []


def test_a_protocol_that_does_not_stay_is_closed_when_it_hears_the_end(line):
    on = line(Latency(0.5, to="far"))
    on.protocol.stays = False
    on.layer.eof_received()
    on.clock.run()
    assert on.heard == [(0.5, "eof"), (0.5, ("lost", None))]
    assert on.sent == [(0.5, "close")]


def test_segments_are_two_turns_apart(line):
    on = line(Segments(2, to="both"))
    on.layer.write(b"abcd")
    on.layer.data_received(b"wxyz")
    assert (on.sent, on.heard) == ([(0, b"ab")], [(0, b"wx")])
    on.clock.turn()
    assert on.sent == [(0, b"ab")]
    on.clock.turn()
    assert (on.sent, on.heard) == ([(0, b"ab"), (0, b"cd")], [(0, b"wx"), (0, b"yz")])


def test_bandwidth_and_who_has_to_wait_for_it(line):
    on = line(Bandwidth(1000))
    high = on.layer.get_write_buffer_limits()[1]
    on.layer.write(bytes(high))
    assert on.heard == [(0, "wait")]
    on.clock.run()
    assert on.heard[1][1] == "go on"
    assert sum(len(data) for _, data in on.sent) == high
    assert on.clock.now == pytest.approx(high / 1000)


def test_a_transport_that_is_full_is_waited_for(line):
    on = line(Latency(0.5))
    on.layer.pause_writing()
    on.layer.write(b"a")
    on.clock.until(9.0)
    assert on.sent == []
    on.layer.resume_writing()
    assert on.sent == [(9, b"a")]
    assert on.heard == [(0, "wait"), (9, "go on")]


def test_a_protocol_that_does_not_read_is_waited_for(line):
    on = line(Latency(0.5, to="far"))
    on.layer.pause_reading()
    on.layer.data_received(b"a")
    on.clock.until(9.0)
    assert on.heard == []
    on.layer.resume_reading()
    assert on.heard == [(9, b"a")]
    assert on.sent == [(0, "pause"), (9, "resume")]


def test_who_wants_to_know_when_all_has_left_is_told(line):
    on = line(Latency(0.5))
    on.layer.write(b"a")
    on.layer.set_write_buffer_limits(0)
    on.clock.run()
    assert on.heard == [(0, "wait"), (0.5, "go on")]
    assert on.sent == [(0, ("limits", 0)), (0.5, b"a")]


def test_a_slow_reader_takes_little_at_a_time(line):
    on = line(SlowReader(100))
    assert len(on.layer.get_buffer(-1)) == 5
    on.layer.data_received(b"abcde")
    assert on.sent == [(0, "pause")]
    on.clock.run()
    assert on.sent[-1] == (0.05, "resume")
    assert b"".join(data for _, data in on.heard) == b"abcde"


def test_one_that_stands_still_reads_nothing_until_that_ends(line):
    on = line(SlowReader())
    assert on.sent == [(0, "pause")]
    on.clock.until(5.0)
    on.layer.end()
    assert on.sent == [(0, "pause"), (5, "resume")]
    assert len(on.layer.get_buffer(-1)) > 1000


def test_silence_reads_nothing_says_nothing_and_stays(line):
    on = line(Silence())
    on.layer.write(b"a")
    on.layer.close()
    on.clock.until(100.0)
    assert on.sent == [(0, "pause")]
    assert on.layer.get_write_buffer_size() == 0
    on.layer.end()
    on.clock.run()
    assert on.sent == [(0, "pause"), (100, b"a"), (100, "close")]


def test_at_the_end_of_a_test_what_was_held_goes_and_what_is_silent_does_not(line):
    on = line(Latency(9.0, to="both"), Segments(1))
    on.layer.write(b"a")
    on.layer.data_received(b"b")
    assert on.layer.give_up()
    assert (on.sent, on.heard) == ([(0, b"a")], [(0, b"b")])
    silent = line(Silence())
    silent.layer.write(b"a")
    assert not silent.layer.give_up()
    assert silent.sent == [(0, "pause")]


# -- ends -----------------------------------------------------------------------------------------


def test_a_cut_comes_once_what_was_to_arrive_has_left(line):
    on = line(CutAfter(2))
    on.transport.unsent = 1
    on.layer.write(b"abc")
    on.clock.until(0.1)
    assert on.heard == [(0, "cut after 2 bytes, with a reset: done")]
    on.transport.unsent = 0
    on.clock.run()
    assert on.heard[-1][1] == ("cut", "near", "reset")
    assert on.sent == [(0, b"ab")]
    on.layer.write(b"to nobody")
    assert on.sent == [(0, b"ab")]


def test_a_cut_of_a_connection_that_has_gone_meanwhile_is_none(line):
    on = line(CutAfter(2))
    on.transport.unsent = 1
    on.layer.write(b"abc")
    on.layer.connection_lost(None)
    on.clock.run()
    assert [what for _, what in on.heard] == ["cut after 2 bytes, with a reset: done", ("lost", None)]


def test_a_cut_in_what_is_heard(line):
    on = line(CutAfter(2, "end", to="far"))
    on.layer.data_received(b"abc")
    assert [what for _, what in on.heard] == [
        b"ab",
        "cut after 2 bytes, with the end of the stream to the far end: done",
        ("cut", "far", "end"),
    ]
    assert on.layer.eof_received()
    assert len(on.heard) == 3


def test_an_end_in_time_and_a_reset_behind_what_was_said(line):
    on = line(EndOfStream(2.0))
    on.clock.run()
    assert on.heard == [(2, ("cut", "near", "end"))]
    other = line(Latency(0.5))
    other.layer.write(b"a")
    other.layer.reset_behind()
    other.clock.run()
    assert other.sent == [(0.5, b"a")]
    assert other.heard == [(0.5, ("cut", "near", "reset"))]


def test_faults_can_be_called_off_one_by_one(line):
    latency, garbage = Latency(0.5), Garbage(b"x", at=1)
    on = line(latency, garbage)
    assert on.layer.faults == [latency, garbage]
    on.layer.begin([Latency(0.25)])
    assert on.layer.faults == [garbage, Latency(0.25)]
    on.layer.end([garbage])
    on.layer.write(b"ab")
    on.clock.run()
    assert on.sent == [(0.25, b"ab")]


def test_the_transport_can_be_given_back(line):
    on = line(Latency(0.5))
    on.layer.end()
    assert on.layer.detach() is on.transport
    assert on.transport.protocol is on.protocol


# -- messages -------------------------------------------------------------------------------------


def test_messages_that_are_said_and_what_waits_for_others_at_the_end(line):
    on = line(Reorder(2, hold=3.0), Duplicate(at=1))
    for message in (b"a", b"b", b"c"):
        on.layer.say(message)
    on.clock.run()
    assert on.sent == [(0, b"b"), (0, b"b"), (0, b"a"), (3, b"c")]
    on.layer.say(b"d")
    on.layer.write_eof()
    assert on.sent[-2:] == [(3, b"d"), (3, "eof")]


def test_messages_that_are_heard(line):
    on = line(Reorder(2, hold=3.0, to="far"))
    assert on.layer.rearranges
    kinds = {"!": "control", "end": "close"}

    def hear(*events):
        return list(on.layer.hear(events, lambda event: kinds.get(event, "message")))

    assert hear("a", "!", "b", "c") == ["!", "b", "a"]
    on.clock.run()
    assert on.heard[-1] == (3, ("comes", "c"))
    assert hear("d", "end") == ["d", "end"]
    hear("e")
    on.layer.end()
    assert on.heard[-1] == (3, ("comes", "e"))


# -- on real sockets ------------------------------------------------------------------------------


def said_to(script, said=b"a", **options):
    """What a plain client hears of a server that plays the script: the bytes, and how they ended."""
    heard = b""
    with TcpServer(script, **options) as server:
        with socket.create_connection((server.host, server.port), timeout=20) as client:
            client.sendall(said)
            try:
                while data := client.recv(1000):
                    heard += data
            except ConnectionResetError:
                return heard, "reset", server.transcripts[0]
    return heard, "end", server.transcripts[0]


def a():
    return Script().expect(b"a")


ON_TCP = {
    "latency": (a().fault(Latency(0.01, 0.005, seed=3)).send(b"hello").close(), b"hello", "end"),
    "bandwidth": (a().fault(Bandwidth(1000)).send(b"hello").close(), b"hello", "end"),
    "segments": (a().fault(Segments([1, 2])).send(b"hello").close(), b"hello", "end"),
    "byte at a time": (a().fault(ByteAtATime()).send(b"hello").close(), b"hello", "end"),
    "coalesced": (a().fault(Coalesce(0.01)).send(b"he").send(b"llo").close(), b"hello", "end"),
    "ended": (a().fault(Latency(0.01)).send(b"he").fault(None).send(b"llo").close(), b"hello", "end"),
    "cut": (a().fault(CutAfter(3)).send(b"hello").send(b"more"), b"hel", "reset"),
    "ended in the middle": (a().fault(CutAfter(3, "end")).send(b"hello").send(b"more"), b"hel", "end"),
    "reset": (a().send(b"he").fault(Reset(0.01)).send(b"llo"), None, "reset"),
    "end of stream": (a().send(b"he").fault(EndOfStream()).send(b"llo"), b"he", "end"),
    "corrupt": (a().fault(Corrupt(at=1, seed=2)).send(b"hello").close(), None, "end"),
    "garbage": (a().fault(Garbage(b"XY", at=2)).send(b"hello").close(), b"heXYllo", "end"),
    "garbage at once": (a().fault(Garbage(b"XY")).send(b"hello").close(), b"XYhello", "end"),
    "duplicate": (a().fault(Duplicate()).send(b"he").send(b"l").close(), b"hehell", "end"),
    "reorder": (a().fault(Reorder(2)).send(b"he").send(b"l").close(), b"lhe", "end"),
    "heard late": (a().fault(Latency(0.01, to="far")).send(b"x").close(), b"x", "end"),
    "cut when heard": (Script().fault(CutAfter(1, to="far")).expect(b"a").send(b"never"), None, "reset"),
}


@pytest.mark.parametrize(("script", "bytes_heard", "end"), ON_TCP.values(), ids=list(ON_TCP))
def test_a_step_begins_a_fault_on_tcp(script, bytes_heard, end):
    heard, ended, transcript = said_to(script)
    if bytes_heard is not None:
        assert heard == bytes_heard
    assert ended == end
    assert any("~ fault: " in line for line in str(transcript).splitlines())


def test_the_transcript_has_what_was_said_and_what_was_done_to_it():
    heard, _, transcript = said_to(a().fault(Corrupt(at=1)).send(b"hello").close())
    assert transcript.sent == [b"hello"]
    assert heard != b"hello"
    assert [str(entry) for entry in transcript if str(entry).startswith("~")] == [
        "~ fault: corrupt byte 1 (seed 0)",
        "~ byte 1 corrupted",
    ]


def test_the_same_seed_gives_the_same_bytes_on_every_connection():
    script = a().fault(Corrupt(every=4, seed=9), Garbage(size=5, at=3, seed=9), Segments(2)).send(bytes(40)).close()
    assert said_to(script)[0] == said_to(script)[0]


def test_a_server_does_faults_to_every_connection_from_its_first_byte():
    faults = [Latency(0.005, to="both"), ByteAtATime(to="both")]
    with WebSocketServer(Script().expect("a").send("b").close(), faults=faults) as server:
        for _ in range(2):
            with connect(server.url) as client:
                client.send("a")
                assert client.recv() == "b"
    assert [entry.kind.name for entry in server.transcripts[0]][:2] == ["CONNECTED", "FAULT"]
    assert server.faults == tuple(faults)


def test_both_ends_of_a_connection_can_have_faults():
    script = Script().expect(b"a").send(b"b").expect(b"c")
    with TcpServer(script, faults=ByteAtATime()) as server:
        with TcpClient(script.mirrored(), server.host, server.port, faults=[Latency(0.005)]) as client:
            pass
    assert client.transcripts[0].sent == [b"a", b"c"]


def on_websocket(script, *said, **options):
    """What a client hears of a WebSocket server: the messages, and the close code."""
    heard = []
    with WebSocketServer(script, **options) as server, contextlib.suppress(ConnectionClosed):
        with connect(server.url, ssl=server.client_ssl_context if options.get("tls") else None) as client:
            for message in said:
                client.send(message)
            while True:
                heard.append(client.recv(timeout=20))
    return heard, client.protocol.close_code, server.transcripts[0]


ON_WEBSOCKET = {
    "latency": (Script().fault(Latency(0.01)).expect("a").send("b").close(4000), ["b"], 4000),
    "byte at a time": (Script().fault(ByteAtATime(to="both")).expect("a").send("b").close(), ["b"], 1000),
    "end of stream": (Script().expect("a").send("b").fault(EndOfStream()), ["b"], 1006),
    "cut in a message": (Script().expect("a").fault(CutAfter(4, "end")).send("hello"), [], 1006),
    "no close frame": (Script().expect("a").fault(NoCloseFrame()).send("b").close(), ["b"], 1006),
    "reset": (Script().expect("a").fault(Reset()), [], 1006),
    "duplicate": (Script().expect("a").fault(Duplicate(2)).send("1").send("2").close(), ["1", "2", "2"], 1000),
    "reorder": (Script().expect("a").fault(Reorder(2)).send("1").send("2").close(), ["2", "1"], 1000),
    "held back at the close": (Script().expect("a").fault(Reorder(2)).send("1").close(), ["1"], 1000),
    "heard twice": (Script().fault(Duplicate(to="far")).expect("a").expect("a").send("b").close(), ["b"], 1000),
}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("script", "messages", "code"), ON_WEBSOCKET.values(), ids=list(ON_WEBSOCKET))
def test_a_step_begins_a_fault_on_a_websocket(script, messages, code, tls):
    heard, close_code, _ = on_websocket(script, "a", tls=tls)
    assert (heard, close_code) == (messages, code)


def test_messages_that_are_heard_come_in_another_order_and_pings_do_not_wait():
    script = Script().fault(Reorder(2, to="far")).expect(Ping(b"p")).expect("b").expect("a").send("c").close()
    with WebSocketServer(script) as server, connect(server.url) as client:
        client.send("a")
        client.ping(b"p")
        client.send("b")
        assert client.recv() == "c"


def test_a_message_held_back_comes_when_nothing_else_does():
    script = Script().fault(Reorder(3, hold=0.01, to="far")).expect("a").send("b").close()
    assert on_websocket(script, "a")[0] == ["b"]


def test_the_answer_to_a_close_is_not_sent_where_no_close_frame_is():
    with WebSocketServer(Script().expect("a").fault(NoCloseFrame()).expect_close()) as server:
        with connect(server.url) as client:
            client.send("a")
    assert client.protocol.close_code == 1006
    assert any("the close frame was not sent" in str(entry) for entry in server.transcripts[0])


def test_a_client_can_have_no_close_frame_either():
    with WebSocketServer(Script().expect("a").expect_close(1006)) as server:
        with WebSocketClient(Script().send("a").fault(NoCloseFrame()).close(), server.url):
            pass


def test_a_silent_far_end_keeps_the_connection_and_nobody_is_blamed():
    with WebSocketServer(Script().expect("a").fault(Silence()).send("never")) as server:
        with connect(server.url, close_timeout=0.05) as client:
            client.send("a")
            server.join()
            with pytest.raises(TimeoutError):
                client.recv(timeout=0.05)
    assert server.transcripts[0].sent == ["never"]


def test_silence_can_end():
    script = Script().expect(b"a").fault(Silence()).send(b"b").pause(0.01).fault(None).expect(b"c").close()
    heard, ended, _ = said_to(script, b"ac")
    assert (heard, ended) == (b"b", "end")


def test_a_reader_that_stands_still_fills_the_clients_buffers():
    with TcpServer(Script().fault(SlowReader())) as server:
        with socket.create_connection((server.host, server.port)) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    client.sendall(bytes(1 << 20))
    assert server.transcripts[0].received == []


def test_what_is_expected_behind_a_cut_is_told_as_its_consequence():
    with pytest.raises(Failure) as caught:
        said_to(a().fault(CutAfter(3)).send(b"hello").expect(b"more"))
    assert "A fault ended the connection, and the near end left" in str(caught.value)


def test_a_connection_in_hand_has_faults_when_the_test_says_so():
    with TcpServer() as server, socket.create_connection((server.host, server.port), timeout=20) as client:
        peer = server.accept()
        peer.fault(Duplicate())
        peer.send(b"ab")
        peer.fault(None)
        peer.send(b"c")
        assert client.recv(5, socket.MSG_WAITALL) == b"ababc"
        with pytest.raises(FaultError, match="cannot be done by a TCP far end"):
            peer.fault(NoCloseFrame())
        with pytest.raises(FaultError, match="contradict"):
            peer.fault(Latency(1), Latency(2))
        with pytest.raises(ScriptError, match="takes faults such as"):
            peer.fault()
        peer.fault(Reset())
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_plan_has_faults_for_one_attempt():
    script = Script().expect("a").send("1").send("2").close()
    plan = (
        Plan().play(script, faults=[Reorder(), NoCloseFrame()]).play(script, then_abort(after=2), faults=Latency(0.001))
    )
    plan.play(script)
    assert "play (4 steps), with reorder every 2 messages (seed 0) and no close frame" in str(plan)
    heard = []
    with WebSocketServer(plan) as server:
        for _ in range(3):
            with contextlib.suppress(ConnectionClosed), connect(server.url) as client:
                client.send("a")
                heard.append([client.recv(), client.recv()])
    assert heard == [["2", "1"], ["1", "2"]]
    assert "~ fault: reorder" in str(server.transcripts[0])
    assert "fault" not in str(server.transcripts[2])


def test_a_plan_cannot_have_what_its_server_cannot_do():
    with pytest.raises(PlanError, match="it sends no close frames that way; a WebSocket far end and a proxy for"):
        TcpServer(Plan().play(Script(), faults=NoCloseFrame()))
    with pytest.raises(FaultError, match="contradict"):
        Plan().play(Script(), faults=[Latency(1), Latency(2)])
    with pytest.raises(FaultError, match="cannot be done by TcpServer"):
        TcpServer(Plan().play(Script().fault(NoCloseFrame()).close()))


# -- what cannot be -------------------------------------------------------------------------------


def test_a_fault_that_a_stage_cannot_do_is_refused_where_the_far_end_is_made():
    for make in (
        lambda: TcpServer(Script().fault(NoCloseFrame()).close()),
        lambda: TcpServer([Script(), Script().repeat(2, Script().expect(b"a").fault(Duplicate(to="far")))]),
        lambda: TcpServer(faults=[Reorder(to="far")]),
        lambda: WebSocketServer({"/feed": Script().fault(SlowReader(to="near"))}),
        lambda: TcpClient(Script().fault(NoCloseFrame()), "127.0.0.1", 1),
        lambda: WebSocketClient(Script(), "ws://127.0.0.1:1", faults=SlowReader(to="near")),
    ):
        with pytest.raises(FaultError, match="cannot be done by .*: .*; .* can$"):
            make()
    with pytest.raises(FaultError, match="contradict each other"):
        TcpServer(faults=[Bandwidth(1), Bandwidth(2)])
    with pytest.raises(WrongType, match="takes faults such as"):
        TcpServer(faults="slow")


def test_where_there_is_no_wire_there_are_no_faults():
    with pytest.raises(FaultError, match="cannot be done by a rehearsal: there are no bytes on a wire; a TCP far end"):
        rehearse(Script().expect("a").fault(Latency(1)).send("b"))


def test_neither_a_mock_nor_an_application_in_process_has_faults():
    script = Script().expect("a").fault(Latency(1)).send("b")
    with pytest.raises(FaultError, match="cannot be done by a mock: there are no bytes on a wire"):
        async_websocket_mock.play(script)
    with pytest.raises(FaultError, match=r"cannot be done by play\(\) against an application"):
        asyncio.run(play(script, None, "/"))


def test_one_that_is_added_while_the_script_is_played_is_a_finding():
    script = a()
    with pytest.raises(Failure, match="'no close frame' cannot be done by a TCP far end"):
        with TcpServer(script) as server, socket.create_connection((server.host, server.port)) as client:
            script.fault(NoCloseFrame())
            client.sendall(b"a")
            client.recv(1)


# -- whatever is said -----------------------------------------------------------------------------

CUTTING = st.one_of(
    st.builds(Segments, st.lists(st.integers(1, 9), min_size=1).map(tuple), to=st.just("both")),
    st.builds(ByteAtATime, to=st.just("both")),
)


@settings(max_examples=20)
@given(CUTTING, st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_with_segments_the_conversation_is_the_same(fault, messages):
    script = Script()
    for message in messages:
        script.expect(message).send(message * 2)
    script.close()

    def played(faults):
        with WebSocketServer(script, faults=faults) as server, WebSocketClient(script.mirrored(), server.url):
            pass
        [transcript] = server.transcripts
        return [(entry.kind, entry.payload) for entry in transcript if entry.kind.name not in ("FAULT", "CONNECTED")]

    assert played([fault]) == played([])
