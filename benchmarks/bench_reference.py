"""How many times faster than the NumPy reference the kernels are, for every cell and option: at least 30.

    pytest benchmarks/bench_reference.py -s

Forward with backward of (20, 8, 64, 64), on one thread, as the reference.
"""

import numpy as np
import pytest

import fastrnn
from fastrnn import cells, functional
from fastrnn._bench import interleaved

STEPS, BATCH, INPUTS, HIDDEN = 20, 8, 64, 64
LENGTHS = [20, 3, 17, 20, 0, 8, 11, 20]
CELLS = [
    cells.RNN(),
    cells.RNN("relu"),
    cells.LSTM(),
    cells.LSTM(proj_size=32),
    cells.GRU(),
    cells.GRU(reset="before"),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": LENGTHS}], ids=str)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_native_beside_the_reference(benchmark, cell, options, dtype):
    rng = np.random.default_rng(0)
    shapes = cell.parameter_shapes(INPUTS, HIDDEN)
    params = {k: rng.uniform(-1, 1, s).astype(dtype) / HIDDEN**0.5 for k, s in shapes.items()}
    x = rng.standard_normal((STEPS, BATCH, INPUTS)).astype(dtype)
    dy = rng.standard_normal((STEPS, BATCH, cell.output_size(HIDDEN))).astype(dtype)

    def native():
        _, _, tape = functional.forward(cell, params, x, **options)
        functional.backward(cell, params, tape, dy)

    def reference():
        with fastrnn.backend("reference"):
            native()

    with fastrnn.num_threads(1):
        seconds = interleaved({"native": native, "reference": reference}, rounds=5)
        benchmark(native)
    times = seconds["reference"] / seconds["native"]
    benchmark.extra_info.update(times_faster=round(times))
    print(f"  {cell} {options} {dtype.__name__}: {times:.0f} times faster than the reference")
    assert times >= 30
