"""What all models share: data held out, settings as they were fitted, numbers that are none, memory."""

import tracemalloc

import numpy as np
import pytest

from fastrnn import cells, io, optim
from fastrnn.models import (
    LanguageModel,
    Seq2Seq,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    _inputs,
    _sequences,
)
from fastrnn.models._network import SequenceNetwork
from fastrnn.train import Buckets

SMALL = {"hidden_size": 8, "seed": 3}
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((24, 5, 2))
WORDS = ["a b c", "c b", "b a", "a c b a"] * 6
#: Each model, what it is fitted to, how it answers.
MODELS = {
    "classifier": (SequenceClassifier, (VECTORS, np.arange(24) % 2), lambda m: m.predict_proba(VECTORS)),
    "tagger": (
        SequenceTagger,
        (VECTORS, [[0, 1, 0, 1, 1]] * 24),
        lambda m: np.stack(m.predict_proba(VECTORS)),
    ),
    "regressor": (SequenceRegressor, (VECTORS, VECTORS.sum((1, 2))), lambda m: m.predict(VECTORS)),
    "forecaster": (
        lambda **o: SequenceRegressor(**o, horizon=2, window=4),
        (RNG.standard_normal((3, 20)),),
        lambda m: m.predict(VECTORS[:, :, 0]),
    ),
    "translator": (Seq2Seq, (WORDS, WORDS), lambda m: np.array(m.translate(WORDS))),
    "language": (LanguageModel, (WORDS,), lambda m: np.array([s.bits for s in m.score(WORDS)])),
}
every_model = pytest.mark.parametrize("kind", MODELS)


def fitted(kind, options=None, **fitting):
    make, data, _ = MODELS[kind]
    return make(**SMALL, **(options or {})).fit(*data, **{"epochs": 1, "batch_size": 8, **fitting})


def params(model):
    return (model.network if isinstance(model, LanguageModel) else model.network_).params


# ---- the gradient of dropout ----


@pytest.mark.parametrize("cell", [cells.GRU(), cells.LSTM(proj_size=3)], ids=str)
@pytest.mark.parametrize("pool", ["last", "mean", "max", None])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_network_has_the_gradient_of_differences_with_dropout(cell, pool, bidirectional):
    """The same draw in each run: between the layers, and before the last Linear."""
    options = {"embedding_size": None, "hidden_size": 4, "num_layers": 2, "bidirectional": bidirectional}
    network = SequenceNetwork(3, 2, cell, **options, dropout=0.5, pool=pool, rng=0)
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((6, 3, 3)).astype(np.float32), np.array([6, 2, 4])

    def forward():
        for module in network.modules():
            if isinstance(getattr(module, "rng", None), np.random.Generator):
                module.rng.bit_generator.state = np.random.default_rng(7).bit_generator.state
        return network.forward(x, lengths)

    outputs, tape = forward()
    weight = rng.standard_normal(outputs.shape).astype(np.float32)
    if pool is None:
        weight *= (np.arange(6)[:, None] < lengths)[..., None]
    grads = network.backward(tape, weight)
    for name in ("out.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l1" + "_reverse" * bidirectional):
        value = network.params[name]
        direction, before, ends = rng.standard_normal(value.shape).astype(np.float32), value.copy(), []
        for sign in (1, -1):
            value[...] = before + sign * np.float32(1e-2) * direction
            ends.append(float((forward()[0] * weight).sum(dtype=np.float64)))
        value[...] = before
        expected = float((grads[name] * direction).sum(dtype=np.float64))
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(expected, rel=0.02, abs=0.02)


def test_dropout_is_between_the_layers_too():
    network = SequenceNetwork(
        3, 2, cells.GRU(), embedding_size=None, hidden_size=4, num_layers=2, bidirectional=False, dropout=0.5,
        pool="last", rng=0,
    )  # fmt: skip
    assert network.rnn.dropout == network.dropout.p == 0.5


# ---- constant columns, and numbers that are too large ----


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_constant_feature_stays_without_weight(dtype):
    X = VECTORS.copy()
    X[..., 0] = 0.1
    model = SequenceClassifier(**SMALL).fit(X, X[:, 0, 1] > 0, epochs=2)
    assert model._reader.scale[0] == 1
    other = X.astype(dtype)
    np.testing.assert_allclose(model.predict_proba(other), model.predict_proba(X), atol=1e-5)
    constant = SequenceRegressor(**SMALL).fit(X, np.full(24, 0.1), epochs=2)
    assert np.abs(constant.predict(X) - 0.1).max() < 2
    _, scale = _inputs.moments("t", "X", np.array([[1e9], [1e9 + 1], [1e9 - 1]]))
    assert scale[0] == pytest.approx((2 / 3) ** 0.5)


def test_numbers_that_are_too_large_are_refused():
    y = np.arange(24) % 2
    with pytest.raises(ValueError, match=r"X has numbers of up to .*e\+200, whose deviation overflows"):
        SequenceClassifier(**SMALL).fit(VECTORS * 1e200, y)
    with pytest.raises(ValueError, match=r"X\[0\] has numbers beyond float32"):
        SequenceClassifier(**SMALL, standardize=False).fit(VECTORS * 1e200, y)
    model = SequenceRegressor(**SMALL).fit(VECTORS, y, epochs=1)
    with pytest.raises(ValueError, match=r"X\[0\] has numbers beyond float32"):
        model.predict(VECTORS * 1e200)
    with pytest.raises(ValueError, match="y has numbers of up to"):
        SequenceRegressor(**SMALL).fit(VECTORS, y * 1e200)


def test_targets_are_scaled_in_double_precision():
    y = 1e9 + np.arange(24.0)
    model = SequenceRegressor(**SMALL)
    model.fit(VECTORS, y, epochs=1)
    expected = ((y - y.mean()) / y.std()).astype(np.float32)
    np.testing.assert_allclose(np.ravel(model._read_targets("t", y, [5] * 24)), expected, rtol=1e-6)


# ---- data held out ----


def test_nothing_is_learned_of_what_is_held_out():
    model = SequenceRegressor(**SMALL)
    kept, out = model._held_out("t", VECTORS, 24, 0.25)
    assert len(out) == 6
    X, y = VECTORS.copy(), VECTORS.sum((1, 2))
    X[out] += 1000
    y[out] += 1000
    model.fit(X, y, epochs=2, validation=0.25)
    alone = SequenceRegressor(**SMALL).fit(X[kept], y[kept], epochs=2, validation=(X[out], y[out]))
    for name, value in params(alone).items():
        assert params(model)[name].tobytes() == value.tobytes()
    assert model.history_.validation == alone.history_.validation
    assert model._reader.mean.tolist() == alone._reader.mean.tolist()
    assert model._mean.tolist() == alone._mean.tolist()


def test_no_word_is_learned_of_what_is_held_out():
    texts = [f"{word} a" for word in "bcdefghijkl"]
    for model in (SequenceClassifier(**SMALL, min_count=1), Seq2Seq(**SMALL, min_count=1)):
        kept, out = model._held_out("t", texts, 11, 0.3)
        y = texts if isinstance(model, Seq2Seq) else list("01" * 5 + "2")
        model.fit(texts, y, epochs=1, validation=np.float32(0.3))
        known = {texts[i][0] for i in kept}
        assert known < set(model._reader.vocab.tokens)
        assert not {texts[i][0] for i in out} & set(model._reader.vocab.tokens)
        if isinstance(model, Seq2Seq):
            assert not {texts[i][0] for i in out} & set(model._target.vocab.tokens)


def test_the_place_of_a_bad_sequence_is_that_in_the_data():
    for place in (0, 23):
        X = VECTORS.copy()
        X[place, 3] = np.nan
        with pytest.raises(ValueError, match=rf"X\[{place}\] has nan at step 3"):
            SequenceClassifier(**SMALL).fit(X, np.arange(24) % 2, validation=0.5)


def test_windows_that_are_held_out_share_no_target_with_the_others():
    model = SequenceRegressor(**SMALL, horizon=5, window=3)
    series = [np.arange(40.0), 100 + np.arange(25.0), 200 + np.arange(8.0)]
    windows, targets = model._pairs("t", series, None)
    kept, out = model._held_out("t", series, len(windows), 0.3)
    assert len(out) == round(0.3 * len(windows))
    assert not set(targets[kept].ravel()) & set(targets[out].ravel())
    gone = sorted(set(range(len(windows))) - {*kept, *out})
    assert all(set(targets[k]) & set(targets[out].ravel()) for k in gone)
    with pytest.raises(ValueError, match=r"validation is 0\.5 of 4 windows; none is left"):
        model.fit([np.arange(11.0)], validation=0.5)
    assert model.fit(series, validation=(series[:1],), epochs=1).history_.epochs == 1


def test_data_to_validate_on_may_be_a_list_and_is_not_shown_whole():
    y = np.arange(24) % 2
    models = [
        SequenceClassifier(**SMALL).fit(VECTORS, y, epochs=1, validation=kind((VECTORS, y)))
        for kind in (list, tuple)
    ]
    assert models[0].history_.validation == models[1].history_.validation
    for wrong in (VECTORS, {"X": VECTORS}, True, 3):
        with pytest.raises(ValueError, match="fit: validation is") as caught:
            models[0].fit(VECTORS, y, validation=wrong)
        assert len(str(caught.value)) < 250


# ---- settings ----


@every_model
def test_numbers_of_numpy_are_settings(kind, tmp_path):
    """They go into the checkpoint and into the file."""
    options = {"hidden_size": np.int64(8), "num_layers": np.int8(2), "bidirectional": np.bool_(False)}
    options |= {"dropout": np.float32(0.5), "seed": np.int64(3)}
    make, data, answer = MODELS[kind]
    model = make(**options)
    model.fit(
        *data, epochs=np.int64(1), lr=np.float32(0.01), validation=np.float32(0.25), checkpoint=tmp_path / "c"
    )
    model.save(tmp_path / "m")
    assert np.array_equal(answer(type(model).load(tmp_path / "m")), answer(model))


@every_model
def test_weights_begin_as_init_says(kind, tmp_path):
    """Another seed of the weights would show as well: with `init` some are drawn twice."""
    make, data, answer = MODELS[kind]
    options = {**SMALL, "cell": cells.LSTM(), "init": {"forget_bias": np.float32(50), "hidden": "zeros"}}
    model = make(**options).fit(*data, epochs=1, lr=0.0)
    network = model.network if kind == "language" else model.network_
    names = [name for name in network.params if "bias_ih" in name]
    assert names
    for name in names:
        total = network.params[name] + network.params[name.replace("_ih", "_hh")]
        units = len(total) // 4
        np.testing.assert_array_equal(total[units : 2 * units], 50)  # gates i, f, g, o
        assert not network.params[name.replace("bias_ih", "weight_hh")].any()
    model.save(tmp_path / "m")
    again = type(model).load(tmp_path / "m")
    assert again.init == {"forget_bias": 50.0, "hidden": "zeros"}
    np.testing.assert_array_equal(answer(again), answer(model))
    for wrong, message in {
        "orthogonal": "init is 'orthogonal'; expected a mapping",
        ("forget", 1): r"init has 'forget' \(did you mean 'forget_bias'\?\)",
    }.items():
        model = make(**SMALL, init=wrong if isinstance(wrong, str) else dict([wrong]))
        with pytest.raises(TypeError, match=message):
            model.fit(*data)
    with pytest.raises(ValueError, match="forget_bias needs the gate f of an LSTM"):
        make(**SMALL, init={"forget_bias": 1.0}).fit(*data)


@every_model
def test_what_is_set_after_the_training_waits_for_the_next_one(kind, tmp_path):
    model, answer = fitted(kind), MODELS[kind][2]
    before = answer(model)
    for name, value in {
        "hidden_size": 16, "pool": "mean", "bidirectional": True, "horizon": 3, "window": 2, "num_layers": 2,
        "cell": cells.LSTM(proj_size=2), "attention": None, "embedding_size": 5, "tied": True,
    }.items():  # fmt: skip
        if getattr(model, name, None) not in (None, value) or name in ("horizon", "pool"):
            setattr(model, name, value)
    np.testing.assert_array_equal(answer(model), before)
    model.save(tmp_path / "m")
    again = type(model).load(tmp_path / "m")
    np.testing.assert_array_equal(answer(again), before)
    assert again.hidden_size == 8


@every_model
def test_what_there_is_not_yet_can_be_looked_for(kind):
    model = MODELS[kind][0](**SMALL)
    for name in ("classes_", "network_", "network", "vocab", "units", "history_"):
        assert not hasattr(model, name)
    if kind in ("classifier", "tagger"):
        assert hasattr(fitted(kind), "classes_")
        with pytest.raises(RuntimeError, match="not fitted yet"):
            _ = model.classes_


@every_model
def test_a_model_is_shown_with_what_is_not_the_default(kind):
    make = type(MODELS[kind][0]())
    assert repr(make()) == f"{make.__name__}(), not fitted"
    assert repr(make(cells.LSTM(), hidden_size=8)) == f"{make.__name__}(LSTM(), hidden_size=8), not fitted"

    class Narrow(make):
        def __init__(self, size, seed=3):
            super().__init__()
            self.size, self.seed = size, seed

    assert repr(Narrow(5)) == "Narrow(size=5), not fitted"
    assert repr(Narrow(5, seed=0)) == "Narrow(seed=0, size=5), not fitted"


# ---- errors while training ----


@every_model
def test_a_disk_that_is_full_leaves_the_model_trained_so_far(kind, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "no space left on device")

    make, data, answer = MODELS[kind]
    model = make(**SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(io, "save", full)
        with pytest.raises(OSError, match="no space"):
            model.fit(*data, epochs=2, batch_size=8, checkpoint=tmp_path / "c", checkpoint_steps=2)
    assert model.history_.steps == 2
    assert len(answer(model))
    assert (model.network if kind == "language" else model.network_).frozen
    other = make(**SMALL)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        other.fit(*data, checkpoint=tmp_path / "none" / "c")
    assert not hasattr(other, "history_")


@every_model
def test_a_learning_rate_that_is_none_is_refused(kind):
    with pytest.raises(ValueError, match="lr is inf"):
        fitted(kind, lr=np.inf)
    with pytest.raises(TypeError, match="lr is 'a'"):
        fitted(kind, lr="a")


@every_model
def test_weights_that_are_not_finite_are_told_of(kind):
    model, answer = fitted(kind), MODELS[kind][2]
    network = (model.network if kind == "language" else model.network_).thaw()
    for value in network.params.values():
        value[...] = np.nan
    with pytest.raises(FloatingPointError, match="puts out numbers that are not finite"):
        answer(model)


@every_model
def test_weights_that_overflow_are_not_taken(kind, monkeypatch):
    """A second fit whose last step overflows, which no later loss tells of."""

    class Overflows(optim.Adam):
        def step(self, grads):
            super().step(grads)
            for value in self.module.params.values():
                value[...] = np.inf

    make, data, answer = MODELS[kind]
    model = fitted(kind)
    before, history = answer(model), model.history_
    where = "language_model" if kind == "language" else "_sequences"
    monkeypatch.setattr(f"fastrnn.models.{where}.Adam", Overflows)
    with pytest.raises(FloatingPointError, match=r"training ended after step 1 .* not finite"):
        model.fit(*data, epochs=1, batch_size=100)
    assert model.history_ is history
    np.testing.assert_array_equal(answer(model), before)
    monkeypatch.undo()
    first = make(**SMALL)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower the learning rate"):
        first.fit(*data, epochs=3, lr=3e38, schedule="constant", batch_size=8)
    with pytest.raises(RuntimeError, match=r"not (fitted|trained) yet"):
        answer(first)


@every_model
@pytest.mark.parametrize("again", [False, True])
def test_an_error_in_the_middle_of_the_training_changes_nothing(kind, again):
    calls = iter(range(22))  # 17 to compare it with others, 5 steps

    def schedule(done):
        if next(calls, None) is None:
            raise ValueError("no factor")
        return 1.0

    make, data, answer = MODELS[kind]
    model = fitted(kind) if again else make(**SMALL)
    before = answer(model) if again else None
    with pytest.raises(ValueError, match="no factor"):
        model.fit(*data, epochs=3, batch_size=8, schedule=schedule)
    if again:
        np.testing.assert_array_equal(answer(model), before)
        assert model.history_.epochs == 1
        assert (model.network if kind == "language" else model.network_).frozen
    else:
        assert not hasattr(model, "history_")


@every_model
def test_the_best_weights_and_the_history_outlive_an_overflow(kind, monkeypatch):
    """Ordinary steps, of which the first epoch's are the best; then NaN."""
    make, data, _ = MODELS[kind]
    step, calls = optim.clip_grad_norm_, []

    def norm(grads, max_norm):
        calls.append(1)
        return step(grads, max_norm) if len(calls) <= 2 * per_epoch else np.nan

    per_epoch = fitted(kind, validation=0.25).history_.steps
    losses = iter([1.0, 2.0])
    monkeypatch.setattr("fastrnn.train.loop.clip_grad_norm_", norm)
    target = "fastrnn.models.language_model._mean_nats"
    if kind == "language":
        monkeypatch.setattr(target, lambda *_: next(losses))
    else:
        monkeypatch.setattr(make(**SMALL).__class__, "_validate", lambda *_: (next(losses), 0.0))
    model = make(**SMALL)
    with pytest.raises(FloatingPointError, match="norm of the gradients is nan"):
        model.fit(*data, epochs=3, batch_size=8, validation=0.25, patience=3, schedule="constant")
    assert model.history_.steps == 2 * per_epoch
    calls.clear()
    losses = iter([1.0])
    best = make(**SMALL).fit(*data, epochs=1, batch_size=8, validation=0.25, patience=3, schedule="constant")
    for name, value in params(best).items():
        assert params(model)[name].tobytes() == value.tobytes()
    assert (model.network if kind == "language" else model.network_).frozen


# ---- memory ----


def test_one_long_sequence_does_not_make_the_others_long():
    lengths = np.array([10] * 127 + [20_000])
    for batches in (
        _sequences.together([np.zeros(n) for n in lengths], 128),
        *(Buckets(lengths, 128).epoch(k) for k in range(2)),
    ):
        assert sorted(np.concatenate(batches)) == list(range(128))
        assert sum(len(b) * lengths[b].max() for b in batches) < 1.5 * lengths.sum()
    assert len(Buckets(lengths, 128)) == len(Buckets(lengths, 128).epoch(0)) == 2
    model = SequenceClassifier(**SMALL).fit(VECTORS, np.arange(24) % 2, epochs=1)
    X = [np.zeros((n, 2)) for n in lengths]
    tracemalloc.start()
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("part", [None, 0.3])
def test_windows_are_scaled_as_if_each_were_there(part):
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((n, 2)).cumsum(0) + [1e6, 0] for n in (40, 9, 25)]
    model = SequenceRegressor(**SMALL, horizon=2, window=7)
    windows, targets = model._pairs("t", series, None)
    kept = np.arange(len(windows)) if part is None else model._held_out("t", series, len(windows), part)[0]
    copies = [np.array(x) for x in windows]
    assert all(
        np.array_equal(series[i][start : start + 9], np.concatenate([x, after]))
        for x, after, (i, start) in zip(copies, targets, windows.places, strict=True)
    )
    expected, arrays = _inputs.learn(
        "t", copies, "auto", standardize=True, lowercase=True, min_count=1, kept=kept
    )
    found, pieces = _inputs.learn(
        "t", windows, "auto", standardize=True, lowercase=True, min_count=1, kept=kept
    )
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-9)
    np.testing.assert_allclose(np.stack(pieces), np.stack(arrays), atol=1e-6)
    model.fit(series, epochs=1, validation=part)
    np.testing.assert_array_equal(model._reader.scale, found.scale)
    if part is None:  # a series at its end is read as its last window was in the training
        read = model._reader.read("t", model._pairs("t", series[:1], None)[0])
        assert read[-1].tobytes() == model._reader.read("t", [series[0][31:38]])[0].tobytes()


def test_windows_of_a_long_series_take_little_memory(monkeypatch):
    """The series is 0.16 MB, its windows are 31 MB."""

    class Begins(Exception):
        pass

    def begins(*_, **__):
        raise Begins

    monkeypatch.setattr(_sequences, "fit", begins)
    series = np.random.default_rng(0).standard_normal(20_000)
    model = SequenceRegressor(**SMALL, horizon=1, window=200)
    tracemalloc.start()
    with pytest.raises(Begins):
        model.fit([series])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15e6


# ---- data ----


def test_masked_arrays_are_refused():
    y, X = np.arange(24) % 2, np.ma.array(VECTORS)
    SequenceClassifier(**SMALL).fit(X, y, epochs=1)  # nothing is masked
    X[3, 2, 0] = np.ma.masked
    with pytest.raises(ValueError, match=r"X\[3\] is a masked array of which 1 are masked"):
        SequenceClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="y is a masked array"):
        SequenceRegressor(**SMALL).fit(VECTORS, np.ma.array(y, mask=y))
    with pytest.raises((ValueError, TypeError), match="y"):
        SequenceClassifier(**SMALL).fit(VECTORS, np.ma.array(y, mask=y))


@pytest.mark.parametrize("labels", [[-1, 2**63], ["a", "a\0"], [0, 2**70], ["a", 1], [True, False], [-5, 3]])
def test_labels_are_what_they_were(labels, tmp_path):
    model = SequenceClassifier(**SMALL).fit(VECTORS, labels * 12, epochs=1)
    assert sorted(map(repr, model.classes_.tolist())) == sorted(map(repr, labels))
    model.save(tmp_path / "m")
    assert SequenceClassifier.load(tmp_path / "m").classes_.tolist() == model.classes_.tolist()


def test_labels_that_are_equal_and_differ_are_refused():
    with pytest.raises(TypeError, match="booleans beside integers"):
        SequenceClassifier(**SMALL).fit(VECTORS, [True, 1, 0] * 8)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([10**12, 1], "the id 1000000000000 in 4 steps.*inputs='vectors'"),
        (np.array([2**63, 1], np.uint64), r"X\[0\] has the id 9223372036854775808; expected .* less than"),
    ],
)
def test_quantities_are_not_taken_for_ids(ids, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(**SMALL).fit([ids, [1, 0]], [0, 1])
    assert SequenceClassifier(**SMALL).fit([[30_000, 1], [1, 0]], [0, 1], epochs=1)._reader.size == 30_001


# ---- going on ----


@pytest.mark.parametrize("other", ["targets", "held out"])
def test_a_run_goes_on_with_the_same_data_alone(other, tmp_path):
    y = VECTORS.sum((1, 2))
    fit = {"epochs": 1, "checkpoint": tmp_path / "c", "resume": True}
    held = (VECTORS + 1, y) if other == "held out" else None
    for _ in range(2):
        SequenceRegressor(**SMALL).fit(VECTORS, y, validation=held, **fit)
    data, held = (y, (held[0], y + 1)) if held else (y[::-1], None)
    with pytest.raises(ValueError, match="had other data"):
        SequenceRegressor(**SMALL).fit(VECTORS, data, validation=held, **fit)


def test_a_tagger_counts_steps():
    assert fitted("tagger").history_.tokens == 24 * 5
    assert fitted("classifier").history_.tokens == 24
