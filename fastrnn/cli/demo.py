"""``fastrnn demo``: a language model from nothing."""

from __future__ import annotations

import argparse
from typing import Any

from ._arguments import command, natural, positive
from ._outputs import check_apart, check_model

__all__ = ["add", "run"]

_DESCRIPTION = """\
Train a character language model (Embedding, GRU, Linear) on real text, and show what it learned: held-out
bits per character before and after, beside a bigram model; a sample; the speed, beside plain NumPy.

The default text is the language reference that Python carries in its standard library (pydoc_data.topics).
Ctrl-C stops the training and keeps the model trained so far. The same seed gives the same model, bit
for bit, unless the time limit stops the training; --epochs sets it aside.

A text of your own has at least 2,000 characters; some hundred thousand are better.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser, "demo", help="train a language model and show it", description=_DESCRIPTION
    )
    parser.add_argument("--text", metavar="FILE", help="train on this text (UTF-8, any language)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="fastrnn-demo.npz", help="the model (default: %(default)s)"
    )
    parser.add_argument("--prompt", help="how the sample begins (default: the held-out text's beginning)")
    parser.add_argument("--epochs", type=positive, help="how often to read the text (default: by its length)")
    parser.add_argument("--hidden", type=positive, default=256, help="hidden units (default: %(default)s)")
    parser.add_argument("--seed", type=natural, default=0, help="of all that is drawn (default: %(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run it."""
    from .. import _demo

    check_apart({"--output": arguments.output}, {"--text": arguments.text})
    check_model(arguments.output)
    return _demo.run(
        text_file=arguments.text,
        output=arguments.output,
        prompt=arguments.prompt,
        epochs=arguments.epochs,
        hidden_size=arguments.hidden,
        seed=arguments.seed,
        threads=arguments.threads,
    )
