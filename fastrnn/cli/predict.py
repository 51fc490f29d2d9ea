"""``fastrnn predict``: what a model says of other data."""

from __future__ import annotations

import argparse
from typing import Any

from ._arguments import add_data, command
from ._data import Columns, write
from ._models import read_for, task_of
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Predict the labels, tags or numbers of a file's inputs, a line each; of series that a model forecasts, the
next steps.

  fastrnn predict intents.npz "light on please"
  fastrnn predict intents.npz new.csv                       the column text; other columns do not matter
  fastrnn predict intents.npz lines.txt -o labels.csv       inputs and labels
  fastrnn predict intents.npz new.csv -o labels.jsonl --probabilities
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
    names = [] if odds is None else [f"p({label})" for label in model.classes_.tolist()]
    rows = [
        [x, *([] if odds is None else odds[i].tolist()), predicted[i]] for i, x in enumerate(list(data.X))
    ]
    if arguments.output is None and names:  # a table, the prediction first
        print("\t".join(["prediction", *names]))
        for row in rows:
            print("\t".join([str(row[-1]), *(f"{p:.4f}" for p in row[1:-1])]))
        return
    write(arguments.output, ["input", *names, "prediction"], rows)
