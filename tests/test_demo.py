"""The demo's scenes: each ends as it should, and would say so if it did not."""

import io

import pytest
from rich.console import Console

from farend import Failure, demo


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def told(console: Console) -> str:
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("scene", "sentences"),
    [
        ("feed", ["✓ every step was played", "connected /feed?depth=5", "far end closed 1001 maintenance"]),
        ("device", ["the socket read:  b'ACME,PSU-3000,42,1.7\\n'", "✓ every step was played"]),
        ("mismatch", ["$.channel: expected 'trades', got 'books'", "step 1 of 3", "Steps left (3 of 3)"]),
        ("hang", ["Waited 0.5 s for the near end to say 'join #python'", "'joined' comes only after"]),
    ],
)
def test_a_scene(console, scene, sentences):
    assert demo.play(scene, console)
    for sentence in sentences:
        assert sentence in told(console)
    assert "farend demo --write" in told(console)


def test_without_websocket_client(console, monkeypatch):
    monkeypatch.setattr(demo, "_has_websocket_client", lambda: False)
    assert demo.play("mismatch", console)


def test_without_node(console, monkeypatch):
    monkeypatch.setattr(demo.shutil, "which", lambda name: None)
    assert demo.play("device", console)
    assert "Node.js" not in told(console)


def test_a_scene_that_ends_otherwise(console):
    with demo._expecting(console, "Mismatch") as verdict:
        pass
    assert verdict == [False]
    assert "should have ended otherwise (Mismatch)" in told(console)


def test_another_finding_than_expected(console):
    with pytest.raises(Failure) as caught, demo.TcpServer(demo.Script().expect("x"), deadline=0.05):
        pass
    with demo._expecting(console, "Mismatch") as verdict:
        raise caught.value
    assert verdict == [False]
