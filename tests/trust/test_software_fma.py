"""A CPU without fused multiply-add: the C library's own software one has the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])
DIGEST = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import fastrnn
from fastrnn import cells
from kit import make_case
digest = hashlib.sha256()
for dtype in (np.float32, np.float64):
    for cell in (cells.LSTM(), cells.GRU("before")):
        with fastrnn.isa("baseline"):
            for array in make_case(cell, 3, 4, 70, 9, dtype, lengths=[3, 0, 2, 3]).run():
                digest.update(array.tobytes())
print(digest.hexdigest())
"""
WITHOUT_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"}


def run(source, **environment):
    command = [sys.executable, "-c", source, TESTS]
    result = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's tunables")
def test_baseline_without_the_instruction_has_the_same_bits():
    assert run(DIGEST, **WITHOUT_FMA) == run(DIGEST)
