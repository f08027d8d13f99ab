"""Raised so that the report of a test shows the test, and not what has played it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, NoReturn


def raise_in(function: Callable[..., Any], failure: BaseException, error: BaseException | None = None) -> NoReturn:
    """Raise so that the report shows the test function: where `error` left it, or its last line."""
    __tracebackhide__ = True
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):
        raise failure
    traceback = error.__traceback__ if error is not None else None
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            raise failure.with_traceback(
                TracebackType(None, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)
            )
        traceback = traceback.tb_next
    failure.__traceback__ = None
    exec(_last_line(code), {"failure": failure})
    raise failure


def _last_line(code: CodeType) -> CodeType:
    """Code that raises `failure`, and that a traceback shows as the last line of the function with this code."""
    first = code.co_firstlineno
    last = max(line for _, _, line in code.co_lines() if line is not None)
    tree = ast.parse("raise failure")
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr):
            node.lineno = node.end_lineno = last - first + 1
            node.col_offset = node.end_col_offset = -1  # no part of the line is meant
    raising = compile(tree, code.co_filename, "exec")
    return raising.replace(co_name=code.co_name, co_qualname=code.co_qualname, co_firstlineno=first)
