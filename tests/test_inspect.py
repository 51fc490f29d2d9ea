"""Looking inside layers: gradients against finite differences of the reference, and what is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import CELLS, assert_same_bits, one
from strategies import any_cell

import fastrnn
from fastrnn import cells, inspect, nn, reference
from fastrnn.models import LanguageModel

I, H = 3, 4
EPS = 1e-6


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def a_layer(cell=None, **options):
    options = {"dtype": np.float64, "rng": 0, **options}
    return nn.Recurrent(cells.LSTM() if cell is None else cell, I, H, **options)


def linear_rnn(factor):
    """A linear RNN whose recurrent weights are this factor times the identity."""
    rnn = fastrnn.RNN(I, H, nonlinearity="affine", dtype=np.float64, rng=0)
    rnn.params["weight_hh_l0"][...] = factor * np.eye(H)
    return rnn


# -- gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonlinearity", ["affine", "relu"])
def test_an_identity_rnn_keeps_the_norm(nonlinearity):
    rnn = fastrnn.RNN(H, H, nonlinearity=nonlinearity, bias=False, dtype=np.float64)
    for weight in rnn.params.values():
        weight[...] = np.eye(H)
    norms = inspect.gradient_norms(rnn, np.abs(draw(20, 5, H)) + 0.1)
    np.testing.assert_allclose(norms.layer(0)["h"], np.ones((21, 5)), rtol=1e-14)
    assert norms.trend().factor == pytest.approx(1, rel=1e-14)
    assert norms.trend().verdict == "is carried"


@pytest.mark.parametrize(
    ("factor", "verdict", "half_life"),
    [(0.5, "vanishes", 1), (0.25, "vanishes", 0.5), (2, "explodes", math.inf)],
)
def test_a_linear_rnn_changes_the_norm_by_its_factor_at_every_step(factor, verdict, half_life):
    norms = inspect.gradient_norms(linear_rnn(factor), draw(30, 2, I))
    expected = factor ** np.arange(31.0)
    np.testing.assert_allclose(norms.layer(0)["h"], np.stack([expected, expected], 1), rtol=1e-13)
    np.testing.assert_allclose(norms.curve(), expected, rtol=1e-13)
    trend = norms.trend()
    assert trend.verdict == verdict
    assert trend.steps == 30
    assert trend.factor == pytest.approx(factor)
    assert trend.half_life == pytest.approx(half_life)
    assert verdict in repr(norms)


def slopes(loss, states):
    """The gradient of loss(states) by each of the states of one row, (1, width), by central differences.

    What is moved, unit by unit and to both sides, are rows of one batch.
    """
    widths = [s.shape[1] for s in states]
    moves = EPS * np.concatenate([np.eye(sum(widths)), -np.eye(sum(widths))])
    moved = np.split(np.concatenate(states, axis=1) + moves, np.cumsum(widths)[:-1], axis=1)
    up, down = np.split(loss(tuple(moved)), 2)
    return np.split((up - down) / (2 * EPS), np.cumsum(widths)[:-1])


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_gradient_norms_are_those_of_finite_differences(cell, reverse):
    """Of the final h's sum / sqrt(P), run by the reference from the state in question on."""
    lengths = np.array([3, 1, 2])
    layer, x = a_layer(cell, bidirectional=True), draw(3, 3, I)
    norms = inspect.gradient_norms(layer, x, lengths=lengths).layer(0, reverse)
    tape = layer.run(x, lengths=lengths, tape=True)[2].layer(0, reverse)
    for b, n in enumerate(lengths):
        assert all(np.isnan(a[n + 1 :, b]).all() for a in norms.values())
        for k in range(n + 1):
            slot, part = (k, slice(0, k)) if reverse else (n - k, slice(n - k, n))
            inputs = x[part, [b]]

            def loss(states, inputs=inputs):
                rows = np.repeat(inputs, len(states[0]), axis=1)
                options = {"reverse": reverse, "tape": False}
                _, last, _ = reference.forward(cell, tape.params, rows, one(states), **options)
                h = last if len(cell.states) == 1 else last[0]
                return h.sum(axis=1) / np.sqrt(h.shape[1])

            expected = slopes(loss, [s[slot, [b]] for s in tape.states])
            for name, d in zip(cell.states, expected, strict=True):
                assert norms[name][k, b] == pytest.approx(np.linalg.norm(d), rel=1e-5, abs=1e-8), (name, k, b)


@pytest.mark.parametrize("unit", [None, 2, H + 1])
@pytest.mark.parametrize(
    "cell", [cells.RNN(), cells.LSTM(proj_size=3), cells.GRU(), cells.MinLSTM()], ids=str
)
def test_input_influence_is_that_of_finite_differences(cell, unit):
    layer, x, lengths = a_layer(cell, num_layers=2, bidirectional=True), draw(4, 2, I), np.array([4, 2])
    width = cell.output_size(H)
    got = inspect.input_influence(layer, x, unit, lengths=lengths)

    def loss(inputs):
        _, state = layer(inputs, lengths=lengths)
        h = (state if len(cell.states) == 1 else state[0])[-2:]
        return h.sum(axis=(0, 2)) / np.sqrt(width) if unit is None else h[unit // width, :, unit % width]

    expected = np.empty((4, 2, I))
    for t, i in np.ndindex(4, I):
        step = np.zeros_like(x)
        step[t, :, i] = EPS
        expected[t, :, i] = (loss(x + step) - loss(x - step)) / (2 * EPS)
    np.testing.assert_allclose(got, np.linalg.norm(expected, axis=2), rtol=1e-5, atol=1e-9)
    assert (got[2:, 1] == 0).all()


@settings(max_examples=25)
@given(data=st.data())
def test_a_row_has_the_norms_that_it_has_alone(data):
    """Whatever the cell, the layers, the other rows, the padding, the order of axes and the backend."""
    options = {
        "num_layers": data.draw(st.integers(1, 2)),
        "bidirectional": data.draw(st.booleans()),
        "batch_first": data.draw(st.booleans()),
        "dtype": data.draw(st.sampled_from([np.float32, np.float64])),
    }
    layer = a_layer(data.draw(any_cell(H - 1)), **options)
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    x = draw(5, len(lengths), I, seed=data.draw(st.integers(0, 99)))
    given_x = x.transpose(1, 0, 2) if layer.batch_first else x
    whole = inspect.gradient_norms(layer, given_x, lengths=lengths)
    influence = inspect.input_influence(layer, given_x, lengths=lengths)
    assert influence.shape == (5, len(lengths))
    b = data.draw(st.integers(0, len(lengths) - 1))
    n = lengths[b]
    with fastrnn.backend("reference"):
        alone = inspect.gradient_norms(layer, x[:n, b])
        np.testing.assert_array_equal(inspect.input_influence(layer, x[:n, b]), influence[:n, b])
    for which, norms in alone.passes.items():
        for name, a in norms.items():
            assert_same_bits(a, whole.layer(*which)[name][: n + 1, b])
        np.testing.assert_allclose(alone.curve(*which, name), a, rtol=1e-14)


def test_norms_are_those_of_what_backward_carries():
    layer = a_layer(num_layers=2)
    x, lengths, mask = draw(6, 3, I), [6, 4, 5], draw(6, 3, seed=1) < 0.5
    y, (_, c), tape = layer.forward(x, lengths=lengths, mask=mask)
    *_, dstates = layer.backward(tape, y, (None, c), each_step=True)
    norms = inspect.gradient_norms(layer, x, y, (None, c), lengths=lengths, mask=mask)
    assert list(norms.lengths) == lengths
    for k in range(2):
        for name in "hc":
            d = dstates.layer(k)[f"d{name}"]
            for b, n in enumerate(lengths):
                expected = np.linalg.norm(d[n::-1, b], axis=1)
                np.testing.assert_allclose(norms.layer(k)[name][: n + 1, b], expected, rtol=1e-14)


def test_a_masked_step_carries_the_gradient_on():
    rnn, mask = linear_rnn(0.5), np.array([True, False, False, True])
    norms = inspect.gradient_norms(rnn, draw(4, I), mask=mask).layer(0)["h"]
    np.testing.assert_allclose(norms, [1, 0.5, 0.5, 0.5, 0.25], rtol=1e-14)


def test_the_curve_is_the_root_mean_square_over_the_rows_that_are_there():
    norms = inspect.gradient_norms(a_layer(), draw(5, 3, I), lengths=[5, 0, 3])
    h, c = norms.layer(0).values()
    total = np.sqrt(h**2 + c**2)
    np.testing.assert_allclose(norms.curve(state="c")[3], np.sqrt((c[3, 0] ** 2 + c[3, 2] ** 2) / 2))
    np.testing.assert_allclose(norms.curve()[0], np.sqrt((total[0] ** 2).mean()))
    np.testing.assert_allclose(norms.curve()[5], total[5, 0])
    assert norms.curve().shape == (6,)


def test_a_frozen_layer_is_looked_into_and_stays_frozen():
    layer, x = a_layer(num_layers=2), draw(5, 2, I)
    expected = inspect.gradient_norms(layer, x), inspect.input_influence(layer, x)
    layer.freeze()
    norms, influence = inspect.gradient_norms(layer, x), inspect.input_influence(layer, x)
    assert layer.frozen
    np.testing.assert_array_equal(influence, expected[1])
    assert_same_bits(list(norms.passes.values()), list(expected[0].passes.values()))
    assert not any(a.flags.writeable for a in layer.params.values())


def test_dropout_does_not_act():
    options = {"num_layers": 2, "dropout": 0.5, "input_dropout": 0.5, "weight_dropout": 0.5}
    x = draw(5, 2, I)
    layers = a_layer(**options), a_layer(num_layers=2)
    assert_same_bits(*(list(inspect.gradient_norms(layer, x).passes.values()) for layer in layers))
    assert_same_bits(*(list(inspect.activations(layer, x).passes.values()) for layer in layers))
    drawn = layers[0].rng.bit_generator.state
    inspect.input_influence(layers[0], x)
    assert layers[0].rng.bit_generator.state == drawn


@pytest.mark.parametrize(
    ("norms", "verdict", "steps", "factor"),
    [
        ([1, 1e-4, 0, 0], "vanishes", 1, 1e-4),
        ([1, 0.5, 0], "vanishes", 1, 0.5),
        ([0, 4, 2, 1], "is carried", 2, 0.5),
        ([1, 1e200, np.inf, np.nan], "explodes", 1, 1e200),
        ([np.nan, np.nan], "is not a number", 0, math.nan),
        ([1, np.nan, 4], "is not a number", 0, math.nan),
        ([1, 0.5, np.nan, np.nan], "is not a number", 1, 0.5),
        ([1, np.inf, np.nan, np.nan], "explodes", 0, math.nan),
        ([0, 0, 0], "none arrives", 0, math.nan),
        ([3], "is carried", 0, math.nan),
    ],
)
def test_trends_end_where_the_gradient_does(norms, verdict, steps, factor):
    trend = inspect.Trend.of(np.array(norms, float))
    assert (trend.verdict, trend.steps) == (verdict, steps)
    assert trend.factor == pytest.approx(factor, nan_ok=True)
    assert trend.half_life == (
        math.inf if not factor < 1 else pytest.approx(math.log(0.5) / math.log(factor))
    )


@pytest.mark.parametrize("lengths", [None, [6, 4]])
def test_a_gradient_that_is_not_a_number_to_the_beginning_is_not_carried(lengths):
    x = draw(6, 2, I)
    assert inspect.gradient_norms(a_layer(), x, lengths=lengths).trend().verdict != "is not a number"
    x[3, 0, 0] = np.nan
    norms = inspect.gradient_norms(a_layer(), x, lengths=lengths)
    assert np.isnan(norms.curve()[-1])
    assert norms.trend().verdict == "is not a number"
    assert "is not a number" in repr(norms)


def test_gradients_too_large_and_too_small_for_their_squares_have_norms():
    norms = inspect.gradient_norms(linear_rnn(1e10), draw(40, 2, I))
    assert norms.trend().verdict == "explodes"
    assert norms.trend().steps == 30  # 1e310 is beyond float64
    tiny = inspect.gradient_norms(linear_rnn(1e-10), draw(40, 2, I)).trend()
    assert (tiny.verdict, tiny.steps) == ("vanishes", 27)  # 2^-900 is about 1e-271
    assert tiny.factor == pytest.approx(1e-10)
    assert "explodes, doubles every" in repr(norms)


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0)])
def test_nothing_is_looked_into_without_warnings(steps, batch):
    layer, x = a_layer(), np.zeros((steps, batch, I))
    norms = inspect.gradient_norms(layer, x)
    assert norms.layer(0)["h"].shape == (steps + 1, batch)
    assert "layer 0" in repr(norms)
    assert inspect.input_influence(layer, x).shape == (steps, batch)
    found = inspect.activations(layer, x)
    assert np.isnan(inspect.saturation(found).layer(0)["i"].open).all()


# -- activations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_activations_are_those_of_the_tape(cell):
    layer, x, lengths = a_layer(cell, num_layers=2, bidirectional=True), draw(4, 3, I), [4, 1, 2]
    state = one(tuple(draw(4, 3, width) for width in cell.state_shapes(H).values()))
    _, _, tape = layer.run(x, state, lengths=lengths, tape=True)
    found = inspect.activations(layer, x, state=state, lengths=lengths)
    inside = np.arange(4)[:, None] < lengths
    np.testing.assert_array_equal(found.counted, inside)
    for k in range(2):
        for reverse in (False, True):
            got, expected = found.layer(k, reverse), tape.layer(k, reverse)
            assert list(got) == [*expected.gates, *expected.state]
            for name, a in {**expected.gates, **expected.state}.items():
                np.testing.assert_array_equal(got[name][inside], a[inside])
                assert not got[name][~inside].any()
                assert not got[name].flags.writeable
    assert f"layer 1 reverse  {', '.join(found.gates) or 'none'}" in repr(found)


def test_one_sequence_has_no_axis_of_the_batch_and_its_tokens():
    layer, x = a_layer(batch_first=True), draw(3, I)
    found = inspect.activations(layer, x, tokens=["the", "cat", "sat"])
    batch = inspect.activations(layer, x[None])
    for name, a in found.layer(0).items():
        assert a.shape == (3, H)
        np.testing.assert_array_equal(a, batch.layer(0)[name][:, 0])
    assert found.pairs("c", unit=1) == list(
        zip(found.tokens, found.layer(0)["c"][:, 1].tolist(), strict=True)
    )


def test_a_text_is_looked_into_character_by_character():
    text = "the cat sat on the mat."
    model = LanguageModel(cells.LSTM(), hidden_size=8, num_layers=2)
    model.build(text)
    found = inspect.text_activations(model, text)
    assert "".join(found.tokens) == text
    _, (h, c) = model.network(model.vocab.encode(text)[:, None])
    np.testing.assert_array_equal(found.layer(1)["c"][-1], c[1, 0])
    np.testing.assert_array_equal(found.layer(0)["h"][-1], h[0, 0])
    assert model.network.frozen


def test_saturation_counts_the_steps_that_count():
    lstm = a_layer()
    bias = lstm.params["bias_ih_l0"].reshape(4, H)  # i, f, g, o
    bias[1] = 100, -100, 100, -100
    x, lengths, mask = draw(6, 2, I), [6, 2], draw(6, 2, seed=1) < 0.5
    found = inspect.activations(lstm, x, lengths=lengths, mask=mask)
    result = inspect.saturation(found)
    assert list(result.layer(0)) == ["i", "f", "o"]
    np.testing.assert_array_equal(result.layer(0)["f"].open, [1, 0, 1, 0])
    np.testing.assert_array_equal(result.layer(0)["f"].shut, [0, 1, 0, 1])
    i = found.layer(0)["i"][found.counted]
    narrow = inspect.saturation(found, 0.4, 0.6).layer(0)["i"]
    np.testing.assert_allclose(narrow.shut, (i < 0.4).mean(axis=0))
    np.testing.assert_allclose(narrow.open, (i > 0.6).mean(axis=0))
    assert "50.0%" in repr(result)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (cells.LSTM.variant("CIFG"), ["i", "o", "f"]),
        (cells.LSTM(input_gate=False, activations={"f": "hard_sigmoid", "o": "tanh"}), ["f"]),
        (cells.GRU(), ["r", "z"]),
        (cells.GRU(activations={"n": "sigmoid"}), ["r", "z", "n"]),
        (cells.MGU(), ["f"]),
        (cells.MinGRU(), ["z"]),
        (cells.MinLSTM(), ["f", "i"]),
    ],
    ids=str,
)
def test_saturation_has_the_gates_between_0_and_1(cell, names):
    found = inspect.saturation(inspect.activations(a_layer(cell), draw(5, 2, I)))
    assert list(found.layer(0)) == names


# -- weights ----------------------------------------------------------------------------------------


def test_spectral_radii_are_those_of_each_gate():
    layer = a_layer(num_layers=2, bidirectional=True)
    radii = inspect.spectral_radius(layer)
    w = layer.params["weight_hh_l1_reverse"]
    expected = [np.abs(np.linalg.eigvals(w[k * H : (k + 1) * H])).max() for k in range(4)]
    assert radii.layer(1, reverse=True) == pytest.approx(dict(zip("ifgo", expected, strict=True)))
    assert f"{expected[0]:.3f}" in repr(radii)
    assert inspect.spectral_radius(linear_rnn(-0.5)).layer(0) == pytest.approx({"n": 0.5})


def test_spectral_radii_of_units_that_see_themselves_and_of_projections():
    indrnn = a_layer(cells.IndRNN())
    indrnn.params["weight_hh_l0"][...] = 0.1, -0.7, 0.2, 0.3
    assert inspect.spectral_radius(indrnn).layer(0) == pytest.approx({"n": 0.7})
    lstm = a_layer(cells.LSTM(proj_size=2))
    w, back = lstm.params["weight_hh_l0"], lstm.params["weight_hr_l0"]
    expected = np.abs(np.linalg.eigvals(w[H : 2 * H] @ back)).max()  # through h and back: (H, H)
    assert inspect.spectral_radius(lstm).layer(0)["f"] == pytest.approx(expected)


# -- what is refused --------------------------------------------------------------------------------


class Tagger(nn.Module):
    def __init__(self):
        self.lstm = a_layer()
        self.out = nn.Linear(H, 2)


def refusals():
    layer, x = a_layer(), draw(5, 2, I)
    found = inspect.activations(layer, x)
    norms = inspect.gradient_norms(layer, x)
    model = LanguageModel(hidden_size=4, num_layers=1)
    model.build("abcabc")
    look, influence = inspect.gradient_norms, inspect.input_influence
    yield TypeError, r"gradient_norms: layer is a Tagger; .* give one of its own: lstm", look, Tagger(), x
    yield (
        TypeError,
        r"spectral_radius: layer is a LanguageModel; .*: directions\.ahead\.rnn",
        inspect.spectral_radius,
        model,
    )
    yield (
        TypeError,
        r"input_influence: layer is a Linear; expected a recurrent",
        influence,
        nn.Linear(3, 4),
        x,
    )
    yield TypeError, r"activations: layer is None", inspect.activations, None, x
    yield ValueError, r"x has 2 features", look, layer, x[..., :2]
    yield ValueError, r"backward: dy has shape \(3,\)", look, layer, x, np.zeros(3)
    yield ValueError, r"unit is 4; expected 0 to 3", influence, layer, x, 4
    yield TypeError, r"unit is 0\.5; expected an integer", influence, layer, x, 0.5
    yield ValueError, r"unit and dstate are both given", lambda: influence(layer, x, 1, dstate=(x, x))
    yield IndexError, r"GradientNorms\.layer\(1, reverse=False\): there are layers 0 to 0 of", norms.layer, 1
    yield IndexError, r"layer\(0, reverse=True\)", found.layer, 0, True
    yield ValueError, r"state is 'z'; expected 'h', 'c', or None", lambda: norms.curve(state="z")
    yield ValueError, r"there are no tokens; give activations\(\.\.\., tokens=text\)", found.pairs, "c", 0
    yield ValueError, r"tokens go with one sequence", lambda: inspect.activations(layer, x, tokens="abcde")
    one = inspect.activations(layer, x[:, 0], tokens="abcde")
    yield (
        ValueError,
        r"there are 2 tokens; expected 5",
        lambda: inspect.activations(layer, x[:, 0], tokens="ab"),
    )
    yield ValueError, r"name is 'x'; expected one of 'i', 'f'", one.pairs, "x", 0
    yield IndexError, r"unit is 4; c has units 0 to 3", one.pairs, "c", 4
    yield TypeError, r"saturation: found is float", inspect.saturation, x
    yield ValueError, r"low is 0\.9, high is 0\.1; expected low <= high", inspect.saturation, found, 0.9, 0.1
    yield ValueError, r"high is 2; expected a probability", inspect.saturation, found, 0.1, 2
    rnn = inspect.activations(a_layer(cells.RNN()), x)
    yield ValueError, r"RNN\(\) has no gate whose values lie between 0 and 1", inspect.saturation, rnn
    minimal, broken = a_layer(cells.MinGRU()), a_layer()
    yield ValueError, r"MinGRU\(\) has no recurrent weights", inspect.spectral_radius, minimal
    broken.params["weight_hh_l0"][0, 0] = np.nan
    yield ValueError, r"weight_hh_l0 is not finite", inspect.spectral_radius, broken
    yield (
        TypeError,
        r"model is a Tagger; expected a fastrnn\.models\.Lang",
        inspect.text_activations,
        Tagger(),
        "a",
    )
    yield TypeError, r"text is a bytes; expected a str", inspect.text_activations, model, b"abc"
    yield ValueError, r"text is empty", inspect.text_activations, model, ""
    yield RuntimeError, r"not trained yet", inspect.text_activations, LanguageModel(), "abc"


REFUSALS = list(refusals())


@pytest.mark.parametrize(("error", "message", "call", "arguments"), [(*r[:3], r[3:]) for r in REFUSALS])
def test_what_is_wrong_is_named(error, message, call, arguments):
    with pytest.raises(error, match=message):
        call(*arguments)
