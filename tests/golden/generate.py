"""Write the golden files beside this one: what PyTorch 2.13 computes in float64, forward and all gradients.

Run ``python tests/golden/generate.py`` where fastrnn and torch are installed. Each file is a cell; in it
``scenario/name`` are the arguments and results of one pass, by the names of ``tests/peers/oracle.py``.
"""

import sys
from pathlib import Path

import numpy as np

from fastrnn import cells

HERE = Path(__file__).parent
CELLS = {
    "rnn_tanh": cells.RNN(),
    "rnn_relu": cells.RNN(activation="relu"),
    "lstm": cells.LSTM(),
    "lstm_projected": cells.LSTM(proj_size=2),
    "gru_after": cells.GRU(reset="after"),
    "gru_before": cells.GRU(reset="before"),
}
# T, B, I, H, biases, lengths, reverse; "wide" has inputs for more than one block of a product.
SCENARIOS = {
    "plain": (5, 3, 4, 3, True, None, False),
    "without biases": (4, 2, 3, 4, False, None, False),
    "lengths": (5, 4, 3, 3, True, (3, 0, 5, 1), False),
    "lengths in reverse": (5, 4, 3, 3, True, (5, 2, 0, 4), True),
    "wide": (2, 2, 130, 3, True, None, True),
}


def arguments(cell, steps, batch, inputs, hidden, biases, lengths, reverse, seed):
    """Random arguments of one pass, by name; in float32, which every dtype holds exactly."""
    rng = np.random.default_rng(seed)
    bound = hidden**-0.5
    shapes = {
        n: s for n, s in cell.parameter_shapes(inputs, hidden).items() if biases or not n.startswith("b_")
    }
    given = {n: rng.uniform(-bound, bound, s) for n, s in shapes.items()}
    given["x"] = rng.normal(size=(steps, batch, inputs))
    given["dy"] = rng.normal(size=(steps, batch, cell.output_size(hidden)))
    for name, width in cell.state_shapes(hidden).items():
        given[f"{name}_first"] = rng.normal(size=(batch, width))
        given[f"d{name}_last"] = rng.normal(size=(batch, width))
    given = {n: a.astype(np.float32) for n, a in given.items()}
    given["reverse"] = np.array(reverse)
    if lengths is not None:
        given["lengths"] = np.array(lengths)
    return given


def main():
    sys.path.insert(0, str(HERE.parent / "peers"))
    import oracle

    for name, cell in CELLS.items():
        stored = {}
        for seed, (scenario, sizes) in enumerate(SCENARIOS.items()):
            given = arguments(cell, *sizes, seed=seed)
            found = oracle.run(
                cell,
                {n: given[n] for n in cell.parameters if n in given},
                given["x"],
                tuple(given[f"{n}_first"] for n in cell.states),
                given["dy"],
                tuple(given[f"d{n}_last"] for n in cell.states),
                lengths=given.get("lengths"),
                reverse=bool(given["reverse"]),
            )
            assert not set(found) & set(given)
            stored |= {f"{scenario}/{n}": a for n, a in (given | found).items()}
        np.savez_compressed(HERE / f"{name}.npz", **stored)


if __name__ == "__main__":
    main()
