"""``fastrnn inspect``: what goes on inside a model that reads a text."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ._arguments import command, natural
from ._data import TABLES, Columns, is_file, read_text
from ._models import series, task_of
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Run a model over a text and show what goes on inside: as a picture with --output (which needs matplotlib: pip
install "fastrnn[plot]"), else as a table.

  fastrnn inspect intents.npz "turn on the light"                       which words matter in the end
  fastrnn inspect intents.npz "turn on the light" -o words.png
  fastrnn inspect book.npz page.txt --show activations --name f -o gates.png
  fastrnn inspect book.npz page.txt --show gradients                    how far back the gradient reaches

  influence    how much each input matters to the final state
  activations  a gate or state of every unit at every step; as a table, how often the gates are shut or open
  gradients    the norm of the gradient, step by step back from the end
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser, "inspect", help="show what goes on inside a model", description=_DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    parser.add_argument("text", metavar="FILE|TEXT", help="a file, or a text")
    parser.add_argument("-o", "--output", metavar="PICTURE", help="a .png, .svg or .pdf file")
    parser.add_argument(
        "--show",
        choices=("influence", "activations", "gradients"),
        default="influence",
        help="(default: %(default)s)",
    )
    parser.add_argument("--layer", type=natural, metavar="K", help="of --show activations (default: 0)")
    parser.add_argument("--input", metavar="COLUMNS", help="of a table, where the model forecasts: A,B")
    parser.add_argument("--name", help="gate or state of --show activations, such as f, c or h (default: h)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from .. import inspect, models

    check_apart({"--output": arguments.output}, {"MODEL": arguments.model, "FILE": arguments.text})
    model = models.load(arguments.model)
    task = task_of(model, arguments.model, "classifier", "tagger", "regressor", "language-model")
    if arguments.name is not None and arguments.show != "activations":
        raise ValueError(f"--name is of --show activations; this is --show {arguments.show}")
    if arguments.layer is not None and (
        arguments.show != "activations" or (arguments.name is None and arguments.output is None)
    ):
        raise ValueError("--layer is of --show activations, with --name or --output")
    if arguments.output is not None:
        _check_picture(arguments.output)
    rnn, x, tokens = _steps(model, task, arguments.text, arguments.input)
    layer = arguments.layer or 0
    if layer >= rnn.num_layers:
        raise ValueError(f"--layer is {layer}; the model has layers 0 to {rnn.num_layers - 1}")
    if arguments.show == "influence":
        values = inspect.input_influence(rnn, x)
        _show_influence(values, tokens, arguments.output)
    elif arguments.show == "gradients":
        norms = inspect.gradient_norms(rnn, x)
        print(norms)
        if arguments.output is not None:
            from .. import plot

            _save(plot.gradient_norms(norms), arguments.output)
    else:
        _show_activations(inspect.activations(rnn, x, tokens=tokens), arguments)


def _steps(model: Any, task: str, given: str, columns: str | None) -> tuple[Any, Any, list[str]]:
    """The layers of a model, what they read of a text, and what each step is called."""
    text: Any = given
    forecasts = task == "regressor" and model.horizon is not None
    if columns is not None and not (forecasts and is_file(given) and not given.lower().endswith(".npy")):
        raise ValueError("--input names columns of a table, of a model that forecasts; leave it out")
    if is_file(given):
        if given.lower().endswith(".npy"):
            text = _array(given)
            if task == "language-model" or model._reader.kind == "text":
                raise ValueError(f"{given}: an array; the model reads text")
        elif forecasts:
            text = series(given, Columns(columns), model.columns_).X[0]
        elif given.lower().endswith(TABLES):
            raise ValueError(f'{given}: a table; give one text, as "..." or in a .txt file')
        else:
            text = read_text(given).rstrip("\n")
    if task == "language-model":
        ids = model.encode(text)
        if not len(ids):
            raise ValueError(f"the text is empty; give at least one of the {model.units.name}")
        return model.network.rnn, model.network.embedding(ids), model.units.tokens(text)
    network = model.network_
    parsed = _parsed(model, text)
    (x,) = model._reader.read("fastrnn inspect", [parsed], "text")
    if not network.embedded:
        return network.rnn, x, [str(step) for step in range(len(x))]
    if hasattr(model._reader, "tokens"):
        (names,) = model._reader.tokens("fastrnn inspect", [parsed], "text")
    else:
        names = [str(i) for i in x]
    return network.rnn, network.embedding(x), names


def _array(path: str) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole .npy file of numbers: {error}") from None


def _parsed(model: Any, text: Any) -> Any:
    """A text as the model takes it: tokens and numbers have spaces between them."""
    import numpy as np

    reads = model._reader
    if not isinstance(text, str):
        return text
    if reads.kind == "text":
        return text.split() if reads.split == "tokens" else text
    try:
        return np.array(text.split(), np.int64 if reads.kind == "ids" else np.float64)
    except ValueError as error:
        raise ValueError(f"text: expected {reads.kind}, numbers with spaces between them: {error}") from None


def _show_influence(values: Any, tokens: list[str], output: str | None) -> None:
    if output is not None:
        from .. import plot

        _save(plot.influence(values, tokens), output)
        return
    most = float(values.max()) or 1.0
    width = min(24, max(map(len, tokens)))
    for token, value in zip(tokens, values.tolist(), strict=True):
        print(f"{token.encode('unicode_escape').decode() if token.isspace() else token:<{width}} "
              f"{value:10.3e} {'#' * round(40 * value / most)}")  # fmt: skip


def _show_activations(found: Any, arguments: argparse.Namespace) -> None:
    from .. import inspect

    layer = found.layer(arguments.layer or 0)
    name = "h" if arguments.name is None else arguments.name
    if name not in layer:
        raise ValueError(f"--name is {name!r}; this layer has {', '.join(layer)}")
    if arguments.output is not None:
        from .. import plot

        _save(plot.activations(layer[name], found.tokens, title=name), arguments.output)
        return
    if arguments.name is None:
        print(inspect.saturation(found))
        return
    for token, row in zip(found.tokens, layer[name], strict=True):
        print(f"{token!r:<16} mean {row.mean():+.3f}  least {row.min():+.3f}  most {row.max():+.3f}")


def _check_picture(output: str) -> None:
    """Refuse what matplotlib cannot write, before anything is run."""
    from .._extra import optional

    known = optional("matplotlib.backend_bases", "plot").FigureCanvasBase.get_supported_filetypes()
    ending = os.path.splitext(output)[1].lower().removeprefix(".")
    if ending not in known:
        raise ValueError(f"--output is {output}; a picture ends in .png, .svg or .pdf")


def _save(ax: Any, output: str) -> None:
    ax.figure.savefig(output, dpi=150, bbox_inches="tight")
    print(f"Drawn to {output}")
