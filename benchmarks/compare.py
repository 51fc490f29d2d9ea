"""fastrnn beside naive NumPy, PyTorch and ONNX Runtime, whichever are installed, in one interleaved run.

    python -m benchmarks.compare --cells lstm gru --modes forward --threads 1 2 --json a.json --plot a.png

Cases are chosen by any word of their names, such as `--shapes 100,1,256,256 ragged x2`; a shape that no case
of the grid has is measured as a case of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import fastrnn
from fastrnn._bench import CELLS, MODES, Case, as_json, show

from .grid import grid
from .plot import plot, require_matplotlib


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.plot:
        require_matplotlib()
    if options.isa:
        fastrnn.set_isa(options.isa)
    cases = list(chosen(options))
    if not cases:
        print("no case of the grid has one of these words", file=sys.stderr)
        return 2
    settings = {"cold": options.cold, "peers": options.peers, "probe": not options.no_probe}
    settings |= {"rounds": 3, "budget": 0.5} if options.quick else {"rounds": options.rounds}
    rows = show(cases, options.threads, **settings)
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(rows), indent=1) + "\n", encoding="utf-8")
    if options.plot and rows:
        plot(as_json(rows), options.plot)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--cells", nargs="+", choices=CELLS, default=CELLS)
    add("--modes", nargs="+", choices=MODES, default=MODES)
    add("--shapes", nargs="+", metavar="WORD", help="cases that have one of these words in their names")
    add("--threads", nargs="+", type=int, default=[2], metavar="N", help="(default: 2)")
    add("--dtype", nargs="+", choices=("float32", "float64"), default=["float32"])
    add("--isa", help="fastrnn's instruction set, such as avx2 (default: the best)")
    add("--cold", action="store_true", help="empty the caches of the weights before each call")
    add("--rounds", type=int, default=7, help="(default: 7)")
    add("--peers", nargs="*", metavar="NAME", help="torch, onnxruntime (default: those installed)")
    add("--quick", action="store_true", help="three rounds, at most half a second for each contender")
    add("--no-probe", action="store_true", help="leave the roofline out")
    add("--json", metavar="FILE")
    add("--plot", metavar="FILE", help="a .png, .svg or .pdf (needs matplotlib)")
    return made


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """The cases of the grid that the options name, and those of shapes that the grid has nowhere."""
    known = {word for mode in MODES for case in grid("lstm", mode) for word in case.name.split()}
    words = set(options.shapes or known)
    new = [word for word in options.shapes or () if word.count(",") == 3 and word not in known]
    for dtype in options.dtype:
        for mode in options.modes:
            for cell in options.cells:
                yield from (case for case in grid(cell, mode, dtype) if words & set(case.name.split()))
                for word in new:
                    shape = tuple(map(int, word.split(",")))
                    if mode != "step" or shape[0] == 1:
                        yield Case(cell, mode, *shape, dtype=dtype)


if __name__ == "__main__":
    sys.exit(main())
