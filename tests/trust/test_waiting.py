"""Threads that wait for the next call sleep soon: a core that others need is not kept busy."""

import pytest
from trust_work import python

import fastrnn

CODE = """
import os, time
before = dict(os.environ)
import fastrnn, numpy as np
assert dict(os.environ) == before
layer, x = fastrnn.LSTM(64, 64, rng=0).freeze(), np.ones((50, 8, 64), np.float32)
used = []
with fastrnn.num_threads(2):
    for _ in range(5):
        layer(x)
        begun = time.process_time()
        time.sleep(0.1)
        used.append(time.process_time() - begun)
print(min(used), max(used))
"""


def seconds_awake(**environment):
    process = python(CODE, env=environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return tuple(map(float, out.split()))       # least and most: others may need the cores too


@pytest.mark.skipif(not fastrnn._native.OPENMP, reason="built without OpenMP")
def test_threads_sleep_soon_after_a_call():
    assert seconds_awake()[0] < 0.002


@pytest.mark.skipif(not fastrnn._native.OPENMP, reason="built without OpenMP")
@pytest.mark.skipif(fastrnn.get_num_threads() < 2, reason="where threads share a core, OpenMP spins less")
def test_a_wish_of_the_user_is_left_alone():
    assert seconds_awake(GOMP_SPINCOUNT="100000000")[1] > 0.01
