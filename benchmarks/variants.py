"""The variants of the cells beside the plain ones of the same shape, and beside PyTorch's LSTM.

    python -m benchmarks.variants [T,B,I,H ...] [--threads 2] [--rounds 7]

One interleaved run a shape and mode. A rate is the plain cell's time over the variant's; that of a variant
with fewer gates may be above 1. Training is forward with backward; the layer draws its noise within it.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn
from fastrnn import cells
from fastrnn._bench import measure

LSTM, GRU, RNN = cells.LSTM, cells.GRU, cells.RNN
#: name -> (cell, options of the layer, the plain cell beside it)
VARIANTS: dict[str, tuple[cells.Cell, dict[str, Any], cells.Cell]] = {
    "peepholes": (LSTM(peepholes="ifo"), {}, LSTM()),
    "coupled": (LSTM(coupled=True), {}, LSTM()),
    **{name: (LSTM.variant(name), {}, LSTM()) for name in ("NIG", "NFG", "NOG", "NIAF", "NOAF", "FGR")},
    "clip": (LSTM(clip=3.0, cell_clip=10.0), {}, LSTM()),
    "activations": (
        LSTM(activations=dict.fromkeys("ifo", "hard_sigmoid") | {"g": "softsign", "h": "softsign"}),
        {},
        LSTM(),
    ),
    "elu, softplus": (LSTM(activations={"g": "elu", "h": "softplus"}), {}, LSTM()),
    "layer norm": (LSTM(layer_norm=True), {}, LSTM()),
    "zoneout": (LSTM(zoneout=(0.05, 0.5)), {}, LSTM()),
    "recurrent dropout": (LSTM(), {"recurrent_dropout": 0.25}, LSTM()),
    "input dropout": (LSTM(), {"input_dropout": 0.25}, LSTM()),
    "weight dropout": (LSTM(), {"weight_dropout": 0.25}, LSTM()),
    "GRU, reset before": (GRU("before"), {}, GRU()),
    "GRU, hard sigmoid": (GRU(activations=dict.fromkeys("rz", "hard_sigmoid")), {}, GRU()),
    "GRU, layer norm": (GRU(layer_norm=True), {}, GRU()),
    "MGU": (cells.MGU(), {}, GRU()),
    "RNN, softplus": (RNN("softplus"), {}, RNN()),
    "RNN, layer norm": (RNN(layer_norm=True), {}, RNN()),
    "IndRNN": (cells.IndRNN(), {}, RNN()),
    "minGRU": (cells.MinGRU(), {}, GRU()),
    "minLSTM": (cells.MinLSTM(), {}, LSTM()),
}


def calls(layer: fastrnn.Recurrent, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Forward inference, and training, of a layer."""
    dy = np.random.default_rng(1).standard_normal(layer(x)[0].shape, dtype=np.float32)

    def train() -> None:
        _, _, tape = layer.forward(x)
        layer.backward(tape, dy, consume=True)

    return {"forward": lambda: layer(x), "training": train}


def torch_calls(shape: tuple[int, ...], threads: int) -> dict[str, Callable[[], Any]]:
    import torch

    torch.set_num_threads(threads)
    steps, batch, inputs, hidden = shape
    lstm = torch.nn.LSTM(inputs, hidden)
    x = torch.randn(steps, batch, inputs)
    dy = torch.randn(steps, batch, hidden)

    def forward() -> None:
        with torch.inference_mode():
            lstm(x)

    def train() -> None:
        given = x.clone().requires_grad_()
        lstm.zero_grad()
        lstm(given)[0].backward(dy)

    return {"forward": forward, "training": train}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variants", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("shapes", nargs="*", default=["100,32,256,256"], metavar="T,B,I,H")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    for words in given.shapes:
        shape = tuple(map(int, words.split(",")))
        run(shape, given.threads, given.rounds)


def run(shape: tuple[int, ...], threads: int, rounds: int) -> None:
    steps, batch, inputs, hidden = shape
    x = np.random.default_rng(0).standard_normal((steps, batch, inputs), dtype=np.float32)
    plain = {beside for _, _, beside in VARIANTS.values()}
    layers = {str(cell): fastrnn.Recurrent(cell, inputs, hidden, rng=0) for cell in plain}
    layers |= {
        name: fastrnn.Recurrent(cell, inputs, hidden, rng=0, **options)
        for name, (cell, options, _) in VARIANTS.items()
    }
    case = f"{','.join(map(str, shape))}, float32, {threads} threads"
    print(f"\n{case}: milliseconds; rate: the plain cell's over it")
    print(f"{'':20}{'forward':>10}{'rate':>7}{'training':>10}{'rate':>7}   (PyTorch's LSTM over them)")
    seconds = {}
    with fastrnn.num_threads(threads):
        for mode in ("forward", "training"):
            contenders = {name: calls(layer, x)[mode] for name, layer in layers.items()}
            if importlib.util.find_spec("torch"):
                contenders["PyTorch LSTM"] = torch_calls(shape, threads)[mode]
            for name, times in measure(contenders, rounds).items():
                seconds[name, mode] = times.median
    for name in [*layers, *["PyTorch LSTM"] * (("PyTorch LSTM", "forward") in seconds)]:
        beside = str(VARIANTS[name][2]) if name in VARIANTS else name
        row = f"{name:20}"
        for mode in ("forward", "training"):
            time = seconds[name, mode]
            row += f"{time * 1e3:10.3g}{seconds[beside, mode] / time:7.2f}"
        if ("PyTorch LSTM", "forward") in seconds:
            rates = [seconds["PyTorch LSTM", mode] / seconds[name, mode] for mode in ("forward", "training")]
            row += "   " + " ".join(f"{rate:6.2f}" for rate in rates)
        print(row)


if __name__ == "__main__":
    main()
