"""Tapes beside the tests, seen from sessions of their own: the record modes, and what becomes of a tape."""

from __future__ import annotations

import json
import textwrap

import pytest

from farend import Plan, Script, WebSocketServer

pytest_plugins = ["pytester"]

GREETS = """
import asyncio
import pytest
from websockets.sync.client import connect

@pytest.mark.tape(URL, ignore="$.id")
def test_greets(tape):
    with connect(tape.url + PATH) as client:
        client.send(SAID)
        assert client.recv() == '{"id": 1, "ok": true}'
"""


@pytest.fixture
def server():
    """The real server: it answers whoever comes, on any path."""
    script = Script().expect(str).send('{"id": 1, "ok": true}')
    with WebSocketServer(script) as server:
        yield server


@pytest.fixture
def run(pytester, monkeypatch):
    """Run one test module in a session of its own, outside of CI."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CI", raising=False)

    def run(body=GREETS, *options, url="ws://127.0.0.1:1", path="/feed", said='{"id": 1, "op": "hello"}'):
        head = f"URL = {url!r}\nPATH = {path!r}\nSAID = {said!r}\n"
        pytester.makepyfile(test_feed=head + textwrap.dedent(body))
        loaded = ("-p", "farend.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers", "-W", "error")
        return pytester.runpytest(*loaded, *options)

    return run


@pytest.fixture
def tape(pytester):
    return pytester.path / "tapes" / "test_feed" / "test_greets.jsonl"


def messages(tape):
    lines = [json.loads(line) for line in tape.read_text().splitlines()[1:]]
    return [line["json"] for line in lines if line["kind"] == "message"]


def test_once_records_and_then_replays_without_the_server(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    assert messages(tape) == [{"id": 1, "op": "hello"}, {"id": 1, "ok": True}]
    before = tape.read_bytes()
    run(url="ws://127.0.0.1:1").assert_outcomes(passed=1)  # nobody listens there
    assert tape.read_bytes() == before
    assert [file.name for file in tape.parent.iterdir()] == [tape.name]


def test_a_replay_checks_the_client(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    result = run(said='{"id": 1, "op": "goodbye"}')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*$.op: expected 'hello', got 'goodbye'*"])


def test_none_is_for_ci(run, tape, server, monkeypatch):
    monkeypatch.setenv("CI", "true")
    result = run(url=server.url)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no tape tapes/test_feed/test_greets.jsonl*as always in CI*"])
    assert not tape.exists()
    run(GREETS, "--farend-record=once", url=server.url).assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_none_records_nothing(run, tape):
    run(GREETS, "--farend-record=none").assert_outcomes(errors=1)
    assert not tape.exists()


def test_all_records_anew(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    run(GREETS, "--farend-record=all", url=server.url, said='{"id": 2, "op": "hi"}').assert_outcomes(passed=1)
    assert messages(tape)[0] == {"id": 2, "op": "hi"}


def test_a_failing_test_changes_no_tape(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    before = tape.read_bytes()
    failing = GREETS + "        assert False\n"
    result = run(failing, "--farend-record=all", url=server.url, said='{"op": "other"}')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*its tape tapes/test_feed/test_greets.jsonl is as it was*"])
    assert tape.read_bytes() == before
    assert [file.name for file in tape.parent.iterdir()] == [tape.name]


def test_a_failing_test_makes_no_tape(run, tape, server):
    result = run(GREETS + "        assert False\n", url=server.url)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*its tape tapes/test_feed/test_greets.jsonl is not made*"])
    assert list(tape.parent.iterdir()) == []


def test_a_server_that_is_not_there_fails_the_test(run, tape):
    result = run(url="ws://127.0.0.1:1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*127.0.0.1:1*"])
    assert not tape.exists()


def test_new_episodes_replays_what_is_known_and_records_the_rest(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    two = """
    from websockets.sync.client import connect
    import pytest

    @pytest.mark.tape(URL, mode="new_episodes")
    def test_greets(tape):
        for path in ("/feed", "/other"):
            with connect(tape.url.split("/feed")[0] + path) as client:
                client.send(SAID)
                assert client.recv() == '{"id": 1, "ok": true}'
    """
    seen = len(server.connections)
    run(two, url=server.url).assert_outcomes(passed=1)
    assert len(server.connections) == seen + 1  # /feed was replayed
    assert len(messages(tape)) == 4
    assert [json.loads(line)["connection"] for line in tape.read_text().splitlines()[1:]][-1] == 2
    run(two).assert_outcomes(passed=1)  # all is known now
    assert len(server.connections) == seen + 1


def test_new_episodes_of_a_failing_test_are_not_kept(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    before = tape.read_bytes()
    run(GREETS + "        assert False\n", "--farend-record=new_episodes", url=server.url).assert_outcomes(failed=1)
    assert tape.read_bytes() == before


def test_async_tests_too(run, pytester, server):
    body = """
    import pytest
    from websockets.asyncio.client import connect

    @pytest.mark.asyncio
    @pytest.mark.tape(URL)
    async def test_greets(tape):
        async with connect(tape.url) as client:
            await client.send(SAID)
            assert await client.recv() == '{"id": 1, "ok": true}'
    """
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    for url in (server.url, "ws://127.0.0.1:1"):
        run(body, "-p", "pytest_asyncio.plugin", url=url).assert_outcomes(passed=1)


def test_the_server_may_be_a_fixture_s(run, tape, server):
    body = f"""
    import pytest
    from websockets.sync.client import connect

    @pytest.fixture
    def tape_url():
        return {server.url!r}

    def test_greets(tape):
        assert tape.mode == "once" and tape.path.name == "test_greets.jsonl"
        assert tape.is_recording is not tape.path.exists()
        with connect(f"ws://{{tape.host}}:{{tape.port}}/feed") as client:
            client.send(SAID)
            client.recv()
    """
    run(body).assert_outcomes(passed=1)
    run(body).assert_outcomes(passed=1)


def test_tapes_that_no_test_uses_are_listed(run, tape, server):
    run(url=server.url).assert_outcomes(passed=1)
    (tape.parent / "test_gone.jsonl").write_text(tape.read_text())
    result = run()
    result.stdout.fnmatch_lines(["*tapes that no test uses*", "tapes/test_feed/test_gone.jsonl"])
    assert "test_greets.jsonl" not in result.stdout.str()
    deselected = run(GREETS, "-k", "nothing")
    assert "test_greets.jsonl" not in deselected.stdout.str()
    alone = run(GREETS, "test_feed.py::test_greets")
    assert "tapes that no test uses" not in alone.stdout.str()


def test_they_are_listed_once_where_workers_share_the_tests(run, tape, server):
    pytest.importorskip("xdist")
    run(url=server.url).assert_outcomes(passed=1)
    (tape.parent / "test_gone.jsonl").write_text(tape.read_text())
    result = run(GREETS, "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=1)
    told = result.stdout.str()
    assert told.count("tapes that no test uses") == told.count("test_gone.jsonl") == 1


def test_a_tape_of_a_name(run, pytester, server):
    named = GREETS.replace('ignore="$.id"', 'path="shared/feed.jsonl"')
    run(named, url=server.url).assert_outcomes(passed=1)
    assert messages(pytester.path / "tapes" / "shared" / "feed.jsonl")
    run(named).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ('mode="sometimes"', "*'sometimes' is no record mode: there are none, once, new_episodes, all*"),
        ("wrong=1", "*@pytest.mark.tape takes no wrong*"),
        ("path=7", "*path= takes the name of a file below tapes, not 7*"),
        ('path="../../evil.jsonl"', "*path='../../evil.jsonl' is not below tapes, where this module's tapes are*"),
        ('path="test_feed/../../evil.jsonl"', "*path='test_feed/../../evil.jsonl' is not below tapes*"),
        ('path="/nowhere/evil.jsonl"', "*path='/nowhere/evil.jsonl' is not below tapes*"),
        ('path="."', "*path='.' is not below tapes*"),
    ],
)
def test_a_mark_that_cannot_be_meant(run, pytester, mark, told):
    pytester.mkdir("tapes")
    result = run(GREETS.replace('ignore="$.id"', mark))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([told])
    assert not [*pytester.path.parent.rglob("*evil*")]
    assert not [*(pytester.path / "tapes").iterdir()]


def test_nobody_says_where_the_server_is(run):
    result = run(GREETS.replace("URL, ", ""))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*to record a tape, say where the real server is*"])


@pytest.mark.parametrize(
    ("url", "mark", "told"),
    [
        ("ws://127.0.0.1:1", 'ignore="ts"', "*'ts' is no JSON path: write '$.ts'*"),
        ("ws://127.0.0.1:1", 'matchers=["$.a"]', "*matchers= takes a mapping*"),
        ("ws://127.0.0.1:1", "allow_unplayed=7", "*allow_unplayed= takes a list of text, not 7*"),
        ("ws://127.0.0.1:1", "deadline=0", "*deadline=0: a deadline is a number of seconds above 0*"),
        ("ws://127.0.0.1:1", "max_line=0", "*max_line= takes a number of bytes, not 0*"),
        ("ws://127.0.0.1:1", "framing=farend.lines()", "*test_greets.jsonl is of a WebSocket*leave framing= out*"),
        ("tcp://127.0.0.1:1", 'ignore="$.ts"', "*test_greets.jsonl is of TCP*say with framing= how they are cut*"),
    ],
)
def test_options_for_replaying_are_checked_before_anything_is_recorded(run, tape, url, mark, told):
    result = run("import farend\n" + GREETS.replace('ignore="$.id"', mark), url=url)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([told])
    assert not tape.parent.exists() or not list(tape.parent.iterdir())


@pytest.mark.parametrize("mode", ["once", "all", "new_episodes"])
def test_a_test_that_does_not_connect_has_nothing_to_replay(run, tape, mode):
    alone = """
    import pytest

    @pytest.mark.tape(URL)
    def test_greets(tape):
        assert tape.url
    """
    result = run(alone, f"--farend-record={mode}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nothing was recorded*have the client connect to tape.url*"])
    assert list(tape.parent.iterdir()) == []


def test_what_could_not_be_replayed_is_no_tape(run, tape):
    turned_away = """
    import pytest
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    @pytest.mark.tape(URL)
    def test_greets(tape):
        with pytest.raises(InvalidStatus):
            connect(tape.url)
    """
    with WebSocketServer(Plan().reject(403)) as server:
        result = run(turned_away, url=server.url)
    result.assert_outcomes(failed=1)
    told = (
        "*what was recorded could not be replayed: tapes/test_feed/test_greets.jsonl is a tape with no connection to*"
    )
    result.stdout.fnmatch_lines([told])
    assert list(tape.parent.iterdir()) == []


COLLECTS = """
import pytest
from websockets.sync.client import connect

@pytest.mark.parametrize("name", ["a/b", "a_b", "c"])
@pytest.mark.tape(URL)
def test_coll(tape, name):
    with connect(tape.url) as client:
        client.send(name)
        client.recv()
"""


def test_two_tests_do_not_share_a_tape_by_accident(run, tape, server):
    result = run(COLLECTS, url=server.url)
    result.assert_outcomes(passed=1, errors=2)
    told = (
        "*test_feed.py::test_coll[[]{}[]] and test_feed.py::test_coll[[]{}[]] would share the tape "
        "tapes/test_feed/test_coll[[]a_b[]].jsonl*give one of them another name, or id*"
    )
    result.stdout.fnmatch_lines([told.format("a/b", "a_b"), told.format("a_b", "a/b")])
    assert [file.name for file in tape.parent.iterdir()] == ["test_coll[c].jsonl"]
    apart = COLLECTS.replace('"a/b"', 'pytest.param("a/b", id="a-b")')
    run(apart, url=server.url).assert_outcomes(passed=3)
    run(apart).assert_outcomes(passed=3)


def test_names_that_differ_in_case_alone_do_not_share_a_tape(run, tape, server):
    result = run(COLLECTS.replace('"a/b", "a_b"', '"a", "A"'), url=server.url)
    result.assert_outcomes(passed=1, errors=2)
    told = "*::test_coll[[]a[]] and *::test_coll[[]A[]] would share*names that differ in case alone are one file's*"
    result.stdout.fnmatch_lines([told])
    assert [file.name for file in tape.parent.iterdir()] == ["test_coll[c].jsonl"]


def test_a_test_that_is_deselected_has_its_tape_all_the_same(run, tape):
    result = run(COLLECTS, "-k", "a_b")
    result.assert_outcomes(errors=1, deselected=2)
    result.stdout.fnmatch_lines(["*::test_coll[[]a_b[]] and test_feed.py::test_coll[[]a/b[]] would share the tape*"])
    assert not tape.parent.exists()


def test_tests_of_one_name_in_several_classes_do_not_share_a_tape(run):
    inside = """
    class {name}:
        class TestIt:
            def test_it(self, tape):
                assert False
    """
    result = run("".join(textwrap.dedent(inside.format(name=name)) for name in ("TestA", "TestB")))
    result.assert_outcomes(errors=2)
    told = (
        "*TestA::TestIt::test_it and *TestB::TestIt::test_it would share*, for its name has the innermost class alone*"
    )
    result.stdout.fnmatch_lines([told])


def test_a_path_of_another_kind_than_pathlib_s(run, pytester, server):
    class_ = """
    class Named:
        def __fspath__(self):
            return "shared/feed.jsonl"
    """
    named = GREETS.replace('ignore="$.id"', "path=Named()")
    run(textwrap.dedent(class_) + named, url=server.url).assert_outcomes(passed=1)
    assert messages(pytester.path / "tapes" / "shared" / "feed.jsonl")
    outside = class_.replace("shared/", "../../")
    result = run(textwrap.dedent(outside) + named, url=server.url)
    result.stdout.fnmatch_lines(["*path='../../feed.jsonl' is not below tapes*"])


def test_two_tests_may_share_a_tape_that_is_named(run, server):
    named = GREETS.replace('ignore="$.id"', 'path="feed.jsonl"').replace("(tape)", "(tape, number)")
    twice = named.replace("@pytest", '@pytest.mark.parametrize("number", [1, 2])\n@pytest')
    run(twice, url=server.url).assert_outcomes(passed=2)
