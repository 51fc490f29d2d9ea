"""fastrnn beside naive NumPy, PyTorch and ONNX Runtime, whichever are installed, in one interleaved run.

    python -m benchmarks.compare --cells lstm gru --modes forward --threads 1 2 --json out.json

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
from fastrnn._bench import Case, Row, as_json, limits_line, means_table, run, table
from fastrnn._bench.cases import MODES

from .grid import CELLS, grid


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.isa:
        fastrnn.set_isa(options.isa)
    cases = list(chosen(options))
    if not cases:
        print("no case of the grid has one of these words", file=sys.stderr)
        return 2
    print(f"{len(cases)} cases on {', '.join(map(str, options.threads))} threads")
    rows: list[Row] = []
    try:
        for threads in options.threads:
            for line in table(_kept(rows, run(cases, threads, **_settings(options)))):
                print(line, flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted; what follows is of the cases so far")
    for line in means_table(rows):
        print(line)
    for limits in {row.threads: row.limits for row in rows if row.limits}.values():
        print("\n" + limits_line(limits))
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(rows), indent=1) + "\n", encoding="utf-8")
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
    return made


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """The cases of the grid that the options name, and those of other shapes."""
    for dtype in options.dtype:
        for mode in options.modes:
            for cell in options.cells:
                cases = list(grid(cell, mode, dtype))
                if not options.shapes:
                    yield from cases
                    continue
                words = set(options.shapes)
                yield from (case for case in cases if words & set(case.name.split()))
                known = {word for case in cases for word in case.name.split()}
                for word in options.shapes:
                    new = word.count(",") == 3 and word not in known
                    if new and (mode != "step" or word.startswith("1,")):
                        yield Case(cell, mode, *map(int, word.split(",")), dtype=dtype)


def _settings(options: argparse.Namespace) -> dict:
    quick = {"rounds": 3, "budget": 0.5} if options.quick else {"rounds": options.rounds}
    return {**quick, "cold": options.cold, "peers": options.peers, "probe": not options.no_probe}


def _kept(rows: list[Row], found: Iterator[Row]) -> Iterator[Row]:
    for row in found:
        rows.append(row)
        yield row


if __name__ == "__main__":
    sys.exit(main())
