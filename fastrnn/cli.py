"""The command ``fastrnn``. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["main"]

_DESCRIPTION = """\
Recurrent networks for NumPy.

  fastrnn demo                                   train a character language model, in about a minute
  fastrnn demo --text poems.txt -o poems.npz     the same on your own text, in any language
  fastrnn generate poems.npz --prompt "The "     let a trained model write
  fastrnn info                                   versions, instruction sets, threads
"""

_DEMO = """\
Train a character language model (Embedding, LSTM, Linear) on real text, and show what it learned: held-out
bits per character before and after, beside a bigram model; a sample; the speed, beside plain NumPy.

The default text is the language reference that Python carries in its standard library (pydoc_data.topics).
Ctrl-C stops the training and keeps the model trained so far. The same seed gives the same model, bit
for bit, unless the time limit stops the training; --epochs sets it aside.
"""

_GENERATE = """\
Let a model that `fastrnn demo` saved write on from a prompt.

  fastrnn generate fastrnn-demo.npz --prompt "The statement "
  fastrnn generate fastrnn-demo.npz --temperature 0.8 --top-k 10 --seed 7

A low temperature writes what is likely, a high one what is surprising; 0 always takes the likeliest
character. The same seed writes the same text.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):  # a text may hold what the terminal's encoding lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        if arguments.threads is not None:
            from . import set_num_threads

            set_num_threads(arguments.threads)
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("\nfastrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"fastrnn: {error}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line: what came, what was expected."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = _command(_Parser, prog="fastrnn", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fastrnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    demo = _command(commands.add_parser, "demo", help="train a language model and show it", description=_DEMO)
    demo.set_defaults(run=_demo)
    demo.add_argument("--text", metavar="FILE", help="train on this text (UTF-8, any language)")
    demo.add_argument(
        "-o", "--output", metavar="FILE", default="fastrnn-demo.npz", help="the model (default: %(default)s)"
    )
    demo.add_argument("--prompt", help="how the sample begins (default: the held-out text's beginning)")
    demo.add_argument("--epochs", type=_positive, help="how often to read the text (default: by its length)")
    demo.add_argument("--hidden", type=_positive, default=256, help="hidden units (default: %(default)s)")
    demo.add_argument("--seed", type=_natural, default=0, help="of all that is random (default: %(default)s)")

    generate = _command(
        commands.add_parser, "generate", help="let a trained model write", description=_GENERATE
    )
    generate.set_defaults(run=_generate)
    generate.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    generate.add_argument("--prompt", default="\n", help="what to write on from (default: a new line)")
    generate.add_argument("--length", type=_natural, default=400, help="characters (default: %(default)s)")
    generate.add_argument(
        "--temperature", type=_temperature, default=0.5, help="0 or more (default: %(default)s)"
    )
    generate.add_argument("--top-k", type=_positive, metavar="K", help="choose among the K likeliest only")
    generate.add_argument("--seed", type=_natural, help="the same seed writes the same text")

    info = _command(
        commands.add_parser, "info", help="show versions, instruction sets, threads", description=""
    )
    info.set_defaults(run=_info)
    for command in (demo, generate, info):
        command.add_argument("--threads", type=_positive, metavar="N", help="use exactly N threads")
    return parser


def _command(make, *args, **options) -> argparse.ArgumentParser:
    return make(*args, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _positive(text: str) -> int:
    return _number(text, int, "a whole number of at least 1", 1)


def _natural(text: str) -> int:
    return _number(text, int, "a whole number of at least 0", 0)


def _temperature(text: str) -> float:
    return _number(text, float, "a number of at least 0", 0)


def _number(text: str, kind: Callable[[str], Any], expected: str, least: int) -> Any:
    with contextlib.suppress(ValueError):
        if least <= (value := kind(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"got {text!r}; expected {expected}")


def _demo(arguments: argparse.Namespace) -> int:
    from ._demo import run

    return run(
        text_file=arguments.text,
        output=arguments.output,
        prompt=arguments.prompt,
        epochs=arguments.epochs,
        hidden_size=arguments.hidden,
        seed=arguments.seed,
        threads=arguments.threads,
    )


def _generate(arguments: argparse.Namespace) -> None:
    from .models import LanguageModel

    written = LanguageModel.load(arguments.model).generate(
        arguments.prompt,
        arguments.length,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        seed=arguments.seed,
    )
    print(arguments.prompt + written, flush=True)


def _info(arguments: argparse.Namespace) -> None:
    from . import show_config

    show_config()
