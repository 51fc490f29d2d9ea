"""What the tests of this folder compute: everything that a forward and a backward call return."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import cells, functional

CELLS = {
    "rnn-tanh": cells.RNN(),
    "rnn-relu": cells.RNN(activation="relu"),
    "lstm": cells.LSTM(),
    "lstm-proj": cells.LSTM(proj_size=2),
    "gru": cells.GRU(),
    "gru-before": cells.GRU(reset="before"),
}
LINEAR = "linear"


def available_isas():
    from fastrnn import _native

    return _native.SUPPORTED_ISAS


def case(cell, T, B, I, H, dtype=np.float32, seed=0, lengths=False, place=np.asarray):
    """Arguments of a call; `place` decides where each array stands in memory."""
    rng = np.random.default_rng([seed, T, B, I, H])

    def draw(*shape):
        return place(rng.uniform(-1, 1, shape).astype(dtype))

    widths = cell.state_shapes(H).values()
    return {
        "cell": cell,
        "params": {name: draw(*shape) for name, shape in cell.parameter_shapes(I, H).items()},
        "x": draw(T, B, I),
        "state": tuple(draw(B, width) for width in widths),
        "lengths": place(rng.integers(0, T + 1, B)) if lengths else None,
        "dy": draw(T, B, cell.output_size(H)),
        "dstate": tuple(draw(B, width) for width in widths),
    }


def one_or_all(states):
    return states if len(states) > 1 else states[0]


def compute(case, reverse=False, checkpoint_every=None):
    """All arrays that forward and backward give, by name."""
    cell, params = case["cell"], case["params"]
    y, state, tape = functional.forward(
        cell, params, case["x"], one_or_all(case["state"]), lengths=case["lengths"], reverse=reverse,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    dx, dstate, dparams = functional.backward(cell, params, tape, case["dy"], one_or_all(case["dstate"]))
    result = {"y": y, "dx": dx, **{f"d{name}": array for name, array in dparams.items()}}
    for name, arrays in {"state": state, "dstate": dstate}.items():
        for i, array in enumerate(arrays if isinstance(arrays, tuple) else (arrays,)):
            result[f"{name}{i}"] = array
    return result


def bits(result):
    """Bytes of every array: equal exactly when every bit is."""
    return {name: np.asarray(array).tobytes() for name, array in result.items()}


def python(code, **options):
    """Starts a Python that finds fastrnn and this module; text pipes."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(Path(fastrnn.__file__).parents[1]), str(here)])
    environment = {**os.environ, "PYTHONPATH": path, **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
