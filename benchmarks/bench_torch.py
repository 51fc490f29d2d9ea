"""A training step through `fastrnn.torch.accelerate` beside plain PyTorch, and what a call costs on its way.

    python -m benchmarks.bench_torch [--threads 2] [--rounds 9]

Medians of alternating blocks (`fastrnn._bench.timing`). A training step is forward and backward of one layer,
with the gradients of the input and of all parameters. The overhead is that of a call of the module over the
same call of our layer on arrays, at T = B = 1 and I = H = 8: in inference, and with a tape for automatic
differentiation, where an empty ``torch.autograd.Function`` of as many tensors stands beside it.
``--json FILE`` keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastrnn
import fastrnn.torch
from fastrnn._bench.timing import measure

SHAPE = (100, 32, 256, 256)  # T, B, I, H
KINDS = ("GRU", "LSTM")


class Nothing(torch.autograd.Function):
    """What PyTorch asks for an operation of its own."""

    @staticmethod
    def forward(ctx: Any, x: Any, *weights: Any) -> Any:
        ctx.save_for_backward(x, *weights)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return (dy, *map(torch.zeros_like, ctx.saved_tensors[1:]))


def pair(kind: str, inputs: int, hidden: int) -> tuple[Any, Any]:
    """PyTorch's layer and ours on the same weights, with the same results."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(inputs, hidden)
    ours = fastrnn.torch.accelerate(theirs).model
    x = torch.randn(3, 2, inputs)
    assert torch.allclose(theirs(x)[0], ours(x)[0], atol=1e-5)
    return theirs, ours


def step(module: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor) -> Callable[[], None]:
    """Forward and backward; the gradients are new ones each time, as after ``zero_grad``."""
    leaves = [x, *module.parameters()]

    def call() -> None:
        torch.autograd.grad(module(x)[0], leaves, dy)

    return call


def training(kind: str, rounds: int) -> dict[str, float]:
    steps, batch, inputs, hidden = SHAPE
    theirs, ours = pair(kind, inputs, hidden)
    x = torch.randn(steps, batch, inputs, requires_grad=True)
    dy = torch.randn(steps, batch, hidden)
    layer, array, back = fastrnn.from_torch(theirs), x.detach().numpy(), dy.numpy()
    calls = {
        "torch": step(theirs, x, dy),
        "fastrnn": step(ours, x, dy),
        "our layer alone": lambda: layer.backward(layer.forward(array)[2], back),
    }
    times = measure(calls, rounds, block=0.2)
    return {name: time.median for name, time in times.items()}


def overhead(kind: str, rounds: int) -> dict[str, float]:
    theirs, ours = pair(kind, 8, 8)
    layer = fastrnn.from_torch(theirs)
    frozen = fastrnn.from_torch(theirs).freeze()
    x = torch.randn(1, 1, 8)
    array, dy = x.numpy(), torch.ones(1, 1, 8)
    weights = list(ours.parameters())

    def native() -> None:
        y, _, tape = layer.forward(array)
        layer.backward(tape, np.ones_like(y))

    with torch.no_grad():
        inference = measure({"frozen layer": lambda: frozen(array), "no_grad": lambda: ours(x)}, rounds)
    training = measure(
        {
            "layer, forward": lambda: layer.forward(array),
            "autograd, forward": lambda: ours(x),
            "layer, both": native,
            "autograd, both": lambda: torch.autograd.grad(ours(x)[0], weights, dy),
            "nothing, both": lambda: torch.autograd.grad(Nothing.apply(x, *weights), weights, dy),
            "torch, both": lambda: torch.autograd.grad(theirs(x)[0], weights, dy),
        },
        rounds,
    )
    return {name: times.median for name, times in {**inference, **training}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, dict[str, dict[str, float]]] = {"training": {}, "overhead": {}}
    with fastrnn.num_threads(options.threads):
        for kind in KINDS:
            times = found["training"][kind] = training(kind, options.rounds)
            shown = ", ".join(f"{name} {1e3 * time:.2f} ms" for name, time in times.items())
            print(f"{kind} {SHAPE}: {shown}: {times['torch'] / times['fastrnn']:.2f} times as fast")
    for kind in KINDS:
        times = found["overhead"][kind] = overhead(kind, options.rounds)
        print(f"{kind} (1, 1, 8, 8): " + ", ".join(f"{name} {1e6 * t:.1f} us" for name, t in times.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
