"""Recurrent layers: equal to their cells composed by hand, differentiable, and strict about their input."""

import copy
import dataclasses
import functools
import gc
import inspect
import itertools
import pickle
import re
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kit import CELLS as ALL_CELLS
from kit import ISAS, assert_same_bits

import fastrnn
from fastrnn import cells, functional, nn, reference
from fastrnn.nn import layers, recurrent

CELLS = {
    "tanh": cells.RNN(),
    "relu": cells.RNN("relu"),
    "lstm": cells.LSTM(),
    "projected": cells.LSTM(proj_size=2),
    "after": cells.GRU(),
    "before": cells.GRU(reset="before"),
    "fed back": cells.LSTM.variant("FGR", proj_size=2, input_gate=False, clip=2),
    "mgu": cells.MGU(),
}
T, B, I, H = 5, 3, 4, 3
LENGTHS = [3, 0, 5]


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


def make(cell, num_layers=2, bidirectional=True, dtype=np.float64, **arguments):
    return nn.Recurrent(
        cell, I, H, num_layers=num_layers, bidirectional=bidirectional, dtype=dtype, rng=7, **arguments
    )


def arrays(state):
    return state if isinstance(state, tuple) else (state,)


def like(state, values):
    return tuple(values) if isinstance(state, tuple) else values[0]


def sample(layer, seed=0, batch=B):
    """Random x and state for a layer, time first."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, batch, I)).astype(layer.dtype)
    _, state = layer(x if not layer.batch_first else x.transpose(1, 0, 2))
    return x, like(state, [rng.standard_normal(s.shape).astype(layer.dtype) for s in arrays(state)])


def same(a, b):
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b)


def cell_params(layer, k, reverse):
    """The parameters of one layer and direction by the cell's names, read off the public names."""
    end = f"_l{k}" + "_reverse" * reverse
    kinds = {"weight": "w", "bias": "b"}
    found = {}
    for name, value in layer.params.items():
        if name.endswith(end) and (reverse or not name.endswith("_reverse")):
            kind, _, rest = name.removesuffix(end).partition("_")
            found[f"{kinds[kind]}_{rest}"] = value
    return found


# ---- parameters ----


def test_names_shapes_and_order_of_parameters_are_pytorchs():
    lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2)
    assert [(name, value.shape) for name, value in lstm.params.items()] == [
        (name + end, shape)
        for layer, width in [(0, 4), (1, 4)]
        for end in (f"_l{layer}", f"_l{layer}_reverse")
        for name, shape in [
            ("weight_ih", (12, width)),
            ("weight_hh", (12, 2)),
            ("bias_ih", (12,)),
            ("bias_hh", (12,)),
            ("weight_hr", (2, 3)),
        ]
    ]
    assert list(nn.GRU(4, 3, bias=False).params) == ["weight_ih_l0", "weight_hh_l0"]


def test_initial_values_are_uniform_and_repeat_with_the_seed():
    lstm = nn.LSTM(50, 100, rng=3)
    for value in lstm.params.values():
        assert value.dtype == np.float32
        assert np.abs(value).max() <= 0.1
        assert np.abs(value).max() > 0.099
        assert abs(value.mean()) < 0.01
    assert all(
        same(a, b) for a, b in zip(nn.LSTM(50, 100, rng=3).params.values(), lstm.params.values(), strict=True)
    )
    double = nn.LSTM(50, 100, dtype=np.float64, rng=np.random.default_rng(3))
    for name, value in double.params.items():
        assert value.dtype == np.float64
        assert same(value.astype(np.float32), lstm.params[name])
    assert not same(nn.LSTM(5, 10).params["weight_ih_l0"], nn.LSTM(5, 10).params["weight_ih_l0"])


def test_parameters_are_live():
    layer = make(cells.GRU())
    x, _ = sample(layer)
    before = layer(x)[0]
    layer.params["weight_hh_l1"][...] *= 2
    assert not same(layer(x)[0], before)
    with pytest.raises(TypeError):
        layer.params["weight_hh_l1"] = np.zeros(3)


# ---- options of the cells ----

OF_CELL = [
    (nn.RNN, {"nonlinearity": ("leaky_relu", 0.2), "clip": 0.8}, cells.RNN(("leaky_relu", 0.2), 0.8)),
    (nn.GRU, {"reset": "before", "clip": 0.8}, cells.GRU("before", clip=0.8)),
    (nn.GRU, {"activations": {"n": "elu"}}, cells.GRU(activations={"n": "elu"})),
    (nn.GRU, {"zoneout": 0.3}, cells.GRU(zoneout=0.3)),
    (
        nn.LSTM,
        {"peepholes": "io", "coupled": True, "proj_size": 2},
        cells.LSTM(2, peepholes="io", coupled=True),
    ),
    (
        nn.LSTM,
        {"input_gate": False, "forget_gate": False, "output_gate": False, "cell_clip": 0.5},
        cells.LSTM(input_gate=False, forget_gate=False, output_gate=False, cell_clip=0.5),
    ),
    *[
        (functools.partial(nn.LSTM.variant, name), {"full_gate_recurrence": True}, cell)
        for name in ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
        for cell in [cells.LSTM.variant(name, full_gate_recurrence=True)]
    ],
]


@pytest.mark.parametrize(("make", "options", "cell"), OF_CELL, ids=[str(cell) for *_, cell in OF_CELL])
def test_options_of_the_cell_go_by_keyword_beside_those_of_the_layer(make, options, cell):
    layer = make(I, H, 2, learn_state=True, dtype=np.float64, rng=7, **options)
    plain = nn.Recurrent(cell, I, H, 2, learn_state=True, dtype=np.float64, rng=7)
    assert layer.cell == cell
    assert type(layer) is not nn.Recurrent
    assert same(tuple(layer.params.values()), tuple(plain.params.values()))
    assert list(layer.params) == list(plain.params)
    x, state = sample(layer)
    assert same(layer(x, state)[0], plain(x, state)[0])
    shown = eval(repr(layer), {**vars(nn), "Activation": cells.Activation, "float64": np.float64})
    assert type(shown) is type(layer)
    assert shown.cell == cell
    assert repr(shown) == repr(layer)


@pytest.mark.parametrize(
    ("layer", "options"),
    [(nn.RNN, layers.RNNOptions), (nn.GRU, layers.GRUOptions), (nn.LSTM, layers.LSTMOptions)],
)
def test_every_option_of_the_cell_is_typed_and_described(layer, options):
    named = inspect.signature(layer).parameters
    cell = {layer._cell_options.get(f.name, f.name) for f in dataclasses.fields(layer._kind)}
    assert set(options.__annotations__) == {*recurrent.Options.__annotations__, *cell - {*named}}
    for option in cell:
        assert re.search(rf"\b{option}\b", layer.__doc__), f"{layer.__name__} does not describe {option}"
    assert recurrent.Options.__annotations__.keys() <= inspect.signature(nn.Recurrent).parameters.keys()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(I, H, peephole="i"), r"LSTM: there is no argument 'peephole' \(did you mean 'peep"),
        (lambda: nn.LSTM(I, H, num_layer=2), r"LSTM: .* 'num_layer' \(did you mean 'num_layers'\?\)"),
        (lambda: nn.LSTM(I, H, zzzzz=2), r"LSTM: there is no argument 'zzzzz'$"),
        (lambda: nn.GRU(I, H, resets="after"), r"GRU: .* 'resets' \(did you mean 'reset'\?\)"),
        (lambda: nn.RNN(I, H, activation="relu"), r"RNN: .* 'activation' \(did you mean 'nonlinearity'\?\)"),
        (lambda: nn.Recurrent(cells.GRU(), I, H, layers=2), r"Recurrent: .* 'layers' \(did you mean 'num_l"),
        (
            lambda: nn.Recurrent(cells.LSTM(), I, H, peepholes="i"),
            r"Recurrent: .* 'peepholes'; it is an option of the cell: LSTM\(peepholes=...\)",
        ),
    ],
)
def test_unknown_arguments_are_answered_with_the_nearest(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_an_unknown_variant_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"LSTM.variant: name is 'CIF' .*; expected one of 'V', .*'CIFG'"):
        nn.LSTM.variant("CIF", I, H)


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_every_cell_is_copied_saved_and_loaded(cell, tmp_path):
    layer = nn.Recurrent(cell, I, 5, 2, bidirectional=True, learn_state=True, rng=0)
    for k, value in enumerate(layer.params.values()):
        value += np.float32(0.01 * k)
    fastrnn.save(tmp_path / "layer.npz", layer)
    copies = [nn.Recurrent(cell, I, 5, 2, bidirectional=True, learn_state=True, rng=1) for _ in range(2)]
    copies[0].load_state_dict(layer.state_dict())
    copies[1].load_state_dict(fastrnn.load(tmp_path / "layer.npz").arrays)
    copies.append(pickle.loads(pickle.dumps(layer)))
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    kinds = {"w": "weight", "b": "bias"}
    names = [f"{kinds[name[0]]}{name[1:]}" for name in cell.parameters] + [f"{n}0" for n in cell.states]
    assert list(layer.params) == [name + end for end in ends for name in names]
    x = np.random.default_rng(0).standard_normal((T, B, I), np.float32)
    y, state = layer(x)
    for copied in copies:
        assert repr(copied) == repr(layer)
        assert same(copied(x)[0], y)
        assert same(copied(x)[1], state)


def test_full_gate_recurrence_carries_three_states():
    layer = nn.LSTM(I, H, 2, full_gate_recurrence=True, input_gate=False)
    _, state = layer(X)
    assert [s.shape for s in state] == [(2, B, H), (2, B, H), (2, B, 2 * H)]
    with pytest.raises(ValueError, match=r"state is a tuple of 2; LSTM carries a tuple \(h, c, r\)"):
        layer(X, state[:2])
    with pytest.raises(ValueError, match=r"r of state has shape \(2, 3, 3\); expected \(2, 3, 6\)"):
        layer(X, (*state[:2], state[1]))


# ---- the layers are their cells, composed ----


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_layers_and_directions_are_the_cell_composed_by_hand(cell, bias, lengths):
    layer = make(cell, bias=bias)
    x, state = sample(layer)
    y, after, tape = layer.forward(x, state, lengths=lengths)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, dstate, grads = layer.backward(tape, dy, state)
    inputs, k, finals, tapes = x, 0, [], []
    for number in range(2):
        halves = []
        for reverse in (False, True):
            initial = like(state, [s[k] for s in arrays(state)])
            half, final, one = functional.forward(
                cell, cell_params(layer, number, reverse), inputs, initial, lengths=lengths, reverse=reverse
            )
            halves.append(half)
            finals.append(arrays(final))
            tapes.append(one)
            k += 1
        inputs = np.concatenate(halves, -1)
    assert same(y, inputs)
    assert same(arrays(after), tuple(map(np.stack, zip(*finals, strict=True))))
    assert same(layer(x, state, lengths=lengths), (y, after))

    gradient, width = dy, y.shape[-1] // 2
    for number, reverse in itertools.product((1, 0), (True, False)):
        k -= 1
        if reverse:
            total = 0
        half = gradient[..., width:] if reverse else gradient[..., :width]
        final = like(state, [s[k] for s in arrays(state)])
        part, before, dparams = functional.backward(
            cell, cell_params(layer, number, reverse), tapes[k], half, final
        )
        total = total + part
        for name, value in cell_params_of(grads, number, reverse).items():
            assert same(value, dparams[name])
        for all_layers, one in zip(arrays(dstate), arrays(before), strict=True):
            assert same(all_layers[k], one)
        if not reverse:
            gradient = total
    assert same(dx, gradient)


def cell_params_of(grads, k, reverse):
    class Holder:
        params = grads

    return cell_params(Holder, k, reverse)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(
    "options",
    [{}, {"dropout": 0.4}, {"dropout": 0.2, "input_dropout": 0.4, "weight_dropout": 0.3}],
    ids=["plain", "dropout", "all dropouts"],
)
def test_gradients_of_a_whole_stack_equal_central_differences(cell, lengths, options):
    layer = make(cell, **options)
    x, state = sample(layer)
    y, after = layer(x, state, lengths=lengths)
    rng = np.random.default_rng(2)
    dy = rng.standard_normal(y.shape)
    dafter = like(after, [rng.standard_normal(s.shape) for s in arrays(after)])

    def loss():
        layer.rng = np.random.default_rng(5)
        y, after, tape = layer.forward(x, state, lengths=lengths)
        value = (y * dy).sum()
        return value + sum((a * d).sum() for a, d in zip(arrays(after), arrays(dafter), strict=True)), tape

    value, tape = loss()
    dx, dstate, grads = layer.backward(tape, dy, dafter)
    pairs = [(x, dx), *zip(arrays(state), arrays(dstate), strict=True)]
    pairs += [(value, grads[name]) for name, value in layer.params.items()]
    assert list(grads) == list(layer.params)
    picks = np.random.default_rng(3)
    for values, gradient in pairs:
        assert gradient.shape == values.shape
        for flat in picks.choice(values.size, min(values.size, 4), replace=False):
            index = np.unravel_index(flat, values.shape)
            kept, step = values[index], 1e-5
            values[index] = kept + step
            high = loss()[0]
            values[index] = kept - step
            low = loss()[0]
            values[index] = kept
            np.testing.assert_allclose(
                gradient[index], (high - low) / (2 * step), rtol=1e-6, atol=1e-8 * max(1, abs(value))
            )


@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (1, True), (3, False)])
def test_no_gradient_given_means_zero(cell, num_layers, bidirectional):
    layer = make(cell, num_layers, bidirectional)
    x, state = sample(layer)
    y, after, tape = layer.forward(x, state)
    zeros = like(after, [np.zeros_like(s) for s in arrays(after)])
    ones = like(after, [np.ones_like(s) for s in arrays(after)])

    def flat(result):
        return result[0], arrays(result[1]), tuple(result[2].values())

    assert same(flat(layer.backward(tape, y)), flat(layer.backward(tape, y, zeros)))
    assert same(flat(layer.backward(tape, None, ones)), flat(layer.backward(tape, np.zeros_like(y), ones)))
    with pytest.raises(
        ValueError, match=r"backward: dy and dstate are None; give the gradient of the output"
    ):
        layer.backward(tape)
    if isinstance(after, tuple):
        alone = (ones[0], *[None] * (len(ones) - 1))
        assert same(
            flat(layer.backward(tape, y, alone)), flat(layer.backward(tape, y, (ones[0], *zeros[1:])))
        )


# ---- shapes ----


def test_batch_first_moves_the_axes_of_input_and_output_alone(cell):
    layer, first = make(cell), make(cell, batch_first=True)
    x, state = sample(layer)
    turned = np.ascontiguousarray(x.transpose(1, 0, 2))
    y, after, tape = layer.forward(x, state, lengths=LENGTHS)
    y_first, after_first, tape_first = first.forward(turned, state, lengths=LENGTHS)
    assert same(y_first, y.transpose(1, 0, 2))
    assert y_first.flags.c_contiguous
    assert same(after_first, after)
    dx, dstate, grads = layer.backward(tape, y, after)
    dx_first, dstate_first, grads_first = first.backward(tape_first, y_first, after_first)
    assert same(dx_first, dx.transpose(1, 0, 2))
    assert same(dstate_first, dstate)
    assert all(same(grads_first[name], value) for name, value in grads.items())


@pytest.mark.parametrize("batch_first", [False, True])
def test_input_without_a_batch_axis(cell, batch_first):
    layer = make(cell, batch_first=batch_first)
    x, state = sample(layer, batch=1)
    batch_axis = 0 if batch_first else 1
    y, after, tape = layer.forward(np.moveaxis(x, 1, batch_axis), state)
    single = like(state, [s[:, 0] for s in arrays(state)])
    y_single, after_single, tape_single = layer.forward(x[:, 0], single)
    assert same(y_single, np.take(y, 0, batch_axis))
    assert same(arrays(after_single), tuple(s[:, 0] for s in arrays(after)))
    dx, dstate, grads = layer.backward(tape, y, after)
    dx_single, dstate_single, grads_single = layer.backward(tape_single, y_single, after_single)
    assert same(dx_single, np.take(dx, 0, batch_axis))
    assert same(arrays(dstate_single), tuple(s[:, 0] for s in arrays(dstate)))
    assert all(same(grads_single[name], value) for name, value in grads.items())


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0), (1, 1)])
def test_empty_input(cell, steps, batch):
    layer = make(cell)
    x = np.ones((steps, batch, I))
    y, state, tape = layer.forward(x)
    assert y.shape == (steps, batch, 2 * cell.output_size(H))
    assert [s.shape for s in arrays(state)] == [(4, batch, w) for w in cell.state_shapes(H).values()]
    dx, dstate, grads = layer.backward(tape, y, state)
    assert dx.shape == x.shape
    if not x.size:
        assert same(dstate, state)
        assert not any(value.any() for value in grads.values())


def test_rows_of_length_zero_keep_their_state(cell):
    layer = make(cell)
    x, state = sample(layer)
    y, after = layer(x, state, lengths=[0] * B)
    assert same(after, state)
    assert not y.any()


def test_output_past_a_length_is_zero_and_the_input_there_has_no_influence(cell):
    layer = make(cell)
    x, state = sample(layer)
    y, after, tape = layer.forward(x, state, lengths=LENGTHS)
    past = np.arange(T)[:, None] >= np.array(LENGTHS)
    assert not y[past].any()
    again, _ = layer(np.where(past[..., None], np.nan, x), state, lengths=LENGTHS)
    assert same(again, y)
    dx, _, _ = layer.backward(tape, np.where(past[..., None], np.nan, y), after)
    assert np.isfinite(dx).all()
    assert not dx[past].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_that_of_the_parameters_and_input_is_cast_to_it(cell, dtype):
    layer = make(cell, dtype=dtype)
    for x in (np.ones((T, B, I), np.float16), np.ones((T, B, I), ">f8"), np.ones((T, B, 2 * I))[..., ::2]):
        y, state, tape = layer.forward(x)
        dx, dstate, grads = layer.backward(tape, y.astype(np.float64))
        for array in (y, *arrays(state), dx, *arrays(dstate), *grads.values()):
            assert array.dtype == dtype
        assert same(y, layer(np.ones((T, B, I), dtype))[0])


# ---- streaming ----


@pytest.mark.parametrize("batch_first", [False, True])
def test_steps_have_the_bits_of_the_whole_sequence(cell, batch_first):
    layer = make(cell, bidirectional=False, batch_first=batch_first, dtype=np.float32)
    x, state = sample(layer)
    y, after = layer(x.transpose(1, 0, 2) if batch_first else x, state)
    y = y.transpose(1, 0, 2) if batch_first else y
    for one in (layer, layer.freeze()):
        now = state
        for t in range(T):
            y_t, now = one.step(x[t], now)
            assert same(y_t, y[t])
        assert same(now, after)


def test_step_without_a_batch_axis(cell):
    layer = make(cell, bidirectional=False)
    x, state = sample(layer, batch=1)
    y, after = layer.step(x[0], state)
    y_single, after_single = layer.step(x[0, 0], like(state, [s[:, 0] for s in arrays(state)]))
    assert same(y_single, y[0])
    assert same(arrays(after_single), tuple(s[:, 0] for s in arrays(after)))


def test_step_of_a_bidirectional_layer_is_refused(cell):
    with pytest.raises(ValueError, match="bidirectional layer needs the whole sequence"):
        make(cell).step(np.ones((B, I)))
    with pytest.raises(ValueError, match=r"x_t has 3 axes \(shape \(5, 3, 4\)\)"):
        make(cell, bidirectional=False).step(np.ones((T, B, I)))


def test_state_carried_over_chunks_has_the_bits_of_the_whole(cell):
    layer = make(cell, bidirectional=False)
    x, state = sample(layer)
    y, after, tape = layer.forward(x, state)
    dx, dstate, _ = layer.backward(tape, y, after)
    first, middle, tape_first = layer.forward(x[:2], state)
    second, last, tape_second = layer.forward(x[2:], middle)
    assert same(np.concatenate([first, second]), y)
    assert same(last, after)
    dx_second, dmiddle, _ = layer.backward(tape_second, y[2:], after)
    dx_first, dfirst, _ = layer.backward(tape_first, y[:2], dmiddle)
    assert same(np.concatenate([dx_first, dx_second]), dx)
    assert same(dfirst, dstate)


# ---- dropout ----


def test_dropout_acts_between_layers_in_training_alone():
    layer, plain = make(cells.LSTM(), dropout=0.5), make(cells.LSTM())
    x, state = sample(layer)
    assert same(layer(x, state), plain(x, state))
    y, _, tape = layer.forward(x, state)
    assert not same(y, plain(x, state)[0])
    first = np.concatenate([tape.layer(0, reverse).state["h"] for reverse in (False, True)], -1)
    seen = tape.layer(1).x
    assert same(tape.layer(0).x, x)
    assert same(seen, np.where(seen != 0, first * 2, 0))
    assert 0.2 < (seen == 0).mean() < 0.8
    assert same(tape.layer(1).x, tape.layer(1, reverse=True).x)


def test_dropout_repeats_with_the_generator():
    x = np.ones((T, B, I), np.float32)

    def run():
        layer = nn.GRU(I, H, 3, dropout=0.3, rng=11)
        return [layer.forward(x)[0] for _ in range(3)]

    first, second = run(), run()
    assert all(map(same, first, second))
    assert not same(first[0], first[1])


def test_dropout_of_everything_passes_zeros():
    layer = make(cells.GRU(), dropout=1.0)
    x, _ = sample(layer)
    y, _, tape = layer.forward(x)
    assert not tape.layer(1).x.any()
    dx, _, _ = layer.backward(tape, y)
    assert not dx.any()


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.LSTM(I, H, dropout=0.5)


# ---- tapes ----


def test_tape_shows_gates_and_states_of_every_step():
    lstm = nn.LSTM(I, H, 2, bidirectional=True, dtype=np.float64, rng=0)
    x, _ = sample(lstm)
    y, (h, c), tape = lstm.forward(x)
    for k, reverse in itertools.product((0, 1), (False, True)):
        one = tape.layer(k, reverse)
        i, f, g, o = (one.gates[name] for name in "ifgo")
        cell_state, hidden = one.state["c"], one.state["h"]
        assert i.shape == cell_state.shape == (T, B, H)
        before = np.zeros_like(cell_state)
        if reverse:
            before[:-1] = cell_state[1:]
        else:
            before[1:] = cell_state[:-1]
        np.testing.assert_allclose(cell_state, f * before + i * g, rtol=1e-12)
        np.testing.assert_allclose(hidden, o * np.tanh(cell_state), rtol=1e-12)
        last = 0 if reverse else -1
        assert same(hidden[last], h[2 * k + reverse])
        assert same(cell_state[last], c[2 * k + reverse])
        with pytest.raises(ValueError, match="read-only"):
            cell_state[...] = 0
    assert same(y[..., :H], tape.layer(1).state["h"])
    for k, reverse in [(2, False), (-1, False), (5, True)]:
        with pytest.raises(IndexError, match="num_layers=2"):
            tape.layer(k, reverse)
    _, _, tape = nn.LSTM(I, H).forward(x)
    with pytest.raises(IndexError, match="bidirectional=False"):
        tape.layer(0, reverse=True)
    with pytest.raises(KeyError, match=r"'x' is no gate of LSTM.*; there are 'i', 'f', 'g', 'o'"):
        tape.layer(0).gates["x"]
    with pytest.raises(KeyError, match=r"'i' is no state of LSTM.*; there are 'h', 'c'"):
        tape.layer(0).state["i"]
    with pytest.raises(KeyError, match=r"'r' is no gate of RNN.*; there are none"):
        nn.RNN(I, H).forward(x)[2].layer(0).gates["r"]


def test_tape_may_be_used_again_unless_consumed(cell):
    layer = make(cell)
    x, state = sample(layer)
    y, _, tape = layer.forward(x, state)
    dx, _, grads = layer.backward(tape, y)
    again, _, _ = layer.backward(tape, y)
    consumed, _, grads_consumed = layer.backward(tape, y, consume=True)
    assert same(dx, again)
    assert same(dx, consumed)
    assert all(same(grads[name], value) for name, value in grads_consumed.items())
    for use in (lambda: layer.backward(tape, y), lambda: tape.layer(0)):
        with pytest.raises(ValueError, match="was freed"):
            use()


def test_output_does_not_alias_the_tape(cell):
    layer = make(cell)
    x, state = sample(layer)
    y, after, tape = layer.forward(x, state)
    kept = y.copy()
    expected = layer.backward(tape, kept)
    y[...] = np.nan
    for array in arrays(after):
        array[...] = np.nan
    assert same(layer.backward(tape, kept)[0], expected[0])


def test_tapes_of_others_and_old_tapes_are_refused():
    layer, other = make(cells.GRU()), make(cells.GRU())
    x, state = sample(layer)
    y, _, tape = layer.forward(x, state)
    with pytest.raises(ValueError, match="another module"):
        other.backward(tape, y)
    with pytest.raises(TypeError, match="tape is None"):
        layer.backward(None, y)
    layer.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="the parameters changed"):
        layer.backward(tape, y)


# ---- freezing, copying ----


def test_freeze_makes_parameters_read_only_and_keeps_the_bits(cell):
    layer = make(cell)
    x, state = sample(layer)
    expected, names = layer(x, state, lengths=LENGTHS), layer.state_dict()
    y, _, tape = layer.forward(x, state)
    assert layer.freeze() is layer
    assert layer.frozen
    assert same(layer(x, state, lengths=LENGTHS), expected)
    with pytest.raises(ValueError, match="read-only"):
        layer.params["weight_ih_l0"][0, 0] = 1
    for action in (lambda: layer.load_state_dict(names), lambda: layer.backward(tape, y)):
        with pytest.raises(RuntimeError, match=r"frozen; call thaw\(\) first"):
            action()
    assert same(tuple(layer.state_dict().values()), tuple(names.values()))
    assert layer.thaw() is layer
    layer.backward(tape, y)
    for value in layer.params.values():
        value *= 2
    changed = layer(x, state, lengths=LENGTHS)
    assert not same(changed, expected)
    assert same(layer.freeze()(x, state, lengths=LENGTHS), changed)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_whole_and_independent(cell, frozen, copied):
    layer = make(cell)
    x, state = sample(layer)
    if frozen:
        layer.freeze()
    expected = layer(x, state)
    twin = copied(layer)
    assert twin.frozen == frozen
    assert repr(twin) == repr(layer)
    assert same(twin(x, state), expected)
    twin.thaw()
    for value in twin.params.values():
        value[...] = 0
    assert same(layer(x, state), expected)
    assert not same(twin(x, state), expected)
    if frozen:
        assert len(pickle.dumps(layer)) < 1.1 * len(pickle.dumps(layer.thaw()))


# ---- printing ----


def test_repr_shows_what_is_not_the_default():
    assert repr(nn.LSTM(3, 4)) == "LSTM(3, 4)"
    assert (
        repr(nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5, bidirectional=True, proj_size=2))
        == "LSTM(3, 4, proj_size=2, num_layers=2, batch_first=True, dropout=0.5, bidirectional=True)"
    )
    relu = nn.RNN(3, 4, nonlinearity="relu", bias=False)
    assert repr(relu) == "RNN(3, 4, nonlinearity=Activation('relu'), bias=False)"
    assert repr(nn.GRU(3, 4, reset="before", dtype=float)) == "GRU(3, 4, reset='before', dtype=float64)"
    assert (
        repr(nn.Recurrent(cells.GRU("before"), 3, 4, 2))
        == "Recurrent(GRU(reset='before'), 3, 4, num_layers=2)"
    )


# ---- errors ----

X = np.ones((T, B, I), np.float32)
LSTM = nn.LSTM(I, H, 2, bidirectional=True)
GRU = nn.GRU(I, H, 2, bidirectional=True)
STATE = np.ones((4, B, H), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LSTM(X[..., :2]), ValueError, "LSTM: x has 2 features .*built with input_size=4"),
        (lambda: LSTM(X[:, 0, :2]), ValueError, r"LSTM: x has 2 features \(shape \(5, 2\)\)"),
        (lambda: LSTM(None), TypeError, "LSTM: x is None; expected an array"),
        (lambda: LSTM(X, [5, 3, 1]), TypeError, r"LSTM: state is a row of integers; .* lengths=\[...\]"),
        (lambda: LSTM.backward(LSTM.forward(X)[2], None, STATE), ValueError, r"dstate=\(dh, None\)"),
        (
            lambda: nn.GRU(I, H).step(X[0, :, :2]),
            ValueError,
            r"GRU.step: x_t has 2 features \(shape \(3, 2\)\)",
        ),
        (lambda: LSTM(X[0, 0]), ValueError, r"LSTM: x has 1 axis \(shape \(4,\)\); expected \(T, B, I\)"),
        (lambda: nn.GRU(I, H, batch_first=True)(X[None]), ValueError, r"expected \(B, T, I\)"),
        (lambda: LSTM(X.astype(int)), TypeError, r"LSTM: x is int64.*\.astype\(np.float32\)"),
        (lambda: LSTM(X > 0), TypeError, "LSTM: x is bool"),
        (lambda: LSTM(X + 1j), TypeError, "LSTM: x is complex"),
        (lambda: LSTM("text"), TypeError, "LSTM: x is"),
        (lambda: LSTM(X, STATE), ValueError, r"state is float32 \(4, 3, 3\); LSTM carries a tuple \(h, c\)"),
        (lambda: LSTM(X, (STATE,)), ValueError, r"state is a tuple of 1; LSTM carries a tuple \(h, c\)"),
        (
            lambda: GRU(X, (STATE, STATE)),
            ValueError,
            r"state is a tuple of 2; GRU carries one array \(D\*num_layers, B, H\)",
        ),
        (lambda: GRU(X[:, 0], (STATE[:, 0],)), ValueError, r"carries one array \(D\*num_layers, H\)"),
        (lambda: GRU([X[:, 0], X[:3, 0]]), ValueError, r"pad them .* \(T, B, I\) and pass lengths=\[5, 3\]"),
        (lambda: nn.GRU(I, H, batch_first=True)([X[:, 0], X[:3, 0]]), ValueError, r"\(B, T, I\) and pass"),
        (
            lambda: LSTM(X, (STATE, STATE[:3])),
            ValueError,
            r"c of state has shape \(3, 3, 3\); expected \(4, 3, 3\)",
        ),
        (lambda: LSTM(X[:, 0], (STATE, STATE)), ValueError, r"h of state has shape .* expected \(4, 3\)"),
        (lambda: GRU(X, STATE[0]), ValueError, r"GRU: state has shape \(3, 3\)"),
        (lambda: GRU(X, STATE.astype(int)), TypeError, "GRU: state is int64"),
        (lambda: GRU(X, lengths=[1, 2]), ValueError, "lengths"),
        (lambda: GRU(X, lengths=[1, 2, 6]), ValueError, r"lengths\[2\] is 6"),
        (lambda: GRU(X, lengths=[1, 2, -1]), ValueError, r"lengths\[2\] is -1"),
        (lambda: GRU(X, lengths=[1.0, 2.0, 3.0]), TypeError, "lengths is float64"),
        (
            lambda: GRU.backward(GRU.forward(X)[2], X),
            ValueError,
            r"dy has shape \(5, 3, 4\); the output was \(5, 3, 6\)",
        ),
        (lambda: GRU.backward(GRU.forward(X)[2], None, STATE[1:]), ValueError, "GRU: dstate has shape"),
        (lambda: GRU.backward(GRU.forward(X)[2], X.astype(int)), TypeError, "dy is int64"),
        (lambda: nn.LSTM(0, 3), ValueError, "LSTM: input_size is 0"),
        (lambda: nn.LSTM(3, -1), ValueError, "hidden_size is -1"),
        (lambda: nn.LSTM(3, 3, 0), ValueError, "num_layers is 0"),
        (lambda: nn.LSTM(3, 3, 2, dropout=1.5), ValueError, "LSTM: dropout is 1.5; expected a probability"),
        (lambda: nn.LSTM(3, 3, dtype=np.float16), TypeError, "dtype is float16"),
        (lambda: nn.RNN(3, 3, nonlinearity="sin"), ValueError, "'sin'"),
        (lambda: nn.GRU(3, 3, reset="never"), ValueError, "reset is 'never'"),
        (lambda: nn.LSTM(3, 3, proj_size=-1), ValueError, "proj_size is -1"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size is 4; expected less than hidden_size=4"),
        (lambda: nn.Recurrent(cells.LSTM(9), 3, 4), ValueError, "LSTM: proj_size is 9"),
        (lambda: nn.LSTM(3, 3, rng="a"), TypeError, "LSTM: rng is 'a'; expected a numpy.random.Generator"),
        (lambda: nn.LSTM(3, 3, rng=-1), ValueError, "LSTM: rng is -1; expected .* an int of at least 0"),
        (lambda: nn.LSTM(3, 3, bias=1.5), TypeError, "LSTM: bias is 1.5; expected True or False"),
        (lambda: nn.GRU(3, 3, batch_first=1), TypeError, "GRU: batch_first is 1; expected True or False"),
        (lambda: nn.RNN(3, 3, bidirectional="no"), TypeError, "RNN: bidirectional is 'no'; expected True or"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_wrong_gradients_do_not_consume_the_tape():
    y, h, tape = GRU.forward(X)
    for wrong in ({"dy": y[1:]}, {"dstate": h[1:]}):
        with pytest.raises(ValueError, match="has shape"):
            GRU.backward(tape, **wrong, consume=True)
    GRU.backward(tape, y, consume=True)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_results_are_the_callers_to_write_to(cell, batch_first, num_layers, frozen):
    """No result is a view of an argument, of a parameter, of the tape or of another result."""
    layer = make(cell, num_layers, bidirectional=False, batch_first=batch_first)
    if frozen:
        layer.freeze()
    x = np.random.default_rng(0).standard_normal((T, T, I))
    y, state = layer(x)
    z, after, tape = layer.forward(x, state)
    inside = [a for p in tape.passes for a in (p.x, *p.states, p.cached)]
    kept = [x, *layer.params.values(), *inside]
    results = [y, *arrays(state), z, *arrays(after)]
    if not frozen:
        dx, before, grads = layer.backward(tape, z, after)
        results += [dx, *arrays(before), *grads.values()]
    for k, result in enumerate(results):
        assert result.flags.writeable
        others = [*kept[: 1 if k < 2 else None], *results[:k], *results[k + 1 :]]
        assert not any(np.shares_memory(result, other) for other in others)


@pytest.mark.parametrize("arguments", [{}, {"bidirectional": True}, {"batch_first": True}])
@pytest.mark.parametrize("steps", [1, T])
def test_output_is_contiguous_in_the_callers_order(arguments, steps):
    layer = nn.GRU(I, H, num_layers=2, rng=0, **arguments)
    shape = (B, steps, I) if layer.batch_first else (steps, B, I)
    assert layer(np.ones(shape, np.float32))[0].flags.c_contiguous


def test_step_takes_what_a_call_takes():
    class Exported:
        """DLPack, and nothing else."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **arguments):
            return self.array.__dlpack__(**arguments)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    layer = nn.LSTM(I, H, rng=0)
    x = np.ones((B, I), np.float32)
    for given in (x.tolist(), x.astype(np.float64), x.astype(">f4"), Exported(x)):
        assert np.array_equal(layer.step(given)[0], layer.step(x)[0])
    with pytest.raises(TypeError, match=r"LSTM\.step: x_t is int64; .*astype"):
        layer.step(np.ones((B, I), np.int64))


@pytest.mark.parametrize("argument", ["input_size", "hidden_size", "num_layers"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_sizes_are_checked(argument, value, error):
    arguments = {"input_size": I, "hidden_size": H, argument: value}
    with pytest.raises(error, match=f"LSTM: {argument} is {value}; expected"):
        nn.LSTM(**arguments)


def test_an_argument_in_the_place_of_dropout_is_found():
    with pytest.raises(TypeError, match="GRU: dropout is True; expected a probability"):
        nn.GRU(I, H, 2, True, False, True)


def test_a_frozen_layer_runs_on_what_was_packed(cell):
    layer = make(cell).freeze()
    x = np.ones((T, B, I))
    y, _ = layer(x)
    for value in layer.params.values():  # by force: nothing but the packed copies is read
        value.flags.writeable = True
        value[...] = 0
    assert np.array_equal(layer(x)[0], y)
    assert not np.array_equal(layer.thaw()(x)[0], y)


# ---- the quick way of a frozen layer ----


def pair(cell, dtype=np.float32, **arguments):
    """The same layer twice, the second one frozen."""
    layer = make(cell, dtype=dtype, **arguments)
    return layer, copy.deepcopy(layer).freeze()


def states_for(layer, *shape, seed=3):
    rng = np.random.default_rng(seed)
    width = layer.cell.state_shapes(H).values()
    passes = layer.num_layers * (1 + layer.bidirectional)
    drawn = [rng.standard_normal((passes, *shape, w)).astype(layer.dtype) for w in width]
    return tuple(drawn) if len(drawn) > 1 else drawn[0]


@pytest.fixture
def only_the_quick_way(monkeypatch):
    """A switch: from then on what takes the general way fails."""

    def general_way(*arguments, **options):
        raise AssertionError("the general way was taken")

    return lambda: monkeypatch.setattr(functional, "forward", general_way)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,)])
@pytest.mark.parametrize("given", [False, True])
def test_the_quick_way_of_a_step_has_the_bits_of_the_general_one(
    cell, dtype, num_layers, shape, given, only_the_quick_way
):
    layer, frozen = pair(cell, dtype, num_layers=num_layers, bidirectional=False)
    x = np.random.default_rng(0).standard_normal((*shape, I)).astype(dtype)
    state = states_for(layer, *shape) if given else None
    first = layer.step(x, state)
    second = layer.step(x, first[1])
    only_the_quick_way()
    for quick, general in ((frozen.step(x, state), first), (frozen.step(x, first[1]), second)):
        assert same(quick, general)
        assert all(a.flags.c_contiguous and a.flags.writeable for a in (quick[0], *arrays(quick[1])))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("steps", [0, 1, T])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,)])
def test_the_quick_way_of_a_call_has_the_bits_of_the_general_one(
    cell, bidirectional, num_layers, batch_first, steps, shape, only_the_quick_way
):
    layer, frozen = pair(cell, num_layers=num_layers, bidirectional=bidirectional, batch_first=batch_first)
    order = (*shape, steps) if batch_first else (steps, *shape)
    x = np.random.default_rng(0).standard_normal((*order, I)).astype(np.float32)
    states = [None, states_for(layer, *shape)]
    if len(layer.cell.states) > 1:
        states.append((states[1][0], *[None] * (len(layer.cell.states) - 1)))
    general = [layer(x, state) for state in states]
    only_the_quick_way()
    for state, expected in zip(states, general, strict=True):
        assert same(frozen(x, state), expected)


def awkward(a):
    """The values of an array, in ways that the kernels do not take as they are."""
    unaligned = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    wide = np.repeat(a, 2, axis=-1)
    return {
        "list": a.tolist(),
        "float64": a.astype(np.float64),
        "swapped": a.astype(">f4"),
        "strided": wide[..., ::2],
        "backwards": a[..., ::-1].copy()[..., ::-1],
        "fortran": np.asfortranarray(a),
        "unaligned": unaligned,
        "subclass": a.view(np.recarray),
    }


@pytest.mark.parametrize("kind", awkward(np.zeros((1, 1), np.float32)))
def test_arguments_of_any_kind_are_taken_by_a_frozen_layer(cell, kind):
    layer, frozen = pair(cell, bidirectional=False)
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    state = states_for(layer, B)
    given = like(state, [awkward(s)[kind] for s in arrays(state)])
    expected, step = layer(x, state), layer.step(x[0], state)
    for a, b in ((x, given), (awkward(x)[kind], state), (awkward(x)[kind], given)):
        assert same(frozen(a, b), expected)
        if kind == "list":
            assert same(frozen(a, list(b) if isinstance(b, tuple) else b), expected)
    assert same(frozen.step(awkward(x[0])[kind], given), step)


def test_wrong_arguments_are_answered_by_a_frozen_layer_as_by_any(cell):
    layer, frozen = pair(cell, bidirectional=False)
    x, state = np.ones((T, B, I), np.float32), states_for(layer, B)
    transposed = like(state, [s.transpose(1, 0, 2) for s in arrays(state)])
    short = like(state, [s[:, :1] for s in arrays(state)])
    calls = [
        ("__call__", x.astype(int), None),
        ("__call__", x[..., :1], None),
        ("__call__", x[0, 0], None),
        ("__call__", x[None], None),
        ("__call__", None, None),
        ("__call__", x, transposed),
        ("__call__", x, short),
        ("__call__", x, (*arrays(state), *arrays(state))),
        ("__call__", x, "state"),
        ("step", x, None),
        ("step", np.float32(1), None),
        ("step", x[0, :, :1], None),
        ("step", x[0].astype(int), None),
        ("step", x[0], transposed),
        ("step", x[0, 0], state),
    ]
    for method, *arguments in calls:
        with pytest.raises((TypeError, ValueError)) as general:
            getattr(layer, method)(*arguments)
        with pytest.raises(general.type, match=f"^{re.escape(str(general.value))}$"):
            getattr(frozen, method)(*arguments)
    _, both = pair(cell)
    with pytest.raises(ValueError, match="bidirectional"):
        both.step(x[0])


def test_settings_hold_for_a_frozen_layer(cell, monkeypatch):
    layer, frozen = pair(cell)
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    expected = layer(x)
    for isa in ISAS:
        for threads in (1, 2):
            with fastrnn.isa(isa), fastrnn.num_threads(threads):
                assert same(frozen(x), expected)
    called = []
    inside = reference.forward
    monkeypatch.setattr(reference, "forward", lambda *a, **k: called.append(1) or inside(*a, **k))
    with fastrnn.backend("reference"):
        assert same(frozen(x), expected)
    assert len(called) == 4
    fastrnn.set_backend("reference")
    try:
        assert same(frozen(x), expected)
        assert len(called) == 8
        with fastrnn.backend("native"):
            assert same(frozen(x), expected)
        assert len(called) == 8
    finally:
        fastrnn.set_backend("native")


@pytest.mark.parametrize("threads", [1, 2, 3, 4])  # with 2 and 3 the directions run at once
@pytest.mark.parametrize("isa", ISAS)
def test_both_directions_have_the_bits_of_the_reference(cell, isa, threads):
    rng = np.random.default_rng(threads)
    layer = nn.Recurrent(cell, I, 21, num_layers=2, bidirectional=True, rng=0)
    x = rng.standard_normal((9, B, I)).astype(np.float32)
    state = layer(x)[1]
    lengths = [9, 0, 4, 5, 1][:B]

    def everything():
        y, after, tape = layer.forward(x, state, lengths=lengths)
        dx, before, grads = layer.backward(tape, y, after)
        return y, after, dx, before, tuple(grads.values())

    with fastrnn.backend("reference"):
        expected = everything()
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        assert same(everything(), expected)
        assert same(copy.deepcopy(layer).freeze()(x, state), layer(x, state))


def test_memory_that_runs_out_in_one_direction_is_memory_error():
    layer = nn.LSTM(I, H, bidirectional=True, rng=0)
    x = np.ones((T, B, I), np.float32)
    with fastrnn.num_threads(2):
        y, _, tape = layer.forward(x)
        expected = layer.backward(tape, y)
        for call in (layer, layer.forward, lambda _: layer.backward(tape, y)):
            fastrnn._native.fail_allocation(1)
            try:
                with pytest.raises(MemoryError, match="workspace"):
                    call(x)
            finally:
                fastrnn._native.fail_allocation(0)
        assert same(layer.backward(tape, y)[:2], expected[:2])


@pytest.mark.parametrize("hidden", [5, 100])  # with the GIL, and without it
def test_a_frozen_layer_runs_in_many_threads_at_once(hidden):
    layer = nn.LSTM(I, hidden, num_layers=2, rng=0).freeze()
    xs = np.random.default_rng(0).standard_normal((4, 50, 2, I)).astype(np.float32)
    expected = [layer(x) for x in xs]

    def stream(k):
        for _ in range(5):
            state, rows = None, []
            for x_t in xs[k]:
                y_t, state = layer.step(x_t, state)
                rows.append(y_t)
            assert same((np.array(rows), state), expected[k])
            assert same(layer(xs[k]), expected[k])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(stream, k) for k in range(4)]:
            done.result()


def test_what_is_written_into_parameters_counts_in_the_next_call():
    """Calls of a layer that is not frozen take the quick way too, and find the arrays as they are."""
    layer, x = nn.LSTM(I, H, num_layers=2, rng=0), np.ones((T, B, I), np.float32)
    for call in (layer, lambda x: layer.step(x[0])):
        call(x)
        for value in layer.params.values():
            value += np.float32(0.25)
        with fastrnn.backend("reference"):
            expected = call(x)
        assert same(call(x), expected)
    layer.freeze()
    layer(x)
    layer.thaw()
    for value in layer.params.values():
        value -= np.float32(0.5)
    with fastrnn.backend("reference"):
        expected = layer(x)
    assert same(layer(x), expected)


def test_memory_of_parameters_that_moved_is_found():
    """NumPy gives an array other memory when it is unpickled into."""
    layer, x = nn.RNN(I, H, rng=0), np.ones((T, B, I), np.float32)
    layer(x)
    w = layer.params["weight_hh_l0"]
    w.__setstate__((1, w.shape, w.dtype, False, (w * 2).tobytes()))
    with fastrnn.backend("reference"):
        expected = layer(x)
    assert same(layer(x), expected)


def test_what_parameters_were_made_for_stays_and_the_order_of_axes_may_change():
    layer, x = nn.LSTM(I, H, rng=0), np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    expected = layer(x)
    layer.batch_first = True
    y, state = layer(np.ascontiguousarray(x.transpose(1, 0, 2)))
    assert same((y.transpose(1, 0, 2), state), expected)
    for name, value in {"cell": cells.GRU(), "hidden_size": H + 1, "bidirectional": True}.items():
        with pytest.raises(AttributeError, match=f"LSTM: {name} cannot be changed"):
            setattr(layer, name, value)
    layer.hidden_size = H  # as it is
    assert same(layer.step(x[0]), nn.LSTM(I, H, rng=0).step(x[0]))


def test_a_subclass_that_runs_in_its_own_way_is_asked():
    class Loud(nn.GRU):
        def run(self, *arguments, **options):
            y, state, tape = super().run(*arguments, **options)
            return y + 1, state, tape

    x = np.ones((T, B, I), np.float32)
    for layer in (Loud(I, H, rng=0), Loud(I, H, rng=0).freeze()):
        np.testing.assert_array_equal(layer(x)[0], nn.GRU(I, H, rng=0)(x)[0] + 1)


def test_the_quick_way_follows_the_instruction_set():
    layer, x = nn.GRU(I, H, rng=0), np.ones((T, B, I), np.float32)
    for isa in ISAS:
        with fastrnn.isa(isa):
            layer(x)
    assert len(layer._bound._layouts) == len(ISAS)


def test_the_quick_way_keeps_nothing(cell):
    _, frozen = pair(cell, bidirectional=False)
    x, state = np.ones((B, I), np.float32), states_for(frozen, B)

    def calls(count):
        for _ in range(count):
            frozen.step(x, state)
            frozen.step(x[:, :1].repeat(I, 1), None)
            with pytest.raises(ValueError, match="features"):
                frozen.step(x[:, 1:])

    def grown_by(count):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        calls(count)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    calls(20)
    held = [sys.getrefcount(a) for a in (x, *arrays(state))]
    tracemalloc.start()
    try:
        calls(5)
        # what is lost is lost in every hundred calls; what Python itself keeps once, in one
        grown = min(grown_by(100) for _ in range(4))
    finally:
        tracemalloc.stop()
    assert grown < 100 * 40  # an array is more than that
    assert held == [sys.getrefcount(a) for a in (x, *arrays(state))]


def test_memory_that_runs_out_in_a_frozen_layer_is_memory_error():
    layer = nn.LSTM(I, H, rng=0).freeze()
    x = np.ones((B, I), np.float32)
    expected = layer.step(x)
    fastrnn._native.fail_allocation(1)
    try:
        with pytest.raises(MemoryError, match="workspace"):
            layer.step(x)
    finally:
        fastrnn._native.fail_allocation(0)
    assert same(layer.step(x), expected)


@pytest.mark.parametrize("wrong", ["lstm", cells.LSTM, None])
def test_a_layer_needs_a_cell(wrong):
    with pytest.raises(TypeError, match=r"expected a cell such as fastrnn\.cells\.LSTM\(\)"):
        nn.Recurrent(wrong, I, H)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True, "num_layers": 2}])
def test_the_output_goes_where_it_is_asked_to(options):
    layer = nn.LSTM(3, 4, rng=0, **options)
    x = np.random.default_rng(0).standard_normal((5, 6, 3), dtype=np.float32)
    expected, (h, c) = layer(x)
    whole = np.full((5, 6, expected.shape[-1] + 2), 7, np.float32)
    y, (h_n, c_n) = layer(x, out=whole[..., 1:-1])
    assert_same_bits([whole[..., 1:-1], y, h_n, c_n], [expected, expected, h, c])
    assert (whole[..., [0, -1]] == 7).all()
    alone = np.empty_like(expected[:, 0])
    assert layer(x[:, 0], out=alone)[0] is alone
    assert_same_bits(alone, layer(x[:, 0])[0])
    assert_same_bits(layer.freeze()(x, out=np.empty_like(expected))[0], expected)


def test_an_output_that_cannot_be_written_to_is_refused():
    layer = nn.LSTM(4, 4, rng=0)
    x = np.zeros((5, 6, 4), np.float32)
    with pytest.raises(ValueError, match=r"LSTM: out has shape \(6, 5, 4\); expected \(5, 6, 4\)"):
        layer(x, out=np.empty((6, 5, 4), np.float32))
    with pytest.raises(TypeError, match="LSTM: out is float64"):
        layer(x, out=np.empty((5, 6, 4)))
    with pytest.raises(ValueError, match="LSTM: out overlaps x, state or params"):
        layer(x, out=x)
    read_only = np.empty((5, 6, 4), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        layer(x, out=read_only)


def test_tapes_and_gradients_of_steps_are_shown_in_a_line():
    layer = nn.GRU(3, 4)
    y, _, tape = layer.forward(np.zeros((5, 2, 3), np.float32))
    *_, dstates = layer.backward(tape, y, each_step=True)
    assert (
        repr(tape) == "RecurrentTape of GRU(3, 4), 1 passes; the first: Tape(GRU(), T=5, B=2, dtype=float32)"
    )
    assert repr(dstates) == "StepGradients of GRU(3, 4), 1 passes"
