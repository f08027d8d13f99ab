"""Bytes of one side of a WebSocket, cut where something whole ends."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from farend.core.units import Unit, Units

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode, data=b"", *, fin=True, mask=False):
    return Frame(opcode, data, fin).serialize(mask=mask)


def opened():
    units = Units()
    units.pass_by(HEAD)
    return units


def test_a_head_goes_on_as_it_comes_and_ends_where_it_ends():
    text = frame(Opcode.TEXT, b"hi")
    for cut in range(1, len(HEAD)):
        units = Units()
        first, second = units.feed(HEAD[:cut]), units.feed(HEAD[cut:] + text)
        assert first == [Unit("head", HEAD[:cut])]
        assert second == [Unit("head", HEAD[cut:]), Unit("message", text)]


def test_frames_of_every_length():
    for size in (0, 1, 125, 126, 127, 65535, 65536, 70000):
        for mask in (False, True):
            raw = frame(Opcode.BINARY, bytes(size), mask=mask)
            assert opened().feed(raw + b"\x81") == [Unit("message", raw)]


def test_control_frames_come_between_the_frames_of_a_message():
    first, last = frame(Opcode.TEXT, b"a", fin=False), frame(Opcode.CONT, b"b")
    ping, close = frame(Opcode.PING, b"p"), frame(Opcode.CLOSE, b"\x03\xe8")
    assert opened().feed(first + ping + last + close) == [
        Unit("control", ping),
        Unit("message", first + last),
        Unit("close", close),
    ]


def test_what_has_begun_to_pass_goes_on_passing():
    text, other = frame(Opcode.TEXT, b"hello"), frame(Opcode.TEXT, b"x")
    for cut in range(1, len(text)):
        units = opened()
        units.pass_by(text[:cut])
        assert units.feed(text[cut:] + other) == [Unit("rest", text[cut:]), Unit("message", other)]


def test_a_message_whose_first_frame_has_passed_goes_on_frame_by_frame():
    first, second, last = (
        frame(Opcode.TEXT, b"a", fin=False),
        frame(Opcode.CONT, b"b", fin=False),
        frame(Opcode.CONT, b"c"),
    )
    other = frame(Opcode.TEXT, b"x")
    units = opened()
    units.pass_by(first)
    assert units.feed(second + last + other) == [Unit("rest", second), Unit("rest", last), Unit("message", other)]


def test_a_long_frame_passes_by_in_pieces():
    raw = frame(Opcode.BINARY, bytes(1000))
    units = opened()
    for start in range(0, 900, 100):
        units.pass_by(raw[start : start + 100])
    assert units.feed(raw[900:]) == [Unit("rest", raw[900:])]


def test_what_is_not_whole_can_be_let_go():
    first, last = frame(Opcode.TEXT, b"a", fin=False), frame(Opcode.CONT, b"bcd")
    units = opened()
    assert units.feed(first + last[:3]) == []
    assert units.release() == first + last[:3]
    assert units.release() == b""
    assert units.feed(last[3:]) == [Unit("rest", last[3:])]
    assert units.feed(last[:1]) == []
    assert units.release() == last[:1]


FRAMES = st.lists(
    st.one_of(
        st.builds(frame, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=300), mask=st.booleans()),
        st.builds(frame, st.sampled_from([Opcode.PING, Opcode.PONG, Opcode.CLOSE]), st.binary(max_size=9)),
        st.binary(max_size=60).map(
            lambda data: frame(Opcode.BINARY, data, fin=False) + frame(Opcode.PING) + frame(Opcode.CONT, data)
        ),
    ),
    max_size=8,
)


@given(FRAMES, st.data())
def test_no_byte_is_lost_however_it_comes_and_whoever_listens(frames, data):
    stream = HEAD + b"".join(frames)
    units = Units()
    start, passed = 0, b""
    while start < len(stream):
        part = stream[start : start + data.draw(st.integers(1, 50))]
        start += len(part)
        if data.draw(st.booleans()):
            passed += units.release() + part
            units.pass_by(part)
        else:
            passed += b"".join(unit.data for unit in units.feed(part))
    # A control frame goes on before the message that it came in the middle of.
    assert sorted(passed + units.release()) == sorted(stream)


@given(FRAMES, st.integers(1, 50))
def test_the_units_are_the_same_however_the_bytes_are_cut(frames, size):
    whole = opened().feed(b"".join(frames))
    units = opened()
    stream = b"".join(frames)
    cut = [unit for start in range(0, len(stream), size) for unit in units.feed(stream[start : start + size])]
    assert cut == whole
    assert sum(len(unit.data) for unit in whole) == len(stream)


@given(FRAMES, st.lists(st.integers(1, 400), max_size=6))
def test_what_passes_by_is_kept_track_of_as_if_it_had_been_looked_at(frames, sizes):
    stream = b"".join(frames)
    passing, looking = opened(), opened()
    for size in sizes:
        part, stream = stream[:size], stream[size:]
        passing.pass_by(part)
        looking.feed(part)
        looking.release()
        assert passing.release() == b""
    assert passing.feed(stream) == looking.feed(stream)
