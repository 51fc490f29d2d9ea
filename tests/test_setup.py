"""setup.py says in one message what a machine lacks that cannot build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[1]


NO_HEADERS = 'for f; do case $f in *.c) grep -q Python.h "$f" && exit 1;; esac; done; exit 0'


def build(tmp_path, compiler):
    """Build where nothing is changed; return the exit status and what was said."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", tmp_path, "--build-temp", tmp_path],
        cwd=ROOT,
        env={**os.environ, "CC": str(compiler)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "there is no C compiler"),
        ("exit 1", "does not work, or does not know __builtin_shufflevector"),
        (NO_HEADERS, "the C headers of Python or of the C library are missing"),
    ],
)
def test_what_the_build_lacks_is_said_once(answer, fault, tmp_path):
    compiler = tmp_path / "compiler"
    if answer:
        compiler.write_text(f"#!/bin/sh\n{answer}\n")
        compiler.chmod(0o755)
    status, said = build(tmp_path, compiler)
    assert status == 1
    assert said.count("error: ") == 1
    assert fault in said
    assert "GCC 12 or later" in said
    assert "apt install gcc python3-dev" in said
    assert "Traceback" not in said
