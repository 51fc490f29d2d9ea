"""What models and optimisers say of themselves, and of names that they do not have."""

import os
import signal

import numpy as np
import pytest

import fastrnn
from fastrnn import cells, nn, optim
from fastrnn.models import LanguageModel, Seq2Seq, SequenceClassifier, SequenceRegressor, SequenceTagger

X, Y = ["a b", "c d"] * 4, [0, 1] * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: SequenceClassifier(hiden_size=3),
            r"SequenceClassifier: .* 'hiden_size' \(did you mean 'hidden_size'",
        ),
        (
            lambda: SequenceTagger(units=3),
            "SequenceTagger: there is no argument 'units'; here it is 'hidden_size'",
        ),
        (
            lambda: SequenceClassifier(peepholes="ifo"),
            r"option of the cell: cell=cells.LSTM\(peepholes=...\)",
        ),
        (lambda: SequenceClassifier(cells.GRU(), clip=1), r"cell=cells.GRU\(clip=...\)"),
        (lambda: Seq2Seq(epochs=3), "Seq2Seq: .* 'epochs'; it is an argument of fit"),
        (lambda: LanguageModel(learning_rate=3), "LanguageModel: there is no argument 'learning_rate'$"),
        (
            lambda: SequenceClassifier().fit(X, Y, epoch=3),
            r"SequenceClassifier.fit: .* \(did you mean 'epochs'\?\)",
        ),
        (lambda: SequenceRegressor().fit(X, Y, validation_split=0.1), "here it is 'validation'"),
        (
            lambda: LanguageModel().fit("abc", verbose=1),
            "LanguageModel.fit: .* 'verbose'; here it is 'progress'",
        ),
        (lambda: SequenceClassifier().fit(X, Y, dropout=0.1), "it is an argument of the constructor"),
        (
            lambda: SequenceClassifier().predict(X, batch_size=2),
            "SequenceClassifier.predict: .* 'batch_size'",
        ),
        (lambda: Seq2Seq().translate(X, num_beams=2), "Seq2Seq.translate: .* here it is 'beam_size'"),
        (
            lambda: LanguageModel().generate("the", max_new_tokens=3),
            "LanguageModel.generate: .* 'max_new_tokens'; here it is 'length'",
        ),
        (lambda: LanguageModel().generate("the", temprature=3), r"\(did you mean 'temperature'\?\)"),
        (lambda: LanguageModel().generate("the", random_state=3), "here it is 'seed'"),
        (lambda: LanguageModel().next("the", n=3), "LanguageModel.next: there is no argument 'n'"),
        (lambda: LanguageModel().fill("a _", num_beams=3), "LanguageModel.fill: .* 'num_beams'"),
        (lambda: LanguageModel().rank(["a"], txts=["a"]), r"LanguageModel.rank: .* \(did you mean 'texts'"),
        (lambda: LanguageModel().conversation(random_state=3), "LanguageModel.conversation: .* 'seed'"),
        (lambda: optim.Adam(nn.Linear(2, 3), learning_rate=1), "Adam: .* 'learning_rate'; here it is 'lr'"),
        (lambda: optim.SGD(nn.Linear(2, 3), momemtum=1), r"SGD: .* \(did you mean 'momentum'\?\)"),
        (lambda: nn.LSTM(2, 3, seed=1), "LSTM: there is no argument 'seed'; here it is 'rng'"),
    ],
)
def test_unknown_arguments_are_answered_with_what_was_meant(call, message):
    with pytest.raises(TypeError, match=message):
        call()


class _Fixed(optim.Adam):
    def __init__(self, module, lr=0.5):
        super().__init__(module, lr=lr, betas=(0.8, 0.9))


class _HandsOn(_Fixed):
    def __init__(self, module, **options):
        super().__init__(module, **options)


class _Small(SequenceClassifier):
    def __init__(self, cell=None):
        super().__init__(cell, hidden_size=3)

    def predict(self, X):
        return super().predict(X=X)


def test_a_subclass_may_take_fewer_arguments_than_it_gives():
    linear = nn.Linear(2, 3)
    assert _Fixed(linear, lr=2.0).betas == _HandsOn(linear, lr=2.0).betas == (0.8, 0.9)
    assert _Small(cell=cells.GRU()).hidden_size == 3
    for kind in (_Fixed, _HandsOn):
        with pytest.raises(TypeError, match=f"{kind.__name__}: there is no argument 'betas'"):
            kind(linear, betas=(0.1, 0.2))
    with pytest.raises(TypeError, match="_Small: there is no argument 'hidden_size'"):
        _Small(hidden_size=4)
    with pytest.raises(RuntimeError, match="not fitted yet"):
        _Small().predict(X)
    with pytest.raises(TypeError, match=r"_Small.predict: there is no argument 'Z'"):
        _Small().predict(Z=X)


class _Rewarded(SequenceClassifier):
    def __init__(self, cell=None, bonus=1.0, **options):
        super().__init__(cell, **options)
        self.bonus = bonus

    def score(self, X, y=None):
        return super().score(X, y) + self.bonus

    def _validate(self, *arguments):
        loss, score = super()._validate(*arguments)
        return loss, score + self.bonus


class _OneLine(LanguageModel):
    def __init__(self):
        super().__init__(hidden_size=3, embedding_size=2, num_layers=1)
        self.greeting = "hello"


class _Sized(SequenceClassifier):
    def __init__(self, cell=None, **options):
        super().__init__(cell, hidden_size=3, **options)


class _Titled(SequenceClassifier):
    def __init__(self, title, **options):
        super().__init__(**options)
        self.title = title


@pytest.mark.parametrize("model", [_Sized(dropout=0.25), _Titled("a", hidden_size=3, dropout=0.25)])
def test_subclasses_that_set_options_or_want_their_own_are_loaded(model, tmp_path):
    model.fit(X, Y, epochs=1).save(tmp_path / "m.npz")
    again = type(model).load(tmp_path / "m.npz")
    assert (again.hidden_size, again.dropout) == (3, 0.25)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_subclass_is_fitted_and_loaded(tmp_path):
    model = _Small().fit(X, [0, 1] * (len(X) // 2), epochs=1)
    assert type(model) is _Small
    model.save(tmp_path / "small.npz")
    again = _Small.load(tmp_path / "small.npz")
    assert (type(again), again.hidden_size) == (_Small, 3)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert "hidden_size=3" in repr(again)
    model = _Rewarded(bonus=5.0, hidden_size=3).fit(X, Y, epochs=1, validation=0.25)
    assert model.score(X, Y) >= 5
    assert model.history_.validation_score[0] >= 5
    model.save(tmp_path / "rewarded.npz")
    again = _Rewarded.load(tmp_path / "rewarded.npz")
    assert (again.hidden_size, again.bonus) == (
        3,
        1.0,
    )  # the latter is in no file
    assert again.score(X, Y) == model.score(X, Y) - 4
    line = _OneLine().fit("the cat sat on the mat. " * 20, epochs=1, batch_size=2, chunk_size=8)
    line.save(tmp_path / "line.npz")
    again = _OneLine.load(tmp_path / "line.npz")
    assert type(again) is _OneLine
    assert again.greeting == "hello"
    assert again.generate("the", 5, temperature=0) == line.generate("the", 5, temperature=0)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (SequenceClassifier, "train", "has no attribute 'train': fit trains the model"),
        (SequenceClassifier, "eval", "there are no modes"),
        (SequenceClassifier, "evaluate", "score"),
        (SequenceClassifier, "history_", "the model is not fitted yet"),
        (SequenceClassifier, "predct", "did you mean 'predict'"),
        (Seq2Seq, "predict", "translate"),
        (LanguageModel, "perplexity", "score"),
    ],
)
def test_missing_attributes_are_answered_with_the_way_here(kind, name, message):
    assert not hasattr(kind(), name)
    with pytest.raises(AttributeError, match=message):
        getattr(kind(), name)


def test_models_and_histories_show_themselves_in_a_line():
    model = SequenceClassifier(cells.LSTM(peepholes="ifo"), hidden_size=4, min_count=1)
    shown = "SequenceClassifier(LSTM(peepholes='ifo'), hidden_size=4, min_count=1)"
    assert repr(model) == f"{shown}, not fitted"
    assert repr(model.fit(X, Y, epochs=2, batch_size=4, validation=(X, Y), seconds=1e9)) == f"{shown}, fitted"
    assert repr(model.history_).startswith("History: 2 epochs; 4 steps; loss 0.")
    assert "; best validation loss 0." in repr(model.history_)
    assert repr(LanguageModel(unit="words")) == "LanguageModel(unit='words'), not fitted"
    stopped = model.fit(X, Y, seconds=0).history_
    assert (
        repr(stopped) == "History: 0 epochs; 0 steps; stopped: the time limit of 0 s came after step 0 of 30"
    )


@pytest.fixture
def _interrupted(monkeypatch):
    monkeypatch.setattr(SequenceClassifier, "_gradient", lambda *_: signal.raise_signal(signal.SIGINT))


@pytest.mark.usefixtures("_interrupted")
def test_ctrl_c_in_the_fit_of_a_model_is_warned_of():
    with pytest.warns(UserWarning, match="interrupted after step 0 of 30") as warned:
        SequenceClassifier(hidden_size=4).fit(X, Y)
    assert [w.filename for w in warned] == [__file__]


@pytest.mark.usefixtures("_interrupted")
def test_ctrl_c_ends_the_fit_of_an_estimator():
    pytest.importorskip("sklearn")
    from fastrnn import sklearn

    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        sklearn.RNNClassifier(hidden_size=4).fit(X, Y)


def test_ctrl_c_after_early_stopping_is_warned_of_and_ends_the_fit_of_an_estimator(monkeypatch):
    """It comes when the best weights are put back."""
    pytest.importorskip("sklearn")
    from fastrnn import sklearn

    def loaded(self, mapping, *args, **options):
        signal.raise_signal(signal.SIGINT)
        return load(self, mapping, *args, **options)

    load = nn.Module.load_state_dict
    monkeypatch.setattr(nn.Module, "load_state_dict", loaded)
    options = {"hidden_size": 4, "epochs": 50, "lr": 1.0, "patience": 1, "validation": (X, Y)}
    y = np.random.default_rng(0).integers(0, 2, 8).tolist()
    match = "it had no lower validation loss.*; interrupted after step"
    with pytest.warns(UserWarning, match=match), pytest.raises(KeyboardInterrupt, match=match):
        sklearn.RNNClassifier(**options).fit(X, y)


def test_texts_without_a_known_token_are_warned_of_once():
    model = SequenceClassifier(hidden_size=4).fit(X, Y, epochs=1)
    message = r"SequenceClassifier.predict: the model knows no words of X\[1\], X\[2\]; "
    with pytest.warns(UserWarning, match=message) as warned:
        assert model.predict(["a x", "x", "y z"]).shape == (3,)
    assert [w.filename for w in warned] == [__file__]
    with pytest.warns(
        UserWarning, match=r"Seq2Seq.translate: the model knows no words of X\[0\]; "
    ) as warned:
        Seq2Seq(hidden_size=4).fit(X, X, epochs=1).translate(["x"])
    assert [w.filename for w in warned] == [__file__]
    with pytest.warns(UserWarning, match=r"SequenceClassifier.score: .* of X\[1\]; ") as warned:
        model.score(["a", "x"], [0, 1])
    assert [w.filename for w in warned] == [__file__]
    vectors = SequenceClassifier(hidden_size=4).fit(np.zeros((8, 2, 1)), Y, epochs=1)
    assert vectors.predict(np.zeros((1, 2, 1))).shape == (1,)  # no texts, no warning


def test_warnings_name_the_line_outside_of_the_package():
    """With options, which the methods look at, and through the estimators."""
    pytest.importorskip("sklearn")
    from fastrnn import sklearn

    texts = {"hidden_size": 4, "epochs": 1}
    model, estimator = LanguageModel(hidden_size=4), sklearn.RNNClassifier(**texts).fit(X, Y)
    model.fit("abc " * 50, epochs=1)
    for call in (
        lambda: model.generate("xyz", length=3, seed=0),
        lambda: model.generate("xyz", 3),
        lambda: SequenceClassifier(hidden_size=4).fit(X, Y, epochs=1).predict(X=["x"]),
        lambda: estimator.predict(["x"]),
        lambda: estimator.predict_proba(["x"]),
        lambda: estimator.score(["x"], [0]),
    ):
        with pytest.warns(UserWarning, match=r"known to the model|the model knows no") as warned:
            call()
        inside = os.path.dirname(fastrnn.__file__) + os.sep
        assert not [w.filename for w in warned if w.filename.startswith(inside)]


def test_one_is_no_plural():
    with pytest.raises(ValueError, match=r"LSTM: x has 1 axis \(shape"):
        nn.LSTM(2, 3)(np.zeros(2, np.float32))
    y = np.random.default_rng(0).integers(0, 2, 8).tolist()
    history = (
        SequenceClassifier(hidden_size=4).fit(X, y, epochs=50, patience=1, lr=1.0, validation=(X, Y)).history_
    )
    assert "it had no lower validation loss than epoch" in history.stopped
