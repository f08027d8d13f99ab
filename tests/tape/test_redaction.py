"""No secret reaches the disk, and the same secret is always the same placeholder."""

import contextlib
import itertools
import json
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farend import InvalidArguments, WrongType
from farend.tape import redaction
from farend.tape.format import Kind, Line
from farend.tape.redaction import NAMES, PLACEHOLDER, Redaction


@pytest.fixture
def redactor():
    return Redaction().start()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ('{"token": "s3cr3t-1"}', '{"token": "<secret:token:1>"}'),
        ('{"accessToken":"s3cr3t-1"}', '{"accessToken":"<secret:accesstoken:1>"}'),
        ('{"ACCESS-TOKEN" : "s3cr3t-1"}', '{"ACCESS-TOKEN" : "<secret:access-token:1>"}'),
        ('{"api_key":"s3cr3t-1"}', '{"api_key":"<secret:api_key:1>"}'),
        ('{"apiKey":"s3cr3t-1"}', '{"apiKey":"<secret:apikey:1>"}'),
        ('{"password": 1234}', '{"password": "<secret:password:1>"}'),
        ('{"password": "a\\"s3cr3t\\\\"}', '{"password": "<secret:password:1>"}'),
        ('{"body": "{\\"token\\": \\"s3cr3t\\"}"}', '{"body": "{\\"token\\": \\"<secret:token:1>\\"}"}'),
        ('{"body": "{\\"pwd\\": 1234}"}', '{"body": "{\\"pwd\\": \\"<secret:pwd:1>\\"}"}'),
        ('{"token": null, "secret": true}', '{"token": null, "secret": true}'),
        ('{"token": ""}', '{"token": ""}'),
        (
            '{"credentials": {"user": "me", "n": [1, "x"], "ok": true}, "b": 1}',
            '{"credentials": {"user": "<secret:credentials:1>", "n": ["<secret:credentials:2>", '
            '"<secret:credentials:3>"], "ok": true}, "b": 1}',
        ),
        ('{"authorization": "Bearer s3cr3t"}', '{"authorization": "Bearer <secret:authorization:1>"}'),
        ("{'token': 's3cr3t'}", "{'token': '<secret:token:1>'}"),
        ("/feed?depth=5&token=s3cr3t&x=1", "/feed?depth=5&token=<secret:token:1>&x=1"),
        ("password=s3cr3t", "password=<secret:password:1>"),
        (
            "GET / HTTP/1.1\r\nAuthorization: Basic s3cr3t==\r\nAccept: */*\r\n\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Basic <secret:authorization:1>\r\nAccept: */*\r\n\r\n",
        ),
        ("cookie: a=s3cr3t-1; b=s3cr3t-2\r\n", "cookie: a=<secret:cookie:1>; b=<secret:cookie:2>\r\n"),
        ("Set-Cookie: a=s3cr3t; Path=/; HttpOnly", "Set-Cookie: a=<secret:set-cookie:1>; Path=/; HttpOnly"),
        ("X-Api-Key: s3cr3t\r\n", "X-Api-Key: <secret:x-api-key:1>\r\n"),
        ("say the token: now", "say the token: now"),
        ("curl -H 'x: bearer s3cr3t-12'", "curl -H 'x: bearer <secret:authorization:1>'"),
        ("wss://me:s3cr3t@example.com/", "wss://me:<secret:password:1>@example.com/"),
        ("got eyJhbGciOi.eyJzdWIiOi.c2ln-s3cr3t!", "got <secret:jwt:1>!"),
        ('{"token": "<secret:token:7>"}', '{"token": "<secret:token:7>"}'),
        ('{"tokens": 512, "author": "me"}', '{"tokens": 512, "author": "me"}'),
        ("é token=ü€", "é token=<secret:token:1>"),
    ],
)
def test_secrets_are_found_by_name_and_by_looks(redactor, said, written):
    assert redactor.said(said) == written
    assert redactor.said(said.encode()) == written.encode()  # the same secret, the same placeholder


@pytest.mark.parametrize("name", NAMES)
def test_every_usual_name_is_found_in_every_place(name):
    for spelled in {name, name.upper(), name.replace("_", "-"), name.replace("_", ""), "x-my-" + name}:
        for said in (f'{{"{spelled}": "s3cr3t"}}', f"/?{spelled}=s3cr3t", f"A: b\r\n{spelled}: x=s3cr3t\r\n"):
            assert "s3cr3t" not in Redaction().start().said(said), said
        assert "s3cr3t" not in Redaction().start().header(spelled, "x=s3cr3t")


def test_a_known_secret_is_found_wherever_it_turns_up(redactor):
    assert redactor.header("Authorization", "Bearer s3cr3t/1") == "Bearer <secret:authorization:1>"
    assert redactor.said("hello s3cr3t/1!") == "hello <secret:authorization:1>!"
    assert redactor.said('{"a": "s3cr3t/1", "token": "s3cr3t\\/1"}').count("<secret:authorization:1>") == 2
    assert redactor.said("/?token=s3cr3t%2F1") == "/?token=<secret:authorization:1>"
    assert redactor.said(b"\x00s3cr3t%2F1\xff") == b"\x00<secret:authorization:1>\xff"


def test_the_longest_known_secret_comes_first(redactor):
    redactor.said('{"token": "abcdef", "secret": "abcdefgh"}')
    assert redactor.said("abcdefgh abcdef") == "<secret:secret:1> <secret:token:1>"


def test_short_secrets_and_plain_names_are_not_looked_for_elsewhere(redactor):
    redactor.said('{"token": "12", "password": "password", "signature": "abcdefgh"}')
    assert (
        redactor.said('{"password": 0.12, "x": "12 abcdefgh"}')
        == '{"password": "<secret:password:2>", "x": "12 abcdefgh"}'
    )


def test_what_is_remembered_has_an_end(redactor, monkeypatch):
    monkeypatch.setattr("farend.tape.redaction._REMEMBERED", 3)
    monkeypatch.setattr("farend.tape.redaction._LOOKED_FOR", 3)
    for number in range(10):
        redactor.said(f"token=number-{number}")
    assert redactor.said("number-9 number-0") == "<secret:token:10> number-0"
    assert redactor.said("token=number-0") == "token=<secret:token:11>"


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("Cookie", "a=s3cr3t-1; b=s3cr3t-2", "a=<secret:cookie:1>; b=<secret:cookie:2>"),
        ("authorization", "s3cr3t", "<secret:authorization:1>"),
        ("Referer", "https://x/?token=s3cr3t", "https://x/?token=<secret:token:1>"),
        ("Sec-WebSocket-Protocol", "chat, v2", "chat, v2"),
        ("Sec-WebSocket-Protocol", "access_token, s3cr3t", "access_token, <secret:token:1>"),
        ("Sec-WebSocket-Protocol", "Bearer, s3cr3t, x", "Bearer, <secret:token:1>, x"),
        ("Upgrade", "websocket", "websocket"),
    ],
)
def test_header_fields(redactor, name, value, written):
    assert redactor.headers(((name, value),)) == ((name, written),)


def test_a_line_is_redacted_in_all_its_fields(redactor):
    line = Line(
        1,
        Kind.CONNECT,
        "client",
        payload=b"token=s3cr3t-1",
        reason="token=s3cr3t-1",
        target="/?token=s3cr3t-1",
        headers=(("cookie", "a=s3cr3t-1"),),
    )
    assert "s3cr3t" not in repr(redactor.line(line))
    assert redactor.line(Line(1, Kind.END, "client")) == Line(1, Kind.END, "client")


# -- rules of one's own ---------------------------------------------------------------------------


def test_names_of_ones_own_and_names_to_keep():
    redactor = Redaction(names=["accountId"], keep=["page_token"]).start()
    assert (
        redactor.said('{"account_id": 5, "pageToken": "next"}')
        == '{"account_id": "<secret:account_id:1>", "pageToken": "next"}'
    )
    assert redactor.header("page-token", "next") == "next"


def test_a_function_names_secrets():
    asked = []

    def find(payload):
        asked.append(payload)
        return re.findall("IBAN[0-9]+", payload) if isinstance(payload, str) else [b"\xfe\xfe", ""]

    redactor = Redaction.chosen(find).start()
    assert redactor.said("IBAN12 and IBAN12, IBAN3") == "<secret:own:1> and <secret:own:1>, <secret:own:2>"
    assert redactor.said(b"\xff\xfe\xfe") == b"\xff<secret:own:3>"
    assert asked == ["IBAN12 and IBAN12, IBAN3", b"\xff\xfe\xfe"]


def test_without_the_usual_nothing_is_found():
    redactor = Redaction(usual=False).start()
    for said in ('{"token": "x"}', "wss://me:pw@x/", "eyJhbGciOi.eyJzdWIiOi.c2ln", "bearer abc"):
        assert redactor.said(said) == said
    assert redactor.header("Authorization", "x") == "x"


def test_patterns_are_text_bytes_or_compiled():
    rules = Redaction(patterns=[r"PIN (\d+)", rb"\xff(.)", re.compile("code [a-z]+", re.I)], usual=False)
    assert rules.start().said(b"PIN 12, \xffa, CODE xy") == b"PIN <secret:own:1>, \xff<secret:own:2>, <secret:own:3>"


def test_what_redact_takes():
    assert Redaction.chosen(True) == Redaction()
    assert Redaction.chosen(False) is None
    assert Redaction.chosen(["a"]) == Redaction(names=["a"])
    assert Redaction.chosen(rules := Redaction(names=["b"])) is rules
    for wrong in (None, "token", 7):
        with pytest.raises(WrongType, match="redact= takes"):
            Redaction.chosen(wrong)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"names": "token"}, WrongType, r"names= takes a list, such as \['token'\]"),
        ({"names": [7]}, InvalidArguments, "7 is no name"),
        ({"names": [""]}, InvalidArguments, "'' is no name"),
        ({"keep": ["--"]}, InvalidArguments, "'--' is no name"),
        ({"patterns": ["("]}, InvalidArguments, "is none"),
        ({"patterns": [7]}, WrongType, "regular expressions"),
        ({"find": 7}, WrongType, "find= takes a function"),
    ],
)
def test_rules_that_cannot_be_meant(options, error, text):
    with pytest.raises(error, match=text):
        Redaction(**options)


def test_a_function_that_names_no_secrets_is_told():
    with pytest.raises(WrongType, match="find=, or redact= itself. has to name secrets"):
        Redaction(find=lambda payload: [7]).start().said("x")
    for wrong in (None, 7, "x"):
        with pytest.raises(WrongType, match="has to give a list of secrets, empty where there is none, and gave"):
            Redaction(find=lambda payload, wrong=wrong: wrong).start().said("x")


# -- streams --------------------------------------------------------------------------------------

STREAM = (
    b"POST /?token=s3cr3t-query HTTP/1.1\r\nAuthorization: Bearer s3cr3t-header\r\n"
    b"Cookie: a=s3cr3t-c1; b=s3cr3t-c2\r\n\r\n"
    b'{"a": 1, "token": "s3cr3t-\\"json", "credentials": {"k": "s3cr3t-in", "n": [12, "s3cr3t-in"]}, "b": 1}\n'
    b'{"body": "{\\"secret\\": \\"s3cr3t-nested\\"}", "pwd": 4711, "x": "\xc3\xa9"}\n'
    b"wss://me:s3cr3t-url@example.com/ eyJhbGciOi.eyJzdWIiOi.s3cr3t-jwt \x00\xff\n"
    b"again s3cr3t-header and s3cr3t-query\r\nbearer s3cr3t-bearer and so on\n"
)


def pieces(data, cuts):
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=300)
def test_a_stream_may_be_cut_anywhere(cuts):
    stream = Redaction().start().stream()
    written = b"".join([stream.feed(piece) for piece in pieces(STREAM, cuts)]) + stream.flush()
    assert b"s3cr" not in written
    assert b"4711" not in written


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 50, 1000])
def test_a_stream_in_pieces_of_one_size(size):
    stream = Redaction().start().stream()
    written = b"".join([stream.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)]) + stream.flush()
    assert b"s3cr" not in written
    assert written.startswith(
        b"POST /?token=<secret:token:1> HTTP/1.1\r\nAuthorization: Bearer <secret:authorization:1>\r\n"
    )


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_what_is_flushed_in_the_middle_is_no_leak(cuts):
    stream = Redaction().start().stream()
    written = [stream.feed(piece) + stream.flush() for piece in pieces(STREAM, cuts)]
    for secret in (b"cr3t-query", b"cr3t-header", b"cr3t-c1", b"cr3t-c2", b"cr3t-in", b"cr3t-nested"):
        assert secret not in b"".join(written)


@given(st.lists(st.integers(0, 10_000), max_size=12), st.binary(min_size=1).filter(lambda data: b"=" not in data))
def test_what_is_no_secret_is_written_at_once_and_as_it_is(cuts, data):
    stream = Redaction().start().stream()
    for piece in pieces(data, cuts):
        assert stream.feed(piece) == piece or b":" in data or b"eyJ" in data
    assert not stream.held or b":" in data or b"eyJ" in data


def test_nothing_but_a_secret_is_held_back():
    stream = Redaction().start().stream()
    assert stream.feed(b'{"a": 1, "token": "s3c') == b'{"a": 1, "token": "'
    assert stream.held
    assert stream.feed(b'r3t", "b') == b'<secret:token:1>", "b'
    assert not stream.held


def test_the_rest_of_a_flushed_secret_is_one_too():
    stream = Redaction().start().stream()
    assert stream.feed(b"token=s3cr3t-1") + stream.flush() == b"token=<secret:token:1>"
    assert stream.feed(b"s3cr3t-2 is it") == b"<secret:token:2> is it"
    assert stream.flush() == b""


def test_a_secret_that_never_ends_is_not_held_for_ever(monkeypatch):
    monkeypatch.setattr("farend.tape.redaction._MOST_HELD", 100)
    stream = Redaction().start().stream()
    written = b"".join([stream.feed(b"token=" if number == 0 else b"s3cr3t" * 10) for number in range(10)])
    assert written.startswith(b"token=<secret:token:1>")
    assert b"s3cr3t" not in written
    assert len(stream.held) <= 100


def test_a_known_secret_that_is_cut_in_two():
    redactor = Redaction().start()
    redactor.said("token=s3cr3t-known")
    stream = redactor.stream()
    assert stream.feed(b"I say s3cr3t-s3cr3t-kn") == b"I say s3cr3t-"
    assert stream.feed(b"own, and s3cr") == b"<secret:token:1>, and "
    assert stream.feed(b"eam s3cr3t") == b"s3cream "
    assert stream.flush() == b"<secret:token:1>"


def test_placeholders_are_found_by_their_expression():
    assert PLACEHOLDER.search(json.dumps(Redaction().start().said("token=x")))


# -- what is looked for in every message ------------------------------------------------------------

ATOMS = (
    *(
        "token",
        "Token",
        "api_key",
        "apiKey",
        "secretkey",
        "session-id",
        "sessionid",
        "id",
        "sig",
        "cookie",
        "jwt",
        "pwd",
    ),
    *(
        '"',
        "\\",
        "'",
        " ",
        "\t",
        ":",
        "=",
        "\n",
        "bearer",
        "Bearer ",
        "eyJhbGciOi.eyJzdWIi.x",
        "://",
        "a:b@",
        "\xff",
        "Ö",
    ),
)


FILLERS = {
    "short": b"",
    "a feed": b'{"price": 1.5, "size": 2, "take": "low"}\n' * 60,
    "prose": b"The quick brown fox jumps over the lazy dog, which keeps a diary with zest.\n" * 60,
    "no text": bytes(range(58)) * 60,
    "much of it": b"\x00k\xff" * 10_000,
}


@contextlib.contextmanager
def looked_through(rules, at_once):
    """All is looked for at once from the first byte on, or never."""
    search = rules.start()._hints._at_once
    left, tables = search._left, search._tables
    search._left, search._tables = (0, tables) if at_once else (1 << 60, None)
    try:
        yield
    finally:
        search._left, search._tables = left, search._tables or tables


@pytest.fixture(params=["at once", "one by one"])
def search(request):
    """Rules, and whether all is looked for at once from the first byte on, or never."""
    rules = Redaction(names=["account_id", "x", "id"])
    with looked_through(rules, request.param == "at once"):
        yield rules


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
@given(atoms=st.lists(st.sampled_from(ATOMS), max_size=8), encoding=st.sampled_from(["latin-1", "utf-8"]))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_with_a_secret_is_passed_over(search, filler, atoms, encoding):
    data = filler + "".join(atoms).encode(encoding) + filler
    redactor = search.start()
    assert redactor.may_hold(data) or not list(redactor.secrets(data, cut=True))


@given(
    filler=st.sampled_from([*FILLERS.values()]).filter(len),
    atoms=st.lists(st.sampled_from(ATOMS), max_size=8),
    encoding=st.sampled_from(["latin-1", "utf-8"]),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_secrets_are_found_in_much_as_in_little(search, filler, atoms, encoding):
    data = filler + "".join(atoms).encode(encoding) + filler
    redactor = search.start()
    names = [match.span() for match in redactor._names_in(data.lower())]
    assert names == [match.span() for match in redactor._named.finditer(data.lower())]


@pytest.mark.parametrize("known", [1, 100])
def test_known_secrets_are_found_wherever_they_stand_in_much(search, known):
    redactor, filler = search.start(), b"no secret at all; " * 200
    for number in range(known):
        redactor.said(b"token=s3cr3t-%03d" % number)
    assert redactor.may_hold(filler) is False
    at_once = redactor._look.at_once
    for left in (1 << 60, 0):
        at_once._left = left
        assert redactor.may_hold(filler) is False
        assert redactor.may_hold(filler + b" s3cr3t-000 " + filler)
        assert redactor.may_hold(filler + b" s3cr")  # may go on so
        assert redactor.said(filler + b" s3cr3t-000 ") == filler + b" <secret:token:1> "
    assert redactor._look.at_once is at_once
    redactor.said(b"token=hunter22")
    assert redactor._look is None


@pytest.mark.parametrize("blanks", [0, 1, 63, 64, 130, 5000])
@pytest.mark.parametrize("filler", [b"-" * 2000, b"a: b, c = d; " * 200], ids=["sparse", "dense"])
def test_any_number_of_blanks_may_stand_between_a_name_and_its_value(search, blanks, filler):
    before, secret = filler + b'"token"' + b" " * blanks + b":" + b"\n" * blanks + b'"', b"abcdef"
    assert search.start().said(before + secret + b'"') == before + b'<secret:token:1>"'


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("said", "written"),
    [
        (json.dumps({"kontoSchlüssel": "hunter22"}, ensure_ascii=False), '{"kontoSchlüssel": "<secret:%s:1>"}'),
        (json.dumps({"kontoSchlüssel": "hunter22"}), '{"kontoSchl\\u00fcssel": "<secret:%s:1>"}'),
        ('{"SCHL\\u00FCSSEL":"hunter22"}', '{"SCHL\\u00FCSSEL":"<secret:%s:1>"}'),
        ("?schl%C3%BCssel=hunter22&a=1", "?schl%C3%BCssel=<secret:%s:1>&a=1"),
    ],
)
def test_a_name_with_other_letters_than_asciis_is_one_however_it_is_escaped(at_once, said, written):
    rules = Redaction(names=["schlüssel"])
    with looked_through(rules, at_once):
        told = rules.start().said(said)
    assert PLACEHOLDER.sub("*", told) == written.replace("<secret:%s:1>", "*")


def test_without_any_rule_nothing_is_looked_for():
    redactor = Redaction(usual=False).start()
    assert not redactor.may_hold(b"token=abc ://a:b@c eyJhbGciOi.eyJzdWIi.x \xff")
    assert not redactor.may_hold(b"token=abc")


def test_a_secret_that_another_thread_comes_to_know_meanwhile_is_looked_for(redactor, monkeypatch):
    redactor.said("token=s3cr3t-1")
    free, waits, real = threading.Lock(), threading.Event(), redaction._Look.of

    class Changing:
        def __enter__(self):
            if threading.current_thread() is other:
                waits.set()
            free.acquire()

        def __exit__(self, *raised):
            free.release()

    def made(secrets):
        other.start()
        assert waits.wait(10)
        return real(secrets)

    other = threading.Thread(target=redactor.said, args=("token=s3cr3t-2",))
    redactor._changing = Changing()
    with monkeypatch.context() as patch:
        patch.setattr(redaction._Look, "of", made)
        redactor.said("nothing of interest")
    other.join(10)
    assert redactor.said("what is s3cr3t-2?") == "what is <secret:token:2>?"
