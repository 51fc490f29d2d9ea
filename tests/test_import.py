"""Importing fastrnn costs next to nothing beside NumPy."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run(tmp_path):
    """Run code in a new interpreter that keeps its bytecode, and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def run(code):
        return subprocess.check_output([sys.executable, "-c", code], text=True, env=environment).split()

    return run


def test_import_adds_less_than_half_of_numpy_s_time(run):
    """Some 25 ms; a third of NumPy's time, which is measured in the same run."""
    # of this thread alone: the threads of NumPy's BLAS go on spinning for a while
    clock = "import time; a = time.thread_time(); "
    code = (
        clock
        + "import numpy; b = time.thread_time(); import fastrnn; print((time.thread_time() - b) / (b - a))"
    )
    run(code)  # compiles
    assert min(float(*run(code)) for _ in range(5)) < 0.5


def test_what_few_programs_need_is_imported_when_it_is_named(run):
    late = {"fastrnn.inspect", "fastrnn.models", "fastrnn.plot", "fastrnn.train", "fastrnn.vocab"}
    assert not late & set(run("import sys, fastrnn; print(*sys.modules)"))
    for name in late:
        assert run(f"import fastrnn; print({name}.__name__)") == [name]
    assert run("import fastrnn; print('models' in dir(fastrnn))") == ["True"]
    assert run("import fastrnn; print(hasattr(fastrnn, 'sound'))") == ["False"]


def test_what_few_calls_need_is_imported_by_them(run):
    late = {"argparse", "difflib", "fractions", "json", "subprocess", "tempfile", "tqdm", "zipfile"}
    code = "import sys, numpy; before = set(sys.modules); import fastrnn; "
    assert not late & set(run(code + "print(*(set(sys.modules) - before))"))
