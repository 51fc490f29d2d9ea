"""A child computes the same bits and never hangs, whatever its parent did before."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from trust_work import CELLS, bits, case, compute

import fastrnn

SECONDS = 10
CASE = case(CELLS["lstm"], 20, 6, 24, 40)


def compute_everywhere():
    """The default number of threads, then more than one for certain."""
    results = [bits(compute(CASE))]
    with fastrnn.num_threads(3):
        results.append(bits(compute(CASE)))
    return results


@contextlib.contextmanager
def forking():
    """Python 3.12 and later warn of any fork of a process with threads, which is what is tested here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield


def fork_and_run(work):
    """Runs work in a forked child, which an alarm ends; its exit code, 0 where work returned true."""
    with forking():
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forked_child_computes_the_same_bits_after_its_parent_used_threads():
    expected = compute_everywhere()
    assert fork_and_run(lambda: compute_everywhere() == expected) == 0
    assert compute_everywhere() == expected  # and so does the parent afterwards


def test_forked_child_of_a_forked_child_computes():
    expected = compute_everywhere()
    assert fork_and_run(lambda: fork_and_run(lambda: compute_everywhere() == expected) == 0) == 0


def test_fork_during_a_call_of_another_thread():
    expected = compute_everywhere()
    stop = threading.Event()

    def keep_computing():
        with fastrnn.num_threads(2):
            while not stop.is_set():
                compute(CASE)

    thread = threading.Thread(target=keep_computing)
    thread.start()
    try:
        for _ in range(5):
            assert fork_and_run(lambda: compute_everywhere() == expected) == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_computes_the_same_bits(method):
    expected = compute_everywhere()
    with forking(), multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(compute_everywhere) for _ in range(4)]
        for result in results:
            assert result.get(timeout=60) == expected


def test_layers_survive_pickling_into_a_child():
    layer = fastrnn.GRU(5, 7, rng=np.random.default_rng(0))
    x = np.ones((3, 2, 5), np.float32)
    with forking(), multiprocessing.get_context("fork").Pool(1) as pool:
        y, _ = pool.apply_async(layer, (x,)).get(timeout=SECONDS)
    assert y.tobytes() == layer(x)[0].tobytes()


OTHER_LIBRARY = """
import ctypes, os, signal, sys
sys.path.insert(0, sys.argv[1])
import fastrnn                                              # known of, not yet called
from trust_work import CELLS, case, compute
team = ctypes.CDLL("libgomp.so.1")
work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
team.GOMP_parallel(work, None, 3, 0)
child = os.fork()
if child == 0:
    signal.alarm(10)
    with fastrnn.num_threads(3):
        compute(case(CELLS["lstm"], 20, 6, 24, 40))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not fastrnn._native.OPENMP, reason="built without OpenMP")
def test_forked_child_computes_after_another_library_used_openmp():
    command = [sys.executable, "-W", "ignore", "-c", OTHER_LIBRARY, str(Path(__file__).parent)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
