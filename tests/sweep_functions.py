"""All 2^32 float32 inputs of exp, sigmoid and tanh, on every instruction set: largest error, equal bits.

    python tests/sweep_functions.py [--every N]

Errors are in units in the last place of the exact result, which float64 gives to within 1e-8 of one. By its
definition sigmoid is +0 where the exact result is subnormal; the sweep demands that there. The bits of every
instruction set are compared with the first one's. --every 16 takes a sixteenth of the inputs.
"""

import argparse
import sys
import time

import numpy as np

import fastrnn
from fastrnn import _native, functional

EXACT = {"exp": np.exp, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}
BLOCK = 1 << 22


def ulps(got, exact):
    """Distance of float32 values from exact ones, in float32 units in the last place of the latter."""
    with np.errstate(all="ignore"):
        exponent = np.frexp(exact)[1]
        unit = np.ldexp(1.0, np.maximum(exponent - 24, -149))
        error = np.abs(got - exact) / unit
    overflow = np.abs(exact) >= 2.0**128 * (1 - 2.0**-25)
    error[overflow] = np.where(np.isinf(got[overflow]), 0, np.inf)
    return error


def sweep(name, every):
    """The largest error and its input, and the instruction sets whose bits differed from the first one's."""
    worst, at, different = 0.0, None, set()
    with np.errstate(all="ignore"):
        for block in range(0, 1 << 32, BLOCK * every):
            bits = np.arange(block, block + BLOCK * every, every, dtype=np.uint64)
            x = bits.astype(np.uint32).view(np.float32)
            with fastrnn.isa(_native.SUPPORTED_ISAS[0]):
                got = getattr(functional, name)(x)
            for isa in _native.SUPPORTED_ISAS[1:]:
                with fastrnn.isa(isa):
                    other = getattr(functional, name)(x)
                if ((got.view(np.int32) != other.view(np.int32)) & ~(np.isnan(got) & np.isnan(other))).any():
                    different.add(isa)
            nan = np.isnan(x)
            if not np.array_equal(np.isnan(got), nan):
                return np.inf, x[np.isnan(got) != nan][0], different
            exact = EXACT[name](x.astype(np.float64))
            error = ulps(got.astype(np.float64), exact)
            error[nan] = 0
            if name == "sigmoid":
                flushed = exact < np.finfo(np.float32).smallest_normal
                error[flushed] = np.where(got[flushed] == 0, 0, np.inf)
            k = int(error.argmax())
            if error[k] > worst:
                worst, at = float(error[k]), x[k]
    return worst, at, different


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="take one input in N (default: all)")
    every = parser.parse_args().every
    failed = False
    for name in EXACT:
        start = time.monotonic()
        worst, at, different = sweep(name, every)
        failed |= worst > 2 or bool(different)
        print(
            f"{name}: at most {worst:.4f} ulp (at {float(at).hex()}), "
            f"{'bits differ on ' + ', '.join(different) if different else 'the same bits on '}"
            f"{'' if different else ', '.join(_native.SUPPORTED_ISAS)}  [{time.monotonic() - start:.0f} s]",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
