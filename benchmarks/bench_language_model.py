"""One training step of the demo's model, and beside it the same step in plain NumPy.

    pytest benchmarks/bench_language_model.py -s

Embedding 64, two GRU layers of 256, Linear; 64 characters of 1, 16 or 64 streams; loss, gradients,
clipping and Adam. The naive step is the usual loop over time, `fastrnn._bench.naive_gradient`, on NumPy's
BLAS and its threads.
"""

import numpy as np
import pytest

from fastrnn import cells, optim
from fastrnn._bench import interleaved, naive_gradient
from fastrnn.models.language_model import Network

CHARACTERS, STEPS = 100, 64


def stepper(gradient, ids):
    network = Network(CHARACTERS, cells.GRU(), 64, 256, 2, 0.0, rng=0)
    optimizer = optim.Adam(network, lr=1e-6)

    def step():
        _, grads, _ = gradient(network, ids[:-1], ids[1:])
        optim.clip_grad_norm_(grads, 1.0)
        optimizer.step(grads)

    return step


@pytest.mark.parametrize("batch", [1, 16, 64])
def test_training_step(benchmark, batch):
    ids = np.random.default_rng(0).integers(0, CHARACTERS, (STEPS + 1, batch))
    ours = stepper(lambda network, *batch: network.gradient(*batch), ids)
    naive = stepper(lambda network, *batch: naive_gradient(network.params, *batch), ids)
    seconds = interleaved({"ours": ours, "naive": naive}, rounds=9)
    rates = {name: round(STEPS * batch / value) for name, value in seconds.items()}
    benchmark(ours)
    benchmark.extra_info.update(characters_a_second=rates["ours"], in_plain_numpy=rates["naive"])
    print(f"  batch {batch}: {rates['ours']:,} characters a second, in plain NumPy {rates['naive']:,}")
