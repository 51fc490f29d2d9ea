"""Attention: definition, gradients, padding, bits, errors."""

import numpy as np
import pytest
from kit import ISAS

import fastrnn
from fastrnn import functional, nn

KINDS = {
    "dot": lambda dtype=np.float32, size=4: nn.DotAttention(size, size),
    "general": lambda dtype=np.float32, size=4: nn.DotAttention(size, 6, general=True, dtype=dtype, rng=0),
    "additive": lambda dtype=np.float32, size=4: nn.AdditiveAttention(size, 6, 5, dtype=dtype, rng=0),
}
T, B, S = 3, 4, 7
LENGTHS = [7, 3, 0, 1]


def made(kind, dtype=np.float64, seed=0, size=4, steps=S):
    attention = KINDS[kind](dtype, size)
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((T, B, attention.query_size)).astype(dtype)
    return attention, queries, rng.standard_normal((steps, B, attention.memory_size)).astype(dtype)


def defined(attention, q, m):
    """Context and weights of one query and the memory of one row, by the papers' formulas."""
    p = attention.params
    if isinstance(attention, nn.AdditiveAttention):
        scores = np.tanh(q @ p["query.weight"].T + p["query.bias"] + m @ p["key.weight"].T) @ p["v"]
    else:
        scores = m @ (q @ p["key.weight"] if attention.general else q)
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights @ m, weights


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_that_of_the_papers(kind):
    attention, queries, memory = made(kind)
    context, weights = attention(queries, memory, LENGTHS)
    for t in range(T):
        for b, n in enumerate(LENGTHS):
            c, w = defined(attention, queries[t, b], memory[:n, b]) if n else (0, 0)
            np.testing.assert_allclose(context[t, b], c, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(weights[t, b, :n], w, rtol=1e-12, atol=1e-14)
            assert not weights[t, b, n:].any()


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_central_differences(kind, lengths):
    attention, queries, memory = made(kind)
    rng = np.random.default_rng(1)
    of_context, of_weights = rng.standard_normal((T, B, memory.shape[2])), rng.standard_normal((T, B, S))

    def loss():
        context, weights = attention(queries, memory, lengths)
        return float((context * of_context).sum() + (weights * of_weights).sum())

    context, weights, tape = attention.forward(queries, memory, lengths)
    for ours, called in zip((context, weights), attention(queries, memory, lengths), strict=True):
        assert ours.tobytes() == called.tobytes()
    dqueries, dmemory, grads = attention.backward(tape, of_context, of_weights)
    assert list(grads) == list(attention.params)
    pairs = [(queries, dqueries), (memory, dmemory)]
    for array, gradient in pairs + [(attention.params[name], grads[name]) for name in grads]:
        for place in np.ndindex(array.shape):
            before, ends = array[place], []
            for array[place] in (before + 1e-6, before - 1e-6):
                ends.append(loss())
            array[place] = before
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)
    alone, _, _ = attention.backward(tape, np.zeros_like(of_context), of_weights)
    without, _, _ = attention.backward(tape, of_context)
    np.testing.assert_allclose(alone + without, dqueries, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_know_of_no_padding_batch_threads_or_instructions(kind, threads, isa):
    """Sums of 40 steps, that NumPy would add up in another order where there are more."""
    attention, queries, memory = made(kind, np.float32, size=32, steps=40)
    lengths = [40, 23, 9, 1]
    context, weights = attention(queries, memory, lengths)
    with fastrnn.num_threads(threads), fastrnn.isa(isa):
        for b, n in enumerate(lengths):
            for t in range(T):
                row = attention(queries[t : t + 1, b : b + 1], memory[:n, b : b + 1])
                assert row[0].tobytes() == context[t, b].tobytes()
                assert row[1].tobytes() == weights[t, b, :n].tobytes()
    padding = memory.copy()
    padding[23:, 1] = np.nan
    assert attention(queries, padding, lengths)[0].tobytes() == context.tobytes()
    with fastrnn.backend("reference"):
        assert attention(queries, memory, lengths)[0].tobytes() == context.tobytes()


def test_a_memory_that_is_read_is_looked_at_often():
    attention, queries, memory = made("additive", np.float32)
    read = attention.read(memory, LENGTHS)
    context, _ = attention(queries, memory, LENGTHS)
    for t in range(T):
        assert attention.look(queries[t : t + 1], read)[0].tobytes() == context[t].tobytes()
    some = attention.look(np.ascontiguousarray(queries[:, [3, 1]]), read.rows([3, 1]))[0]
    assert some.tobytes() == np.ascontiguousarray(context[:, [3, 1]]).tobytes()


def test_large_scores_do_not_overflow():
    context, weights = nn.DotAttention(1, 1)(np.full((1, 1, 1), 1e4), np.array([[[1e4]], [[0.0]]]))
    assert weights.ravel().tolist() == [1, 0]
    assert context.ravel().tolist() == [1e4]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda a, q, m: a(q[..., :3], m),
            ValueError,
            r"queries has shape \(3, 4, 3\); expected \(T, B, 4\)",
        ),
        (lambda a, q, m: a(q, m[0]), ValueError, r"memory has shape \(4, 6\); expected \(S, B, 6\)"),
        (lambda a, q, m: a(q[:, :2], m), ValueError, r"queries have 2 rows .* the memory has 4"),
        (lambda a, q, m: a(q, m, [1, 2, 3, 8]), ValueError, r"lengths\[3\] is 8"),
        (lambda a, q, m: a(q.astype(int), m), TypeError, "queries"),
        (lambda a, q, m: a.backward(a.forward(q, m)[2], q), ValueError, "dcontext has shape"),
        (lambda a, q, m: a.freeze().backward(a.forward(q, m)[2], q), RuntimeError, "frozen"),
        (lambda a, q, m: nn.DotAttention(4, 6), ValueError, "general=True"),
        (lambda a, q, m: nn.AdditiveAttention(4, 6, 0), ValueError, "attention_size"),
    ],
)
def test_errors_name_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call(*made("additive"))


def test_repr():
    assert repr(nn.DotAttention(3, 3)) == "DotAttention(3, 3, general=False)"
    assert repr(nn.AdditiveAttention(3, 2)).startswith("AdditiveAttention(3, 2, attention_size=3")


def test_queries_are_cast_to_the_dtype_of_the_memory():
    rng = np.random.default_rng(0)
    queries, memory = rng.standard_normal((2, 3, 4)), rng.standard_normal((5, 3, 4)).astype(np.float32)
    attention = nn.DotAttention(4, 4)
    context, weights, tape = attention.forward(queries, memory)
    expected, _ = attention(queries.astype(np.float32), memory)
    np.testing.assert_array_equal(context, expected)
    assert context.dtype == weights.dtype == np.float32
    assert attention.backward(tape, context)[0].dtype == np.float32


def test_memories_of_others_are_refused():
    memory, queries = np.ones((5, 3, 4)), np.ones((2, 3, 4))
    foreign = nn.DotAttention(4, 4).read(memory)
    with pytest.raises(TypeError, match="memory is one of another attention"):
        nn.DotAttention(4, 4).look(queries, foreign)
    with pytest.raises(TypeError, match="memory is float"):
        nn.DotAttention(4, 4).look(queries, memory)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_many_products_at_once_are_the_products(backend):
    rng = np.random.default_rng(0)
    shapes = [(3, 4, 2), (1, 1, 1), (0, 3, 2), (5, 0, 2)]
    rows = [[rng.standard_normal(s) for s in ((n, i), (o, i), (n, o))] for n, i, o in shapes]
    xs, ws, dys = map(list, zip(*rows, strict=True))
    with fastrnn.backend(backend):
        for (x, w, _), y in zip(rows, functional.linear_each(xs, ws), strict=True):
            np.testing.assert_array_equal(y, functional.linear(x, w))
        for row, got in zip(rows, functional.linear_backward_each(xs, ws, dys), strict=True):
            for one, expected in zip(got, functional.linear_backward(*row), strict=False):
                np.testing.assert_array_equal(one, expected)


def test_products_that_do_not_fit_are_refused():
    x, w = np.ones((2, 3)), np.ones((4, 3))
    for wrong in (np.ones((2, 4)), np.ones(3), x.astype(np.float16)):
        with pytest.raises(ValueError, match="expected \\(N, I\\), \\(O, I\\)"):
            functional.linear_each([wrong], [w])
    with pytest.raises(ValueError, match="of one dtype"):
        functional.linear_each([x], [w.astype(np.float32)])
    with pytest.raises(ValueError, match="linear: x, w and y are"):
        functional.linear_backward_each([x], [w], [np.ones((2, 3))])
