"""OpenMP may give fewer threads than a call asks for: the bits stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])
SOURCE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import fastrnn
from fastrnn import cells, functional
from kit import assert_same_bits, make_case
rng = np.random.default_rng(0)
x, w, dy = (rng.standard_normal(s).astype("f") for s in [(512, 64), (150, 64), (512, 150)])
cases = [make_case(cell, 12, b, 70, 150) for cell in (cells.LSTM(9), cells.GRU("before")) for b in (1, 6)]
def run():
    return [functional.linear_backward(x, w, dy), *(case.run() for case in cases)]
with fastrnn.num_threads(1):
    expected = run()
for n in (2, 3, 4, 7):
    with fastrnn.num_threads(n):
        for _ in range(10):
            assert_same_bits(run(), expected, n)
"""


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_THREAD_LIMIT", "3"), ("OMP_THREAD_LIMIT", "2"), ("OMP_DYNAMIC", "true")]
)
def test_a_smaller_team_has_the_same_bits(name, value):
    command = [sys.executable, "-c", SOURCE, TESTS]
    environment = {**os.environ, name: value}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
