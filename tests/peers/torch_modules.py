"""Random modules of torch.nn, their arguments, and the comparison with ours."""

import numpy as np
import torch
from hypothesis import strategies as st

#: Of the scale max(1, max |expected|).
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@st.composite
def modules(draw):
    """A module RNN, LSTM or GRU of any constructor arguments, but for dropout, which is random."""
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    hidden = draw(st.integers(1, 9))
    options = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM" and hidden > 1:
        options["proj_size"] = draw(st.integers(0, hidden - 1))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    return getattr(torch.nn, kind)(draw(st.integers(1, 7)), hidden, **options)


@st.composite
def calls(draw, module):
    """(input, hx), tensors that require gradients: a batch, one sequence, or packed sequences."""
    dtype = module.weight_ih_l0.dtype
    way = draw(st.sampled_from(["batch", "one", "packed"]))
    steps, batch = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape = (steps, module.input_size)
    if way != "one":
        shape = (batch, *shape) if module.batch_first else (steps, batch, module.input_size)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    leaves, given = [x], x
    if way == "packed":
        lengths = draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
        given = torch.nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=module.batch_first, enforce_sorted=False
        )
    hx = None
    if draw(st.booleans()):
        widths = [getattr(module, "proj_size", 0) or module.hidden_size]
        widths += [module.hidden_size] * (module.mode == "LSTM")
        rows = () if way == "one" else (batch,)
        layers = module.num_layers * (1 + module.bidirectional)
        states = [torch.randn(layers, *rows, width, dtype=dtype, requires_grad=True) for width in widths]
        leaves += states
        hx = tuple(states) if len(states) > 1 else states[0]
    return given, hx, leaves


def flat(result):
    """The tensors of (output, state)."""
    y, state = result
    y = y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y
    return [y, *(state if isinstance(state, tuple) else (state,))]


def assert_close(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        expected = other.detach().numpy()
        atol = TOLERANCE[other.dtype] * max(1, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(one.detach().numpy(), expected, rtol=0, atol=atol)


def gradients(result, leaves):
    """The gradients of the leaves for random ones, always the same, of the results."""
    outputs = flat(result)
    generator = torch.Generator().manual_seed(1)
    back = [torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in outputs]
    return torch.autograd.grad(outputs, leaves, back, retain_graph=True)
