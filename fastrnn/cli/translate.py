"""``fastrnn translate``: other sequences for sequences."""

from __future__ import annotations

import argparse
from typing import Any

from ._arguments import add_data, command, positive
from ._data import Columns, write
from ._models import read_for, task_of
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Translate the lines of a file, or a text, with a model that `fastrnn train --task translator` saved.

  fastrnn translate model.npz "good morning"
  fastrnn translate model.npz lines.txt -o translated.txt
  fastrnn translate model.npz lines.csv --input source --beam 5 -o translated.csv

A beam of K keeps the K likeliest beginnings at every step: slower, and mostly better. The ending of --output
says what is written: .csv, .tsv, .jsonl (with the inputs), else a translation a line.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser, "translate", help="let a trained model translate", description=_DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    parser.add_argument("file", metavar="FILE|TEXT", help='a file, a text, or "-" for the standard input')
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: standard output)")
    parser.add_argument("--beam", type=positive, default=1, metavar="K", help="(default: %(default)s)")
    add_data(parser, target=False)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from .. import models

    check_apart({"--output": arguments.output}, {"MODEL": arguments.model, "FILE": arguments.file})
    model = models.load(arguments.model)
    task = task_of(model, arguments.model, "translator")
    data = read_for(model, task, arguments.file, Columns.of(arguments), labelled=False)
    with data.places():
        translated = model.translate(list(data.X), beam_size=arguments.beam)
    rows = data.all_rows(list(zip(data.X, translated, strict=True)), ("", ""))
    write(arguments.output, ["source", "translation"], rows)
