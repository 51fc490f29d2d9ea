"""The estimators of scikit-learn: its own checks, what X may be, searches, and the bits of the models."""

import importlib
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastrnn.sklearn
from fastrnn import cells
from fastrnn.models import SequenceClassifier, SequenceRegressor
from fastrnn.sklearn import RNNClassifier, RNNRegressor
from fastrnn.train import History

SMALL = {"hidden_size": 8, "epochs": 3}


def walks(n, seed=0):
    """Ragged walks of two features; which way did each go, and how far?"""
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((rng.integers(3, 9), 2)).cumsum(0) for _ in range(n)]
    return X, np.array([("left", "right")[int(x[-1, 0] > 0)] for x in X]), np.array([x[-1, 0] for x in X])


# They pass with the defaults too, which take longer.
@pytest.mark.peers
@parametrize_with_checks(
    [RNNClassifier(hidden_size=8, epochs=10, lr=0.03), RNNRegressor(hidden_size=16, epochs=40, lr=0.03)]
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_a_table_is_as_many_steps_of_one_feature():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 6))
    y = X[:, 2] > 0
    table, sequences, ragged = (
        RNNClassifier(**SMALL).fit(x, y) for x in (X, X[..., None], list(X[..., None]))
    )
    assert table.n_features_in_ == 6
    assert not hasattr(sequences, "n_features_in_")
    probabilities = [m.predict_proba(X[..., None]).tobytes() for m in (table, sequences, ragged)]
    assert len(set(probabilities)) == 1
    assert table.predict_proba(X).tobytes() == probabilities[0]
    assert sequences.predict(X[:, :4]).shape == (40,)  # of any length
    with pytest.raises(ValueError, match="X has 4 features, but RNNClassifier is expecting 6"):
        table.predict(X[:, :4])
    assert not hasattr(table.fit(X[..., None], y), "n_features_in_")
    assert table.predict(X[:, :4]).shape == (40,)


def test_the_bits_are_those_of_the_models():
    X, y, far = walks(40)
    options = {"hidden_size": 8, "num_layers": 2, "dropout": 0.2, "bidirectional": True, "pool": "mean"}
    ours = RNNClassifier("LSTM", **options, epochs=3, validation=0.2, patience=2, random_state=5).fit(X, y)
    model = SequenceClassifier(cells.LSTM(), **options, seed=5).fit(
        X, y, epochs=3, validation=0.2, patience=2
    )
    assert ours.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    assert ours.history_.loss == model.history_.loss
    assert ours.predict(X).tolist() == model.predict(X).tolist()
    assert ours.n_iter_ == 3
    regressor = RNNRegressor(**SMALL, random_state=5).fit(X, far)
    expected = SequenceRegressor(hidden_size=8, seed=5).fit(X, far, epochs=3).predict(X)
    assert regressor.predict(X).tobytes() == expected.tobytes()


def test_every_parameter_reaches_the_model():
    """Each, with another value than the default, is told to the model or to its fit."""
    other = {
        "cell": "MGU", "hidden_size": 5, "num_layers": 2, "bidirectional": True, "dropout": 0.5,
        "init": {"forget_bias": 1.0}, "pool": "max", "inputs": "ids", "embedding_size": 7, "min_count": 3,
        "lowercase": False, "standardize": False, "epochs": 2, "batch_size": 7, "lr": 0.5,
        "schedule": "constant", "max_norm": 0.1, "validation": 0.3, "patience": 1, "random_state": 9,
    }  # fmt: skip
    assert set(other) == set(RNNClassifier().get_params())
    assert all(other[name] != value for name, value in RNNClassifier().get_params().items())

    class Recorder:
        history_ = History()

        def __init__(self, cell, **options):
            told.update(options, cell=type(cell).__name__)

        def fit(self, X, y, **options):
            told.update(options)
            return self

    class Estimator(RNNClassifier):
        _model = Recorder

    told = {}
    Estimator(**other).fit(np.arange(12).reshape(6, 2), [0, 1] * 3)
    assert told == {**{k: v for k, v in other.items() if k != "random_state"}, "seed": 9}


def test_random_states():
    X, y, _ = walks(20)

    def bits(state):
        return RNNClassifier(**SMALL, random_state=state).fit(X, y).predict_proba(X).tobytes()

    assert bits(np.random.RandomState(3)) == bits(np.random.RandomState(3)) != bits(0)
    assert bits(None) != bits(None)


def test_texts_and_ids():
    texts, y = ["bật đèn lên", "mở đèn đi", "trời mưa không", "hôm nay mưa"] * 5, [1.5, 1.5, 2.5, 2.5] * 5
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        RNNClassifier(inputs="words").fit(texts, y)
    y = ["đèn", "đèn", "mưa", "mưa"] * 5
    model = RNNClassifier(inputs="words", hidden_size=16).fit(texts, y)
    assert model.predict(["mở đèn", "trời mưa"]).tolist() == ["đèn", "mưa"]
    ids = np.arange(40).reshape(20, 2) % 4
    assert RNNClassifier(inputs="ids", **SMALL).fit(ids, y).model_.network_.embedded
    assert not RNNClassifier(**SMALL).fit(ids, y).model_.network_.embedded


@pytest.mark.parametrize("form", ["list", "tuple", "strings", "objects", "tokens", "column"])
def test_texts_are_known_as_such(form):
    """Without inputs, in every form in which texts come, as the model takes a list of them."""
    texts, y = ["turn on the light", "light on please", "is it raining", "rain today"] * 4, [1, 1, 2, 2] * 4
    forms = {
        "list": list,
        "tuple": tuple,
        "strings": np.array,
        "objects": lambda x: np.array(x, object),
        "tokens": lambda x: [text.split() for text in x],
        "column": lambda x: pytest.importorskip("pandas").DataFrame({"text": x}, range(7, 7 + len(x)))[
            "text"
        ],
    }
    X = forms[form](texts)
    ours = RNNClassifier(**SMALL).fit(X, y)
    model = SequenceClassifier(hidden_size=8).fit(texts, [i - 1 for i in y], epochs=3)
    assert ours.predict_proba(X).tobytes() == model.predict_proba(texts).tobytes()
    assert not hasattr(ours, "n_features_in_")
    column = SequenceClassifier(hidden_size=8).fit(X, [i - 1 for i in y], epochs=3)
    assert column.predict_proba(X).tobytes() == model.predict_proba(texts).tobytes()
    assert RNNRegressor(**SMALL).fit(X, y).predict(X[:2]).shape == (2,)
    assert cross_val_score(RNNClassifier(**SMALL), X, y, cv=2, error_score="raise").shape == (2,)


def test_several_numbers_of_ragged_sequences():
    X, _, far = walks(60)
    y = np.stack([far, [x.mean() for x in X]], 1)
    model = RNNRegressor(hidden_size=16).fit(X, y)
    assert model.predict(X).shape == (60, 2)
    assert model.score(X, y) > 0.8


def test_a_search_over_cells_in_two_processes():
    """Both processes find the same as this one would, and the best is fitted again."""
    X, y, _ = walks(48)
    grid = {"cell": ["RNN", "LSTM", cells.GRU(reset="before")], "hidden_size": [4]}
    scores = []
    for jobs in (1, 2):
        search = GridSearchCV(RNNClassifier(epochs=8), grid, cv=2, n_jobs=jobs, error_score="raise").fit(X, y)
        scores.append(search.cv_results_["mean_test_score"].tolist())
        assert search.best_score_ > 0.7
    assert scores[0] == scores[1]
    assert search.predict(X).shape == (48,)


def test_pipelines_and_clones():
    X, y, _ = walks(40)
    halves = FunctionTransformer(lambda X: [x[::2] for x in X])
    lstm = RNNClassifier(cell=cells.LSTM(peepholes="ifo"), hidden_size=8)
    pipeline = make_pipeline(halves, lstm)
    pipeline.fit(X, y)
    assert pipeline.score(X, y) > 0.7
    again = clone(pipeline)
    assert again[-1].cell == cells.LSTM(peepholes="ifo")
    assert not hasattr(again[-1], "model_")
    again.set_params(rnnclassifier__cell="RNN")
    assert again.get_params()["rnnclassifier__cell"] == "RNN"
    fitted = pickle.loads(pickle.dumps(pipeline[-1]))
    assert fitted.predict_proba(X).tobytes() == pipeline[-1].predict_proba(X).tobytes()
    table = np.stack([x[:3, 0] for x in X])
    assert cross_val_score(make_pipeline(StandardScaler(), RNNClassifier(**SMALL)), table, y, cv=2).shape == (
        2,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "LSMT"}, r"RNNClassifier: cell is 'LSMT' \(did you mean 'LSTM'\?\); expected .* IndRNN"),
        ({"cell": 3}, "cell is an int; expected a cell such as"),
        ({"pool": "first"}, "pool is 'first'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 2}, "patience looks at the validation loss"),
    ],
)
def test_bad_parameters_are_refused_by_fit(options, message):
    X, y, _ = walks(6)
    model = RNNClassifier(**options)
    assert model.get_params()[next(iter(options))] == next(iter(options.values()))
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, y)


def test_bad_data_is_refused():
    X, _, far = walks(6)
    with pytest.raises(ValueError, match="y has one class, left"):
        RNNClassifier().fit(X, np.array(["left"] * 6))
    with pytest.raises(ValueError, match="X has 6 sequences, and y has 5 targets"):
        RNNClassifier().fit(X, ["left", "right", "left", "right", "left"])
    X[2][1, 0] = np.nan
    with pytest.raises(ValueError, match=r"X\[2\] has nan at step 1"):
        RNNRegressor().fit(X, far)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    X, y = np.random.default_rng(0).standard_normal((12, 4)), ["left", "right"] * 6
    model = RNNClassifier(**SMALL).fit(X, y)
    before, known = dict(vars(model)), model.predict(X)
    for wrong in (["up", "down"] * 5, ["up"] * 12):
        with pytest.raises(ValueError, match="y has"):
            model.fit(np.ones((12, 3)), wrong)
        assert vars(model) == before
    with pytest.raises(ValueError, match="y has"):
        model.fit([np.ones((k, 2)) for k in range(1, 13)], ["up"] * 12)
    assert vars(model) == before
    assert (model.predict(X) == known).all()
    with pytest.raises(ValueError, match="epochs is 0"):
        model.set_params(epochs=0).fit(X[:, :3], ["up", "down"] * 6)
    assert (model.predict(X) == known).all()
    far = RNNRegressor(**SMALL).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="y has"):
        far.fit(X[:, :3], np.ones(5))
    assert far.n_features_in_ == 4
    unfitted = RNNClassifier()
    with pytest.raises(ValueError, match="y has one class"):
        unfitted.fit(X, ["up"] * 12)
    assert not [name for name in vars(unfitted) if name[-1] == "_"]


class _Small(RNNClassifier):
    def __init__(self, hidden_size=8):
        super().__init__(hidden_size=hidden_size, epochs=3)


def test_a_subclass_may_have_fewer_parameters():
    X, y, _ = walks(20)
    small = clone(_Small()).fit(X, y)
    assert (small.predict_proba(X) == RNNClassifier(**SMALL).fit(X, y).predict_proba(X)).all()
    assert small.get_params() == {"hidden_size": 8}
    with pytest.raises(TypeError, match="_Small: there is no argument 'epochs'"):
        _Small(epochs=2)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "fastrnn.sklearn")
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[sklearn\]"'):
        importlib.import_module("fastrnn.sklearn")


def test_it_is_found_from_the_package():
    assert fastrnn.sklearn.RNNClassifier is RNNClassifier


def test_what_is_validated_on_is_read_as_what_is_learned():
    X, y, _ = walks(40)
    fit = {**SMALL, "validation": (X[30:], y[30:])}
    ours = RNNClassifier(**fit).fit(X[:30], y[:30])
    numbers = (y == "right").astype(int)
    model = SequenceClassifier(hidden_size=8).fit(
        X[:30], numbers[:30], epochs=3, validation=(X[30:], numbers[30:])
    )
    assert ours.history_.validation == model.history_.validation
    for pair in (tuple, list):
        others = pair([X[30:], numbers[30:] + 1])
        shifted = RNNClassifier(**{**fit, "validation": others}).fit(X[:30], numbers[:30] + 1)
        assert shifted.history_.validation == model.history_.validation
    with pytest.raises(ValueError, match=r"validation y\[1\] is 'up', not one of y's labels, left, right"):
        RNNClassifier(**{**fit, "validation": (X[:2], ["left", "up"])}).fit(X, y)
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(np.random.default_rng(0).standard_normal((30, 4)))
    ours = RNNRegressor(**{**SMALL, "validation": (table[20:], table[0][20:])}).fit(table[:20], table[0][:20])
    assert len(ours.history_.validation) == 3


def test_a_table_of_texts_is_answered_with_its_column():
    texts, y = ["a b", "b a"] * 4, [0, 1] * 4
    with pytest.raises(ValueError, match=r"RNNClassifier: X is a table of 1 column, with strings; .* X\[:, "):
        RNNClassifier(**SMALL).fit(np.array(texts)[:, None], y)
    assert len(RNNClassifier(**SMALL, inputs="tokens").fit(np.array(texts)[:, None], y).classes_) == 2
    with pytest.raises(ValueError, match=r"X\[0\] is missing \(nan\): fill it or leave it out"):
        RNNClassifier(**SMALL).fit([float("nan"), *texts[1:]], y)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(
        ValueError, match=r"X is a table of 1 column, with strings; .* X\['text'\]; or inputs"
    ):
        RNNClassifier(**SMALL).fit(pandas.DataFrame({"text": texts}), y)
