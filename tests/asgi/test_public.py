"""The public names of `farend.asgi`: lazily imported, listed once."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import farend.asgi


@pytest.mark.parametrize("name", farend.asgi.__all__)
def test_every_public_name_is_there(name):
    assert hasattr(farend.asgi, name)
    assert name in dir(farend.asgi)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"farend\.asgi has no 'WebSocketCommunicator'; did you mean 'Websocket"):
        farend.asgi.WebSocketCommunicator  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    code = "import sys, farend.asgi; print('asyncio' in sys.modules, 'websockets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_type_checker_sees_every_public_name():
    tree = ast.parse(Path(farend.asgi.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: node.module
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == farend.asgi._HOME_OF
