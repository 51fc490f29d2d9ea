"""The cases of ``python -m benchmarks.compare``: what users have, from one step to large batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fastrnn._bench import Case

SHAPES = [  # T, B, I, H
    (1, 1, 64, 64),
    (1, 1, 256, 256),
    (200, 1, 8, 16),
    (100, 1, 128, 128),
    (100, 1, 256, 256),
    (100, 1, 512, 512),
    (50, 1, 1024, 1024),
    (28, 128, 28, 128),
    (100, 16, 128, 128),
    (35, 20, 650, 650),
    (100, 32, 256, 256),
    (100, 64, 512, 512),
    (50, 128, 1024, 1024),
    # odd sizes
    (500, 1, 266, 25),
    (64, 7, 33, 75),
    (200, 3, 80, 150),
    (128, 24, 300, 300),
]
STACKS = [((80, 8, 64, 160), {"layers": 2, "bidirectional": True}), ((100, 1, 40, 256), {"layers": 3})]
BIDIRECTIONAL = [(100, 1, 256, 256)]
RAGGED = [(28, 128, 28, 128), (100, 16, 128, 128), (100, 32, 256, 256)]
VANISHING = [(200, 16, 128, 128)]
STEPS = [(1, 1), (25, 25), (64, 64), (64, 150), (64, 256), (64, 512)]  # I, H


def grid(cell: str, mode: str, dtype: str = "float32") -> Iterator[Case]:
    """Every case of a cell in a mode."""
    if mode == "step":
        for inputs, hidden in STEPS:
            yield Case(cell, mode, 1, 1, inputs, hidden, dtype=dtype)
        return
    for shape in SHAPES:
        yield Case(cell, mode, *shape, dtype=dtype)
    for shape in BIDIRECTIONAL:
        yield Case(cell, mode, *shape, bidirectional=True, dtype=dtype)
    for shape, options in STACKS:
        yield Case(cell, mode, *shape, dtype=dtype, **options)
    for shape in RAGGED:
        yield Case(cell, mode, *shape, ragged=True, dtype=dtype)
    if mode == "training":
        for shape in VANISHING:  # and the same with ordinary gradients
            ordinary = Case(cell, mode, *shape, dtype=dtype)
            yield ordinary
            yield replace(ordinary, vanishing=True)
