"""The fixture `malformed_frame`, seen from sessions of its own."""

from __future__ import annotations

import textwrap

import pytest

from farend.core.malformed import CASES

pytest_plugins = ["pytester"]

HEAD = """
import pytest
from websockets.sync.client import connect

def echo(url):
    with connect(url) as client:
        for message in client:
            client.send(message)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run one test module in a session of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body, *arguments):
        pytester.makepyfile(HEAD + textwrap.dedent(body))
        return pytester.runpytest("-p", "farend.pytest_plugin", "-p", "no:cacheprovider", "-vv", *arguments)

    return run


def test_a_test_has_a_run_for_each_case(run):
    done = run("def test_clause(malformed_frame): ...", "--collect-only")
    names = [line.partition("[")[2].partition("]")[0] for line in done.outlines if "<Function test_clause[" in line]
    assert names == list(CASES)


def test_a_mark_chooses(run):
    done = run(
        """
        @pytest.mark.malformed("5.1", "rsv2")
        class TestMine:
            @pytest.mark.malformed("close-1-byte")
            def test_clause(self, malformed_frame):
                with malformed_frame as url:
                    echo(url)
        """
    )
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["*::test_clause[[]masked-frame[]] PASSED*", "*::test_clause[[]close-1-byte[]] PASSED*"])


def test_what_should_be_done_is_a_warning_or_with_strict_a_failure(run):
    body = """
        @pytest.mark.malformed("length-16-not-minimal"%s)
        def test_clause(malformed_frame):
            with malformed_frame as url:
                echo(url)
        """
    done = run(body % "", "-W", "default")
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*NonStrict: non-strict: length-16-not-minimal*handed 'short' to the application"])
    run(body % "", "-W", "error").assert_outcomes(failed=1)
    done = run(body % ", strict=True", "-W", "default")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *The client handed 'short' to the application*"])


def test_a_client_that_hands_it_on_fails_in_the_tests_own_phase(run):
    done = run(
        """
        @pytest.mark.malformed("masked-frame")
        def test_clause(malformed_frame):
            import websocket
            with malformed_frame as url:
                client = websocket.create_connection(url)
                client.send(client.recv())
                client.shutdown()
        """
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [">* with malformed_frame as url:", "E *The client handed 'masked' to the application, where a text frame*"]
    )


def test_a_test_that_checks_nothing_is_told(run):
    done = run(
        """
        @pytest.mark.malformed("rsv1")
        def test_forgets(malformed_frame): ...

        @pytest.mark.malformed("rsv1")
        def test_skips(malformed_frame):
            pytest.skip("not today")

        @pytest.mark.malformed("rsv1")
        def test_fails(malformed_frame):
            assert not "mine"
        """
    )
    done.assert_outcomes(skipped=1, failed=2)
    done.stdout.fnmatch_lines(["the test has checked nothing: write `with malformed_frame as url:`*"])


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ('"masked-fram"', "*@pytest.mark.malformed of test_clause: *did you mean 'masked-frame'[?]*"),
        ("7", "*@pytest.mark.malformed of test_clause: a pattern of names is text*not 7*"),
        ('"rsv1", strikt=True', "*@pytest.mark.malformed takes strict=True or False, not {'strikt': True}*"),
        ('"rsv1", strict="yes"', "*@pytest.mark.malformed takes strict=True or False, not {'strict': 'yes'}*"),
    ],
)
def test_a_mark_that_cannot_be_meant_is_told(run, mark, problem):
    done = run(f"@pytest.mark.malformed({mark})\ndef test_clause(malformed_frame): ...")
    assert done.ret != 0
    done.stdout.fnmatch_lines([problem])


def test_a_fixture_may_be_asked_for_by_name_where_there_is_a_run(run):
    done = run(
        """
        @pytest.fixture
        def url(malformed_frame):
            with malformed_frame as url:
                yield url

        @pytest.mark.malformed("rsv2")
        def test_clause(url):
            with pytest.raises(Exception, match="1002"):
                echo(url)

        def test_too_late(request):
            request.getfixturevalue("malformed_frame")
        """
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["E *malformed_frame is a fixture of tests: name it as an argument of the test*"])
