"""Linear, Embedding, Dropout."""

import numpy as np
import pytest

from fastrnn import functional, nn

RNG = np.random.default_rng(0)


# ---- Linear ----


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (0, 3)])
def test_linear_is_an_affine_map_with_its_gradients(bias, shape):
    linear = nn.Linear(3, 2, bias, dtype=np.float64, rng=0)
    x = RNG.standard_normal(shape)
    y, tape = linear.forward(x)
    weight = linear.params["weight"]
    np.testing.assert_allclose(
        y, x @ weight.T + (linear.params["bias"] if bias else 0), rtol=1e-12, atol=1e-15
    )
    assert np.array_equal(linear(x), y)
    dy = RNG.standard_normal(y.shape)
    dx, grads = linear.backward(tape, dy)
    np.testing.assert_allclose(dx, dy @ weight, rtol=1e-12, atol=1e-15)
    assert list(grads) == list(linear.params)
    rows, drows = x.reshape(-1, 3), dy.reshape(-1, 2)
    np.testing.assert_allclose(grads["weight"], drows.T @ rows, rtol=1e-12, atol=1e-15)
    if bias:
        np.testing.assert_allclose(grads["bias"], drows.sum(0), rtol=1e-12, atol=1e-15)


def test_linear_has_the_bits_of_functional_and_of_single_rows():
    linear = nn.Linear(300, 7, rng=0)
    x = RNG.standard_normal((6, 300)).astype(np.float32)
    y = linear(x)
    assert np.array_equal(y, functional.linear(x, linear.params["weight"], linear.params["bias"]))
    assert all(np.array_equal(linear(row), expected) for row, expected in zip(x, y, strict=True))


def test_linear_initial_values_are_pytorchs_bounds():
    linear = nn.Linear(100, 50, rng=0)
    assert linear.params["weight"].shape == (50, 100)
    for value in linear.params.values():
        assert 0.09 < np.abs(value).max() <= 0.1
    assert repr(linear) == "Linear(in_features=100, out_features=50, bias=True)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: m(np.ones((2, 4), np.float32)),
            ValueError,
            r"Linear: x has 4 features \(shape \(2, 4\)\); this layer was built with in_features=3",
        ),
        (lambda m: m.forward(np.float32(1)), ValueError, r"Linear: x has no axis of features \(shape \(\)\)"),
        (lambda m: m(None), TypeError, "Linear: x is None; expected an array"),
        (lambda m: m(np.ones((2, 3), int)), TypeError, "int64"),
        (
            lambda m: m.backward(m.forward(np.ones((2, 3), np.float32))[1], np.ones((3, 2), np.float32)),
            ValueError,
            "dy has shape",
        ),
        (
            lambda m: m.backward(nn.Linear(3, 2).forward(np.ones((2, 3)))[1], None),
            ValueError,
            "another module",
        ),
    ],
)
def test_linear_names_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Linear(3, 2))


# ---- Embedding ----


@pytest.mark.parametrize("ids", [[[3, 1, 1], [0, 3, 3]], 2, np.zeros((0, 2), int), np.array([1], np.uint8)])
def test_embedding_looks_up_and_adds_back(ids):
    embedding = nn.Embedding(4, 3, dtype=np.float64, rng=0)
    weight = embedding.params["weight"]
    y, tape = embedding.forward(ids)
    ids = np.asarray(ids)
    assert np.array_equal(y, weight[ids])
    assert np.array_equal(embedding(ids), y)
    dy = RNG.standard_normal(y.shape)
    dx, grads = embedding.backward(tape, dy)
    assert dx is None
    expected = np.zeros_like(weight)
    for index in np.ndindex(ids.shape):
        expected[ids[index]] += dy[index]
    assert np.array_equal(grads["weight"], expected)


def test_embedding_output_does_not_alias_the_table():
    embedding = nn.Embedding(4, 3)
    y = embedding(2)
    y[...] = 0
    assert embedding.params["weight"][2].all()


@pytest.mark.parametrize("padding_idx", [0, -1])
def test_padding_starts_at_zero_and_gets_no_gradient(padding_idx):
    embedding = nn.Embedding(4, 3, padding_idx=padding_idx, rng=0)
    assert not embedding.params["weight"][padding_idx].any()
    assert embedding.padding_idx == padding_idx % 4
    y, tape = embedding.forward(np.arange(4))
    _, grads = embedding.backward(tape, np.ones_like(y))
    assert np.array_equal(grads["weight"].any(-1), np.arange(4) != padding_idx % 4)
    assert repr(embedding) == f"Embedding(4, 3, padding_idx={padding_idx % 4})"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m([1, 4]), IndexError, "id 4 is outside 0 <= id < num_embeddings=4"),
        (lambda m: m([1, -2]), IndexError, "id -2 is outside"),
        (lambda m: m([1.0]), TypeError, "ids have dtype float64"),
        (lambda m: m([True]), TypeError, "ids have dtype bool"),
        (lambda m: m.backward(m.forward([1, 2])[1], np.ones((3, 3))), ValueError, r"the output was \(2, 3\)"),
        (lambda m: m.backward(m.forward([1, 2])[1], np.ones((2, 3), int)), TypeError, "dy is int64"),
        (lambda _: nn.Embedding(4, 3, padding_idx=4), ValueError, "padding_idx is 4"),
    ],
)
def test_embedding_names_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Embedding(4, 3))


# ---- Dropout ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_drops_in_training_alone_and_passes_gradients_where_it_kept(dtype):
    dropout = nn.Dropout(0.3, rng=0)
    x = RNG.standard_normal((100, 50)).astype(dtype)
    assert dropout(x) is x
    y, tape = dropout.forward(x)
    kept = y != 0
    assert y.dtype == dtype
    assert abs(kept.mean() - 0.7) < 0.03
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-6)
    dx, grads = dropout.backward(tape, np.ones_like(x))
    np.testing.assert_allclose(dx, kept / 0.7, rtol=1e-6)
    assert grads == {}
    assert np.array_equal(nn.Dropout(0.3, rng=0).forward(x)[0], y)
    assert not np.array_equal(dropout.forward(x)[0], y)
    assert repr(dropout) == "Dropout(p=0.3)"


@pytest.mark.parametrize("p", [0, 1])
def test_dropout_of_nothing_and_of_everything(p):
    x = np.array([1.0, np.inf])
    y, _ = nn.Dropout(p).forward(x)
    assert np.array_equal(y, [0, 0] if p else x)


def test_dropout_names_wrong_input():
    with pytest.raises(ValueError, match=r"Dropout: p is -0\.1; expected a probability"):
        nn.Dropout(-0.1)
    dropout = nn.Dropout()
    _, tape = dropout.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"dy has shape \(3,\); the output was \(2, 3\)"):
        dropout.backward(tape, np.ones(3))
    with pytest.raises(TypeError, match="x is int64"):
        dropout.forward(np.ones(3, int))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(3.5, 2), TypeError, "Linear: in_features is 3.5; expected an integer"),
        (lambda: nn.Linear(3, -2), ValueError, "Linear: out_features is -2; expected at least 0"),
        (lambda: nn.Embedding(0, 2), ValueError, "Embedding: num_embeddings is 0; expected at least 1"),
        (lambda: nn.Embedding(4, 2.0), TypeError, "Embedding: embedding_dim is 2.0; expected an integer"),
        (lambda: nn.Embedding(4, 2, 1.5), TypeError, "Embedding: padding_idx is 1.5; expected an integer"),
        (lambda: nn.Embedding(4, 2, -5), ValueError, "Embedding: padding_idx is -5; expected at least -4"),
        (lambda: nn.Embedding(4, 2, 4), ValueError, "Embedding: padding_idx is 4; num_embeddings is 4"),
        (lambda: nn.Dropout("a"), TypeError, "Dropout: p is 'a'; expected a probability"),
    ],
)
def test_arguments_of_modules_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_embedding_takes_ids_of_every_integer_type(dtype):
    embedding = nn.Embedding(5, 300, rng=0)
    ids = np.array([4, 0, 4])
    _, expected = embedding.backward(embedding.forward(ids)[1], np.ones((3, 300)))
    _, grads = embedding.backward(embedding.forward(ids.astype(dtype))[1], np.ones((3, 300)))
    assert np.array_equal(grads["weight"], expected["weight"])
    assert grads["weight"][:, 0].tolist() == [1, 0, 0, 0, 2]


@pytest.mark.parametrize("make", [nn.Linear, nn.Embedding, nn.GRU])
def test_both_dtypes_start_from_the_same_draw(make):
    single, double = make(5, 4, rng=0), make(5, 4, rng=0, dtype=np.float64)
    for name, value in double.params.items():
        assert np.array_equal(value.astype(np.float32), single.params[name])
        assert (value != single.params[name]).any()
