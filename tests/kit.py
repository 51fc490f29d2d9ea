"""Random cases of a cell over a batch, and equality of bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import fastrnn
from fastrnn import _native, cells, functional, reference

CELLS = [
    cells.RNN(),
    cells.RNN("relu"),
    cells.RNN(("hard_sigmoid", 0.3, 0.4), clip=0.9),
    cells.RNN("softplus"),
    cells.LSTM(),
    cells.LSTM(proj_size=3),
    cells.LSTM.variant("V"),
    cells.LSTM.variant("CIFG", proj_size=3, clip=1.5, cell_clip=0.6),
    cells.LSTM.variant("FGR", activations={"g": ("leaky_relu", 0.3), "h": "softsign"}),
    cells.LSTM(input_gate=False, forget_gate=False, activations={"o": "hard_sigmoid"}),
    cells.GRU(),
    cells.GRU("before"),
    cells.GRU(clip=0.7, activations={"n": "elu"}),
    cells.GRU("before", activations={"r": "hard_sigmoid"}),
    cells.RNN(layer_norm=True),
    cells.RNN("relu", clip=0.8, layer_norm=True, layer_norm_eps=1e-3),
    cells.LSTM(layer_norm=True),
    cells.LSTM.variant("FGR", proj_size=3, layer_norm=True),
    cells.GRU(layer_norm=True),
    cells.GRU(clip=0.7, layer_norm=True),
    cells.MGU(),
    cells.IndRNN(),
    cells.MinGRU(),
    cells.MinLSTM(),
]
ACTIVATIONS = [
    cells.Activation("sigmoid"),
    cells.Activation("tanh"),
    cells.Activation("relu"),
    cells.Activation("affine", 0.7, -0.2),
    cells.Activation("leaky_relu", 0.1),
    cells.Activation("thresholded_relu", 0.3),
    cells.Activation("scaled_tanh", 1.3, 0.6),
    cells.Activation("hard_sigmoid", 0.3, 0.4),
    cells.Activation("elu", 0.8),
    cells.Activation("softsign"),
    cells.Activation("softplus"),
]
ISAS = _native.SUPPORTED_ISAS


def flat(value):
    """All arrays of a nested result, tapes included, in a fixed order."""
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, reference.Tape):
        return flat([*value.states, value.cached])
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    return [array for item in value for array in flat(item)]


def assert_same_bits(got, expected, hint=""):
    """Equal shapes, dtypes, values and signs of zero; NaN where NaN is."""
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected), hint
    for k, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert one.shape == other.shape, (k, hint)
        assert one.dtype == other.dtype, (k, hint)
        np.testing.assert_array_equal(one, other, err_msg=f"array {k}: {hint}")
        zero = one == 0
        np.testing.assert_array_equal(
            np.signbit(one[zero]), np.signbit(other[zero]), err_msg=f"array {k}: {hint}"
        )


@dataclass
class Case:
    """The arguments of a forward and of a backward pass."""

    cell: cells.Cell
    params: dict
    x: np.ndarray
    state: tuple | None
    lengths: np.ndarray | None
    reverse: bool
    dy: np.ndarray | None
    dstate: tuple | None
    mask: np.ndarray | None = None
    noise: cells.Noise | None = None

    @property
    def options(self):
        """The optional arguments of a forward pass."""
        return {"lengths": self.lengths, "mask": self.mask, "reverse": self.reverse, "noise": self.noise}

    def run(self, module: Any = functional):
        """Everything both passes return, flat; `module` is functional or reference."""
        forward = module.forward(self.cell, self.params, self.x, one(self.state), **self.options)
        return flat(forward) + flat(
            module.backward(self.cell, self.params, forward[2], self.dy, one(self.dstate))
        )

    def rows(self, b, steps=None):
        """The rows b alone, at most `steps` steps of them."""
        cut = lambda a: None if a is None else a[:steps, b]  # noqa: E731
        take = lambda s: None if s is None else tuple(a[b] for a in s)  # noqa: E731
        lengths = None if self.lengths is None or steps is not None else self.lengths[b]
        return replace(
            self,
            x=cut(self.x),
            dy=cut(self.dy),
            state=take(self.state),
            dstate=take(self.dstate),
            lengths=lengths,
            mask=cut(self.mask),
        )

    def __repr__(self):
        steps, batch, inputs = self.x.shape
        hidden = self.cell.sizes(self.params)[1]
        lengths = None if self.lengths is None else self.lengths.tolist()
        return (
            f"{self.cell} T={steps} B={batch} I={inputs} H={hidden} {self.x.dtype} lengths={lengths} "
            f"reverse={self.reverse} bias={'b_ih' in self.params} "
            f"mask={None if self.mask is None else self.mask.astype(int).tolist()} "
            f"noise={self.noise and [n is not None for n in self.noise]}"
        )


def one(states):
    """As the functions take and return states: an array, or a tuple of several."""
    return states[0] if states is not None and len(states) == 1 else states


def make_case(
    cell, steps, batch, inputs, hidden, dtype=np.float32, *, seed=0, lengths=None, reverse=False, bias=True,
    scale=1.0, states=True, dy=True, special=False, counting=None, recurrent=False, zoneout=False,
):  # fmt: skip
    """A case drawn from a seed.

    `special` strews zeros of both signs, subnormals, infinities and NaN; `counting` is the share of the steps
    that a mask lets count, None: no mask. `recurrent` and `zoneout` draw the noise of a training pass.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape, scale=1.0):
        a = (rng.standard_normal(shape) * scale).astype(dtype)
        if special and a.size:
            tiny = np.finfo(dtype).smallest_subnormal
            values = np.array([0.0, -0.0, tiny, -7 * tiny, 1e-30, np.inf, -np.inf, np.nan], dtype)
            where = rng.random(shape) < 0.02
            a[where] = rng.choice(values, where.sum())
        return a

    weight = scale / np.sqrt(hidden)
    params = {
        n: draw(*s, scale=weight)
        for n, s in cell.parameter_shapes(inputs, hidden).items()
        if bias or not n.startswith("b_")
    }
    widths = cell.state_shapes(hidden).values()
    case = Case(
        cell=cell,
        params=params,
        x=draw(steps, batch, inputs),
        state=tuple(draw(batch, w) for w in widths) if states else None,
        lengths=None if lengths is None else np.asarray(lengths),
        reverse=reverse,
        dy=draw(steps, batch, cell.output_size(hidden)) if dy else None,
        dstate=tuple(draw(batch, w) for w in widths) if states else None,
        mask=None if counting is None else rng.random((steps, batch)) < counting,
    )
    if recurrent or zoneout:
        case.noise = draw_noise(cell, case, rng, recurrent=recurrent, zoneout=zoneout)
    return case


def draw_noise(cell, case, rng, *, recurrent, zoneout):
    """The noise of a training pass: recurrent dropout, and zoneout where the cell has it."""
    steps, batch, _ = case.x.shape
    hidden = cell.sizes(case.params)[1]
    factors = kept = None
    if recurrent:
        factors = (rng.random((batch, cell.output_size(hidden))) < 0.5).astype(case.x.dtype) * 2
    if zoneout and cell.zoneout:
        widths = list(cell.state_shapes(hidden).values())
        kept = tuple(
            rng.random((steps, batch, w)) < p if p else None
            for p, w in zip(cell.zoneout, widths, strict=False)
        )
    return cells.Noise(factors, kept)


def assert_native_equals_reference(case, isa, threads):
    assert_isas_equal_reference(case, [isa], threads)


def assert_isas_equal_reference(case, isas, threads):
    """As above, of several instruction sets; the reference, which is slow, runs once."""
    expected = case.run(reference)
    for isa in isas:
        with fastrnn.isa(isa), fastrnn.num_threads(threads):
            got = case.run(functional)
        assert_same_bits(got, expected, f"{case} isa={isa} threads={threads}")
