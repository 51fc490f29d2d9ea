"""The command ``fastrnn``. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["main"]

_DESCRIPTION = """\
Recurrent networks for NumPy.

  fastrnn demo                                   train a character language model, in about a minute
  fastrnn demo --text poems.txt -o poems.npz     the same on your own text, in any language
  fastrnn generate poems.npz --prompt "The "     let a trained model write
  fastrnn bench                                  how fast it is here, beside naive NumPy and other libraries
  fastrnn info                                   versions, instruction sets, threads
"""

_DEMO = """\
Train a character language model (Embedding, LSTM, Linear) on real text, and show what it learned: held-out
bits per character before and after, beside a bigram model; a sample; the speed, beside plain NumPy.

The default text is the language reference that Python carries in its standard library (pydoc_data.topics).
Ctrl-C stops the training and keeps the model trained so far. The same seed gives the same model, bit
for bit, unless the time limit stops the training; --epochs sets it aside.

A text of your own has at least 2,000 characters; some hundred thousand are better.
"""

_GENERATE = """\
Let a model that `fastrnn demo` saved write on from a prompt.

  fastrnn generate fastrnn-demo.npz --prompt "The statement "
  fastrnn generate fastrnn-demo.npz --temperature 0.8 --top-k 10 --seed 7

A low temperature writes what is likely, a high one what is surprising; 0 always takes the likeliest
character. The same seed writes the same text.
"""

_BENCH = """\
Measure fastrnn on this machine beside the usual NumPy loop and, where they are installed, PyTorch and ONNX
Runtime; in turn, in half a minute. All of them must compute the same numbers first.

  fastrnn bench --cell gru
  fastrnn bench --shape 100,1,256,256 --shape 35,20,650,650 --mode training --threads 1

Times are medians in milliseconds, ± half the distance of the quartiles. GFLOP/s counts the products only.

  roofline   the time that the machine's multiply-adds, caches and memory, measured meanwhile with a small C
             program, allow at best, as a part of the time taken
  x naive    how many times as fast as naive NumPy fastrnn is
  x peer     how many times as fast as the fastest of the other libraries fastrnn is
  peer at    the roofline of that library
  least      the smallest "x peer" of all shapes, and its shape

Other work on the machine makes the figures useless; where there was much, a line at the end says so.
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
    except (OSError, ValueError, FloatingPointError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            said = f"{error.filename}: {error.strerror}"  # without its number
        print(f"fastrnn: {said}", file=sys.stderr)
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

    bench = _command(
        commands.add_parser, "bench", help="measure the speed, beside other libraries", description=_BENCH
    )
    bench.set_defaults(run=_bench)
    bench.add_argument("--cell", action="append", choices=("lstm", "gru", "rnn"), help="(default: lstm)")
    bench.add_argument(
        "--shape", action="append", type=_shape, metavar="T,B,I,H", help="steps, batch, inputs, hidden units"
    )
    bench.add_argument(
        "--mode", action="append", choices=("forward", "training", "step"), help="(default: all that apply)"
    )
    bench.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="(default: float32)"
    )
    bench.add_argument("--quick", action="store_true", help="fewer rounds")
    bench.add_argument("--json", metavar="FILE", help="write all that was measured to a file")

    info = _command(
        commands.add_parser, "info", help="show versions, instruction sets, threads", description=""
    )
    info.set_defaults(run=_info)
    for command in (demo, generate, bench, info):
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


def _shape(text: str) -> tuple[int, ...]:
    shape = tuple(_positive(part) for part in text.split(","))
    if len(shape) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not T,B,I,H, such as 100,32,256,256")
    return shape


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


def _bench(arguments: argparse.Namespace) -> None:
    import json
    from dataclasses import replace

    from . import get_num_threads
    from ._bench import MODES, Case, as_json, quick, show

    cases = []
    for cell in arguments.cell or ["lstm"]:
        shapes = arguments.shape or []
        cases += [Case(cell, m, *shape) for shape in shapes for m in MODES if m != "step" or shape[0] == 1]
        cases += [] if shapes else quick(cell)
    cases = [replace(c, dtype=arguments.dtype) for c in cases if c.mode in (arguments.mode or MODES)]
    if not cases:
        raise ValueError("--mode step needs a --shape with T = 1")
    settings: dict = {"rounds": 3, "budget": 0.5} if arguments.quick else {"rounds": 5, "budget": 2.0}
    rows = show(cases, [get_num_threads()], **settings)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(as_json(rows), file, indent=1)


def _info(arguments: argparse.Namespace) -> None:
    from . import show_config

    show_config()
