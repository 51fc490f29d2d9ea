"""``fastrnn bench``: how fast it is here."""

from __future__ import annotations

import argparse
from typing import Any

from ._arguments import command, shape

__all__ = ["add", "run"]

_DESCRIPTION = """\
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


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser,
        "bench",
        help="measure the speed, beside other libraries",
        description=_DESCRIPTION,
    )
    parser.add_argument("--cell", action="append", choices=("lstm", "gru", "rnn"), help="(default: lstm)")
    parser.add_argument(
        "--shape", action="append", type=shape, metavar="T,B,I,H", help="steps, batch, inputs, hidden units"
    )
    parser.add_argument(
        "--mode", action="append", choices=("forward", "training", "step"), help="(default: all that apply)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="(default: float32)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured to a file")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    import json
    from dataclasses import replace

    from .. import get_num_threads
    from .._bench import MODES, Case, as_json, quick, show

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
