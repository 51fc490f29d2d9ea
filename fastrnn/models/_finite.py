"""Numbers that are none: refused where a model would go on with them."""

from __future__ import annotations

import numpy as np

from ..nn import Module

__all__ = ["all_finite", "as_float32", "finite"]


def all_finite(network: Module) -> bool:
    """Whether all weights of a network are."""
    return all(np.isfinite(value).all() for value in network.params.values())


def finite(who: str, outputs: np.ndarray) -> np.ndarray:
    """What a network put out, which is finite.

    Raises
    ------
    FloatingPointError
        It is not, though what it read was.
    """
    if not np.isfinite(outputs).all():
        raise FloatingPointError(
            f"{who}: the network puts out numbers that are not finite: its weights are too large or not "
            "finite; fit it anew with a lower lr"
        )
    return outputs


def as_float32(who: str, argument: str, rows: np.ndarray) -> np.ndarray:
    """Numbers, scaled for a network, in its precision.

    Raises
    ------
    ValueError
        They are beyond it.
    """
    with np.errstate(over="ignore"):
        result = rows.astype(np.float32)
    if not np.isfinite(result).all():
        raise ValueError(
            f"{who}: {argument} has numbers beyond float32 (up to {np.abs(rows).max():g} as the network "
            "reads them); scale them down"
        )
    return result
