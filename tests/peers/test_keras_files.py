"""Files that Keras saved, against Keras itself: every kind of file, over random options.

Keras runs on PyTorch, one backend of those that give 0 at masked steps before the first that counts.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fastrnn import io, nn

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
pytest.importorskip("h5py")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs on another backend"),
]

KINDS = ("SimpleRNN", "LSTM", "GRU")
ACTIVATIONS = (
    "tanh",
    "sigmoid",
    "relu",
    "hard_sigmoid",
    "linear",
    "elu",
    "softsign",
    "softplus",
    "leaky_relu",
)
KINDS_OF_FILES = ("m.keras", "m.h5", "m.weights.h5")
random_cases = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def cell_options(draw, kind):
    options = {
        "units": draw(st.integers(1, 5)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "use_bias": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "recurrent_dropout": draw(st.sampled_from([0.0, 0.3])),
    }
    if kind != "SimpleRNN":
        options["recurrent_activation"] = draw(st.sampled_from(["sigmoid", "hard_sigmoid", "tanh"]))
    if kind == "GRU":
        options["reset_after"] = draw(st.booleans())
    return options


FLAGS = ("return_sequences", "return_state", "zero_output_for_mask", "go_backwards")


@st.composite
def layers(draw, sequences=None, last=True):
    """A function that makes a recurrent layer of Keras."""
    flags = {flag: draw(st.booleans()) for flag in FLAGS}
    if sequences is not None:
        flags["return_sequences"] = sequences
    if not last:
        flags["return_state"] = False
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    options = [draw(cell_options(kind)) for kind in kinds]
    stacked, both = draw(st.booleans()), draw(st.booleans())
    merge = draw(st.sampled_from(["concat", "sum", "mul", "ave", *([None] if last else [])]))

    def one(**flags):
        if stacked:
            made = [getattr(keras.layers, f"{k}Cell")(**o) for k, o in zip(kinds, options, strict=True)]
            return keras.layers.RNN(made, **flags)
        return getattr(keras.layers, kinds[0])(**options[0], **flags)

    def make():
        if not both:
            return one(**flags)
        other = one(**{**flags, "go_backwards": False}) if flags["go_backwards"] else None
        return keras.layers.Bidirectional(one(**flags), merge_mode=merge, backward_layer=other)

    return make


def with_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            w if "seed" in v.path or "state" in v.path else rng.normal(0, 0.4, w.shape)
            for v, w in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    return model


def saved(model, folder, kind):
    path = folder / kind
    if kind == "m.weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    return path


def flat(value):
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in flat(v)]
    return [value.detach().numpy() if isinstance(value, torch.Tensor) else value]


def assert_equal(got, expected):
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(1, np.abs(b).max()))


def draw_x(seed, features=3, steps=5):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, steps, features)).astype(np.float32)
    mask = rng.random((4, steps)) < 0.6
    mask[0] = False
    return x, mask


@random_cases
@given(make=layers(), kind=st.sampled_from(KINDS_OF_FILES[:2]), masked=st.booleans(), seed=st.integers(0, 99))
def test_one_layer_is_that_of_keras(tmp_path, make, kind, masked, seed):
    layer = make()
    inside = layer.forward_layer if isinstance(layer, keras.layers.Bidirectional) else layer
    masked = masked and type(inside) is not keras.layers.RNN  # Keras fails there: see the next test
    x, mask = draw_x(seed)
    inputs = keras.Input((None, 3))
    model = with_weights(keras.Model(inputs, layer(inputs)), seed)
    ours = io.keras.load(saved(model, tmp_path, kind))[layer.name]
    call = {"mask": torch.tensor(mask)} if masked else {}
    expected = layer(torch.tensor(x), **call)
    assert_equal(ours(x, mask=mask if masked else None), expected)
    assert_equal(ours.freeze()(x, mask=mask if masked else None), expected)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_masked_stacks(tmp_path, zero, sequences):
    """Unrolled, as Keras's loop over time on PyTorch fails at a mask with nested states."""
    L = keras.layers
    flags = {"return_sequences": sequences, "zero_output_for_mask": zero, "return_state": True}
    layer = L.RNN([L.LSTMCell(3), L.GRUCell(2), L.GRUCell(2)], unroll=True, **flags)
    x, mask = draw_x(1)
    inputs = keras.Input((5, 3))
    model = with_weights(keras.Model(inputs, layer(inputs)))
    ours = io.keras.load(saved(model, tmp_path, "m.keras"))[layer.name]
    assert_equal(ours(x, mask=mask), layer(torch.tensor(x), mask=torch.tensor(mask)))


@random_cases
@given(make=layers(), seed=st.integers(0, 99))
def test_states_go_in_and_come_out_as_in_keras(tmp_path, make, seed):
    layer = make()
    x, _ = draw_x(seed)
    inputs = keras.Input((None, 3))
    model = with_weights(keras.Model(inputs, layer(inputs)), seed)
    assume(layer.return_state)
    ours = io.keras.load(saved(model, tmp_path, "m.keras"))[layer.name]
    merged_none = isinstance(layer, keras.layers.Bidirectional) and layer.merge_mode is None
    states = ours(x)[1 + merged_none :]
    given_to_keras = [
        [torch.tensor(a) for a in s] if isinstance(s, list) else torch.tensor(s) for s in states
    ]
    assert_equal(ours(x, initial_state=states), layer(torch.tensor(x), initial_state=given_to_keras))


@random_cases
@given(data=st.data(), kind=st.sampled_from(KINDS_OF_FILES[:2]), seed=st.integers(0, 99))
def test_layers_on_top_of_each_other(tmp_path, data, kind, seed):
    count = data.draw(st.integers(1, 3))
    made = [data.draw(layers(sequences=True, last=False))() for _ in range(count)]
    model = with_weights(keras.Sequential([keras.Input((None, 3)), *made]), seed)
    x, _ = draw_x(seed)
    loaded = io.keras.load(saved(model, tmp_path, kind))
    assert list(loaded) == [layer.name for layer in made]
    y = x
    for layer in loaded.values():
        y = layer(y)
    assert_equal(y, model(torch.tensor(x)))


@random_cases
@given(data=st.data(), kind=st.sampled_from(KINDS), both=st.booleans(), seed=st.integers(0, 99))
def test_weights_alone_with_options(tmp_path, data, kind, both, seed):
    options = data.draw(cell_options(kind))
    flags = {"return_sequences": data.draw(st.booleans()), "return_state": data.draw(st.booleans())}
    layer = getattr(keras.layers, kind)(**options, **flags)
    if both:
        layer = keras.layers.Bidirectional(layer, merge_mode=data.draw(st.sampled_from(["sum", None])))
    inputs = keras.Input((None, 3))
    model = with_weights(keras.Model(inputs, layer(inputs)), seed)
    told = {k: v for k, v in options.items() if k not in ("units", "use_bias")} | flags
    for key, value in told.items():
        if value == "hard_sigmoid":
            told[key] = ("hard_sigmoid", 1 / 6, 0.5)
    if both:
        told["merge_mode"] = layer.merge_mode
    ours = io.keras.load(saved(model, tmp_path, "m.weights.h5"), **told)[layer.name]
    x, mask = draw_x(seed)
    assert_equal(ours(x, mask=mask), layer(torch.tensor(x), mask=torch.tensor(mask)))


@pytest.mark.parametrize("kind", KINDS_OF_FILES)
def test_models_inside_models(tmp_path, kind):
    L = keras.layers
    inner = keras.Sequential(
        [keras.Input((None, 3)), L.GRU(4, return_sequences=True, name="same")], name="inner"
    )
    inputs = keras.Input((None, 3))
    y = L.Dense(5, name="between")(inner(inputs))
    y = L.Bidirectional(L.GRU(2, return_sequences=True), name="same")(y)
    model = with_weights(keras.Model(inputs, L.GRU(3, name="last", return_sequences=True)(y)))
    options = {"return_sequences": True} if kind == "m.weights.h5" else {}
    loaded = io.keras.load(saved(model, tmp_path, kind), **options)
    names = list(loaded)
    if kind != "m.weights.h5":
        assert names == ["inner/same", "same", "last"]
    x, _ = draw_x(0)
    by_units = {layer.layers[0].hidden_size: layer for layer in loaded.values()}
    assert_equal(by_units[4](x), inner(torch.tensor(x)))


@pytest.mark.parametrize("both", [False, True])
def test_stateful_layers_go_on_where_they_ended(tmp_path, both):
    layer = keras.layers.LSTM(3, stateful=True, return_sequences=True)
    layer = keras.layers.Bidirectional(layer) if both else layer
    model = with_weights(keras.Sequential([keras.Input(batch_shape=(4, 5, 3)), layer]))
    ours = io.keras.load(saved(model, tmp_path, "m.keras"))[layer.name]
    x, _ = draw_x(0)
    for reset in (False, False, True):
        if reset:
            ours.reset_state()
            layer.reset_state() if not both else layer.reset_states()
        assert_equal(ours(x), model(torch.tensor(x)))
    with pytest.raises(ValueError, match="x has 2 rows; the layer is stateful"):
        ours(x[:2])


def test_a_backward_layer_of_its_own(tmp_path):
    L = keras.layers
    layer = L.Bidirectional(
        L.LSTM(3, return_sequences=True), backward_layer=L.GRU(2, go_backwards=True, return_sequences=True)
    )
    model = with_weights(keras.Sequential([keras.Input((None, 3)), layer]))
    x, mask = draw_x(0)
    for kind in KINDS_OF_FILES[:2]:
        ours = io.keras.load(saved(model, tmp_path, kind))[layer.name]
        assert ours.layer is None
        assert_equal(ours(x, mask=mask), layer(torch.tensor(x), mask=torch.tensor(mask)))


def test_the_plain_layer_has_the_weights_and_dropout(tmp_path):
    L = keras.layers
    model = keras.Sequential([keras.Input((None, 3)), L.GRU(4, dropout=0.1, recurrent_dropout=0.2, name="g")])
    plain = io.keras.load(saved(with_weights(model), tmp_path, "m.keras"))["g"].layer
    assert isinstance(plain, nn.GRU)
    assert (plain.input_dropout, plain.recurrent_dropout) == (0.1, 0.2)
    x, _ = draw_x(0)
    assert_equal(plain(x)[1][0], model(torch.tensor(x)))


def test_a_stack_of_cells_that_are_alike_is_one_plain_layer(tmp_path):
    L = keras.layers
    layer = L.RNN([L.LSTMCell(4) for _ in range(3)], return_sequences=True)
    model = with_weights(keras.Sequential([keras.Input((None, 3)), layer]))
    for kind in KINDS_OF_FILES:
        options = {"return_sequences": True} if kind == "m.weights.h5" else {}
        ours = io.keras.load(saved(model, tmp_path, kind), **options)[layer.name]
        assert ours.layer.num_layers == 3
        x, _ = draw_x(0)
        assert_equal(ours(x), model(torch.tensor(x)))


def test_lambda_layers_and_classes_of_the_user_are_passed_over(tmp_path):
    class MyGRU(keras.layers.GRU):
        pass

    L = keras.layers
    model = keras.Sequential([
        keras.Input((None, 3)), L.Lambda(lambda x: x * 2), MyGRU(4, return_sequences=True, name="mine"),
        L.GRU(2, name="gru"), L.Dense(1),
    ])  # fmt: skip
    for kind in KINDS_OF_FILES[:2]:
        loaded = io.keras.load(saved(with_weights(model), tmp_path, kind))
        assert list(loaded) == ["gru"]


def test_float64_stays(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(2, dtype="float64", name="l")])
    loaded = io.keras.load(saved(with_weights(model), tmp_path, "m.keras"))
    assert loaded["l"].layer.dtype == np.float64


DENSE = ("linear", "relu", "sigmoid", "tanh", "softmax", "elu", "softplus", "softsign", "leaky_relu",
         "hard_sigmoid", "exponential")  # fmt: skip


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("kind", KINDS_OF_FILES[:2])
@pytest.mark.parametrize("activation", DENSE)
def test_whole_models(tmp_path, kind, activation):
    """Keras warns of a mask that reaches a model inside the model, and does pass it on."""
    L = keras.layers
    model = keras.Sequential([
        keras.Input((None,), dtype="int32"),
        L.Embedding(20, 6, mask_zero=True),
        L.Dropout(0.3),
        keras.Sequential([L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Dense(3, use_bias=False)]),
        L.GRU(5, return_sequences=activation == "relu"),
        L.Dense(4, activation=activation),
        L.Activation("tanh"),
    ])  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 20, (5, 7))
    ids[0, 3:], ids[1, :2] = 0, 0
    model(torch.tensor(ids))
    ours = io.keras.load_model(saved(with_weights(model), tmp_path, kind))
    for frozen in (ours, ours.freeze()):
        assert_equal(frozen(ids), model(torch.tensor(ids)))


@pytest.mark.parametrize("kind", KINDS_OF_FILES[:2])
def test_whole_models_that_mask_values(tmp_path, kind):
    L = keras.layers
    model = keras.Sequential([
        keras.Input((None, 3)), L.Masking(9.0), L.SimpleRNN(4, return_sequences=True), L.Dense(2),
        L.LSTM(2, go_backwards=True),
    ])  # fmt: skip
    x, mask = draw_x(0)
    x[~mask] = 9
    ours = io.keras.load_model(saved(with_weights(model), tmp_path, kind))
    assert_equal(ours(x), model(torch.tensor(x)))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("kind", KINDS_OF_FILES[:2])
@pytest.mark.parametrize(("scale", "center"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("end", ["average", "average kept", "largest", "largest kept", "last", "flat"])
@pytest.mark.parametrize("functional", [False, True])
def test_what_stands_around_recurrent_layers(tmp_path, kind, scale, center, end, functional):
    L = keras.layers
    ends = {
        "average": [L.GlobalAveragePooling1D()],
        "average kept": [L.GlobalAveragePooling1D(keepdims=True)],
        "largest": [L.GlobalMaxPooling1D()],
        "largest kept": [L.GlobalMaxPooling1D(keepdims=True)],
        "last": [L.SimpleRNN(4), L.RepeatVector(3), L.LSTM(2, return_sequences=True)],
        "flat": [L.Flatten()],
    }
    made = [
        L.Embedding(20, 6, mask_zero=end != "flat"),
        L.SpatialDropout1D(0.2),
        L.BatchNormalization(scale=scale, center=center, epsilon=0.01),
        L.GRU(5, return_sequences=True),
        L.LayerNormalization(scale=scale, center=center),
        L.TimeDistributed(L.Dense(3, activation="relu", name="inner")),
        L.TimeDistributed(L.Dropout(0.2)),
        L.LayerNormalization(),
        *ends[end],
    ]
    inputs = keras.Input((7,), dtype="int32")
    if functional:
        y = inputs
        for layer in made:
            y = layer(y)
        model = keras.Model(inputs, y)
    else:
        model = keras.Sequential([inputs, *made])
    with_weights(model)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance.numpy()) + 0.1)
    ids = np.random.default_rng(0).integers(0, 20, (5, 7))
    ids[0, 3:], ids[1, :2] = 0, 0
    ours = io.keras.load_model(saved(model, tmp_path, kind))
    expected = model(torch.tensor(ids), training=False)
    assert np.isfinite(flat(expected)[0]).all()
    for frozen in (ours, ours.freeze()):
        assert_equal(frozen(ids), expected)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("kind", KINDS_OF_FILES[:2])
def test_functional_models_that_are_one_chain(tmp_path, kind):
    """With values masked, models inside, and layers whose order in the file is not theirs."""
    L = keras.layers
    inner_inputs = keras.Input((None, 4))
    inner = keras.Model(
        inner_inputs, L.Dense(4, name="b")(L.GRU(4, return_sequences=True, name="a")(inner_inputs))
    )
    x, mask = draw_x(0)
    x[~mask] = 9
    inputs = keras.Input((None, 3))
    y = L.Masking(9.0)(inputs)
    y = L.Bidirectional(L.LSTM(2, return_sequences=True))(y)
    y = L.LSTM(2, name="last")(inner(y))
    model = with_weights(keras.Model(inputs, y))
    ours = io.keras.load_model(saved(model, tmp_path, kind))
    assert_equal(ours(x), model(torch.tensor(x)))


def test_models_that_are_not_run_are_refused_by_name(tmp_path):
    L = keras.layers

    def refused(model, message, name="m.keras"):
        path = model if isinstance(model, os.PathLike) else saved(model, tmp_path, name)
        with pytest.raises(io.FileFormatError, match=message):
            io.keras.load_model(path)

    inputs = keras.Input((None, 3))
    shared = L.LSTM(3, return_sequences=True, name="shared")
    y = L.LSTM(3, return_sequences=True, name="lower")(inputs)
    refused(
        keras.Model(inputs, L.Add()([y, L.GRU(3, return_sequences=True)(y)])),
        "no chain: layer 'add' is called with more than the output of one layer",
    )
    refused(keras.Model(inputs, shared(shared(inputs))), "no chain: it runs layer 'shared' more than once")
    refused(keras.Model(inputs, [y, shared(y)]), "the model has 1 inputs and 2 outputs; expected one of each")
    ids = keras.Input((None,), dtype="int32")
    masked = shared(L.Embedding(9, 3)(ids), mask=keras.ops.not_equal(ids, 0))
    refused(keras.Model(ids, masked), "layer 'shared' takes a mask that is not of an Embedding or Masking")
    other = shared(L.Embedding(9, 3, mask_zero=True)(ids), mask=keras.ops.not_equal(ids, 1))
    refused(keras.Model(ids, other), "layer 'shared' takes a mask that is not of an Embedding or Masking")
    trained = shared(inputs, training=True)
    refused(keras.Model(inputs, trained), "layer 'shared' is called with more than")

    def sequential(*layers):
        return keras.Sequential([keras.Input((4, 3)), L.LSTM(2, return_sequences=True), *layers])

    for layer, message in [
        (L.UnitNormalization(name="n"), "layer 'n' is a UnitNormalization, which load_model does not run"),
        (L.TimeDistributed(L.UnitNormalization(), name="n"), r"layer 'n' is a TimeDistributed\(UnitNormaliz"),
        (L.LayerNormalization(axis=1, name="n"), "layer 'n': axis is .*; expected -1"),
        (
            L.GlobalMaxPooling1D(data_format="channels_first", name="n"),
            "layer 'n': data_format is 'channels",
        ),
    ]:
        refused(sequential(layer), message)
    sequential().save_weights(tmp_path / "m.weights.h5")
    refused(tmp_path / "m.weights.h5", "a file of weights alone")
