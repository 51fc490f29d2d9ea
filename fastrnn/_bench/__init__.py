"""The measuring core: what ``fastrnn bench`` and ``python -m benchmarks.compare`` share."""

from .cases import QUICK, Case
from .naive import gradient as naive_gradient
from .report import Row, as_json, limits_line, machine, means, means_table, run, table
from .timing import interleaved, measure

__all__ = [
    "QUICK",
    "Case",
    "Row",
    "as_json",
    "interleaved",
    "limits_line",
    "machine",
    "means",
    "means_table",
    "measure",
    "naive_gradient",
    "run",
    "table",
]
