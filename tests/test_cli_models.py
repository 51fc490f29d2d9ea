"""train, predict, score, translate and inspect: files in, files out, errors that name the line."""

import csv
import json
import os
import re
import signal
import sys
import threading
import types
import warnings

import numpy as np
import pytest

from fastrnn import cli, io, models
from fastrnn.cli import _data

MESSAGES = [
    ("turn on the light", "light"),
    ("light on, please", "light"),
    ("bật đèn lên", "light"),
    ("is it raining", "weather"),
    ("rain today?", "weather"),
    ("có mưa không", "weather"),
] * 3
TINY = ["--hidden", 12, "--embedding", 8, "--quiet"]


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def wrong(capsys, *arguments):
    """The one line that a command ends with."""
    assert run(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("fastrnn: ")


def write_table(path, rows, header=("text", "label"), delimiter=","):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows] if header else rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def messages(folder):
    return write_table(folder / "messages.csv", MESSAGES)


@pytest.fixture(scope="module")
def intents(folder, messages):
    path = folder / "intents.npz"
    assert run("train", "--task", "classifier", messages, "-o", path, *TINY, "--min-count", 1) == 0
    return path


@pytest.fixture(scope="module")
def speaker(folder):
    (folder / "lines.txt").write_text("the sun is up\nthe moon is up\n\n" * 12, encoding="utf-8")
    path = folder / "speaker.npz"
    kind = ["--task", "language-model", "--sentences", "--unit", "words", "--layers", 1]
    assert run("train", *kind, folder / "lines.txt", "-o", path, *TINY, "--epochs", 30, "--lr", 0.02) == 0
    return path


def test_a_table_becomes_a_classifier(messages, intents, tmp_path, capsys):
    assert run("predict", intents, messages) == 0
    assert capsys.readouterr().out.split() == [label for _, label in MESSAGES]
    assert run("score", intents, messages) == 0
    assert capsys.readouterr().out == f"accuracy 1.0000 of {len(MESSAGES)} inputs\n"
    assert models.load(intents).hidden_size == 12


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "txt", "npz", "npy"])
def test_predictions_are_written_as_the_ending_says(intents, messages, tmp_path, ending):
    path = tmp_path / f"out.{ending}"
    odds = ["--probabilities"] if ending in ("csv", "tsv", "jsonl") else []
    assert run("predict", intents, messages, "-o", path, *odds) == 0
    expected = [label for _, label in MESSAGES]
    if ending in ("npz", "npy"):
        found = np.load(path)
        assert (found if ending == "npy" else found["prediction"]).tolist() == expected
        return
    text = path.read_text(encoding="utf-8")
    if ending == "txt":
        assert text.splitlines() == expected
        return
    if ending == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(text.splitlines(), delimiter="," if ending == "csv" else "\t"))
    assert [row["prediction"] for row in rows] == expected
    assert [row["input"] for row in rows] == [message for message, _ in MESSAGES]
    assert float(rows[0]["p(light)"]) + float(rows[0]["p(weather)"]) == pytest.approx(1, abs=1e-6)


def test_a_score_says_what_is_wrong(intents, speaker, tmp_path, capsys):
    rows = [("light on, please", "light"), ("is it raining", "light"), ("rain today?", "weather")]
    table = write_table(tmp_path / "a.csv", rows)
    assert run("score", intents, table, "--errors") == 0
    assert capsys.readouterr().out == (
        "accuracy 0.6667 of 3 inputs\n"
        "label\tthere\tright\ttaken for\nlight\t2\t1\tweather (1)\nweather\t1\t1\t\n"
        f"{table}:3: light, predicted weather: 'is it raining'\n"
    )
    numbers = tmp_path / "n.jsonl"
    lines = [{"text": [0.1, k], "label": "ab"[k % 2]} for k in range(8)]
    numbers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("train", "--task", "classifier", numbers, "-o", tmp_path / "n.npz", *TINY) == 0
    assert run("score", tmp_path / "n.npz", numbers, "--errors") == 0
    assert re.search(r"n.jsonl:\d: [ab], predicted [ab]: 2 steps", capsys.readouterr().out)
    for arguments in ([speaker, table], [speaker, table, "--rank"]):
        assert "--errors is of a classifier or a tagger" in wrong(capsys, "score", *arguments, "--errors")
    tags = write_table(tmp_path / "t.csv", [("a b", "X Y"), ("b a", "Y X")] * 4, ("tokens", "tags"))
    model = tmp_path / "m.npz"
    assert run("train", "--task", "tagger", tags, "-o", model, *TINY) == 0
    odd = write_table(tmp_path / "o.csv", [("a b", "X Y"), ("a b", "X X")], ("tokens", "tags"))
    capsys.readouterr()
    assert run("score", model, odd, "--errors") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "X\t3\t2\tY (1)",
        "Y\t1\t1\t",
        f"{odd}:3: X X, predicted X Y: a b",
    ]


def test_predictions_stand_beside_the_labels_that_are_there(intents, tmp_path):
    table = write_table(tmp_path / "a.csv", [("light on", 1, "dark"), ("", 2, "dim")], ("text", "n", "Label"))
    assert run("predict", intents, table, "--skip-empty", "-o", tmp_path / "o.csv") == 0
    assert (tmp_path / "o.csv").read_text() == "input,Label,prediction\nlight on,dark,light\n,dim,\n"


def test_warnings_name_the_line(intents, tmp_path, capsys):
    table = write_table(tmp_path / "a.csv", [("light on", 1), ("zzz", 2)], ("text", "n"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("predict", intents, table) == 0
    said = capsys.readouterr().err
    assert f"{table}:3" in said
    assert "X[" not in said


def test_a_language_model_reads_the_texts_of_a_table(tmp_path):
    table, model = write_table(tmp_path / "a.csv", [("ab ab", "q")] * 6), tmp_path / "m.npz"
    train = ["train", "--task", "language-model", table, "-o", model, *TINY, "--layers", 1, "--epochs", 1]
    assert run(*train) == 0
    assert sorted(models.load(model).units.vocab.known) == [" ", "a", "b"]


def test_lines_of_the_standard_input_are_predicted(intents, capsys, monkeypatch):
    import io as streams

    def give(content):
        monkeypatch.setattr(sys, "stdin", streams.TextIOWrapper(streams.BytesIO(content), "latin-1"))

    give("\ufefflight please\r\ncó mưa\n\n".encode())
    assert run("predict", intents, "-") == 0
    assert capsys.readouterr().out.split() == ["light", "weather"]
    give(b"light\n\xff\n")
    assert wrong(capsys, "predict", intents, "-").startswith("-:2: not UTF-8 (byte 6 is 0xff)")
    give(b"light on\n \nrain today?\n\n")
    assert run("predict", intents, "-", "--skip-empty") == 0
    assert capsys.readouterr().out == "light\n\nweather\n"
    give(b"light\n\nrain\n")  # the answers would stand at other lines
    assert wrong(capsys, "predict", intents, "-").startswith("-:2: an empty line before others")
    assert run("predict", intents, "light please") == 0  # a text as it is
    assert capsys.readouterr().out == "light\n"


def test_what_is_validated_on_is_named_by_its_own_line(messages, tmp_path, capsys):
    other = write_table(tmp_path / "other.csv", [("light on", "light"), ("rain", "wether")])
    options = ["--task", "classifier", "-o", tmp_path / "m.npz", *TINY, "--validation-file"]
    assert wrong(capsys, "train", messages, *options, other).startswith(f"{other}:3: ")


def test_the_forget_gate_of_an_lstm_begins_open(messages, tmp_path, capsys):
    model = tmp_path / "m.npz"
    train = ["train", messages, "--task", "classifier", *TINY, "--epochs", 1, "-o", model, "--forget-bias", 2]
    assert run(*train, "--cell", "lstm") == 0
    assert models.load(model).init == {"forget_bias": 2.0}
    assert wrong(capsys, *train) == "--forget-bias is of --cell lstm; this one is gru"
    assert wrong(capsys, *train, "--cell", "mgu") == "--forget-bias is of --cell lstm; this one is mgu"


def test_columns_are_named_or_counted(folder, tmp_path, capsys):
    model = tmp_path / "m.npz"
    train = ["train", "--task", "classifier", "-o", model, *TINY, "--epochs", 2, "--min-count", 1]
    named = write_table(tmp_path / "a.tsv", MESSAGES, ("body", "folder"), "\t")
    assert "no column 'text' or 'source'; its columns are body, folder; say which with --input" in wrong(
        capsys, *train, named
    )
    assert run(*train, named, "--input", "body", "--target", "folder") == 0
    bare = write_table(tmp_path / "b.tsv", MESSAGES, None, "\t")
    capsys.readouterr()
    assert wrong(capsys, *train, bare).endswith("if the first line is data: --no-header")
    assert run(*train, bare, "--no-header") == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,x\nb,y,z\n", "a.csv:3: 3 columns; expected 2"),
        ("a.csv", 'text,label\n"a\nb",x\n,y\n', "a.csv:4: 'text' is empty"),
        ("a.csv", 'text,label\na,"x\n', "a.csv:2: not CSV"),
        ("a.csv", "text,label\n", "a.csv: it has no rows"),
        ("a.csv", "text,label\na,x\n,\n\na,b\n", "a.csv:3: 'text' is empty"),
        ("a.csv", "text,label\na,x\n\n\na,b,c\n", "a.csv:5: 3 columns"),
        ("a.csv", "text,text,label\na,b,x\n", "a.csv:1: two columns are called 'text'; rename one"),
        ("a.csv", "text;label\na;x\n", "a.csv:1: columns are separated by ';'; expected ','"),
        ("a.csv", "text;label\na, b;x\n", "a.csv:1: columns are separated by ';'; expected ','"),
        ("a.csv", "text\tlabel\na\tx\n", "by a tab; expected ','; name the file .tsv"),
        ("a.tsv", "text,label\na,x\n", "by ','; expected a tab; name the file .csv"),
        (
            "a.csv",
            "text,label\n" + "a,\n" * 6 + "a,x\n",
            "a.csv:2: 'label' is empty or missing, as in 6 lines (",
        ),
        (
            "a.csv",
            "text,label\n" + "a,\n" * 6 + "a,x\n",
            "(2, 3, 4, 5, and 2 more); fill it, leave the line out, or",
        ),
        ("a.csv", "text,label\nb,x\n \u200b\n", "a.csv:3: 1 columns; expected 2"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", '{"text": "a", "label": 1}\n3\n', "a.jsonl:2: an int; expected an object"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', "a.jsonl:2: 'label' is empty"),
        ("a.jsonl", '{"text": "a", "label": 1.5}\n' * 2, "a.jsonl:1: SequenceClassifier.fit: y[0] is 1.5"),
        ("a.csv", b"text,label\nab,x\n\xff,y\n", "a.csv:3: not UTF-8 (byte 16 is 0xff)"),
        ("a.csv", b"text,label\n\0,y\n", "a.csv:2: binary"),
        ("a.txt", "one\ntwo\n", "a.txt: a text has no targets"),
        ("a.npz", b"nonsense", "a.npz: not a whole .npz file"),
        ("a.npz", b"PK\x03\x04 and no end", "a.npz: not a whole .npz file"),
        ("a.jsonl", '{"text": "a", "label": 1}\n' + "[" * 100000, "a.jsonl:2: not JSON"),
        ("none.csv", None, "none.csv: No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_line(name, content, message, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "m.npz"
    said = wrong(capsys, "train", "--task", "classifier", path, "-o", out, *TINY, "--min-count", 1)
    assert message in said
    assert not out.exists()


def test_rows_with_nothing_to_read_are_left_out_if_asked(messages, intents, tmp_path, capsys):
    rows = [*MESSAGES[:2], ("", "light"), ("rain", ""), *MESSAGES[2:]]
    holes = write_table(tmp_path / "h.csv", rows)
    model = tmp_path / "m.npz"
    train = ["train", "--task", "classifier", "-o", model, *TINY, "--min-count", 1, "--skip-empty"]
    assert run(*train, holes) == 0
    assert model.read_bytes() == intents.read_bytes()
    capsys.readouterr()
    assert run("score", model, holes, "--skip-empty") == 0
    assert capsys.readouterr().out == f"accuracy 1.0000 of {len(MESSAGES)} inputs\n"
    assert "h.csv:4: 'text' is empty" in wrong(capsys, "predict", model, holes)
    assert run("predict", model, holes, "--skip-empty", "--probabilities") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[2] == "\t\t"
    assert [line.split("\t")[0] for line in lines[:2]] == [label for _, label in MESSAGES[:2]]
    assert len(lines) == len(rows)
    (tmp_path / "h.txt").write_text("light on\n\nrain today?\n\n")
    assert run("predict", model, tmp_path / "h.txt", "--skip-empty") == 0
    assert capsys.readouterr().out == "light\n\nweather\n"
    none = write_table(tmp_path / "n.csv", [("", "light")] * 2)
    assert wrong(capsys, *train, none).endswith("n.csv: 'text' or 'label' is empty in all of its rows")
    assert "--skip-empty is given, and nothing is read by it here" in wrong(
        capsys, *train, none, "--task", "regressor", "--horizon", 2
    )


def test_headers_of_spreadsheets(intents, tmp_path, capsys):
    table = tmp_path / "a.csv"
    table.write_text("Text,Label,,,note,note\nlight on please,light,,,1,2\n")
    assert run("score", intents, table) == 0
    assert capsys.readouterr().out == "accuracy 1.0000 of 1 inputs\n"
    table.write_text('"wind\n(m/s)",t,\n1,2,\n2,2,\n')
    found = _data.read(str(table), _data.Columns("t", None), labelled=False)
    assert found.X == ["2", "2"]
    columns, series = _data.numbers(str(table), _data.Columns())
    assert (columns, series.tolist()) == (["wind\n(m/s)", "t"], [[1.0, 2.0], [2.0, 2.0]])
    table.write_text('"wind\n(m/s)",t\n1,2\n\n2,2\n')
    with pytest.raises(ValueError, match=r"a\.csv:4: an empty line before others"):
        _data.numbers(str(table), _data.Columns())


def test_a_table_of_numbers_without_horizon_says_so(tmp_path, capsys):
    table = write_table(tmp_path / "a.csv", [(1, 2)] * 3, ("day", "load"))
    assert "give --horizon K" in wrong(capsys, "train", "--task", "regressor", table)


def test_only_what_an_error_is_about_is_a_place():
    data = _data.Data("a.csv", ["x"] * 3, lines=[2, 3, 4])
    for said, place in (
        ("SequenceTagger.fit: y[1] has 1 labels", "a.csv:3: "),
        ("SequenceTagger.fit: validation X[1] is 'y[2]'", "b.csv:9: "),
        ("LanguageModel.fit: validation[1] is empty", "b.csv:9: "),
        ("LanguageModel.score: text[2] is empty", "a.csv:4: "),
        ("SequenceTagger.fit: the tag 'y[1]' is unknown", ""),
    ):
        held = _data.Data("b.csv", "xy", lines=[8, 9])
        with pytest.raises(ValueError, match=f"^{re.escape(place + said)}$"), data.places(held):
            raise ValueError(said)


def test_tags(tmp_path, capsys):
    rows = [("the cat sleeps", "D N V"), ("a dog barks", "D N V")] * 5
    table = write_table(tmp_path / "t.csv", rows, ("tokens", "tags"))
    lines = tmp_path / "t.jsonl"
    lines.write_text("".join(json.dumps({"tokens": a.split(), "tags": b.split()}) + "\n" for a, b in rows))
    out = []
    for path in (table, lines):
        model = tmp_path / "m.npz"
        assert run("train", "--task", "tagger", path, "-o", model, *TINY, "--bidirectional") == 0
        capsys.readouterr()
        assert run("predict", model, path) == 0
        out.append(capsys.readouterr().out)
    assert out[0] == out[1] == "D N V\n" * 10
    uneven = write_table(tmp_path / "u.csv", [*rows, ("a dog", "D")], ("tokens", "tags"))
    assert wrong(capsys, "train", "--task", "tagger", uneven).startswith(f"{uneven}:12: 1 tags for 2 tokens")


def test_numbers_and_arrays(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((24, 6, 2))
    lengths = rng.integers(3, 7, 24)
    y = np.array([x[:n].mean() for x, n in zip(X, lengths, strict=True)])
    path, model = tmp_path / "a.npz", tmp_path / "m.npz"
    np.savez(path, X=X, y=y, lengths=lengths)
    assert run("train", "--task", "regressor", path, "-o", model, *TINY, "--pool", "mean") == 0
    capsys.readouterr()
    assert run("score", model, path) == 0
    found = float(capsys.readouterr().out.split()[1])
    sequences = [x[:n] for x, n in zip(X, lengths, strict=True)]
    assert found == pytest.approx(models.SequenceRegressor.load(model).score(sequences, y), abs=1e-4)
    table = write_table(tmp_path / "a.csv", [("1 2 3", "0.5"), ("2 x 1", "1")], ("text", "label"))
    said = wrong(capsys, "train", "--task", "regressor", table, "--inputs", "vectors")
    assert said == f"{table}:3: '2 x 1'; expected a sequence (vectors)"
    table = write_table(tmp_path / "a.csv", [("a", "0.5"), ("b", "good")])
    assert wrong(capsys, "train", "--task", "regressor", table) == f"{table}:3: 'good'; expected a number"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"lengths": [3, -1, 2]}, r"lengths[1] is -1; expected 0 to 4, X's steps"),
        ({"lengths": [3, 1, 5]}, r"lengths[2] is 5; expected 0 to 4, X's steps"),
        ({"lengths": [3.0, 1, 2]}, "lengths is float64 of shape (3,), and X has shape (3, 4, 2)"),
        ({"lengths": 3}, "lengths is int64 of shape ()"),
        ({"X": np.float64(1)}, "X is a single value"),
        ({"y": np.float64(1)}, "y is a single value"),
    ],
)
def test_arrays_that_do_not_fit(arrays, message, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **{"X": np.zeros((3, 4, 2)), "y": np.zeros(3), **arrays})
    said = wrong(capsys, "train", "--task", "regressor", tmp_path / "a.npz")
    assert said.startswith(f"{tmp_path / 'a.npz'}: {message}")


@pytest.mark.parametrize(
    ("task", "line", "message"),
    [
        ("regressor", '{"text": "b", "label": {"a": 2}}', "{'a': 2}; expected a number"),
        ("regressor", '{"text": "b", "label": [[2]]}', "[[2]]; expected a number"),
        ("tagger", '{"tokens": ["b"], "tags": 5}', "5; expected tags"),
    ],
)
def test_values_of_other_kinds_are_named_with_their_line(task, line, message, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    first = '{"text": "a", "label": 1}' if task == "regressor" else '{"tokens": ["a"], "tags": ["x"]}'
    path.write_text(f"{first}\n{line}\n")
    assert wrong(capsys, "train", "--task", task, path).startswith(f"{path}:2: {message}")


def test_tables_come_back_as_they_were_written(tmp_path):
    rows = [['say "no"', "a,b"], ["'", '"'], ["x" * 200_000, "1"]]
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        path = str(tmp_path / name)
        _data.write(path, ["text", "label"], rows)
        found = _data.read(path, _data.Columns(), labelled=True)
        assert [list(row) for row in zip(found.X, found.y, strict=True)] == rows
    for cell in ("a\tb", "a\nb"):
        with pytest.raises(ValueError, match=r"has a tab or a new line, which \.tsv cannot hold"):
            _data.write(str(tmp_path / "b.tsv"), ["text"], [[cell]])
    with pytest.raises(ValueError, match=r"different lengths, not those of one array; write \.jsonl"):
        _data.write(str(tmp_path / "b.npy"), ["tags"], [[["a"]], [["a", "b"]]])
    assert not (tmp_path / "b.tsv").exists()
    assert not (tmp_path / "b.npy").exists()


def test_forecasts_of_a_table(tmp_path, capsys):
    rows = [(day, (day % 7) / 7) for day in range(90)]
    path, model = write_table(tmp_path / "p.csv", rows, ("day", "load")), tmp_path / "m.npz"
    options = ["--horizon", 3, "--window", 10, "--epochs", 40, "--input", "load"]
    assert run("train", "--task", "regressor", path, "-o", model, *TINY, *options) == 0
    capsys.readouterr()
    assert run("predict", model, path) == 0
    forecast = [float(v) for v in capsys.readouterr().out.splitlines()]
    assert run("predict", model, path, "--input", "load", "-o", tmp_path / "f.csv") == 0
    steps = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    assert [list(row.items()) for row in steps] == [
        [("step", str(k + 1)), ("load", str(value))] for k, value in enumerate(forecast)
    ]
    exact = models.load(model).predict([[load for _, load in rows]])[0]
    np.testing.assert_allclose(forecast, exact, atol=1e-6)
    assert all(len(row["load"]) < 12 for row in steps)
    assert np.abs(np.array(forecast) - [6 / 7, 0, 1 / 7]).max() < 0.35
    assert run("inspect", model, path, "--show", "gradients", "--input", "load") == 0
    assert "90" in capsys.readouterr().out
    assert run("inspect", model, path) == run("score", model, path) == run("info", model) == 0
    assert "['load']" in capsys.readouterr().out
    (tmp_path / "gap.csv").write_text("load\n1\n2\n\n4\n\n")
    assert "gap.csv:4: an empty line before others" in wrong(capsys, "predict", model, tmp_path / "gap.csv")
    for value in ("?", "nan", "-inf"):
        bad = write_table(tmp_path / "q.csv", [(1, 2), (2, value)], ("day", "load"))
        assert f"{bad}:3: 'load' is {value!r}; expected a number" in wrong(capsys, "predict", model, bad)


def test_forecasts_of_several_columns_read_those_that_were_learned(tmp_path, capsys):
    rows = [(day, (day % 7) / 7, day % 2) for day in range(60)]
    path = write_table(tmp_path / "p.csv", rows, ("day", "load", "on"))
    swapped = write_table(tmp_path / "q.csv", [(c, b, a) for a, b, c in rows], ("on", "load", "day"))
    model = tmp_path / "m.npz"
    options = ["--horizon", 2, "--window", 5, "--epochs", 2, "--input", "on,load", "-o", model]
    train = ["train", "--task", "regressor", path, *TINY, *options]
    assert run(*train, "--validation-file", swapped) == 0
    assert models.load(model).columns_ == ["on", "load"]
    other = write_table(tmp_path / "r.csv", rows, ("day", "kW", "active"))
    assert "no column 'on'" in wrong(capsys, "predict", model, other)
    assert run("predict", model, other, "--input", "active,kW") == 0
    capsys.readouterr()
    assert run("predict", model, path) == 0
    out = capsys.readouterr().out
    assert [line.split("\t")[:2][0] for line in out.splitlines()] == ["step", "1", "2"]
    assert out.startswith("step\ton\tload\n")
    assert run("predict", model, swapped) == 0
    assert capsys.readouterr().out == out
    assert "--input is load,on; the model was trained on on,load" in wrong(
        capsys, "predict", model, path, "--input", "load,on"
    )
    bare = write_table(tmp_path / "b.csv", rows, None)
    assert run("predict", model, bare, "--no-header", "--input", "3,2") == 0
    assert capsys.readouterr().out.splitlines()[1:] == out.splitlines()[1:]
    several = np.array([[[c, b] for _, b, c in rows]] * 2)
    np.save(tmp_path / "s.npy", several)
    assert run("predict", model, tmp_path / "s.npy", "-o", tmp_path / "f.npy") == 0
    found = np.load(tmp_path / "f.npy")
    np.testing.assert_array_equal(found, models.load(model).predict(several))
    assert run("predict", model, tmp_path / "s.npy", "-o", tmp_path / "f.csv") == 0
    assert (tmp_path / "f.csv").read_text().splitlines()[0] == "series,step,1,2"
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 5


def test_a_language_model_of_lines_scores_ranks_and_remembers(speaker, tmp_path, capsys):
    candidates = tmp_path / "c.txt"
    candidates.write_text("up is the sun\nthe moon is up\n", encoding="utf-8")
    assert run("score", speaker, candidates, "--rank") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[-1] for row in rows[:3]] == ["text", "the moon is up", "up is the sun"]
    model = models.load(speaker)
    assert float(rows[1][0]) == pytest.approx(model.score("the moon is up").log_probability, abs=1e-4)
    assert rows[3][0].startswith("All: log_probability")
    assert run("score", speaker, candidates, "-o", tmp_path / "s.csv") == 0
    (first, _) = csv.DictReader((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines())
    assert float(first["log_probability"]) == model.score("up is the sun").log_probability

    capsys.readouterr()
    talk = ["generate", speaker, "--remember", tmp_path / "talk.npz", "--temperature", 0]
    assert run(*talk, "--prompt", "the moon", "--length", 1, "--seed", 1) == 0
    assert run(*talk) == 0
    assert capsys.readouterr().out == " is\n up\n"
    assert "leave --seed out" in wrong(capsys, *talk, "--seed", 1)
    lines = tmp_path / "l.jsonl"
    lines.write_text('{"text": "the sun"}\n{"text": 5}\n')
    assert wrong(capsys, "score", speaker, lines) == f"{lines}:2: 5; expected a text"


def test_a_text_of_one_piece_is_read_as_one(tmp_path, capsys):
    path, model = tmp_path / "book.txt", tmp_path / "book.npz"
    path.write_text("ab\nba\n" * 60, encoding="utf-8")
    options = ["--layers", 1, "--epochs", 12, "--batch", 4, "--lr", 0.02, "--validation", 0.1]
    assert run("train", "--task", "language-model", path, "-o", model, *TINY, *options) == 0
    assert "perplexity" in capsys.readouterr().out
    assert run("generate", model, "--prompt", "b", "--until", "\\n", "--temperature", 0) == 0
    assert capsys.readouterr().out == "ba\n\n"
    written = ["generate", model, "--length", 3, "--temperature", 0]
    assert run(*written, "--remember", tmp_path / "talk.npz") == run(*written) == 0
    text = models.load(model).conversation(tmp_path / "talk.npz").text
    assert capsys.readouterr().out == f"{text[1:]}\n{text}\n"
    lines = tmp_path / "lines.txt"
    lines.write_text("ab\n\nb\n", encoding="utf-8")
    assert wrong(capsys, "score", model, lines).startswith(f"{lines}:3: less than 2 characters")


def test_a_run_goes_on_from_its_checkpoint(messages, tmp_path, capsys):
    def train(name, *options):
        options = ["--task", "classifier", messages, "-o", tmp_path / name, *TINY, "--epochs", 6, *options]
        assert run("train", *options) == 0
        return (tmp_path / name).read_bytes()

    path = tmp_path / "run.npz"
    train("short", "--checkpoint", path, "--seconds", 0)
    assert "Stopped: the time limit" in capsys.readouterr().out
    assert train("long", "--checkpoint", path) == train("whole")
    assert f"Goes on from {path}, after epoch 0\n" in capsys.readouterr().out
    train("more", "--checkpoint", path, "--epochs", 7)
    assert f"Goes on from {path}, after epoch 6\n" in capsys.readouterr().out
    other = [
        "train",
        "--task",
        "classifier",
        "-o",
        tmp_path / "o",
        *TINY,
        "--epochs",
        7,
        "--checkpoint",
        path,
    ]
    remedy = f"; give the same data and options, or delete {path}, or give another --checkpoint"
    said = wrong(capsys, *other, write_table(tmp_path / "n.csv", MESSAGES[:-1]))
    assert said == f"--checkpoint: the run of {path} had other data: the data has changed{remedy}"
    said = wrong(capsys, *other, messages, "--lr", 0.5)
    assert said == f"--checkpoint: the run of {path} had --lr 0.01, this one has 0.5{remedy}"


class Reversing:
    """What the commands ask of a model that translates."""

    _reader = _target = types.SimpleNamespace(kind="text", split="words")

    def __init__(self, hidden_size=0):
        self.hidden_size = hidden_size

    def fit(self, X, y, **options):
        from fastrnn.train import History

        assert len(X) == len(y)
        self.history_ = History()
        return self

    def translate(self, X, beam_size=1):
        return [f"{x[::-1]} {beam_size}" for x in X]

    def score(self, X, y):
        return float(np.mean([a[::-1] == b for a, b in zip(X, y, strict=True)]))

    def save(self, path):
        io.save(path, {}, kind="Seq2Seq", version=1)

    @classmethod
    def load(cls, path):
        return cls()


Reversing.__name__ = "Seq2Seq"


def test_translating_against_the_interface(tmp_path, capsys, monkeypatch):
    """The arguments arrive, the results are written."""
    monkeypatch.setattr(models, "Seq2Seq", Reversing, raising=False)
    monkeypatch.setattr(models, "__all__", [*{*models.__all__, "Seq2Seq"}])
    pairs = write_table(tmp_path / "p.tsv", [("abc", "cba"), ("de", "x")], ("source", "target"), "\t")
    model = tmp_path / "m.npz"
    assert run("train", "--task", "translator", pairs, "-o", model, "--hidden", 3, "--quiet") == 0
    assert f"Next: fastrnn translate {model}" in capsys.readouterr().out
    assert run("translate", model, "xyz", "--beam", 4) == 0
    assert run("translate", model, pairs) == 0
    assert capsys.readouterr().out == "zyx 4\ncba 1\ned 1\n"
    assert run("translate", model, pairs, "-o", tmp_path / "o.csv") == 0
    assert (tmp_path / "o.csv").read_text() == "source,translation\nabc,cba 1\nde,ed 1\n"
    assert run("score", model, pairs) == 0
    assert capsys.readouterr().out == "score 0.5000 of 2 inputs\n"


@pytest.mark.parametrize("kind", ["characters", "tokens"])
def test_a_translator_reads_and_writes_what_it_is_told(kind, tmp_path, capsys):
    space = " " if kind == "tokens" else ""
    pairs = [(space.join(word), space.join(word[::-1])) for word in ("ab", "ba", "aab", "bb")] * 4
    table, model = write_table(tmp_path / "p.csv", pairs, ("source", "target")), tmp_path / "m.npz"
    options = ["--inputs", kind, "--outputs", kind, "--epochs", 30, "--lr", 0.03]
    assert run("train", "--task", "translator", table, "-o", model, *TINY, *options) == 0
    capsys.readouterr()
    assert run("translate", model, table) == 0
    assert capsys.readouterr().out.splitlines() == [target for _, target in pairs]
    assert run("score", model, table) == 0
    assert "1.0000 of 16" in capsys.readouterr().out


def test_errors_name_the_options_of_the_command_line(messages, tmp_path, capsys):
    train = ["train", messages, "--task", "classifier", "-o", tmp_path / "m.npz", *TINY]
    assert "occurs --min-count 40 times; give more data or a smaller --min-count" in wrong(
        capsys, *train, "--min-count", 40
    )
    for option in (["--patience", 3], ["--schedule", "plateau"]):
        said = wrong(capsys, *train, *option)
        assert said == (
            f"{' '.join(map(str, option[: 1 + (option[1] != 3)]))} looks at the validation loss; give "
            "--validation 0.1, or --validation-file FILE"
        )
    assert wrong(capsys, *train, "--cell", "lsmt").endswith("; did you mean lstm?")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train --hiden 3 a.csv --task classifier",
            "train: there is no --hiden; did you mean --hidden? (see",
        ),
        ("train a.csv --hiden=3", "fastrnn train: there is no --hiden; did you mean --hidden?"),
        ("predict m.npz --zzz", "fastrnn predict: there is no --zzz (see fastrnn predict --help)"),
        ("trian a.csv", "COMMAND is 'trian'; expected one of train, predict"),
        ("trian a.csv", "; did you mean train? (see fastrnn --help)"),
        ("train a.csv --task clasifier", "--task is 'clasifier'; expected one of classifier, tagger"),
        ("train a.csv --task clasifier", "; did you mean classifier? (see fastrnn train --help)"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(line, message, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*line.split())
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


def test_help_says_the_defaults_of_the_models(capsys):
    with pytest.raises(SystemExit):
        run("train", "--help")
    out = " ".join(capsys.readouterr().out.split())
    model, language = models.SequenceClassifier(), models.LanguageModel()
    for said in (
        f"hidden units (default: {model.hidden_size}, {language.hidden_size} of language-model)",
        "fastrnn.cells (default: gru)",
        f"rarer tokens are unknown (default: {model.min_count})",
        "(default: 30, 5 of language-model)",
        f"looks back (regressor) (default: {models.SequenceRegressor().window})",
        "(classifier, regressor) (default: last)",
        "plateau} (default: cosine)",
    ):
        assert said in out


@pytest.mark.parametrize("show", ["influence", "activations", "gradients"])
def test_inside_as_a_table_and_as_a_picture(intents, speaker, show, tmp_path, capsys):
    for model, text in ((intents, "turn on the light"), (speaker, "the sun is")):
        assert run("inspect", model, text, "--show", show) == 0
        out = capsys.readouterr().out
        assert all(word in out for word in text.split()) or show != "influence"
        assert len(out.splitlines()) > 2
    pytest.importorskip("matplotlib")
    picture = tmp_path / "p.png"
    assert run("inspect", intents, "light on", "--show", show, "-o", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for name in ("p.xyz", "p"):
        assert f"--output is {name}; a picture ends in .png, .svg or .pdf" in wrong(
            capsys, "inspect", intents, "light on", "--show", show, "-o", name
        )


def test_what_reads_like_the_name_of_a_file_is_one(intents, tmp_path, capsys):
    for name in ("typo.txt", f"{tmp_path}/typo"):
        assert wrong(capsys, "inspect", intents, name) == f"{name}: No such file or directory"
    assert run("inspect", intents, "light and/or rain.txt") == 0
    assert "--input names columns of a table" in wrong(capsys, "inspect", intents, "light", "--input", "a")
    (tmp_path / "a.npy").write_bytes(b"")
    assert "a.npy: not a whole .npy file" in wrong(capsys, "inspect", intents, tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert "a.npy: an array; the model reads text" in wrong(capsys, "inspect", intents, tmp_path / "a.npy")


def test_a_stroke_is_part_of_a_text(intents, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("predict", intents, "light on/off") == 0
    assert run("predict", intents, "on/off") == 0
    for name in ("./on/off", "/on/off", "../off", "on/off.txt"):
        assert wrong(capsys, "predict", intents, name) == f"{name}: No such file or directory"


@pytest.mark.parametrize(
    ("begin", "file", "option"),
    [
        (["predict", "intents"], "a.txt", ["--input", "body"]),
        (["predict", "intents"], "a.txt", ["--no-header"]),
        (["predict", "intents"], "a.jsonl", ["--no-header"]),
        (["predict", "intents"], "light on", ["--input", "body"]),
        (["predict", "intents"], "a.npz", ["--input", "X"]),
        (["score", "speaker"], "a.txt", ["--target", "label"]),
        (["train", "--task", "language-model"], "a.txt", ["--target", "label"]),
        (["train", "--task", "language-model"], "a.txt", ["--input", "text"]),
        (["train", "--task", "regressor", "--horizon", 2], "a.csv", ["--target", "label"]),
    ],
)
def test_columns_that_nothing_reads_are_refused(begin, file, option, intents, speaker, tmp_path, capsys):
    trained = {"intents": intents, "speaker": speaker}
    (tmp_path / "a.txt").write_text("light on\n")
    (tmp_path / "a.csv").write_text("load\n1\n2\n3\n")
    (tmp_path / "a.jsonl").write_text('{"text": "light on"}\n')
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 3, 1)))
    path = file if file == "light on" else tmp_path / file
    more = ["-o", tmp_path / "m.npz"] if begin[0] == "train" else []
    said = wrong(capsys, *(trained.get(c, c) for c in begin), path, *option, *more)
    assert f": {option[0]} is given, and nothing is read by it here" in said


def test_an_interrupted_training_keeps_the_model_and_says_so(messages, tmp_path, capsys):
    model = tmp_path / "m.npz"
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    forever = ["--epochs", 100_000, "-o", model]
    assert run("train", "--task", "classifier", messages, *TINY, *forever) == 130
    assert "interrupted after step" in capsys.readouterr().out
    assert models.load(model).history_ is not None


def test_a_checkpoint_is_not_the_model(messages, tmp_path, capsys):
    both = ["--checkpoint", tmp_path / "m.npz", "-o", tmp_path / "m.npz"]
    said = wrong(capsys, "train", "--task", "classifier", messages, *TINY, *both)
    assert said.startswith("--checkpoint and --output are both")
    assert not (tmp_path / "m.npz").exists()


def test_no_command_writes_over_what_it_reads(intents, speaker, messages, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m.npz", "talk.npz", "a.csv"):
        (tmp_path / name).write_bytes(
            {"m.npz": intents, "talk.npz": speaker, "a.csv": messages}[name].read_bytes()
        )
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    arrays = tmp_path / "arrays.npz"
    np.savez(arrays, X=np.zeros((4, 3, 2)), y=np.zeros(4))
    train = ["train", "--task", "classifier", *TINY, "--epochs", 1]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments, message in (
        ([*train, "a.csv", "-o", "./a.csv"], "--output and FILE are both ./a.csv; give one another name"),
        ([*train, arrays, "-o", "arrays.npz"], "--output and FILE are both arrays.npz"),
        ([*train, messages, "-o", "a.csv"], "--output is a.csv; a model ends in .npz or .safetensors"),
        ([*train, messages, "-o", "arrays.npz"], "--output is arrays.npz, which is there and is no model"),
        ([*train, messages, "-o", "m", "--validation-file", "m"], "--output and --validation-file are both"),
        ([*train, "a.csv", "--checkpoint", "link.csv"], "--checkpoint and FILE are both link.csv"),
        (["predict", "m.npz", "a.csv", "-o", "link.csv"], "--output and FILE are both link.csv"),
        (["predict", "m.npz", "a.csv", "-o", "m.npz"], "--output and MODEL are both m.npz"),
        (["score", "talk.npz", "a.csv", "-o", "a.csv"], "--output and FILE are both a.csv"),
        (["translate", "m.npz", "a.csv", "-o", "a.csv"], "--output and FILE are both a.csv"),
        (["inspect", "m.npz", "a.csv", "-o", "m.npz"], "--output and MODEL are both m.npz"),
        (["generate", "talk.npz", "--remember", "talk.npz"], "--remember and MODEL are both talk.npz"),
        (["demo", "--text", "a.csv", "-o", "a.csv"], "--output and --text are both a.csv"),
        (["demo", "--text", messages, "-o", "arrays.npz"], "which is there and is no model"),
    ):
        assert message in wrong(capsys, *arguments)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_conversation_outlives_a_reader_that_has_enough(speaker, tmp_path, monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", closed)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert run("generate", speaker, "--prompt", "the", "--remember", tmp_path / "talk.npz") == 0
    assert models.load(speaker).conversation(tmp_path / "talk.npz").text.startswith("the")


@pytest.mark.parametrize(
    "error", [TypeError("a b"), EOFError("a b"), RecursionError("a b"), MemoryError("a b")]
)
def test_any_error_of_data_is_one_line(intents, messages, error, capsys, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(models, "load", fail)
    assert wrong(capsys, "predict", intents, messages) == "a b"


def test_inspect_says_what_there_is(intents, speaker, capsys):
    assert "--name is 'x'; this layer has" in wrong(
        capsys, "inspect", speaker, "the sun", "--show", "activations", "--name", "x"
    )
    gates = ["inspect", speaker, "a", "--show", "activations", "--name", "h"]
    assert "--layer is 3; the model has layers 0 to 0" in wrong(capsys, *gates, "--layer", 3)
    assert "--layer is of --show activations" in wrong(capsys, "inspect", speaker, "a", "--layer", 0)
    assert "--layer is of --show activations" in wrong(capsys, *gates[:-2], "--layer", 0)
    assert "--name is of --show activations" in wrong(capsys, "inspect", intents, "a", "--name", "f")


def test_a_picture_without_matplotlib_names_the_extra(intents, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert "fastrnn[plot]" in wrong(capsys, "inspect", intents, "light", "-o", tmp_path / "p.png")


def test_options_of_other_tasks_and_models_of_other_kinds_are_refused(intents, speaker, messages, capsys):
    for arguments, message in (
        (
            ["train", "--task", "tagger", messages, "--pool", "max"],
            "--pool is for --task classifier, regressor",
        ),
        (["train", "--task", "tagger", messages, "--sentences"], "--sentences is for --task language-model"),
        (
            ["train", "--task", "classifier", messages, "--cell", "qrnn"],
            "--cell is 'qrnn'; expected one of",
        ),
        (
            ["train", "--task", "classifier", messages, "-o", "/no/m.npz"],
            "cannot write /no/m.npz: the folder",
        ),
        (["train", "--task", "classifier", messages, "-o", os.devnull], "is there, and is not a file"),
        (["predict", speaker, messages], "it holds a LanguageModel, a language-model; expected"),
        (
            ["translate", intents, messages],
            "a classifier; expected a translator",
        ),
        (["score", intents, messages, "--rank"], "--rank is of a language model"),
        (["generate", intents], "not a LanguageModel"),
        (["predict", messages, messages], "messages.csv: not a whole .npz file"),
    ):
        assert message in wrong(capsys, *arguments)


def test_models_load_refuses_other_files(tmp_path):
    io.save(tmp_path / "a.npz", {"a": np.zeros(2)})
    with pytest.raises(io.FileFormatError, match="it holds 'arrays'; expected a model: "):
        models.load(tmp_path / "a.npz")


def test_info_shows_a_file(intents, capsys):
    assert run("info", intents) == 0
    assert "SequenceClassifier" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "predict", "score", "translate", "inspect"])
def test_help_teaches_by_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(command, "--help")
    assert stop.value.code == 0
    assert f"\n  fastrnn {command} " in capsys.readouterr().out
