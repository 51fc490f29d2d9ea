"""Losses: gradients against central differences, masks, numerical range, errors."""

import numpy as np
import pytest

from fastrnn import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((4, 3, 5)) * 3
CLASSES = RNG.integers(0, 5, (4, 3))
MASK = RNG.random((4, 3)) < 0.6
CASES = {
    "cross_entropy": (losses.cross_entropy, LOGITS, CLASSES),
    "mse": (losses.mse, LOGITS, RNG.standard_normal((4, 3, 5))),
    "binary_cross_entropy": (losses.binary_cross_entropy, LOGITS, RNG.random((4, 3, 5))),
}


def differences(function, x, step=1e-6):
    """Central differences of a scalar function."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[index] += step
        low[index] -= step
        gradient[index] = (function(high) - function(low)) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_gradient_equals_central_differences(name, reduction, mask):
    loss, x, target = CASES[name]
    value, gradient = loss(x, target, mask=mask, reduction=reduction)
    assert isinstance(value, float)
    expected = differences(lambda x: loss(x, target, mask=mask, reduction=reduction)[0], x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8 * max(1, abs(value)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reductions_agree(name, mask, dtype):
    loss, x, target = CASES[name]
    x = x.astype(dtype)
    each, gradient = loss(x, target, mask=mask, reduction="none")
    total, gradient_of_sum = loss(x, target, mask=mask, reduction="sum")
    mean, gradient_of_mean = loss(x, target, mask=mask)
    number = each.size if mask is None else mask.sum() * (each.size // mask.size)
    assert each.dtype == gradient.dtype == gradient_of_sum.dtype == gradient_of_mean.dtype == dtype
    assert np.array_equal(gradient, gradient_of_sum)
    np.testing.assert_allclose(each.sum(dtype=np.float64), total, rtol=1e-6)
    np.testing.assert_allclose(total / number, mean, rtol=1e-12)
    np.testing.assert_allclose(gradient / number, gradient_of_mean, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_count_has_no_influence_even_as_nan(name):
    loss, x, target = CASES[name]
    value, gradient = loss(x, target, mask=MASK)
    spoilt = np.where(MASK[..., None], x, np.nan)
    spoilt_target = (
        np.where(MASK, target, 99) if target.ndim == 2 else np.where(MASK[..., None], target, np.nan)
    )
    again, gradient_again = loss(spoilt, spoilt_target, mask=MASK)
    assert value == again
    assert np.array_equal(gradient, gradient_again)
    assert not gradient[~MASK].any()


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_counts_gives_zero(name):
    loss, x, target = CASES[name]
    value, gradient = loss(x, target, mask=np.zeros((4, 3), bool))
    assert value == 0
    assert not gradient.any()
    value, gradient = loss(x[:0], target[:0])
    assert value == 0
    assert gradient.shape == x[:0].shape


def test_ignore_index_is_a_mask():
    targets = np.where(MASK, CLASSES, -100)
    value, gradient = losses.cross_entropy(LOGITS, targets, ignore_index=-100)
    expected, expected_gradient = losses.cross_entropy(LOGITS, CLASSES, mask=MASK)
    assert value == expected
    assert np.array_equal(gradient, expected_gradient)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits_do_not_overflow(dtype):
    logits = np.array([[1e4, 0, -1e4], [-np.inf, 0, 0]], dtype)
    value, gradient = losses.cross_entropy(logits, [0, 1], reduction="none")
    np.testing.assert_allclose(value, [0, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0, 0, 0], [0, -0.5, 0.5]])
    value, gradient = losses.binary_cross_entropy(np.array([1e4, -1e4], dtype), [0, 1], reduction="none")
    np.testing.assert_allclose(value, [1e4, 1e4])
    np.testing.assert_allclose(gradient, [1, -1])


def test_nan_and_infinite_logits_come_through_in_their_rows_alone():
    logits = LOGITS[0].copy()
    logits[1, 2] = np.nan
    each, gradient = losses.cross_entropy(logits, CLASSES[0], reduction="none")
    assert list(np.isnan(each)) == [False, True, False]
    assert np.isnan(gradient[1]).all()
    assert np.isfinite(gradient[[0, 2]]).all()
    assert np.isnan(losses.cross_entropy(np.array([[np.inf, 0.0]]), [0])[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_softmax_is_over_the_axis_and_log_softmax_its_logarithm(axis, dtype):
    logits = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype) * 4
    rows = np.moveaxis(logits, axis, -1)
    expected = np.moveaxis(losses.softmax(rows), -1, axis)
    got = losses.softmax(logits, axis)
    assert got.dtype == dtype
    assert losses.log_softmax(logits, axis).dtype == np.float64
    tiny = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=tiny)
    np.testing.assert_allclose(got, np.exp(logits) / np.exp(logits).sum(axis, keepdims=True), rtol=tiny)
    np.testing.assert_allclose(losses.log_softmax(logits, axis), np.log(got), rtol=tiny, atol=tiny)
    assert np.array_equal(losses.log_softmax(np.array([1e4, 0.0])), [0, -1e4])


@pytest.mark.parametrize("function", [losses.softmax, losses.log_softmax])
@pytest.mark.parametrize("axis", [2, -3, 1.0, None])
def test_an_axis_that_is_not_there_is_named(function, axis):
    message = rf"{function.__name__}: axis is {axis}; expected one of the axes of logits \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        function(np.zeros((2, 3)), axis)


def test_softmax_of_a_row_does_not_depend_on_other_rows():
    logits = LOGITS.reshape(12, 5).astype(np.float32)
    whole = losses.softmax(logits)
    np.testing.assert_allclose(whole.sum(-1), 1, rtol=1e-6)
    for row, expected in zip(logits, whole, strict=True):
        assert np.array_equal(losses.softmax(row), expected)


def test_layout_and_byte_order_do_not_matter():
    logits, targets = np.asfortranarray(LOGITS).astype(">f8"), np.asfortranarray(CLASSES).astype(">i4")
    value, gradient = losses.cross_entropy(logits, targets)
    expected, expected_gradient = losses.cross_entropy(LOGITS, CLASSES)
    assert value == expected
    assert np.array_equal(gradient, expected_gradient)
    assert gradient.dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.cross_entropy(LOGITS, CLASSES[:3]), ValueError, "targets have shape"),
        (lambda: losses.cross_entropy(LOGITS[..., :0], CLASSES), ValueError, "targets have shape"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES + 0.5), TypeError, "have dtype float64; .* classes$"),
        (lambda: losses.cross_entropy(LOGITS, LOGITS), TypeError, r"one-hot, give targets.argmax\(-1\)"),
        (lambda: losses.cross_entropy(LOGITS, LOGITS.astype(int)), ValueError, r"give targets.argmax\(-1\)"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES + 1), ValueError, "target 5 is not a class"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES - 1), ValueError, "give ignore_index or mask"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES, reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES, mask=MASK.astype(int)), TypeError, "expected bool"),
        (lambda: losses.cross_entropy(LOGITS, CLASSES, mask=MASK[:3]), ValueError, "mask has shape"),
        (
            lambda: losses.cross_entropy(CLASSES, CLASSES),
            TypeError,
            "cross_entropy: logits is int64; expected real floating point",
        ),
        (lambda: losses.mse(LOGITS, LOGITS[..., :1]), ValueError, "prediction has shape"),
        (lambda: losses.mse(LOGITS, LOGITS, mask=MASK[:3]), ValueError, "mask has shape"),
        (lambda: losses.mse(LOGITS > 0, LOGITS), TypeError, "mse: prediction is bool"),
        (lambda: losses.binary_cross_entropy(LOGITS, CLASSES), ValueError, "logits has shape"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("loss", [losses.mse, losses.binary_cross_entropy])
@pytest.mark.parametrize("target", [np.zeros(2, complex), ["a", "b"], [None, 1]])
def test_targets_are_real(loss, target):
    with pytest.raises(TypeError, match=f"{loss.__name__}: the target is .*; expected real numbers or bool"):
        loss(np.zeros(2), target)


def test_binary_cross_entropy_keeps_small_losses():
    for dtype in (np.float32, np.float64):
        value, _ = losses.binary_cross_entropy(np.array([40, -40], dtype), [1, 0], reduction="sum")
        np.testing.assert_allclose(value, 2 * np.exp(-40.0), rtol=1e-6)


def test_logarithms_are_near_and_the_same_whatever_the_shape():
    x = np.concatenate(
        [[1, 2, 1 + 2**-52, 1e300, np.inf], np.exp(np.random.default_rng(0).uniform(0, 30, 5000))]
    )
    with np.errstate(invalid="ignore"):
        found = losses.log(x)
        assert [float(losses.log(x[i : i + 1])[0]) for i in range(4)] == found[:4].tolist()
    exact = np.log(x.astype(np.longdouble))
    finite = np.isfinite(x)
    assert (np.abs(found - exact)[finite] <= 2 * np.spacing(np.abs(exact[finite]).astype(np.float64))).all()
    assert found[0] == 0


def test_log_softmax_is_the_logarithm_of_softmax():
    z = np.random.default_rng(0).standard_normal((4, 5, 9)) * 10
    np.testing.assert_allclose(losses.log_softmax(z), np.log(losses.softmax(z)), atol=1e-14)
    assert losses.log_softmax(z.astype(np.float32)).dtype == np.float64
