"""Classifier, tagger, regressor: what they learn, their bits, files and errors."""

import os
import signal
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import CELLS

import fastrnn
from fastrnn import cells, io
from fastrnn.models import SequenceClassifier, SequenceRegressor, SequenceTagger
from fastrnn.models._network import SequenceNetwork

SMALL = {"hidden_size": 16, "seed": 3}


def order_of_two(n, seed=0):
    """Ids 2 to 9, with one 0 and one 1 somewhere: which came first?"""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        ids = rng.integers(2, 10, rng.integers(4, 12))
        first, second = np.sort(rng.choice(len(ids), 2, replace=False))
        label = int(rng.integers(2))
        ids[first], ids[second] = label, 1 - label
        X.append(ids)
        y.append(["zero", "one"][label])
    return X, y


def parity(n, seed=0):
    """The tag of a step: whether an odd number of positive values came until then."""
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((rng.integers(1, 9), 1)) for _ in range(n)]
    return X, [[("even", "odd")[k] for k in (x[:, 0] > 0).cumsum() % 2] for x in X]


SENTENCES = ["bật đèn lên", "mở đèn đi", "trời hôm nay thế nào", "hôm nay trời có mưa không"]
INTENTS = ["đèn", "đèn", "thời tiết", "thời tiết"]


WAVES = [1000 + 30 * np.sin(np.arange(length) / 4 + phase) for length, phase in [(200, 0), (140, 1)]]


@pytest.fixture(scope="module")
def classifier():
    X, y = order_of_two(400)
    return SequenceClassifier(hidden_size=32).fit(X, y, epochs=25)


@pytest.fixture(scope="module")
def tagger():
    X, y = parity(300)
    return SequenceTagger(**SMALL).fit(X, y, epochs=40, lr=0.02)


def bits(model):
    return {name: value.tobytes() for name, value in model.network_.params.items()}


@pytest.fixture(scope="module")
def forecaster():
    return SequenceRegressor(**SMALL, horizon=8, window=24).fit(WAVES, epochs=15, validation=0.2)


# ---- learning ----


def test_the_order_of_two_tokens_is_learned(classifier):
    assert classifier.score(*order_of_two(200, seed=1)) > 0.95
    assert classifier.classes_.tolist() == ["one", "zero"]


def test_parity_is_tagged(tagger):
    X, y = parity(100, seed=1)
    assert tagger.score(X, y) > 0.95
    tags = tagger.predict(X)
    assert [len(row) for row in tags] == [len(x) for x in X]
    assert set(np.concatenate(tags)) == {"even", "odd"}


def test_the_mean_of_a_series_is_learned():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(3, 12), 2)) for _ in range(300)]
    y = np.array([500 + 100 * x.mean(0) for x in X])
    model = SequenceRegressor(**SMALL, pool="mean").fit(X[:250], y[:250], epochs=40)
    assert model.score(X[250:], y[250:]) > 0.95
    assert model.predict(X[250:]).shape == (50, 2)
    single = SequenceRegressor(**SMALL).fit(X, y[:, 0], epochs=1)
    assert single.predict(X[:7]).shape == (7,)


def test_score_of_a_regressor_is_that_of_the_definition(forecaster):
    model = SequenceRegressor(**SMALL).fit(np.eye(6), np.arange(6.0), epochs=3)
    y, found = np.arange(6.0) ** 2, model.predict(np.eye(6))
    expected = 1 - np.square(y - found).sum() / np.square(y - y.mean()).sum()
    assert model.score(np.eye(6), y) == pytest.approx(expected, rel=1e-5)


def test_a_wave_is_forecast(forecaster):
    forecast = forecaster.predict([WAVES[0][:100], WAVES[1][:30]])
    assert forecast.shape == (2, 8)
    assert np.abs(forecast[0] - WAVES[0][100:108]).max() < 5
    assert np.abs(forecast[1] - WAVES[1][30:38]).max() < 5
    assert forecaster.score(WAVES) > 0.98
    assert forecaster.history_.validation_score[-1] > 0.98


def test_a_forecast_looks_at_its_window_alone(forecaster):
    long = np.concatenate([np.zeros(50), WAVES[0][:24]])
    assert forecaster.predict([long]).tobytes() == forecaster.predict([WAVES[0][:24]]).tobytes()


def test_forecasts_of_several_features():
    two = np.stack([WAVES[0], WAVES[0][::-1]], 1)
    model = SequenceRegressor(**SMALL, horizon=3, window=10).fit([two], epochs=1)
    assert model.predict([two, two[:10]]).shape == (2, 3, 2)
    with pytest.raises(
        ValueError, match=r"predict: X\[1\] has 9 steps; .* windows of 10: give at least as many"
    ):
        model.predict([two, two[:9]])


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("inputs", ["words", "characters"])
def test_sentences_in_vietnamese(pool, inputs):
    model = SequenceClassifier(**SMALL, pool=pool, inputs=inputs, bidirectional=True)
    model.fit(SENTENCES * 8, INTENTS * 8, epochs=15, lr=0.02)
    assert model.predict(["Mở đèn lên", "trời mưa không"]).tolist() == ["đèn", "thời tiết"]


def test_accents_written_either_way_are_one():
    import unicodedata

    model = SequenceClassifier(**SMALL).fit(SENTENCES * 4, INTENTS * 4, epochs=2)
    apart = [unicodedata.normalize("NFD", text) for text in SENTENCES]
    assert apart != SENTENCES
    assert model.predict_proba(apart).tobytes() == model.predict_proba(SENTENCES).tobytes()


def test_labels_stay_what_they_are():
    x = np.random.default_rng(0).standard_normal((12, 5))
    for labels in ([3, -7, 40], ["a", "bé", "c"], [True, False, True], [1, "a", "b"]):
        model = SequenceClassifier(**SMALL).fit(x, labels * 4, epochs=1)
        assert set(model.classes_.tolist()) == set(labels)
        assert set(model.predict(x).tolist()) <= set(labels)


def test_one_array_is_as_many_sequences():
    x = np.random.default_rng(0).standard_normal((20, 6))
    y = (x.sum(1) > 0).astype(int)
    models = [SequenceClassifier(**SMALL).fit(X, y, epochs=2) for X in (x, x[..., None], list(x))]
    assert bits(models[0]) == bits(models[1]) == bits(models[2])


@pytest.mark.parametrize("cell", [cells.LSTM(), cells.GRU(), cells.LSTM(proj_size=3)], ids=str)
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_the_network_has_the_gradient_of_differences(cell, pool):
    options = {"embedding_size": None, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    network = SequenceNetwork(3, 2, cell, **options, dropout=0.0, pool=pool, rng=0)
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((6, 3, 3)).astype(np.float32), np.array([6, 2, 4])
    weight = rng.standard_normal((3, 2)).astype(np.float32)
    _, tape = network.forward(x, lengths)
    grads = network.backward(tape, weight)
    for name in ("out.weight", "rnn.weight_ih_l0", "rnn.weight_ih_l1_reverse"):
        value = network.params[name]
        direction = rng.standard_normal(value.shape).astype(np.float32)
        ends, before = [], value.copy()
        for sign in (1, -1):
            value[...] = before + sign * np.float32(1e-2) * direction
            ends.append(float((network(x, lengths) * weight).sum(dtype=np.float64)))
        value[...] = before
        expected = float((grads[name] * direction).sum(dtype=np.float64))
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(expected, rel=0.05, abs=0.02)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_any_cell_learns(cell):
    X, y = order_of_two(100)
    model = SequenceClassifier(cell, hidden_size=24, bidirectional=True).fit(X, y, epochs=8)
    assert np.mean(model.history_.loss[-4:]) < model.history_.loss[0]


@pytest.mark.parametrize("cell", [cells.LSTM(), cells.GRU()], ids=str)
def test_last_is_the_end_of_both_directions(cell):
    options = {"embedding_size": None, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    network = SequenceNetwork(3, 2, cell, **options, dropout=0.0, pool="last", rng=0)
    x, lengths = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32), [6, 4]
    y, _ = network.rnn(x, lengths=lengths)
    ends = np.stack([np.concatenate([y[n - 1, b, :4], y[0, b, 4:]]) for b, n in enumerate(lengths)])
    np.testing.assert_array_equal(network(x, np.array(lengths)), network.out(ends))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_options_train_save_and_predict_row_by_row(data):
    """Whatever the input and the options: a file keeps the model, and a sequence does not know its batch."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = rng.integers(1, 9, 12)
    X = {
        "vectors": lambda n: rng.standard_normal((n, 2)),
        "ids": lambda n: rng.integers(0, 5, n),
        "words": lambda n: " ".join(rng.choice(["xin", "chào", "bạn"], n)),
        "characters": lambda n: "".join(rng.choice(list("ắềữ đ"), n)),
        "tokens": lambda n: rng.choice(["a b", "Ă", "ừ"], n).tolist(),
    }
    inputs = draw(st.sampled_from(sorted(X)))
    X = [X[inputs](n) for n in lengths]
    options = {
        "inputs": inputs,
        "hidden_size": draw(st.integers(4, 9)),
        "num_layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.5])),
        "standardize": draw(st.booleans()),
    }
    kind = draw(st.sampled_from([SequenceClassifier, SequenceRegressor, SequenceTagger]))
    if kind is SequenceTagger:
        y = [rng.integers(0, 2, n) for n in lengths]
        y[0][:] = 0
        y[1][:] = 1
    else:
        options["pool"] = draw(st.sampled_from(["last", "mean", "max"]))
        y = np.arange(12) % 2 if kind is SequenceClassifier else rng.standard_normal(12)
    cell = draw(st.sampled_from(CELLS))
    model = kind(cell, **options).fit(X, y, epochs=1, batch_size=draw(st.integers(1, 12)), validation=0.3)
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "m"))
        again = kind.load(os.path.join(folder, "m"))
    together = model.predict(X) if kind is SequenceRegressor else model.predict_proba(X)
    one_by_one = again.predict if kind is SequenceRegressor else again.predict_proba
    for x, expected in zip(X, together, strict=True):
        assert one_by_one([x])[0].tobytes() == expected.tobytes()
    assert np.isfinite(again.score(X, y))


# ---- bits ----


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequence_alone_has_the_bits_it_has_in_a_batch(pool, bidirectional):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(1, 30), 3)) for _ in range(300)]
    model = SequenceClassifier(**SMALL, num_layers=2, pool=pool, bidirectional=bidirectional)
    model.fit(X, [len(x) % 3 for x in X], epochs=1)
    together = model.predict_proba(X)
    with fastrnn.num_threads(2):
        assert model.predict_proba(X).tobytes() == together.tobytes()
    for i in range(0, 300, 23):
        assert model.predict_proba(X[i : i + 1]).tobytes() == together[i].tobytes()


def test_the_mean_of_one_unit_is_summed_in_order():
    """NumPy sums one column otherwise than the column of a matrix."""
    network = SequenceNetwork(
        1, 2, cells.GRU(), embedding_size=None, hidden_size=1, num_layers=1, bidirectional=False, dropout=0.0,
        pool="mean", rng=0,
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((50, 20, 1)).astype(np.float32)
    together = network(x, np.full(20, 50))
    for row in range(20):
        alone = network(x[:, row : row + 1], np.array([50]))
        assert alone.tobytes() == together[row].tobytes()


def test_the_reference_predicts_the_same_bits(classifier):
    X, _ = order_of_two(5, seed=4)
    with fastrnn.backend("reference"):
        reference = classifier.predict_proba(X)
    assert reference.tobytes() == classifier.predict_proba(X).tobytes()


def test_tags_of_a_sequence_alone_have_the_bits_they_have_in_a_batch(tagger):
    X, _ = parity(200, seed=5)
    for x, together in zip(X[:20], tagger.predict_proba(X), strict=False):
        assert tagger.predict_proba([x])[0].tobytes() == together.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_seed_same_bits(threads):
    X, y = order_of_two(60)

    def train(threads, seed=0):
        model = SequenceClassifier(hidden_size=8, num_layers=2, dropout=0.2, seed=seed)
        with fastrnn.num_threads(threads):
            model.fit(X, y, epochs=2, validation=0.2)
        return bits(model), model.history_.loss, model.history_.validation

    assert train(threads) == train(1)
    assert train(1) != train(1, seed=1)


# ---- stopping and going on ----


def quick(model, path=None, **options):
    X, y = order_of_two(40)
    # 32 sequences are 4 batches an epoch; 3 epochs are 12 steps
    return model.fit(X, y, epochs=3, batch_size=8, validation=0.2, patience=2, checkpoint=path, **options)


def new(kind=SequenceClassifier):
    return kind(hidden_size=8, num_layers=2, dropout=0.3, seed=2)


def interrupted_at(monkeypatch, step):
    """Ctrl-C within the gradient of a step, after dropout was drawn."""
    backward, calls = SequenceNetwork.backward, []

    def interrupting(self, tape, doutputs):
        calls.append(1)
        if len(calls) == step + 1:
            signal.raise_signal(signal.SIGINT)
        return backward(self, tape, doutputs)

    monkeypatch.setattr(SequenceNetwork, "backward", interrupting)


@pytest.mark.parametrize("every", [None, 1, 5])
@pytest.mark.parametrize("step", range(12))
def test_a_run_that_goes_on_ends_in_the_same_bits(monkeypatch, tmp_path, step, every):
    whole = quick(new())
    with monkeypatch.context() as patch:
        interrupted_at(patch, step)
        with pytest.warns(
            UserWarning, match=f"SequenceClassifier.fit: interrupted after step {step} of 12; "
        ):
            stopped = quick(new(), tmp_path / "run.npz", checkpoint_steps=every)
    assert stopped.history_.stopped == f"interrupted after step {step} of 12"
    again = quick(new(), tmp_path / "run.npz", checkpoint_steps=every, resume=True)
    assert bits(again) == bits(whole)
    for name in ("loss", "norm", "lr", "validation", "tokens", "stopped"):
        assert getattr(again.history_, name) == getattr(whole.history_, name)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(monkeypatch, tmp_path):
    class Killed(BaseException):
        pass

    def killed(self, tape, doutputs):
        if len(steps) == 7:
            raise Killed
        steps.append(1)
        return backward(self, tape, doutputs)

    steps, backward = [], SequenceNetwork.backward
    with monkeypatch.context() as patch:
        patch.setattr(SequenceNetwork, "backward", killed)
        with pytest.raises(Killed):
            quick(new(), tmp_path / "run.npz", checkpoint_steps=3)
    assert len(io.load(tmp_path / "run.npz").arrays["history.loss"]) == 6
    again = quick(new(), resume=tmp_path / "run.npz")
    assert bits(again) == bits(quick(new()))


def test_interrupted_training_leaves_the_model_trained_so_far(monkeypatch):
    X, y = order_of_two(40)
    with monkeypatch.context() as patch:
        interrupted_at(patch, 7)
        with pytest.warns(UserWarning, match="the model is that of this step") as warned:
            model = new().fit(X, y, epochs=3, batch_size=8)
    assert warned[0].filename == __file__
    assert model.history_.steps == 7
    assert model.predict(X[:2]).shape == (2,)


def test_early_stopping_restores_the_best(monkeypatch):
    """Labels that are noise: the validation loss soon rises."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 5, 2)), rng.integers(0, 2, 60)
    held = rng.standard_normal((40, 5, 2)), rng.integers(0, 2, 40)
    options = {"validation": held, "lr": 0.02, "schedule": "constant"}
    model = SequenceClassifier(**SMALL).fit(X, y, epochs=60, patience=4, **options)
    history = model.history_
    assert history.epochs < 60
    assert history.epochs == history.best_epoch + 5
    assert "none of the last 4 epochs had a lower validation loss than epoch" in history.stopped
    best = SequenceClassifier(**SMALL).fit(X, y, epochs=history.best_epoch + 1, **options)
    assert bits(model) == bits(best)
    assert model.score(*held) == history.validation_score[history.best_epoch]


# ---- files ----


@pytest.mark.parametrize("cell", [cells.LSTM(), cells.LSTM.variant("CIFG"), cells.MGU()], ids=str)
def test_a_loaded_model_is_the_saved_one(cell, tmp_path):
    X, y = order_of_two(30)
    for inputs in (X, [[str(i) for i in x] for x in X], [" ".join(map(str, x)) for x in X]):
        model = SequenceClassifier(cell, **SMALL, num_layers=2, pool="mean").fit(inputs, y, epochs=1)
        model.save(tmp_path / "m.npz")
        again = SequenceClassifier.load(tmp_path / "m.npz")
        assert again.cell == cell
        assert again.classes_.tolist() == model.classes_.tolist()
        assert again.predict_proba(inputs).tobytes() == model.predict_proba(inputs).tobytes()
        again.save(tmp_path / "again.npz")
        assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


def test_a_loaded_tagger_is_the_saved_one(tagger, tmp_path):
    X, _ = parity(5, seed=9)
    tagger.save(tmp_path / "m.npz")
    again = SequenceTagger.load(tmp_path / "m.npz")
    for one, other in zip(tagger.predict_proba(X), again.predict_proba(X), strict=True):
        assert one.tobytes() == other.tobytes()
    with pytest.raises(io.FileFormatError, match="'SequenceTagger', not a SequenceClassifier"):
        SequenceClassifier.load(tmp_path / "m.npz")


def test_a_loaded_regressor_is_the_saved_one(forecaster, tmp_path):
    forecaster.save(tmp_path / "m.npz")
    again = SequenceRegressor.load(tmp_path / "m.npz")
    assert again.predict(WAVES).tobytes() == forecaster.predict(WAVES).tobytes()
    assert again.score(WAVES) == forecaster.score(WAVES)


@pytest.mark.parametrize("change", [{"shape": [10**9]}, {"shape": [-1]}, {"shape": 8}, None], ids=str)
def test_damaged_targets_are_refused(forecaster, tmp_path, change):
    forecaster.save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    io.save(tmp_path / "bad.npz", arrays, **{**meta, "targets": change})
    with pytest.raises(io.FileFormatError, match=r"bad\.npz"):
        SequenceRegressor.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 10**7},
        {"num_layers": 10**6},
        {"embedding_size": "8"},
        {"bidirectional": True},
        {"pool": "first"},
        {"cell": {"name": "Cell"}},
        {"cell": None},
        {"reads": {"kind": "ids", "size": 10**8}},
        {"reads": {"kind": "pictures"}},
        {"reads": {"kind": "vectors"}},
        {"targets": {"labels": ["a"]}},
        {"targets": {"labels": [1.5, 2]}},
        {"targets": None},
        {"version": 2},
    ],
    ids=str,
)
def test_damaged_settings_are_refused(classifier, tmp_path, change):
    classifier.save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    io.save(tmp_path / "bad.npz", arrays, **{**meta, **change})
    with pytest.raises(io.FileFormatError, match=r"bad\.npz"):
        SequenceClassifier.load(tmp_path / "bad.npz")


def test_a_file_cannot_ask_for_more_memory_than_it_has(classifier, tmp_path):
    """With 200,000 units, and one feature, the weights of the input are small; those of h are not."""
    classifier.save(tmp_path / "m.npz")
    _, meta = io.load(tmp_path / "m.npz")
    huge = 200_000
    arrays = {
        "network.rnn.weight_ih_l0": np.zeros((3 * huge, 1), np.float32),
        "network.out.weight": np.zeros((2, huge), np.float32),
        "inputs.mean": np.zeros(1),
        "inputs.scale": np.ones(1),
    }
    io.save(tmp_path / "bad.npz", arrays, **{**meta, "hidden_size": huge, "reads": {"kind": "vectors"}})
    with pytest.raises(io.FileFormatError, match="weight_hh_l0"):
        SequenceClassifier.load(tmp_path / "bad.npz")


# ---- errors ----

GOOD = [np.ones((3, 2)), np.ones((5, 2)), np.ones((1, 2)), np.zeros((2, 2))]
LABELS = [0, 1, 0, 1]
NAN = [*GOOD[:2], np.array([[1, 2], [np.nan, 1]]), GOOD[3]]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (NAN, LABELS, r"fit: X\[2\] has nan at step 1; fill the gap"),
        ([*GOOD[:3], np.zeros((0, 2))], LABELS, r"X\[3\] is empty \(shape \(0, 2\)\); leave it out"),
        ([*GOOD[:3], np.zeros((2, 3))], LABELS, r"X\[3\] has 3 features \(shape \(2, 3\)\); expected 2"),
        ([*GOOD[:3], np.zeros((2, 3, 4))], LABELS, r"X\[3\] has shape \(2, 3, 4\); expected \(T, F\)"),
        ([*GOOD[:3], np.zeros((2, 2), complex)], LABELS, r"X\[3\] is complex128; expected real numbers"),
        (GOOD, LABELS[:3], "X has 4 sequences, and y has 3 targets"),
        (GOOD, None, "y is None"),
        (GOOD, [0, 0, 0, 0], "y has 1 different label"),
        (GOOD, [0.5, 1.5, 0, 1], r"y\[0\] is 0.5, a float; expected labels .* SequenceRegressor"),
        (GOOD, np.eye(4), r"y has shape \(4, 4\); .* of one-hot rows give y.argmax\(-1\)"),
        (GOOD, "abab", "y is 'abab'"),
        ([], [], "X is empty"),
        ("a text", LABELS, "X is a single str"),
        (np.ones(4), LABELS, r"X has shape \(4,\); .* one sequence is a list of one"),
        (np.ones((4, 3, 2), int), LABELS, "ids have one axis, and vectors are floats"),
        ({1: 2}, LABELS, "X is a dict"),
        ([[0, 1], [2, -3], [1], [1]], LABELS, r"X\[1\] has the id -3"),
        (["a b", "a", "b", "  "], LABELS, r"X\[3\] has no words: '  '"),
        (["a", "b", "c", "d"], LABELS, "none of the words of X occurs min_count=2 times"),
        (["a b", "a", "b", 7], LABELS, r"X\[3\] is an int; expected a str"),
    ],
)
def test_bad_data_is_refused_by_name(X, y, message):
    model = SequenceClassifier(**SMALL)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, y)
    with pytest.raises(RuntimeError, match=r"not fitted yet; call fit\(X, y\)"):
        model.predict(GOOD)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": -1}, "lr is -1"),
        ({"schedule": "cosin"}, "schedule is 'cosin'; .*did you mean 'cosine'"),
        ({"schedule": 3}, "schedule is 3"),
        ({"schedule": "plateau"}, "schedule='plateau' looks at the validation loss; give a validation set"),
        ({"patience": 3}, "patience looks at the validation loss"),
        ({"patience": 0, "validation": 0.5}, "patience is 0"),
        ({"validation": 1.5}, "validation is 1.5"),
        ({"validation": (GOOD,)}, "validation has 1 parts"),
        ({"validation": (GOOD, [0, 1, 0, 7])}, r"validation y\[3\] is 7, which was not among the labels"),
        ({"validation": (NAN, LABELS)}, r"validation X\[2\] has nan at step 1"),
        ({"resume": True}, "resume=True needs a file; give checkpoint=path"),
        ({"checkpoint_steps": 3}, "checkpoint_steps needs a file"),
    ],
)
def test_bad_options_are_refused(options, message):
    model = SequenceClassifier(**SMALL)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(GOOD, LABELS, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "first"}, "pool is 'first'; expected one of last, mean, max"),
        ({"inputs": "images"}, "inputs is 'images'"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"dropout": 2.0}, "dropout is 2.0"),
        ({"cell": "GUR"}, "cell is 'GUR'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SequenceClassifier(**options).fit(GOOD, LABELS)


def test_what_the_model_does_not_know_is_refused(classifier):
    with pytest.raises(ValueError, match=r"score: y\[0\] is 'two', which was not among .* 'one', 'zero'"):
        classifier.score([[0, 1]], ["two"])
    with pytest.raises(ValueError, match=r"predict: X\[1\] has the id 50; the model was fitted to ids less"):
        classifier.predict([[0, 1], [50]])


@pytest.mark.parametrize(
    ("settings", "X", "y", "message"),
    [
        ({}, GOOD, ["a", "b", "c", "d"], "y is <U1 of shape"),
        ({}, GOOD, [1, 2, np.inf, 3], r"y\[2\] has inf"),
        ({}, GOOD, [[1], [2, 3], [1], [1]], "y is not readable as an array"),
        ({"horizon": 2}, GOOD, LABELS, "y is given; with horizon the targets are the next steps"),
        ({"horizon": 2}, GOOD, None, r"X\[0\] has shape \(3, 2\); expected at least window \+ horizon = 34"),
        ({"horizon": 2, "inputs": "words"}, GOOD, None, "inputs is 'words'; horizon forecasts vectors"),
        ({"horizon": 0}, GOOD, None, "horizon is 0"),
    ],
)
def test_bad_numbers_are_refused(settings, X, y, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SequenceRegressor(**settings).fit(X, y)


@pytest.mark.parametrize("sequence", [1, None, b"ab", np.array("a"), iter("ab"), {"a": 1}, [["a"]]])
def test_what_is_no_list_of_tokens_is_refused_by_name(sequence):
    with pytest.raises(TypeError, match=r"fit: X\[1\] is .*; expected a list of strings, the tokens"):
        SequenceClassifier(inputs="tokens").fit([["a", "a"], sequence], [0, 1])


@pytest.mark.parametrize("min_count", [1, 2])
def test_an_empty_token_is_refused_by_name(min_count):
    with pytest.raises(ValueError, match=r"fit: X\[1\] has an empty token at step 2"):
        SequenceClassifier(inputs="tokens", min_count=min_count).fit([["a", "a"], ("a", "b", "")], [0, 1])


def test_tokens_may_be_arrays_and_tuples():
    rows = [["a", "b"], ["b", "a"]] * 4
    models = [
        SequenceClassifier(inputs="tokens", hidden_size=4).fit(
            [kind(row) for row in rows], [0, 1] * 4, epochs=1
        )
        for kind in (list, tuple, np.array)
    ]
    assert len({model.predict_proba(rows).tobytes() for model in models}) == 1


def test_tags_are_as_many_as_steps():
    with pytest.raises(ValueError, match=r"y\[1\] has 1 labels, and its sequence 5 steps"):
        SequenceTagger().fit(GOOD[:2], [[0, 1, 0], [1]])


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    quick(new(), tmp_path / "run.npz")
    for model, options, message in [
        (new(), {"lr": 0.5}, "had lr=0.01, this one has 0.5"),
        (new(), {"max_norm": 0.5}, "had max_norm=1.0, this one has 0.5"),
        (SequenceClassifier(hidden_size=9, seed=2), {}, "had hidden_size=8, this one has 9"),
    ]:
        with pytest.raises(ValueError, match=message):
            quick(model, tmp_path / "run.npz", resume=True, **options)
    model = SequenceClassifier(hidden_size=8, num_layers=2, dropout=0.3, seed=2)
    X, y = order_of_two(40, seed=1)
    with pytest.raises(ValueError, match="resume: the run of"):
        model.fit(X, y, epochs=3, batch_size=8, validation=0.2, patience=2, resume=tmp_path / "run.npz")
    io.save(tmp_path / "other.npz", {"a": np.zeros(3)})
    with pytest.raises(io.FileFormatError, match="expected a checkpoint"):
        quick(new(), resume=tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        quick(new(), resume=tmp_path / "none.npz")


def test_a_forecaster_keeps_the_names_of_its_columns(tmp_path):
    series = np.random.default_rng(0).standard_normal((30, 2))
    model = SequenceRegressor(hidden_size=4, horizon=2, window=5).fit([series], epochs=1)
    assert model.columns_ is None
    model.columns_ = ["load", "wind"]
    model.save(tmp_path / "m.npz")
    assert SequenceRegressor.load(tmp_path / "m.npz").columns_ == ["load", "wind"]
    with pytest.raises(ValueError, match=r"columns_ is \['load'\]; expected 2 names, one for each feature"):
        model.columns_ = ["load"]
    contents = io.load(tmp_path / "m.npz")
    del contents.meta["targets"]["columns"]  # as files were written before
    io.save(tmp_path / "old.npz", contents.arrays, **contents.meta)
    assert SequenceRegressor.load(tmp_path / "old.npz").columns_ is None
    assert model.fit([series], epochs=1).columns_ is None
    again = SequenceRegressor.load(tmp_path / "m.npz").fit([series[:, :1]], epochs=1)
    again.save(tmp_path / "again.npz")
    assert SequenceRegressor.load(tmp_path / "again.npz").columns_ is None
