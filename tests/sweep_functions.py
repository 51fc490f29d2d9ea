"""All 2^32 float32 inputs of the elementary functions, on every instruction set: largest error, equal bits.

    python tests/sweep_functions.py [--every N]

Errors are in units in the last place of the exact result, which float64 gives to within 1e-8 of one. By its
definition sigmoid is +0 where the exact result is subnormal; the sweep demands that there. The bits of every
instruction set are compared with the first one's. --every 16 takes a sixteenth of the inputs.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import time

import numpy as np

import fastrnn
from fastrnn import _native, functional

EXACT = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}
BLOCK = 1 << 18  # inputs at a time: they stay in the caches
PART = 1 << 24  # inputs of a process's turn


def ulps(got, exact):
    """Distance of float32 values from exact ones, in units in the last place of the latter."""
    with np.errstate(all="ignore"):
        nearest = exact.astype(np.float32)
        exponent = np.maximum(nearest.view(np.int32) >> 23 & 0xFF, 1)
        unit = (exponent.astype(np.int64) + (1023 - 127 - 23) << 52).view(np.float64)
        error = np.abs(got - exact) / unit
    overflow = np.isinf(nearest)
    error[overflow] = np.where(np.isinf(got[overflow]), 0, np.inf)
    return error


def block(name, start, every):
    """The largest error among some inputs, its input, and the instruction sets whose bits differ."""
    bits = np.arange(start, start + BLOCK * every, every, dtype=np.uint64)
    x = bits.astype(np.uint32).view(np.float32)
    results = []
    for isa in _native.SUPPORTED_ISAS:
        with fastrnn.isa(isa):
            results.append(getattr(functional, name)(x))
    got, *others = results
    same = [((got.view(np.int32) == r.view(np.int32)) | (np.isnan(got) & np.isnan(r))).all() for r in others]
    different = {isa for isa, equal in zip(_native.SUPPORTED_ISAS[1:], same, strict=True) if not equal}
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        error = ulps(got.astype(np.float64), exact)
    nan = np.isnan(x)
    error[nan] = np.where(np.isnan(got[nan]), 0, np.inf)
    error[~nan & np.isnan(got)] = np.inf
    if name == "sigmoid":
        flushed = exact < np.finfo(np.float32).smallest_normal
        error[flushed] = np.where(got[flushed] == 0, 0, np.inf)
    k = int(error.argmax())
    return float(error[k]), float(x[k]), different


def part(arguments):
    name, start, every = arguments
    found = [block(name, s, every) for s in range(start, start + PART * every, BLOCK * every)]
    return *max(f[:2] for f in found), set().union(*(f[2] for f in found))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="one input in N, a divisor of 256")
    every = parser.parse_args().every
    failed = False
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for name in EXACT:
            begun = time.monotonic()
            parts = range(0, 1 << 32, PART * every)
            found = pool.map(part, zip(itertools.repeat(name), parts, itertools.repeat(every)), chunksize=1)
            worst, at = max(f[:2] for f in found)
            different = set().union(*(f[2] for f in found))
            failed |= worst > 2 or bool(different)
            bits = f"BITS DIFFER on {different}" if different else "the same bits on"
            print(
                f"{name}: at most {worst:.4f} ulp (at {at.hex()}), {bits} "
                f"{', '.join(_native.SUPPORTED_ISAS)}  [{time.monotonic() - begun:.0f} s]",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
