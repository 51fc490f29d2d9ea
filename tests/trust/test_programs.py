"""The commands of this folder and of tests/aarch64, each a run of minutes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (["trust/sanitize"], ["gcc"]),
        (["trust/sanitize", "thread"], ["gcc", "clang-14"]),
        (["aarch64/run"], ["gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64"]),
    ],
    ids=["address-undefined", "thread", "aarch64"],
)
def test_kernels_pass(command, needs):
    for tool in needs:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        [str(TESTS / command[0]), *command[1:]],
        env={**os.environ, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
