"""The docs show the examples that the tests run, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_docs_show_the_tested_examples():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sync-examples", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(doc):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", doc.read_text()):
        assert (doc.parent / target).exists(), f"{doc.name} links to {target}"


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_every_python_block_is_a_tested_example(doc):
    text = doc.read_text()
    assert text.count("```python") == text.count("<!-- example: ")
