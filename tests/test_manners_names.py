"""Names that are nearly right, cells by their names, and what a model says of itself."""

import numpy as np
import pytest

from fastrnn import _checks, cells, models, nn
from fastrnn.models import LanguageModel, Seq2Seq, SequenceClassifier, SequenceRegressor, SequenceTagger

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
