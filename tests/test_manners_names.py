"""Names that are nearly right, cells by their names, and what a model says of itself."""

import re
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn import _checks, _hints, cells, models, nn
from fastrnn.models import LanguageModel, Seq2Seq, SequenceClassifier, SequenceRegressor, SequenceTagger
from fastrnn.train import History
from fastrnn.train.epochs import _out_of_patience

X, Y = ["a b", "b a", "a a", "b b"] * 2, [0, 1, 0, 1] * 2


def test_the_cell_comes_first_in_the_repr_of_a_model_from_a_file(tmp_path):
    cell = cells.LSTM(peepholes="ifo")
    model = SequenceTagger(cell, hidden_size=4, bidirectional=True)
    model.fit([["a", "b"]] * 4, [[0, 1]] * 4, epochs=1).save(tmp_path / "m.npz")
    shown = repr(models.load(tmp_path / "m.npz"))
    assert shown == repr(model) == f"SequenceTagger({cell!r}, hidden_size=4, bidirectional=True), fitted"


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("GUR", ["RNN", "LSTM", "MGU", "GRU"], "GRU"),
        ("lsmt", ["RNN", "LSTM", "MGU", "GRU"], "LSTM"),
        ("CIGF", ["NIG", "NFG", "CIFG", "FGR"], "CIFG"),
        ("temp", ["until", "temperature", "top_k"], "temperature"),
        ("adam", ["SGD", "RMSprop", "Adam", "AdamW"], "Adam"),
        ("x", ["xylophone"], ""),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(name, known, meant):
    assert _checks.nearest(name, known) == (f" (did you mean {meant!r}?)" if meant else "")


@pytest.mark.parametrize("kind", [cells.LSTM, nn.LSTM], ids=["cell", "layer"])
def test_a_variant_that_is_nearly_one(kind):
    with pytest.raises(ValueError, match=r"name is 'CIGF' \(did you mean 'CIFG'\?\); expected one of"):
        kind.variant("CIGF", **({"input_size": 2, "hidden_size": 3} if kind is nn.LSTM else {}))


@pytest.mark.parametrize("cell", ["LSTM", "lstm"])
def test_models_take_cells_by_name(cell, tmp_path):
    model = SequenceClassifier(cell, hidden_size=4)
    assert repr(model) == f"SequenceClassifier({cell!r}, hidden_size=4), not fitted"
    model.fit(X, Y, epochs=1).save(tmp_path / "m.npz")
    assert model.cell == models.load(tmp_path / "m.npz").cell == cells.LSTM()
    other = SequenceClassifier(cells.LSTM(), hidden_size=4).fit(X, Y, epochs=1)
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_every_model_takes_cells_by_name():
    small = {"hidden_size": 4}
    assert SequenceTagger("MGU", **small).fit(X, [[0, 1]] * 8, epochs=1).cell == cells.MGU()
    assert SequenceRegressor("mgu", **small).fit(X, Y, epochs=1).cell == cells.MGU()
    assert Seq2Seq("MGU", **small).fit(X, X, epochs=1).cell == cells.MGU()
    assert LanguageModel("MGU", **small).fit("ab" * 50, epochs=1).cell == cells.MGU()
    for kind, data in ((SequenceClassifier, (X, Y)), (LanguageModel, ("ab" * 50,))):
        with pytest.raises(ValueError, match=rf"{kind.__name__}.fit: cell is 'GUR' \(did you mean 'GRU'\?\)"):
            kind("GUR").fit(*data)


@pytest.mark.parametrize("kind", [SequenceClassifier, LanguageModel])
def test_dropout_of_everything_is_refused(kind):
    data = ("ab" * 50,) if kind is LanguageModel else (X, Y)
    with pytest.raises(ValueError, match=r"fit: dropout is 1.0, with which nothing is learned; .* such as"):
        kind(dropout=1.0).fit(*data)


def test_a_second_fit_says_what_the_model_was_made_with():
    model = LanguageModel(hidden_size=4).fit("ab" * 50, epochs=1)
    model.hidden_size = 9
    with pytest.raises(ValueError, match="hidden_size is 9 now, and the model was made with 4; a second"):
        model.fit("ab" * 50)
    model.hidden_size, model.cell = 4, cells.MGU()
    with pytest.raises(ValueError, match=r"cell is MGU\(\) now, and the model was made with GRU\(\);"):
        model.fit("ab" * 50)


def test_a_checkpoint_of_another_ending_is_refused_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(SequenceClassifier, "_gradient", None)
    with pytest.raises(ValueError, match=r"path is .*run\.ckpt'; save writes \.npz and \.safetensors"):
        SequenceClassifier().fit(X, Y, checkpoint=tmp_path / "run.ckpt")


def test_a_table_of_texts_is_answered_with_its_column():
    column = np.array(X)[:, None]
    for table in (column, column.astype(object)):
        with pytest.raises(ValueError, match=r"fit: X is a table of 1 column, with strings; .* X\[:, 0\]"):
            SequenceClassifier().fit(table, Y)
        with pytest.raises(TypeError, match=r"X\[0\] is .* expected a str; of a table give the column"):
            SequenceClassifier(inputs="characters").fit(table, Y)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r"X is a table; give the column of the sequences, X\['text'\]; or"):
        SequenceClassifier().fit(pandas.DataFrame({"text": X, "n": Y}), Y)


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float64("nan")])
@pytest.mark.parametrize("at", [0, 3])
def test_texts_that_are_missing_are_named(nothing, at):
    texts = [*X[:at], nothing, *X[at + 1 :]]
    message = rf"X\[{at}\] is missing \({nothing}\): fill it or leave it out"
    for given in (texts, np.array(texts, dtype=object)):
        with pytest.raises(ValueError, match=f"SequenceClassifier.fit: {message}"):
            SequenceClassifier().fit(given, Y)
    with pytest.raises(ValueError, match=f"SequenceClassifier.predict: {message}"):
        SequenceClassifier(hidden_size=4).fit(X, Y, epochs=1).predict(texts)


@pytest.mark.parametrize(
    ("model", "data", "counts"),
    [
        (SequenceClassifier(hidden_size=4), (X, Y), "sequences"),
        (SequenceTagger(hidden_size=4), (X, [[0, 1]] * 8), "steps"),
        (Seq2Seq(hidden_size=4), (X, X), "tokens"),
        (LanguageModel(hidden_size=4), (X * 4,), "characters"),
        (LanguageModel(hidden_size=4, unit="words"), (X * 4,), "words"),
    ],
    ids=["classifier", "tagger", "translator", "characters", "words"],
)
def test_progress_and_history_say_what_they_count(model, data, counts, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    history = model.fit(*data, epochs=2, validation=0.25, progress=True).history_
    shown = capsys.readouterr().err.splitlines()[-1]
    number = r"\d\.\d{3,4}"  # of four digits
    assert re.search(rf": loss {number}, validation {number}, [\d,]+ {counts} a second$", shown), shown
    measure = "perplexity" if isinstance(model, LanguageModel) else "score"
    assert re.search(rf"best validation loss [\d.]+, {measure} [\d.e-]+, after epoch \d", repr(history))


def test_what_ended_a_training_early_is_plain():
    history = History(steps_per_epoch=2, loss=[1.0] * 8, validation=[(1, 0), (0.5, 0), (0.6, 0), (0.7, 0)])
    assert _out_of_patience(history, 3) == ""
    assert _out_of_patience(history, 2) == (
        "after epoch 4: none of the last 2 epochs had a lower validation loss than epoch 2, "
        "whose weights are kept"
    )


def test_the_name_of_a_file_is_no_text():
    with pytest.raises(
        ValueError, match=r"fit: text has 8 characters, 'book.txt'; it reads like the name of"
    ):
        LanguageModel().fit("book.txt")
    with pytest.raises(ValueError, match="it reads like the name of a file: give its content"):
        LanguageModel().fit("/shelf/my books/a long name of a book.TXT", validation=0.1)
    with pytest.raises(ValueError, match=r"fit: validation has 8 characters, 'more.txt'"):
        LanguageModel().fit("see book.txt\nor " * 20, validation="more.txt")
    LanguageModel(hidden_size=4).fit("see book.txt\nor " * 20 + "book.txt", epochs=1)


def test_texts_of_which_nothing_is_known_are_warned_of_by_the_estimator():
    pytest.importorskip("sklearn")
    from fastrnn.sklearn import RNNClassifier

    estimator = RNNClassifier(hidden_size=4, epochs=1).fit(X, Y)
    for call in (estimator.predict, estimator.predict_proba, lambda x: estimator.score(x, [0, 1])):
        with pytest.warns(
            UserWarning, match=r"^RNNClassifier\.predict.*: the model knows no words of X\[0\]; "
        ) as w:
            call(["x", "a"])
        assert len(w) == 1


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda: fastrnn.lstm, r"module 'fastrnn' has no attribute 'lstm' \(did you mean 'LSTM'\?\)"),
        (lambda: fastrnn.optim.adam, r"'fastrnn.optim' has no attribute 'adam' \(did you mean 'Adam'\?\)"),
        (lambda: models.SequenceClasifier, r"did you mean 'SequenceClassifier'\?"),
        (lambda: nn.LSTM(2, 3).to("cuda"), "no attribute 'to': arrays are NumPy's, on the CPU"),
        (lambda: fastrnn.zzz, "module 'fastrnn' has no attribute 'zzz'$"),
    ],
)
def test_names_that_are_nearly_right(look, message):
    with pytest.raises(AttributeError, match=message):
        look()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(2, 3, forget_bias=1), r"LSTM: .* 'forget_bias'; .*: init={'forget_bias': \.\.\.}"),
        (lambda: nn.Recurrent(cells.GRU(), 2, 3, chrono=9), r"Recurrent: .*: init={'chrono': \.\.\.}"),
        (lambda: SequenceClassifier(forget_bias=1), r"SequenceClassifier: .*: init={'forget_bias': \.\.\.}"),
        (lambda: LanguageModel().generate(temp=3), r"'temp' \(did you mean 'temperature'\?\)"),
    ],
)
def test_arguments_that_go_elsewhere(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_what_goes_into_init_is_there():
    assert set(_hints._OF_INIT) <= set(nn.init.Options.__annotations__)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, x: layer(x, length=[1]), r"LSTM: .* 'length' \(did you mean 'lengths'\?\)"),
        (lambda layer, x: layer(x, hx=None), "LSTM: there is no argument 'hx'; here it is 'state'"),
        (lambda layer, x: layer.forward(x, initial_state=None), "LSTM.forward: .*; here it is 'state'"),
    ],
)
def test_calls_of_layers_in_the_words_of_others(call, message):
    with pytest.raises(TypeError, match=message):
        call(nn.LSTM(2, 3), np.zeros((4, 1, 2), np.float32))
