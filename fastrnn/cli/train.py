"""``fastrnn train``: a model from a file."""

from __future__ import annotations

import argparse
import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ._arguments import add_data, command, natural, number, part, positive
from ._data import Columns, Data, read, read_text
from ._models import series
from ._options import CLASSES, as_given, defaults, fit_options, model_options
from ._outputs import check_apart, check_model
from ._values import for_model, sequences

__all__ = ["add", "run"]

_DESCRIPTION = """\
Train a model from a file, and save it.

  fastrnn train --task classifier messages.csv -o intents.npz        columns: text,label
  fastrnn train --task classifier mail.csv --input body --target folder --validation 0.1 --patience 5
  fastrnn train --task tagger names.jsonl                            {"tokens": [...], "tags": [...]} a line
  fastrnn train --task regressor reviews.csv --target stars
  fastrnn train --task regressor power.csv --horizon 24 --window 96  forecasts: each column is a number a step
  fastrnn train --task classifier moves.npz                          arrays X (n, T, F), y (n,), maybe lengths
  fastrnn train --task language-model book.txt --epochs 10 -o book.npz
  fastrnn train --task language-model lines.txt --sentences --unit words
  fastrnn train --task translator pairs.tsv --no-header              source TAB target
  fastrnn train --task translator words.csv --inputs characters --outputs characters

Files: .csv and .tsv with a header, .jsonl, .npz, .npy, text (UTF-8). In a column, the tags, tokens
(--inputs tokens) or numbers (--inputs vectors) of one sequence have spaces between them.

Ctrl-C ends the training and keeps the model, with exit status 130. With --checkpoint FILE a run that was
stopped, even killed, goes on when the same command is given again, to the same bits; with more --epochs it
goes on too, at the learning rates that so many have. The same seed gives the same model.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(commands.add_parser, "train", help="train a model from a file", description=_DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="what to learn from")
    parser.add_argument("--task", required=True, choices=tuple(CLASSES), help="what to learn")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="model.npz", help="the model (default: %(default)s)"
    )
    add_data(parser, target=True)
    parser.add_argument(
        "--sentences", action="store_true", help="of a text every line is a sentence (language-model)"
    )
    model = parser.add_argument_group("the model")
    model.add_argument("--cell", metavar="NAME", help="lstm, gru, rnn, mgu, ...: a cell of fastrnn.cells")
    model.add_argument("--hidden", type=positive, metavar="N", help="hidden units")
    model.add_argument("--layers", type=positive, metavar="N", help="recurrent layers")
    model.add_argument("--embedding", type=positive, metavar="N", help="size of the vectors of tokens")
    model.add_argument("--dropout", type=number, metavar="P", help="in training")
    model.add_argument(
        "--forget-bias", type=number, metavar="B", help="1: it remembers from the start (with --cell lstm)"
    )
    model.add_argument("--bidirectional", action="store_true", default=None, help="read both ways")
    model.add_argument("--min-count", type=positive, metavar="N", help="rarer tokens are unknown")
    model.add_argument("--lowercase", action=argparse.BooleanOptionalAction, help="ignore upper case")
    model.add_argument(
        "--inputs",
        choices=("auto", "vectors", "ids", "words", "characters", "tokens"),
        help="what an input is (all but language-model)",
    )
    model.add_argument(
        "--outputs",
        choices=("auto", "words", "characters", "tokens"),
        help="what a target is (translator)",
    )
    model.add_argument("--pool", choices=("last", "mean", "max"), help="(classifier, regressor)")
    model.add_argument("--horizon", type=positive, metavar="K", help="forecast K steps (regressor)")
    model.add_argument("--window", type=positive, metavar="N", help="steps a forecast looks back (regressor)")
    model.add_argument("--unit", choices=("characters", "words"), help="(language-model)")
    model.add_argument(
        "--tied", action="store_true", default=None, help="one table for input and output (language-model)"
    )
    model.add_argument("--seed", type=natural, help="of all that is random")
    training = parser.add_argument_group("the training")
    training.add_argument("--epochs", type=positive, metavar="N", help="how often to go through the data")
    training.add_argument("--batch", type=positive, metavar="N", help="sequences, or streams, at a time")
    training.add_argument("--lr", type=number, metavar="RATE", help="learning rate at the start")
    training.add_argument("--schedule", choices=("cosine", "constant", "step", "plateau"))
    training.add_argument("--max-norm", type=number, metavar="NORM", help="gradients are clipped to it")
    training.add_argument("--validation", type=part, metavar="PART", help="hold out a part, such as 0.1")
    training.add_argument("--validation-file", metavar="FILE", help="validate on this file")
    training.add_argument("--patience", type=positive, metavar="N", help="epochs without a better validation")
    training.add_argument("--seconds", type=number, metavar="S", help="stop after so much time")
    training.add_argument("--checkpoint", metavar="FILE", help="write the run here, and go on from it")
    training.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.complete = defaults
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run it; return the exit status."""
    from .. import models

    task = arguments.task
    check_apart(
        {"--checkpoint": arguments.checkpoint, "--output": arguments.output},
        {"FILE": arguments.file, "--validation-file": arguments.validation_file},
    )
    check_model(arguments.output)
    model = getattr(models, CLASSES[task])(**model_options(arguments))
    data = _read(arguments.file, arguments, None)
    options = fit_options(arguments)
    if arguments.validation is not None and arguments.validation_file is not None:
        raise ValueError("--validation and --validation-file are given; expected one of them")
    if arguments.validation is None and arguments.validation_file is None:
        for given in ("patience", "schedule"):
            if getattr(arguments, given) not in (None, "cosine", "constant", "step"):
                what = "--patience" if given == "patience" else "--schedule plateau"
                raise ValueError(
                    f"{what} looks at the validation loss; give --validation 0.1, or --validation-file FILE"
                )
    validation, held = arguments.validation, None
    if arguments.validation_file is not None:
        held = _read(arguments.validation_file, arguments, data.columns)
        validation = held.X if task == "language-model" else (held.X, held.y)
    with as_given(), data.places(held), _going_on(arguments.checkpoint):
        warnings.filterwarnings("ignore", ".*interrupted after step")  # `_tell` says so
        model.fit(
            *([data.X] if data.y is None else [data.X, data.y]),
            validation=validation,
            progress=not arguments.quiet,
            resume=arguments.checkpoint is not None,
            **options,
        )
    if data.columns is not None:
        model.columns_ = data.columns
    model.save(arguments.output)
    _tell(arguments, data, model)
    return 130 if model.history_.interrupted else 0  # so that `train && use` does not go on


@contextlib.contextmanager
def _going_on(checkpoint: str | None) -> Iterator[None]:
    """Say from where a run goes on; what is not the same is told as this command's arguments have it."""
    from .. import io
    from ..train._checkpoint import OtherRunError

    if checkpoint is not None and os.path.exists(checkpoint):
        arrays, meta = io.load(checkpoint)
        if meta.get("kind") == "checkpoint":
            steps, epoch = arrays["history.loss"].size, meta.get("steps_per_epoch")
            after = f"step {steps}" if not epoch else f"epoch {steps / epoch:g}"
            print(f"Goes on from {checkpoint}, after {after}", flush=True)
    try:
        yield
    except OtherRunError as error:
        raise ValueError(
            f"--checkpoint: {error.said}; give the same data and options, or delete {checkpoint}, or give "
            "another --checkpoint"
        ) from None


def _read(path: str, arguments: argparse.Namespace, learned: Sequence[str] | None) -> Data:
    """The data of a file, as the model takes it; of a series these columns, if they are known."""
    task, named = arguments.task, Columns.of(arguments)
    if task == "regressor" and arguments.horizon is not None:
        return series(path, named, learned)
    table = os.path.splitext(path)[1].lower() in (".csv", ".tsv", ".jsonl", ".ndjson")
    if task == "language-model" and not table and not arguments.sentences:
        named.refuse(path)
        return Data(path, read_text(path))
    if task == "regressor":
        named = replace(named, hint="; to forecast a table of numbers give --horizon K")
    data = read(path, named, labelled=task != "language-model")
    kind = arguments.inputs or ("tokens" if task == "tagger" else "auto")
    return for_model(sequences(data, kind), task, arguments.outputs or "auto")


def _tell(arguments: argparse.Namespace, data: Data, model: Any) -> None:
    """What came out, and how to go on."""
    history = model.history_
    if history.stopped:
        print(f"Stopped: {history.stopped}")
    if history.epoch_loss:
        from .._checks import plural

        epochs = plural(history.epochs, "epoch")
        print(f"Loss {history.epoch_loss[-1]:.4f} after {epochs}, {history.seconds[-1]:.0f} s")
    if history.validation:
        loss, score = history.validation[history.best_epoch if arguments.patience else -1]
        what = {"language-model": "perplexity", "regressor": "R^2"}.get(arguments.task, "accuracy")
        print(f"Validation loss {loss:.4f}, {what} {score:.4f}")
    print(f"Saved to {arguments.output}")
    use = {"language-model": "generate", "translator": "translate"}.get(arguments.task, "predict")
    print(f"Next: fastrnn {use} {arguments.output}" + (" FILE" if use != "generate" else ""))
