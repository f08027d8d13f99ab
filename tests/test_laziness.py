"""Importing farend, or loading its plugin, costs next to nothing: what is not used is not imported."""

import builtins
import json
import subprocess
import sys

import pytest

import farend

HEAVY = ("asyncio", "websockets", "rich", "jinja2", "click", "ssl", "trustme", "hypothesis")


def loaded_after(statement: str) -> set[str]:
    """Which of the heavy modules a fresh interpreter has, having run the statement."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()} & set(HEAVY)


def test_importing_farend_imports_nothing_heavy():
    assert loaded_after("import farend") == set()


def test_loading_the_plugin_imports_nothing_heavy():
    # pytest itself comes first: what it needs is not the plugin's doing.
    assert loaded_after("import pytest; before = set(sys.modules); import farend.pytest_plugin") == set()


def test_a_script_needs_no_library():
    assert loaded_after("from farend import Script; Script().expect('hello').send('there')") == set()


def test_a_tcp_server_needs_no_websockets():
    assert "websockets" not in loaded_after("from farend import TcpServer; TcpServer()")
    assert "rich" not in loaded_after("from farend import TcpServer; TcpServer()")


def test_a_verifier_by_hand_needs_no_library_before_a_block_is_entered():
    assert "websockets" not in loaded_after("from farend import StrictVerifier, SyncWebSocketPlugin")


@pytest.mark.parametrize("name", dir(farend))
def test_every_public_name_is_there(name):
    assert hasattr(farend, name)
    assert name in dir(farend)


def test_a_star_import_shadows_nothing():
    """Neither a module or a function of Python's own, nor what a test module is likely to call something itself."""
    names = {name for name in farend.__all__ if not name.startswith("__")}
    assert not names & (sys.stdlib_module_names | set(dir(builtins)))
    scope = {"json": json}
    exec("from farend import *", scope)
    assert scope["json"] is json
    assert scope["Script"] is farend.Script


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="farend has no 'Scirpt'; did you mean 'Script'"):
        farend.Scirpt  # noqa: B018
    with pytest.raises(ImportError):
        from farend import nothing_like_it  # noqa: F401


def test_the_type_checker_sees_every_public_name():
    """The block for type checkers and the table of homes list the same names."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(farend.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: node.module
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {**farend._HOME_OF, **{name: home.rpartition(".")[0] for name, home in farend._MODULES.items()}}
