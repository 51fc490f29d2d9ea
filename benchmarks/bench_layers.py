"""Speed of the cells, float32: forward, and forward with backward, in GFLOP/s (among extra_info in the JSON).

    pytest benchmarks/bench_layers.py --benchmark-json=out.json

FASTRNN_BENCH_THREADS is the number of threads, 2 if not set. What is counted are the products,
2 T B G H (I + H) operations forward and three times that with backward.
"""

import os

import numpy as np
import pytest

import fastrnn
from fastrnn import cells, functional

THREADS = int(os.environ.get("FASTRNN_BENCH_THREADS", "2"))
CELLS = [cells.LSTM(), cells.GRU(), cells.GRU(reset="before"), cells.RNN()]
SHAPES = [(100, 32, 256, 256), (100, 1, 256, 256)]  # T, B, I, H
ISAS = [isa for isa in ("avx512", "avx2", "neon") if isa in fastrnn._native.SUPPORTED_ISAS]

pytestmark = [
    pytest.mark.parametrize("isa", ISAS),
    pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s))),
    pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name),
]


def drawn(cell, shape):
    steps, batch, inputs, hidden = shape
    rng = np.random.default_rng(0)
    shapes = cell.parameter_shapes(inputs, hidden)
    params = {k: rng.uniform(-1, 1, s).astype(np.float32) / hidden**0.5 for k, s in shapes.items()}
    x = rng.standard_normal((steps, batch, inputs), np.float32)
    dy = rng.standard_normal((steps, batch, cell.output_size(hidden)), np.float32)
    return params, x, dy


def measure(benchmark, cell, shape, isa, passes, call):
    steps, batch, inputs, hidden = shape
    with fastrnn.num_threads(THREADS), fastrnn.isa(isa):
        benchmark(call)
    operations = passes * 2 * steps * batch * len(cell.gates) * hidden * (inputs + hidden)
    rate = operations / benchmark.stats["median"] / 1e9
    benchmark.extra_info.update(cell=str(cell), shape=shape, isa=isa, threads=THREADS, gflops=round(rate, 1))
    print(f"  {cell.name} {shape} {isa}, {THREADS} threads, {passes} passes: {rate:.0f} GFLOP/s")


def test_forward(benchmark, cell, shape, isa):
    params, x, _ = drawn(cell, shape)
    packed = functional.pack(cell, params)
    measure(benchmark, cell, shape, isa, 1, lambda: functional.forward(cell, packed, x, tape=False))


def test_forward_and_backward(benchmark, cell, shape, isa):
    params, x, dy = drawn(cell, shape)

    def call():
        _, _, tape = functional.forward(cell, params, x)
        functional.backward(cell, params, tape, dy)

    measure(benchmark, cell, shape, isa, 3, call)
