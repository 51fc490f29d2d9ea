"""Large memory is kept for the next call, within a limit, and given back when asked."""

import numpy as np
import pytest

import fastrnn
from fastrnn import _native

MIB = 1 << 20


@pytest.fixture(autouse=True)
def the_limit_of_the_process():
    fastrnn.keep_memory(0)
    fastrnn.keep_memory(1024 * MIB)
    yield
    fastrnn.keep_memory(1024 * MIB)


def test_an_array_given_back_serves_the_next():
    a = _native.empty((3, MIB), np.dtype(np.float32))
    place = a.ctypes.data
    a[:] = 1
    part = a[1:]
    del a
    assert _native.kept_memory() == 0
    assert (part == 1).all()
    del part
    assert _native.kept_memory() == 12 * MIB
    assert _native.empty((3, MIB), np.dtype(np.float32)).ctypes.data == place
    assert _native.empty((3,), np.dtype(np.float32)).flags.owndata  # small ones are NumPy's


def test_a_training_step_leaves_no_more_than_the_limit():
    layer, x = fastrnn.GRU(32, 128, rng=0), np.ones((60, 64, 32), np.float32)

    def step():
        y, _, tape = layer.forward(x)
        layer.backward(tape, y, consume=True)

    step()
    assert 5 * MIB < _native.kept_memory() <= 256 * MIB
    fastrnn.keep_memory(4 * MIB)
    assert _native.kept_memory() <= 4 * MIB
    step()
    assert _native.kept_memory() <= 4 * MIB
    fastrnn.keep_memory(0)
    assert _native.kept_memory() == 0


def test_memory_in_use_outlives_the_limit():
    layer, x = fastrnn.RNN(4, 512, rng=0), np.ones((40, 64, 4), np.float32)
    y, _ = layer(x)
    expected = y.copy()
    fastrnn.keep_memory(0)
    assert np.array_equal(y, expected)
    assert np.array_equal(layer(x)[0], expected)


@pytest.mark.parametrize("size", [-1, 2**63, 1.5, "1 MB", True, None])
def test_a_wrong_size_is_refused(size):
    with pytest.raises((TypeError, ValueError), match=r"keep_memory: size is .*; expected"):
        fastrnn.keep_memory(size)
