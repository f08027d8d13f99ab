"""What pytest itself spends on a test."""

import os

import pytest


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_empty(number):
    pass
