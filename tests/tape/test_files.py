"""Parts are written one behind the other, with one call."""

from __future__ import annotations

import os

import pytest

from farend.tape import files


@pytest.mark.parametrize("parts", [[b"abc"], [b"a", b"", b"bc"]])
def test_parts_are_written(tmp_path, parts):
    path = tmp_path / "file"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        assert files.write(file, parts) == 3
    finally:
        os.close(file)
    assert path.read_bytes() == b"abc"
