"""Attention against a composition of PyTorch's operations: forward and all gradients."""

import numpy as np
import pytest

from fastrnn import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

T, B, S, Q, M = 5, 4, 9, 6, 8
LENGTHS = [9, 3, 1, 6]


def theirs(attention, p, queries, memory):
    """Contexts (T, B, M) and weights (T, B, S), with padding masked out before the softmax."""
    keys = memory @ p["key.weight"].T if "key.weight" in p else memory
    if isinstance(attention, nn.AdditiveAttention):
        q = torch.nn.functional.linear(queries, p["query.weight"], p["query.bias"])
        scores = torch.tanh(q[:, None] + keys[None]) @ p["v"]  # (T, S, B)
    else:
        scores = torch.einsum("tbw,sbw->tsb", queries, keys)
    outside = torch.arange(S)[:, None] >= torch.tensor(LENGTHS)
    weights = scores.masked_fill(outside, -torch.inf).softmax(1)
    return torch.einsum("tsb,sbm->tbm", weights, memory), weights.transpose(1, 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize(
    "make",
    [
        lambda **o: nn.DotAttention(M, M),
        lambda **o: nn.DotAttention(Q, M, general=True, **o),
        lambda **o: nn.AdditiveAttention(Q, M, 7, **o),
    ],
    ids=["dot", "general", "additive"],
)
def test_attention_equals_that_of_pytorchs_operations(make, dtype, tolerance):
    attention, rng = make(dtype=dtype, rng=0), np.random.default_rng(0)
    shapes = (T, B, attention.query_size), (S, B, M), (T, B, M), (T, B, S)
    queries, memory, of_context, of_weights = (rng.standard_normal(s).astype(dtype) for s in shapes)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in attention.params.items()}
    inputs = [torch.tensor(value, requires_grad=True) for value in (queries, memory)]
    expected = theirs(attention, p, *inputs)
    (
        (expected[0] * torch.tensor(of_context)).sum() + (expected[1] * torch.tensor(of_weights)).sum()
    ).backward()

    context, weights, tape = attention.forward(queries, memory, LENGTHS)
    dqueries, dmemory, grads = attention.backward(tape, of_context, of_weights)
    pairs = [(context, expected[0].detach()), (weights, expected[1].detach())]
    pairs += [(dqueries, inputs[0].grad), (dmemory, inputs[1].grad)]
    pairs += [(grads[name], p[name].grad) for name in p]
    for ours, other in pairs:
        assert ours.dtype == dtype
        scale = max(1, float(other.abs().max()))
        np.testing.assert_allclose(ours, other.numpy(), rtol=0, atol=tolerance * scale)
