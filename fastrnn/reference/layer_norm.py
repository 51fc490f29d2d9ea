"""Layer normalisation inside a cell (Ba et al., 2016): ``gain * (a - mean) / sqrt(variance + eps)``.

The mean and the variance are those of a row over all units of all gates.
"""

from typing import NamedTuple

import numpy as np

from fastrnn.reference.arithmetic import fma

CHAINS = 16  # chains of a gate in a sum over its units


class Norm(NamedTuple):
    """A row's values made normal, (N, G*H), and what they were multiplied with for it, (N, 1)."""

    normal: np.ndarray
    scale: np.ndarray
    gates: int


def norm(a, gates, eps):
    """The rows of a (N, G*H), made normal."""
    count, eps = a.dtype.type(a.shape[1]), a.dtype.type(eps)
    with np.errstate(all="ignore"):
        d = a - row_sum(gates, a) / count
        scale = a.dtype.type(1) / np.sqrt(row_sum(gates, d, d) / count + eps)
        return Norm(d * scale, scale, gates)


def pulled(norm, gain, d, plus=None):
    """The gradient of what was made normal, where d is that of ``gain * normal``; added to `plus`."""
    count = d.dtype.type(d.shape[1])
    with np.errstate(all="ignore"):
        e = gain * d
        plain, along = row_sum(norm.gates, e) / count, row_sum(norm.gates, e, norm.normal) / count
        inner = fma(-norm.normal, along, e - plain)
        return norm.scale * inner if plus is None else fma(norm.scale, inner, plus)


def row_sum(gates, a, b=None):
    """The sum of a, or of a times b, over each row, (N, 1).

    Each gate has 16 chains, from +0, over every sixteenth unit; those of the gates are added in order, then
    the 16 by halves.
    """
    a = _in_chains(gates, a)
    sums = np.zeros_like(a[:, :, 0])
    with np.errstate(all="ignore"):
        if b is None:
            for k in range(a.shape[2]):
                sums = sums + a[:, :, k]
        else:
            b = _in_chains(gates, b)
            for k in range(a.shape[2]):
                sums = fma(a[:, :, k], b[:, :, k], sums)
        total = sums[:, 0]
        for gate in range(1, gates):
            total = total + sums[:, gate]
        while total.shape[1] > 1:
            half = total.shape[1] // 2
            total = total[:, :half] + total[:, half:]
    return total


def _in_chains(gates, a):
    """The rows (N, G*H) as (N, G, k, CHAINS), with zeros where there are no units."""
    units = a.shape[1] // gates
    chains = -(-units // CHAINS)
    padded = np.zeros((len(a), gates, chains * CHAINS), a.dtype)
    padded[:, :, :units] = a.reshape(len(a), gates, units)
    return padded.reshape(len(a), gates, chains, CHAINS)
