"""Memory that runs out is MemoryError, leaks nothing, and the next call is right."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from trust_work import CELLS, bits, case, compute

from fastrnn import _native, functional

GIVEN = {name: case(cell, 5, 3, 7, 9) for name, cell in CELLS.items()}
X, W, DY = np.ones((4, 7), np.float32), np.ones((9, 7), np.float32), np.ones((4, 9), np.float32)


def forward_call(name):
    given = GIVEN[name]
    return functional.forward(given["cell"], given["params"], given["x"])


CALLS = {
    **{f"forward {name}": lambda name=name: forward_call(name) for name in CELLS},
    **{f"both {name}": lambda name=name: compute(GIVEN[name]) for name in CELLS},
    **{f"checkpoints {name}": lambda name=name: compute(GIVEN[name], True, 2) for name in CELLS},
    "linear": lambda: functional.linear(X, W),
    "linear_backward": lambda: functional.linear_backward(X, W, DY),
}


@pytest.fixture(autouse=True)
def allocations_succeed_again():
    yield
    _native.fail_allocation(0)


@pytest.mark.parametrize("name", CALLS)
def test_every_failing_allocation_is_memory_error(name):
    expected = {cell: bits(compute(given)) for cell, given in GIVEN.items()}
    for n in range(1, 100):
        _native.fail_allocation(n)
        try:
            CALLS[name]()
            break
        except MemoryError:
            pass
        finally:
            _native.fail_allocation(0)
        assert {cell: bits(compute(given)) for cell, given in GIVEN.items()} == expected
    assert n > 1, "no allocation failed: the hook does not reach this call"


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="ASan keeps what is freed")
def test_failed_and_finished_calls_leak_nothing():
    given = case(CELLS["lstm"], 10, 8, 64, 64)

    def calls(count):
        for n in range(count):
            _native.fail_allocation(1 + n % 2)
            with contextlib.suppress(MemoryError):
                compute(given)
            _native.fail_allocation(0)
            compute(given)

    calls(50)
    before = resident_bytes()
    calls(300)
    assert resident_bytes() - before < 8 << 20  # one leaked workspace a call would be 60 MB and more


@pytest.mark.parametrize("shape", [(1 << 40, 1, 7), (1, 1 << 40, 7), (1 << 29, 1 << 29, 7)])
def test_sequences_larger_than_memory_are_refused(shape):
    given = GIVEN["lstm"]
    x = np.lib.stride_tricks.as_strided(np.zeros(7, np.float32), shape, (0, 0, 4))
    with pytest.raises((MemoryError, ValueError)):
        functional.forward(given["cell"], given["params"], x)


def test_layers_larger_than_memory_are_refused():
    cell = CELLS["rnn-tanh"]
    shapes = cell.parameter_shapes(1 << 22, 1 << 22)
    params = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    with pytest.raises(MemoryError):
        functional.forward(cell, params, np.broadcast_to(np.float32(0), (1, 1, 1 << 22)))
