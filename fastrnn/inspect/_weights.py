"""Recurrent weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..nn import Recurrent
from ._by_layer import ByLayer, check_layer, pass_name, passes_of


@dataclass(frozen=True, eq=False, repr=False)
class SpectralRadius(ByLayer[dict[str, float]]):
    """Spectral radii of recurrent weights by gate: see `spectral_radius`."""

    def _lines(self) -> Iterator[tuple[str, ...]]:
        gates = list(next(iter(self.passes.values())))
        yield "", *gates, ""
        for which, radii in self.passes.items():
            yield pass_name(which), *(f"{radius:.3f}" for radius in radii.values()), ""


def spectral_radius(layer: Recurrent) -> SpectralRadius:
    """Return the largest absolute eigenvalue of the recurrent weights of each gate.

    In a plain RNN whose units are not saturated, gradients vanish where it is below 1, and may explode where
    it is above. The weights of a cell with a projection are taken with it, ``weight_hr @ weight_hh``.

    Parameters
    ----------
    layer : Recurrent

    Returns
    -------
    SpectralRadius
        ``result.layer(0)["n"]`` is a float.

    Raises
    ------
    ValueError
        The cell has no recurrent weights, or they are not finite.
    TypeError
        layer is no recurrent layer.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> inspect.spectral_radius(fastrnn.RNN(3, 4, init={"hidden": "orthogonal"})).layer(0)["n"].__round__(3)
    1.0
    """
    check_layer("spectral_radius", layer)
    cell, params = layer.cell, layer.params
    if "w_hh" not in cell.parameters:
        raise ValueError(f"spectral_radius: {cell} has no recurrent weights; its gates see the input alone")
    passes = {}
    for k, reverse in passes_of(layer):
        end = f"_l{k}{'_reverse' * reverse}"
        weights = params[f"weight_hh{end}"]
        if not np.isfinite(weights).all():
            raise ValueError(f"spectral_radius: weight_hh{end} is not finite")
        projection = params.get(f"weight_hr{end}")
        by_gate = zip(cell.gates, np.split(weights.astype(np.float64), len(cell.gates)), strict=True)
        passes[k, reverse] = {gate: _radius(w, projection) for gate, w in by_gate}
    return SpectralRadius(repr(layer), passes)


def _radius(w: np.ndarray, projection: np.ndarray | None) -> float:
    """The spectral radius of the weights of one gate, (H, P), or (H,) where units see themselves alone."""
    if w.ndim == 1:
        return float(np.abs(w).max())
    return float(np.abs(np.linalg.eigvals(w if projection is None else projection @ w)).max())
