"""Backward of the reference against central differences of forward, in float64.

FASTRNN_GRADIENT_CASES=3000 pytest --timeout=0 tests/test_reference_gradients.py -k random takes that many
random cells (minutes)
"""

import itertools
import os
from dataclasses import replace
from math import fsum

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kit import ACTIVATIONS, flat, make_case, one
from strategies import any_cell

from fastrnn import cells, functional, reference

PLAIN = [cells.RNN(), cells.RNN("relu"), cells.LSTM(), cells.LSTM(1), cells.GRU(), cells.GRU("before")]
OTHERS = [
    cells.RNN(("hard_sigmoid", 0.3, 0.4), clip=0.9),
    *map(cells.LSTM.variant, ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "FGR")),
    cells.LSTM(1, full_gate_recurrence=True, input_gate=False, forget_gate=False, peepholes="o"),
    cells.LSTM(full_gate_recurrence=True, coupled=True, clip=1.5, cell_clip=0.7),
    cells.LSTM(input_gate=False, forget_gate=False, output_gate=False, activations={"g": "softsign"}),
    cells.LSTM(activations={"i": "elu", "f": "softplus", "o": ("leaky_relu", 0.2), "h": "scaled_tanh"}),
    cells.GRU(clip=0.8, activations={"r": "softsign", "n": "elu"}),
    cells.GRU("before", clip=0.8, activations={"z": "hard_sigmoid"}),
    cells.RNN(layer_norm=True),
    cells.RNN("elu", clip=0.8, layer_norm=True, layer_norm_eps=1e-3),
    cells.LSTM(layer_norm=True),
    cells.LSTM.variant("FGR", proj_size=2, cell_clip=0.7, layer_norm=True),
    cells.LSTM(coupled=True, layer_norm=True, activations={"h": "softsign"}),
    cells.GRU(layer_norm=True),
    cells.GRU(clip=0.8, activations={"n": "elu"}, layer_norm=True),
    cells.MGU(),
    cells.MGU(activations={"f": "hard_sigmoid", "n": "softplus"}, clip=1.1),
    cells.IndRNN(activations={"n": "tanh"}),
    cells.IndRNN(clip=0.9),
    cells.MinGRU(),
    cells.MinGRU(activations={"n": "elu"}),
    cells.MinLSTM(),
    cells.MinLSTM(clip=0.6, activations={"n": "tanh"}),
]
LENGTHS = (2, 0, 3)
CASES = [*itertools.product(PLAIN, (None, LENGTHS), (False, True), (True, False))] + [
    (cell, lengths, reverse, bias)
    for cell in OTHERS
    for lengths, reverse, bias in ((LENGTHS, True, True), (None, False, False))
]
STEPS, BATCH, INPUTS = 3, 3, 2
EPS = 1e-6


def units(cell):
    """Two alone would always normalise to 1 and -1."""
    return 3 if cell.layer_norm else 2


def differences(loss, array):
    """Central differences of ``loss()`` with respect to every element of array."""
    gradient = np.zeros_like(array)
    for k in np.ndindex(array.shape):
        kept = array[k]
        array[k] = kept + EPS
        above = loss()
        array[k] = kept - EPS
        below = loss()
        array[k] = kept
        gradient[k] = (above - below) / (2 * EPS)
    return gradient


@pytest.mark.parametrize(("cell", "lengths", "reverse", "bias"), CASES)
def test_gradients_are_those_of_central_differences(cell, lengths, reverse, bias):
    assert_gradients_are_those_of_central_differences(cell, lengths, reverse, bias)


@pytest.mark.parametrize("clip", [None, 0.8])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_gradients_of_activations_are_those_of_central_differences(activation, clip):
    rng = np.random.default_rng(9)
    for _ in range(3):
        numbers = {n: rng.normal() for n in ("alpha", "beta") if getattr(activation, n) is not None}
        assert_gradients_are_those_of_central_differences(cells.RNN(replace(activation, **numbers), clip))


def assert_gradients_are_those_of_central_differences(cell, lengths=None, reverse=False, bias=True):
    rng = np.random.default_rng(7)
    shapes = cell.parameter_shapes(INPUTS, units(cell))
    params = {n: rng.normal(size=s) for n, s in shapes.items() if bias or not n.startswith("b_")}
    x = rng.normal(size=(STEPS, BATCH, INPUTS))
    states = [rng.normal(size=(BATCH, w)) for w in cell.state_shapes(units(cell)).values()]
    dy = rng.normal(size=(STEPS, BATCH, cell.output_size(units(cell))))
    dstates = [rng.normal(size=s.shape) for s in states]
    options = {"lengths": lengths, "reverse": reverse}

    def packed(values):
        return tuple(values) if len(values) > 1 else values[0]

    def run():
        return reference.forward(cell, params, x, packed(states), **options)

    def loss():
        y, final, _ = run()
        final = final if len(states) > 1 else (final,)
        return fsum(
            np.concatenate(
                [(dy * y).ravel(), *((d * s).ravel() for d, s in zip(dstates, final, strict=True))]
            )
        )

    _, _, tape = run()
    dx, dinitial, dparams = reference.backward(cell, params, tape, dy, packed(dstates))
    dinitial = dinitial if len(states) > 1 else (dinitial,)
    pairs = {"x": (x, dx)}
    pairs |= {n: (params[n], dparams[n]) for n in params}
    pairs |= {f"{n} of state": (s, d) for n, s, d in zip(cell.states, states, dinitial, strict=True)}
    assert set(dparams) == set(params)
    scale = max(1.0, abs(loss()))
    for name, (array, gradient) in pairs.items():
        np.testing.assert_allclose(
            gradient, differences(loss, array), rtol=1e-6, atol=1e-8 * scale, err_msg=name
        )


def loss_of(case):
    """The sum over y and the final states, each times its gradient, by the native kernels: they have the
    reference's bits (test_bits.py), and are fast. And the largest of its terms."""
    y, state, _ = functional.forward(
        case.cell, case.params, case.x, one(case.state), tape=False, **case.options
    )
    terms = [(a * d).ravel() for a, d in zip(flat([y, state]), [case.dy, *case.dstate], strict=True)]
    return fsum(np.concatenate(terms)), max(np.abs(t).max(initial=0) for t in terms)


def one_sided_differences(case, array):
    """Differences to the left and to the right of every element of array, (2, n)."""
    found, (here, _) = [], loss_of(case)
    for k in np.ndindex(array.shape):
        kept = array[k]
        array[k] = kept - EPS
        left = here - loss_of(case)[0]
        array[k] = kept + EPS
        found.append((left, loss_of(case)[0] - here))
        array[k] = kept
    return np.array(found).reshape(-1, 2).T / EPS


@settings(max_examples=int(os.environ.get("FASTRNN_GRADIENT_CASES", "100")))
@given(
    cell=any_cell(2), seed=st.integers(0, 2**32 - 1), reverse=st.booleans(), bias=st.booleans(),
    lengths=st.sampled_from([None, LENGTHS]), counting=st.sampled_from([None, None, 0.6]),
    recurrent=st.booleans(), zoneout=st.booleans(),
)  # fmt: skip
def test_gradients_of_random_cells_are_those_of_central_differences(cell, seed, **options):
    """Elements whose differences to the left and to the right disagree stand at a kink, or where minLSTM's
    f + i is all but 0, and are left out; where they are many, the case is drawn anew."""
    case = make_case(cell, STEPS, BATCH, INPUTS, units(cell), np.float64, seed=seed, **options)
    _, _, tape = reference.forward(cell, case.params, case.x, one(case.state), **case.options)
    dx, dstate, dparams = reference.backward(cell, case.params, tape, case.dy, one(case.dstate))
    pairs = {"x": (case.x, dx)}
    pairs |= {n: (case.params[n], dparams[n]) for n in case.params}
    pairs |= {f"{n} of state": p for n, *p in zip(cell.states, case.state, flat([dstate]), strict=True)}
    size = max(1.0, loss_of(case)[1])
    smooth = elements = 0
    for name, (array, gradient) in pairs.items():
        left, right = one_sided_differences(case, array)
        compared = np.abs(right - left) <= 1e-4 * np.maximum(size, np.abs(left))
        smooth, elements = smooth + compared.sum(), elements + compared.size
        np.testing.assert_allclose(
            gradient.ravel()[compared],
            (left + right)[compared] / 2,
            rtol=1e-6,
            atol=1e-8 * size,
            err_msg=name,
        )
    assume(smooth >= 0.9 * elements)


@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3)])
def test_gradients_of_a_linear_layer(shape):
    rng = np.random.default_rng(8)
    x, w, b = rng.normal(size=shape), rng.normal(size=(2, 3)), rng.normal(size=2)
    dy = rng.normal(size=(*shape[:-1], 2))
    for array, gradient in zip((x, w, b), reference.linear_backward(x, w, dy), strict=True):
        expected = differences(lambda: fsum((dy * reference.linear(x, w, b)).ravel()), array)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
