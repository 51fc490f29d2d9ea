"""Cells against PyTorch: results and all gradients, and how accurate float32 is beside PyTorch's."""

import numpy as np
import pytest

import fastrnn
from fastrnn import cells, functional

torch = pytest.importorskip("torch")
import oracle  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

CELLS = [
    cells.RNN(),
    cells.RNN("relu"),
    cells.RNN("elu", clip=0.8),
    cells.LSTM(),
    cells.LSTM(3),
    *map(cells.LSTM.variant, ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "FGR")),
    cells.LSTM.variant("V", proj_size=2, clip=0.9, cell_clip=0.5, activations={"i": "hard_sigmoid"}),
    cells.LSTM.variant("FGR", proj_size=2, coupled=True, activations={"g": "softsign", "h": "elu"}),
    cells.LSTM(peepholes="fo", activations={"f": ("scaled_tanh", 0.8, 0.7), "o": "softplus"}),
    cells.GRU(),
    cells.GRU("before"),
    cells.GRU(clip=0.7, activations={"r": "hard_sigmoid", "n": "softsign"}),
    cells.GRU("before", clip=0.7, activations={"z": "softplus", "n": ("leaky_relu", 0.2)}),
    cells.RNN(layer_norm=True),
    cells.RNN("softplus", clip=0.8, layer_norm=True, layer_norm_eps=1e-3),
    cells.LSTM(layer_norm=True),
    cells.LSTM.variant("CIFG", proj_size=2, cell_clip=0.5, layer_norm=True),
    cells.LSTM.variant("FGR", layer_norm=True, activations={"h": "softsign"}),
    cells.GRU(layer_norm=True),
    cells.GRU(clip=0.7, activations={"n": "softsign"}, layer_norm=True, layer_norm_eps=1e-3),
    cells.MGU(),
    cells.MGU(clip=0.6, activations={"f": "hard_sigmoid", "n": ("thresholded_relu", 0.1)}),
    cells.IndRNN(),
    cells.IndRNN(clip=0.9, activations={"n": "tanh"}),
    cells.MinGRU(),
    cells.MinGRU(clip=0.9, activations={"n": ("affine", 0.8, 0.1)}),
    cells.MinLSTM(),
    cells.MinLSTM(clip=0.9, activations={"n": "tanh"}),
]
TORCH_DTYPE = {np.float32: torch.float32, np.float64: torch.float64}
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}  # of the scale of each array


def arguments(cell, steps, batch, inputs, hidden, seed, biases=True):
    """Random arguments in float32, so that every dtype can hold them: params, x, state, dy, dstate."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    bound = hidden**-0.5
    params = {
        n: rng.uniform(-bound, bound, s).astype(np.float32)
        for n, s in cell.parameter_shapes(inputs, hidden).items()
        if biases or not n.startswith("b_")
    }
    widths = cell.state_shapes(hidden).values()
    return (
        params,
        draw(steps, batch, inputs),
        tuple(draw(batch, w) for w in widths),
        draw(steps, batch, cell.output_size(hidden)),
        tuple(draw(batch, w) for w in widths),
    )


def run(cell, params, x, state, dy, dstate, *, dtype, **options):
    """The same as `oracle.run`, by fastrnn."""

    def one_or_all(states):
        cast = tuple(s.astype(dtype) for s in states)
        return cast if len(cast) > 1 else cast[0]

    def by_name(prefix, states):
        return dict(
            zip(
                (prefix + n for n in cell.states),
                states if isinstance(states, tuple) else (states,),
                strict=True,
            )
        )

    params = {n: p.astype(dtype) for n, p in params.items()}
    y, last, tape = functional.forward(cell, params, x, one_or_all(state), **options)
    dx, dfirst, dparams = functional.backward(cell, params, tape, dy, one_or_all(dstate))
    return (
        {"y": y, "dx": dx}
        | by_name("", last)
        | by_name("d", dfirst)
        | {f"d{n}": d for n, d in dparams.items()}
    )


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [None, (7, 0, 3, 1, 6)], ids=["whole", "lengths"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_results_and_gradients_are_those_of_torch(cell, lengths, reverse, biases, dtype, backend):
    given = arguments(cell, 7, 5, 4, 6, seed=3, biases=biases)
    options = {"lengths": lengths, "reverse": reverse}
    expected = oracle.run(cell, *given, **options, dtype=TORCH_DTYPE[dtype])
    with fastrnn.backend(backend):
        found = run(cell, *given, **options, dtype=dtype)
    assert set(found) == set(expected)
    for name, ours in found.items():
        scale = max(1, np.abs(expected[name]).max(initial=0))
        np.testing.assert_allclose(ours, expected[name], rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name)


def test_float32_is_more_accurate_than_torch():
    """Root-mean-square error against float64, ours divided by PyTorch's, over 300 fixed random cases."""
    rng = np.random.default_rng(11)
    ratios, worst = [], []
    for seed in range(300):
        cell = (cells.RNN(), cells.LSTM(), cells.GRU())[seed % 3]
        steps, batch = rng.integers(8, 41), rng.integers(2, 17)
        inputs, hidden = (int(2**e) for e in rng.uniform(6, 9, 2))
        given = arguments(cell, steps, batch, inputs, hidden, seed)
        exact = oracle.run(cell, *given)
        theirs = oracle.run(cell, *given, dtype=torch.float32)
        ours = run(cell, *given, dtype=np.float32)
        for name in ("y", "dx", *(f"d{p}" for p in given[0])):
            error, other = (np.sqrt(np.mean((r[name] - exact[name]) ** 2)) for r in (ours, theirs))
            ratios.append(error / other)
            worst.append((error / other, name, str(cell), steps, batch, inputs, hidden))
    mean = np.exp(np.mean(np.log(ratios)))
    print(f"\nfloat32 error relative to PyTorch's: geometric mean {mean:.3f}, worst {max(worst)}")
    assert mean <= 0.8
    assert max(ratios) <= 1.5, max(worst)
