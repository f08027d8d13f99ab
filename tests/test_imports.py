"""The house keeps its shape: imports point down, and the ground floor touches nothing outside."""

import ast
from pathlib import Path

import pytest

import farend

SRC = Path(farend.__file__).parent
FLOORS = {
    "farend.errors": 0,
    "farend.version": 0,
    "farend.core": 1,
    "farend.report": 2,
    "farend.settling": 2,
    "farend.tape": 2,
    "farend.stage": 3,
    "farend.dialects": 4,
    "farend.intercept": 4,
    "farend.asgi": 4,
    "farend.demo": 5,
    "farend.findings": 5,
    "farend.django": 5,
    "farend.pytest_phases": 5,
    "farend.pytest_body": 6,
    "farend.pytest_django": 7,
    "farend.pytest_malformed": 7,
    "farend.pytest_mocks": 7,
    "farend.pytest_started": 7,
    "farend.pytest_tape": 7,
    "farend.pytest_plugin": 8,
    "farend.cli": 8,
    "farend.__main__": 9,
}
"""Each room, and its floor. `farend` itself, the lazy front door, stands outside."""
FACES = {"farend.demo", "farend.django", "farend.pytest_plugin", "farend.cli", "farend.__main__"}
FORBIDDEN_IN_CORE = {"asyncio", "socket", "ssl", "threading", "time", "select", "selectors", "pytest", "concurrent"}
MODULES = sorted(SRC.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ("farend", *path.relative_to(SRC).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str | None:
    return next((name for name in FLOORS if module == name or module.startswith(name + ".")), None)


def imports(path: Path) -> set[str]:
    """What a module imports when it runs: imports for the type checker alone do not count."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return names


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path):
    mine = room(module_name(path))
    if mine is None:
        assert module_name(path) == "farend", f"{path} is in no room of the house"
        return
    for name in imports(path):
        theirs = room(name)
        if name == "farend":
            assert mine in FACES, f"{module_name(path)} goes through the front door; only faces do"
        elif name.startswith("farend."):
            assert theirs is not None, f"{module_name(path)} imports {name}, which is in no room"
            assert theirs == mine or FLOORS[theirs] < FLOORS[mine], f"{module_name(path)} imports {name}: that is up"


@pytest.mark.parametrize("path", sorted((SRC / "core").glob("*.py")), ids=module_name)
def test_the_core_is_pure(path):
    used = {name.partition(".")[0] for name in imports(path)}
    assert not used & FORBIDDEN_IN_CORE


def test_every_floor_is_there():
    assert {room(module_name(path)) for path in MODULES} - {None} == set(FLOORS)
