"""``fastrnn predict``: what a model says of other data."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ._arguments import add_data, command
from ._data import Columns, Data, write, write_table
from ._models import read_for, task_of
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Predict the labels, tags or numbers of a file's inputs, a line each; of series that a model forecasts, the
next steps.

  fastrnn predict intents.npz "light on please"
  fastrnn predict intents.npz new.csv                       the column text; other columns do not matter
  fastrnn predict intents.npz lines.txt -o labels.csv       inputs and labels
  fastrnn predict intents.npz test.csv -o beside.csv        the column label too, if there is one
  fastrnn predict intents.npz new.csv -o labels.jsonl --probabilities
  fastrnn predict power.npz hours.csv -o next.csv           forecasts: a row a step, the columns it learned
  echo "light on please" | fastrnn predict intents.npz -

The ending of --output says what is written: .csv, .tsv, .jsonl, .npy, .npz, else a prediction a line.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser, "predict", help="predict labels, tags or numbers", description=_DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    parser.add_argument(
        "file", metavar="FILE|TEXT", help='the inputs, or one; "-" for lines of the standard input'
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: standard output)")
    parser.add_argument("--probabilities", action="store_true", help="that of each label (classifier)")
    add_data(parser, target=False)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from .. import models

    check_apart({"--output": arguments.output}, {"MODEL": arguments.model, "FILE": arguments.file})
    model = models.load(arguments.model)
    task = task_of(model, arguments.model, "classifier", "tagger", "regressor")
    if arguments.probabilities and task != "classifier":
        raise ValueError(f"--probabilities are of a classifier; {arguments.model} holds a {task}")
    data = read_for(model, task, arguments.file, Columns.of(arguments), labelled=False)
    with data.places():
        predicted = model.predict(data.X)
        odds = model.predict_proba(data.X) if arguments.probabilities else None
    arrays = arguments.output is not None and arguments.output.lower().endswith((".npz", ".npy"))
    nothing: Any = [] if task == "tagger" else ""
    if task == "regressor":
        if not arrays:
            predicted = _rounded(model, predicted)
            if model.horizon is not None:
                _write_steps(arguments.output, data, predicted)
                return
        elif model.horizon is not None:
            write(arguments.output, ["prediction"], [[steps] for steps in predicted])
            return
        else:
            nothing = np.full(predicted.shape[1:], np.nan)
    names = [] if odds is None else [f"p({label})" for label in model.classes_.tolist()]
    rows = [
        [x, *([] if odds is None else odds[i].tolist()), predicted[i]] for i, x in enumerate(list(data.X))
    ]
    rows = data.all_rows(rows, ["", *([""] * len(names)), nothing])
    if arguments.output is None and names:  # a table, the prediction first
        print("\t".join(["prediction", *names]))
        for row in rows:
            print("\t".join([str(row[-1]), *(p if p == "" else f"{p:.4f}" for p in row[1:-1])]))
        return
    columns = ["input", *names, "prediction"]
    if data.beside is not None:
        columns.insert(1, data.beside[0])
        rows = [[x, right, *more] for (x, *more), right in zip(rows, data.beside[1], strict=True)]
    write(arguments.output, columns, rows)


def _rounded(model: Any, predicted: np.ndarray) -> np.ndarray:
    """Numbers with the digits that float32 has of the deviation of what they were learned from."""
    digits = 6 - np.floor(np.log10(model._scale)).astype(int)
    rows = predicted.reshape(len(predicted), -1).tolist()
    rounded = [[round(v, d) or v for v, d in zip(row, digits.tolist(), strict=True)] for row in rows]
    return np.array(rounded).reshape(predicted.shape)


def _write_steps(path: str | None, data: Data, predicted: np.ndarray) -> None:
    """Forecasts, (n, K) or (n, K, F): a row for each step of each series."""
    steps = predicted.reshape(*predicted.shape[:2], -1)
    features = steps.shape[2]
    counted = ["prediction"] if features == 1 else [str(k + 1) for k in range(features)]
    columns = ["step", *(data.columns or counted)]
    rows: list[list[Any]] = [[k + 1, *step] for one in steps.tolist() for k, step in enumerate(one)]
    if len(steps) > 1:
        columns.insert(0, "series")
        rows = [[i // steps.shape[1] + 1, *row] for i, row in enumerate(rows)]
    if len(columns) == 2:
        write(path, columns, rows)
    else:
        write_table(path, columns, rows)
