"""The findings' public names: `from farend.findings import Mismatch`."""

import ast
import importlib
import socket
from pathlib import Path

import pytest

import farend
from farend import Failure, Finding, Script, TcpServer, findings
from farend.findings import Mismatch, Place

SRC = Path(farend.__file__).parent


def test_every_kind_of_finding_has_its_public_name():
    """Read from the source, so that none is forgotten that is added later."""
    kinds = {"Finding"}
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Finding" for base in node.bases):
                kinds.add(node.name)
    assert kinds == {name for name in findings.__all__ if issubclass(getattr(findings, name), Finding)}


@pytest.mark.parametrize("name", findings.__all__)
def test_each_is_the_class_that_is_raised(name):
    kind = getattr(findings, name)
    assert getattr(importlib.import_module(kind.__module__), name) is kind
    assert kind.__doc__


def test_a_failure_can_be_asked_what_it_is():
    with pytest.raises(Failure) as caught:
        with TcpServer(Script().expect("general")) as server:
            with socket.create_connection((server.host, server.port)) as client:
                client.sendall(b"admiral")
    [finding, *_] = caught.value.findings
    assert isinstance(finding, Mismatch)
    assert (finding.got, finding.nearest.step.what) == (b"admiral", "general")
    assert isinstance(finding.place, Place)
    assert (finding.place.connection, finding.place.number, finding.place.total) == (1, 1, 1)
