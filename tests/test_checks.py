"""Wrong arguments are refused before anything is computed, and the message says what came and what to do."""

import re

import numpy as np
import pytest

import fastrnn
from fastrnn import _checks, cells, reference

T, B, I, H = 4, 3, 16, 5
LSTM = cells.LSTM()


def parameters(cell=LSTM, dtype=np.float32, input_size=I):
    rng = np.random.default_rng(0)
    return {n: rng.normal(size=s).astype(dtype) for n, s in cell.parameter_shapes(input_size, H).items()}


def inputs(dtype=np.float32):
    return np.random.default_rng(1).normal(size=(T, B, I)).astype(dtype)


def without(mapping, *names):
    return {n: v for n, v in mapping.items() if n not in names}


ZERO = np.zeros((B, H), np.float32)

FORWARD = [
    (
        {"x": np.zeros((50, 8, 12), np.float32)},
        ValueError,
        "LSTM: x has 12 features (shape (50, 8, 12)); this layer was built with input_size=16",
    ),
    ({"x": np.zeros((4, 16), np.float32)}, ValueError, "x has shape (4, 16); expected three axes (T, B, 16)"),
    (
        {"x": np.zeros((T, B, I), int)},
        TypeError,
        "x is int64; expected real floating point; convert it with .astype(np.float32)",
    ),
    (
        {"x": np.zeros((T, B, I), bool)},
        TypeError,
        "x is bool; expected real floating point; convert it with .astype",
    ),
    ({"x": np.zeros((T, B, I), complex)}, TypeError, "x is complex128; expected real floating point"),
    ({"x": np.zeros((T, B, I), object)}, TypeError, "x is object"),
    ({"x": np.float32(3)}, ValueError, "x has shape (); expected three axes"),
    ({"x": "text"}, TypeError, "x is <U4; expected real floating point"),
    ({"x": None}, TypeError, "LSTM: x is None; expected an array"),
    (
        {"x": [np.ones((n, I), np.float32) for n in (4, 2, 3, 4, 4)]},
        ValueError,
        "arrays of unequal lengths; pad them to one array (T, B, I) and pass lengths=[4, 2, 3, 4, ...]",
    ),
    ({"x": np.array([[1.0], [1.0, 2.0]], object)}, ValueError, "pass lengths=[1, 2]"),
    ({"x": [[[1.0]], [[1.0, 2.0]]]}, TypeError, "x is a list, not readable as an array"),
    (
        {"state": ZERO},
        ValueError,
        "state is float32 (3, 5); LSTM carries a tuple (h, c) of arrays (B, H)",
    ),
    (
        {"state": (ZERO,)},
        ValueError,
        "state is a tuple of 1; LSTM carries a tuple (h, c) of arrays (B, H); "
        "to give h alone: state=(h, None)",
    ),
    (
        {"state": [4, 2, 3]},
        TypeError,
        "state is a row of integers; expected floating point. Lengths go by name",
    ),
    ({"state": np.array([4, 2, 3])}, TypeError, "Lengths go by name: lengths=[...]"),
    ({"state": (ZERO, ZERO[:2])}, ValueError, "c of state has shape (2, 5); expected (3, 5)"),
    ({"state": (ZERO, ZERO.astype(int))}, TypeError, "c of state is int64"),
    ({"lengths": [1, 2]}, ValueError, "lengths has shape (2,); expected (3,)"),
    ({"lengths": [1, 2, 5]}, ValueError, "lengths[2] is 5; expected 0 to 4"),
    ({"lengths": [-1, 2, 3]}, ValueError, "lengths[0] is -1; expected 0 to 4"),
    ({"lengths": [1.0, 2.0, 3.0]}, TypeError, "one for each row of x; convert them with .astype(int)"),
    ({"lengths": [True, True, False]}, TypeError, "lengths is bool; expected integers"),
    ({"params": None}, TypeError, "params is None; expected a mapping"),
    (
        {"params": without(parameters(), "w_hh")},
        ValueError,
        "params lacks 'w_hh'; it has 'w_ih', 'b_ih', 'b_hh'",
    ),
    (
        {"params": without(parameters(), "b_hh")},
        ValueError,
        "params has 'b_ih' without 'b_hh'; give all biases or none",
    ),
    (
        {"params": parameters() | {"w_hi": ZERO}},
        ValueError,
        "there is no parameter 'w_hi' (did you mean 'w_ih'?)",
    ),
    ({"params": parameters() | {"w_hh": ZERO}}, ValueError, "w_hh has shape (3, 5); expected (20, 5)"),
    (
        {"params": parameters() | {"w_ih": np.zeros((19, 16), np.float32)}},
        ValueError,
        "w_ih has shape (19, 16)",
    ),
    ({"params": parameters() | {"b_ih": np.zeros(20)}}, TypeError, "must be all float32 or all float64; got"),
    (
        {"params": parameters(dtype=np.float16)},
        TypeError,
        "must be all float32 or all float64; got w_ih float16",
    ),
    ({"out": np.zeros((T, B, H))}, TypeError, "out is float64 (4, 3, 5); expected a float32 array"),
    ({"out": np.zeros((T, B, I), np.float32)}, ValueError, "out has shape (4, 3, 16); expected (4, 3, 5)"),
    (
        {"out": np.zeros((T, B, 2 * H), np.float32)[..., ::2]},
        ValueError,
        "expected it writeable, its last axis",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), FORWARD, ids=[m[:40] for _, _, m in FORWARD])
def test_forward_refuses(change, error, message):
    arguments = {"params": parameters(), "x": inputs()} | change
    with pytest.raises(error, match=re.escape(message)):
        reference.forward(LSTM, **arguments)


def test_forward_refuses_an_output_that_overlaps_its_input():
    params = parameters(input_size=H)
    x = np.zeros((T, B, H), np.float32)
    with pytest.raises(ValueError, match="out overlaps x"):
        reference.forward(LSTM, params, x, out=x)


@pytest.mark.parametrize("name", ["x", "h", "c"])
def test_forward_takes_an_output_beside_its_input_in_one_array(name):
    """Interleaved in memory, no element shared."""
    params, wide = parameters(), np.zeros((T, B, I + 2 * H), np.float32)
    given = {"x": inputs(), "h": ZERO, "c": ZERO}
    x, h, c = given.values()
    expected, _, _ = reference.forward(LSTM, params, x, (h, c))
    place = wide[..., :I] if name == "x" else wide[0, :, :H]
    place[...] = given[name]
    x, h, c = (given | {name: place}).values()
    y, _, _ = reference.forward(LSTM, params, x, (h, c), out=wide[..., I : I + H])
    np.testing.assert_array_equal(y, expected)


def test_forward_refuses_an_output_whose_overlap_is_hard_to_find(monkeypatch):
    def too_hard(*_, **__):
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", too_hard)
    with pytest.raises(ValueError, match="out overlaps x"):
        reference.forward(LSTM, parameters(), inputs(), out=np.zeros((T, B, H), np.float32))


def test_forward_names_the_one_state_by_its_argument():
    cell = cells.GRU()
    with pytest.raises(ValueError, match=r"GRU: state has shape \(2, 5\); expected \(3, 5\)"):
        reference.forward(cell, parameters(cell), inputs(), ZERO[:2])


def test_a_tensor_that_is_no_array_is_answered_with_the_way_to_one():
    class Tensor:
        """As a bfloat16 tensor of torch."""

        def detach(self):
            return self

        def __array__(self, *_, **__):
            raise TypeError("Got unsupported ScalarType BFloat16")

    message = r"LSTM: x is a Tensor, .* BFloat16; of a tensor give \.detach\(\)\.cpu\(\)\.float\(\)"
    with pytest.raises(TypeError, match=message):
        reference.forward(LSTM, parameters(), Tensor())


def test_forward_refuses_what_is_not_a_cell():
    with pytest.raises(TypeError, match=r"cell is a str; expected a cell such as fastrnn\.cells\.LSTM\(\)"):
        reference.forward("lstm", parameters(), inputs())


def recorded(cell=LSTM):
    params = parameters(cell)
    return params, reference.forward(cell, params, inputs())[2]


def test_backward_refuses_a_foreign_tape():
    params, tape = recorded()
    other, _ = recorded(cells.GRU())
    with pytest.raises(ValueError, match=r"recorded by LSTM\(\); backward was called for GRU"):
        reference.backward(cells.GRU(), other, tape)
    with pytest.raises(ValueError, match=r"recorded with parameters .* run forward again"):
        reference.backward(LSTM, parameters(input_size=7), tape)
    with pytest.raises(ValueError, match=r"recorded with parameters .* run forward again"):
        reference.backward(LSTM, without(params, "b_ih", "b_hh"), tape)
    with pytest.raises(TypeError, match="the tape is float32, the parameters are float64; run forward again"):
        reference.backward(LSTM, parameters(dtype=np.float64), tape)
    with pytest.raises(TypeError, match="tape is None; expected the tape that forward returned"):
        reference.backward(LSTM, params, None)


def test_backward_refuses_a_consumed_tape():
    params, tape = recorded()
    reference.backward(LSTM, params, tape, consume=True)
    with pytest.raises(ValueError, match="consumed by an earlier backward"):
        reference.backward(LSTM, params, tape)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"dy": np.zeros((T, B, H + 1))},
            ValueError,
            "dy has shape (4, 3, 6); expected (4, 3, 5), the shape of y",
        ),
        ({"dy": np.zeros((T, B, H), int)}, TypeError, "dy is int64"),
        (
            {"dstate": ZERO},
            ValueError,
            "dstate is float32 (3, 5); LSTM carries a tuple (h, c) of arrays (B, H); to give dh alone: "
            "dstate=(dh, None)",
        ),
        ({"dstate": (ZERO, ZERO[:, 1:])}, ValueError, "c of dstate has shape (3, 4); expected (3, 5)"),
    ],
)
def test_backward_refuses(change, error, message):
    params, tape = recorded()
    with pytest.raises(error, match=re.escape(message)):
        reference.backward(LSTM, params, tape, **change)


def test_a_refused_backward_leaves_the_tape_usable():
    params, tape = recorded()
    with pytest.raises(ValueError, match="dy has shape"):
        reference.backward(LSTM, params, tape, np.zeros((1, 1, 1)), consume=True)
    reference.backward(LSTM, params, tape)


@pytest.mark.parametrize(
    ("x", "w", "b", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), None, ValueError, "linear: x has shape (2, 3); expected (..., 2)"),
        (np.ones((2, 3)), np.ones(3), None, ValueError, "linear: w has shape (3,); expected two axes"),
        (np.ones((2, 3)), np.ones((4, 3)), np.ones(3), ValueError, "linear: b has shape (3,); expected (4,)"),
        (
            np.ones((2, 3)),
            np.ones((4, 3), int),
            None,
            TypeError,
            "linear: w is int64; expected float32 or float64",
        ),
        (np.ones((2, 3), int), np.ones((4, 3)), None, TypeError, "linear: x is int64"),
    ],
)
def test_linear_refuses(x, w, b, error, message):
    with pytest.raises(error, match=re.escape(message)):
        reference.linear(x, w, b)
    if b is None:
        with pytest.raises(error, match=re.escape(message)):
            reference.linear_backward(x, w, np.ones((2, 4)))


def test_linear_backward_refuses_a_gradient_of_another_shape():
    with pytest.raises(ValueError, match=re.escape("linear: dy has shape (2, 3); expected (2, 4)")):
        reference.linear_backward(np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 3)))


class Wrapped:
    """Something that is an array by its own account."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def layouts(x):
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    batch_first = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    return {
        "strided": wide[..., ::2],
        "Fortran": np.asfortranarray(x),
        "byte-swapped": x.astype(x.dtype.newbyteorder()),
        "read-only": read_only,
        "unaligned": unaligned,
        "batch first": batch_first,
        "backwards": x[::-1].copy()[::-1],
        "list": x.tolist(),
        "wider": x.astype(np.longdouble),
        "__array__": Wrapped(x),
    }


@pytest.mark.parametrize("layout", layouts(inputs()))
def test_every_layout_is_accepted_and_changes_nothing(layout):
    params, x = parameters(), inputs()
    expected, _, _ = reference.forward(LSTM, params, x)
    y, _, _ = reference.forward(LSTM, params, layouts(x)[layout])
    np.testing.assert_array_equal(y, expected)
    for name, array in params.items():
        if array.ndim == 2 and layout not in ("wider", "list"):  # these change the dtype
            y, _, _ = reference.forward(LSTM, params | {name: layouts(array)[layout]}, x)
            np.testing.assert_array_equal(y, expected)


def test_what_the_kernels_may_rely_on():
    params = {n: np.asfortranarray(p) for n, p in parameters().items()}
    x = np.ascontiguousarray(inputs().swapaxes(0, 1)).swapaxes(0, 1)
    given = _checks.forward_arguments(LSTM, params, x, None, [np.int32(1), 2, 3])
    assert all(a.flags.c_contiguous for a in given.params.arrays.values())
    assert np.may_share_memory(given.x, x)  # strides over time and batch are kept: no copy
    assert given.lengths.dtype == np.int64
    assert [s.shape for s in given.state] == [(B, H), (B, H)]
    assert given.params[2:] == (I, H, np.dtype(np.float32))
    again = _checks.forward_arguments(LSTM, given.params, x)
    assert again.params is given.params
    with pytest.raises(ValueError, match=r"params were made for LSTM\(\); this call is for GRU"):
        _checks.forward_arguments(cells.GRU(), given.params, x)


def test_a_dlpack_array_is_accepted():
    class Capsule:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    params, x = parameters(), inputs()
    y, _, _ = reference.forward(LSTM, params, Capsule(x))
    np.testing.assert_array_equal(y, reference.forward(LSTM, params, x)[0])


def test_an_empty_list_of_lengths_fits_an_empty_batch():
    y, _, _ = reference.forward(LSTM, parameters(), np.zeros((T, 0, I), np.float32), lengths=[])
    assert y.shape == (T, 0, H)


@pytest.mark.parametrize(
    ("dtype", "kept"), [(np.float32, np.float32), (np.float64, np.float64), (np.float16, np.float64)]
)
def test_elementwise_arguments(dtype, kept):
    given = _checks.elementwise_argument("exp", np.ones((2, 3), dtype))
    assert given.dtype == kept
    assert _checks.elementwise_argument("exp", dtype(1)).shape == ()
    with pytest.raises(TypeError, match="exp: x is int64"):
        _checks.elementwise_argument("exp", np.arange(3))


def misaligned(array):
    """The values of an array at an address that is no multiple of their size."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def test_misaligned_arrays_are_copied():
    params = {n: misaligned(a) for n, a in parameters().items()}
    x, state = misaligned(inputs()), (misaligned(ZERO), misaligned(ZERO))
    given = _checks.forward_arguments(LSTM, params, x, state)
    for array in (*given.params.arrays.values(), given.x, *given.state):
        assert array.flags.aligned
    _, _, tape = reference.forward(LSTM, parameters(), inputs())
    dy = misaligned(np.ones((T, B, H), np.float32))
    back = _checks.backward_arguments(LSTM, parameters(), tape, dy, state)
    assert all(array.flags.aligned for array in (back.dy, *back.dstate))
    for array in _checks.linear_arguments(x, params["w_ih"], params["b_ih"]):
        assert array.flags.aligned
    dy = misaligned(np.ones((T, B, 4 * H), np.float32))
    assert _checks.linear_backward_arguments(x, params["w_ih"], dy)[2].flags.aligned
    assert _checks.elementwise_argument("exp", x).flags.aligned


def test_subclasses_become_plain_arrays():
    x = np.ma.masked_array(np.ones((2, 3)))
    assert type(_checks.real("f", "x", x, np.dtype(np.float64))) is np.ndarray


def test_a_cell_is_no_tape():
    with pytest.raises(TypeError, match="tape is a LSTM; expected the tape that forward returned"):
        _checks.backward_arguments(LSTM, parameters(), LSTM)


@pytest.mark.parametrize(
    ("value", "least", "error", "message"),
    [
        (4.0, 1, TypeError, "f: n is 4.0; expected an integer"),
        (True, 1, TypeError, "f: n is True; expected an integer"),
        ("4", 1, TypeError, "f: n is '4'; expected an integer"),
        (0, 1, ValueError, "f: n is 0; expected at least 1"),
        (-1, 0, ValueError, "f: n is -1; expected at least 0"),
    ],
)
def test_sizes_are_integers(value, least, error, message):
    assert type(_checks.size("f", "n", np.int32(least), least)) is int
    with pytest.raises(error, match=re.escape(message)):
        _checks.size("f", "n", value, least)


@pytest.mark.parametrize("value", [True, "0.5", None, -0.1, 1.1, float("nan")])
def test_probabilities_are_numbers_from_0_to_1(value):
    assert type(_checks.probability("f", "p", np.float32(0.5))) is float
    assert _checks.probability("f", "p", 1) == 1.0
    with pytest.raises((TypeError, ValueError), match=r"f: p is .*; expected a probability"):
        _checks.probability("f", "p", value)


@pytest.mark.parametrize("name", ["w_ih", "h", "c"])
def test_forward_refuses_an_output_that_overlaps_state_or_params(name):
    params, state = parameters(), {"h": np.zeros((B, H), np.float32), "c": np.zeros((B, H), np.float32)}
    memory = {**params, **state}[name].reshape(-1)
    out = np.lib.stride_tricks.as_strided(memory, (T, B, H), (0, 0, 4))
    with pytest.raises(ValueError, match="out overlaps x, state or params"):
        reference.forward(LSTM, params, inputs(), tuple(state.values()), out=out)


def test_lengths_are_copied():
    lengths = np.array([1, 2, 4])
    given = _checks.forward_arguments(LSTM, parameters(), inputs(), lengths=lengths)
    lengths[...] = 0
    assert given.lengths.tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    "call", [lambda: fastrnn.num_threads(-3), lambda: fastrnn.isa("sse"), lambda: fastrnn.backend("cuda")]
)
def test_a_setting_is_checked_where_it_is_written(call):
    with pytest.raises(ValueError, match=r"expected|has"):
        call()
