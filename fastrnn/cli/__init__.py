"""The command ``fastrnn``. What a command needs is imported when it runs; each has a file of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence

from . import bench, demo, generate, info, inspect, predict, score, train, translate
from ._arguments import Parser, command, positive

__all__ = ["main"]

_DESCRIPTION = """\
Recurrent networks for NumPy.

  fastrnn train --task classifier data.csv       learn from your own file (columns text, label)
  fastrnn predict model.npz new.csv              what the model says of other data
  fastrnn score model.npz test.csv               how often it is right
  fastrnn demo                                   train a character language model, in about a minute
  fastrnn demo --text poems.txt -o poems.npz     the same on your own text, in any language
  fastrnn generate poems.npz --prompt "The "     let a trained model write
  fastrnn translate model.npz lines.txt          let a trained model translate
  fastrnn inspect model.npz "turn on the light"  what goes on inside
  fastrnn bench                                  how fast it is here, beside naive NumPy and other libraries
  fastrnn info                                   versions, instruction sets, threads

fastrnn COMMAND --help explains a command, with examples.
"""

#: Errors that are one line: what comes of data and files, where no command says it better.
_TOLD = (
    OSError,
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    EOFError,
    RecursionError,
    MemoryError,
    zipfile.BadZipFile,
)

_COMMANDS = (train, predict, score, generate, translate, inspect, demo, bench, info)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    parser, commands = _parser()
    if argv and argv[0] in commands:
        commands[argv[0]].refuse_unknown(argv[1:])
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):  # a text may hold what the terminal's encoding lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        if arguments.threads is not None:
            from .. import set_num_threads

            set_num_threads(arguments.threads)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"fastrnn: {message}", file=sys.stderr)
            return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("\nfastrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _TOLD as error:
        said = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.filename and error.strerror:
            said = f"{error.filename}: {error.strerror}"  # without its number
        print(f"fastrnn: {said}", file=sys.stderr)
        return 1


def _parser() -> tuple[Parser, Mapping[str, Parser]]:
    """The parser of the command line, and those of its commands."""
    from .. import __version__

    parser = command(Parser, prog="fastrnn", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fastrnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        added = module.add(commands)
        added.set_defaults(run=module.run)
        added.add_argument("--threads", type=positive, metavar="N", help="use exactly N threads")
    return parser, commands.choices
