"""``fastrnn score``: how likely lines are, or how often a model is right."""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np

from ._arguments import add_data, command
from ._data import Columns, Data, read, write, write_table
from ._models import read_for, task_of
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Of a language model: the log-probability of each line of a file, in nats, its tokens and perplexity, and of
all together. Of other models: how good they are on a file with the right answers, as in their training.

  fastrnn score book.npz lines.txt
  fastrnn score book.npz candidates.txt --rank            the likeliest first
  fastrnn score book.npz lines.txt -o scores.csv
  fastrnn score intents.npz test.csv                      the part that is labelled right
  fastrnn score intents.npz test.csv --errors             how much of each label, and what is labelled wrong

A classifier and a tagger have an accuracy, a regressor R^2 (1 is right, 0 as good as the mean).
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser,
        "score",
        help="how likely lines are, or how right a model",
        description=_DESCRIPTION,
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    parser.add_argument("file", metavar="FILE", help="lines, or inputs with the right answers")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the scores here (language model)")
    parser.add_argument("--rank", action="store_true", help="the likeliest first (language model)")
    parser.add_argument(
        "--errors", action="store_true", help="how right each label is, and every error (classifier, tagger)"
    )
    add_data(parser, target=True)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from .. import models

    check_apart({"--output": arguments.output}, {"MODEL": arguments.model, "FILE": arguments.file})
    model = models.load(arguments.model)
    tasks = "classifier", "tagger", "regressor", "language-model", "translator"
    task = task_of(model, arguments.model, *tasks)
    if task == "language-model":
        _score_lines(model, arguments)
        return
    if arguments.rank or arguments.output is not None:
        given = "--rank" if arguments.rank else "--output"
        raise ValueError(f"{given} is of a language model; {arguments.model} holds a {task}")
    if arguments.errors and task not in ("classifier", "tagger"):
        raise ValueError(f"--errors is of a classifier or a tagger; {arguments.model} holds a {task}")
    data = read_for(model, task, arguments.file, Columns.of(arguments), labelled=True)
    with data.places():
        score = model.score(*([data.X] if data.y is None else [data.X, data.y]))
    what = {"regressor": "R^2", "translator": "score"}.get(task, "accuracy")
    print(f"{what} {score:.4f} of {len(data.X)} {'series' if data.y is None else 'inputs'}")
    if arguments.errors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the score has warned
            _show_errors(data, model.predict(data.X), steps=task == "tagger")


def _show_errors(data: Data, predicted: Any, *, steps: bool) -> None:
    """A line for each label, the rarest last, and one for each input that is labelled wrong."""
    rights = [[str(label) for label in (row if steps else [row])] for row in data.y or ()]
    saids = [[str(label) for label in (row if steps else [row])] for row in predicted]
    taken: dict[str, Counter[str]] = {}
    for right, said in zip(chain(*rights), chain(*saids), strict=True):
        taken.setdefault(right, Counter())[said] += 1
    rows = [["label", "there", "right", "taken for"]]
    for label, found in sorted(taken.items(), key=lambda each: (-each[1].total(), each[0])):
        wrong = ", ".join(f"{other} ({n})" for other, n in found.most_common() if other != label)
        rows.append([label, str(found.total()), str(found[label]), wrong])
    write_table(None, rows[0], rows[1:])
    for i, (there, answer) in enumerate(zip(rights, saids, strict=True)):
        if there != answer:
            print(f"{data.place(i)}: {' '.join(there)}, predicted {' '.join(answer)}: {_shown(data.X[i])}")


def _shown(x: Any) -> str:
    """An input in a line; of numbers, how many."""
    if isinstance(x, str):
        return repr(x)[:80]
    words = isinstance(x, list) and all(isinstance(word, str) for word in x)
    return " ".join(x)[:80] if words else f"{np.shape(x)[0]} steps"


def _score_lines(model: Any, arguments: argparse.Namespace) -> None:
    if arguments.errors:
        raise ValueError(f"--errors is of a classifier or a tagger; {arguments.model} holds a language-model")
    data = read(arguments.file, Columns.of(arguments), labelled=False)
    for i, line in enumerate(data.X):
        if not isinstance(line, str):
            raise ValueError(f"{data.place(i)}: {line!r:.60}; expected a text")
        if model.units.start is None and len(model.encode(line)) < 2:
            raise ValueError(f"{data.place(i)}: less than 2 {model.units.name}; leave it out")
    with data.places():
        scored = list(zip(data.X, model.score(list(data.X)), strict=True))
    if arguments.rank:
        scored.sort(key=lambda pair: -pair[1].log_probability)
    columns = ["log_probability", "tokens", "perplexity", "text"]
    rows = [[s.log_probability, s.tokens, s.perplexity, text] for text, s in scored]
    if arguments.output is not None:
        write(arguments.output, columns, rows)
    else:
        print("\t".join(columns))
        for nats, tokens, perplexity, text in rows:
            print(f"{nats:.4f}\t{tokens}\t{perplexity:.4f}\t{text}")
    together = _together([s for _, s in scored])
    print(
        f"All: log_probability {together.log_probability:.4f}, {together.tokens} tokens, perplexity "
        f"{together.perplexity:.4f}, {together.bits_per_token:.4f} bits a token"
    )


def _together(scores: list[Any]) -> Any:
    """The score of several texts together."""
    import math

    from ..models import Score

    return Score(math.fsum(s.log_probability for s in scores), sum(s.tokens for s in scores))
