"""The measuring core: what ``fastrnn bench`` and ``python -m benchmarks.compare`` share.

`timing` takes the times, `cases` says of what, `contenders` who competes, `naive` is the usual NumPy loop,
`roofline` what the machine allows, and `report` runs it all and writes it down.
"""

from .cases import CELLS, MODES, Case, quick
from .naive import gradient as naive_gradient
from .report import as_json, show
from .timing import interleaved, measure

__all__ = ["CELLS", "MODES", "Case", "as_json", "interleaved", "measure", "naive_gradient", "quick", "show"]
