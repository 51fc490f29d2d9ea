"""What all of this package share: results by layer and direction, and the layers that are looked into."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from .. import _checks
from ..nn import Module, Recurrent, RecurrentTape

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False, repr=False)
class ByLayer(Generic[Value]):
    """One value for each layer and direction.

    Attributes
    ----------
    of : str
        The layer that was looked into, as it prints.
    passes : dict of (layer, reverse) to value
        In the order of the layer's states.
    """

    of: str
    passes: dict[tuple[int, bool], Value]

    def layer(self, k: int, reverse: bool = False) -> Value:
        """Return what there is of layer `k` in one direction."""
        try:
            return self.passes[k, bool(reverse)]
        except KeyError:
            raise IndexError(
                f"{type(self).__name__}.layer({k}, reverse={bool(reverse)}): there are layers 0 to "
                f"{max(self.passes)[0]} of {self.of}"
            ) from None

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__} of {self.of}", *_table(list(self._lines()))])

    def _lines(self) -> Iterator[tuple[str, ...]]:
        """The rows of what is printed, the first one their heading."""
        raise NotImplementedError


def pass_name(which: tuple[int, bool]) -> str:
    return f"layer {which[0]}{' reverse' * which[1]}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Lines of columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = [
        any(cell[:1].isdigit() or cell[:2] == "x " for cell in column) for column in zip(*rows, strict=True)
    ]
    for row in rows:
        cells = zip(row, widths, numbers, strict=True)
        line = "  ".join(c.rjust(width) if number else c.ljust(width) for c, width, number in cells)
        yield f"  {line}".rstrip()


def check_layer(who: str, layer: Any) -> None:
    """Refuse what is no recurrent layer, and say where it has one."""
    if isinstance(layer, Recurrent):
        return
    inside = [name for name, _ in _recurrent(layer)]
    hint = f"; give one of its own: {', '.join(_checks.first_few(inside, str))}" if inside else ""
    raise TypeError(
        f"{who}: layer is {_checks.kind(layer)}; expected a recurrent layer, such as fastrnn.LSTM{hint}"
    )


def _recurrent(owner: Any, prefix: str = "") -> Iterator[tuple[str, Recurrent]]:
    """The recurrent layers within a module, or within the modules of any object, by name."""
    if isinstance(owner, Module):
        children = owner.children()
    else:  # a model has its network as _network, and a property of that name without the underscore
        values = getattr(owner, "__dict__", {}).items()
        children = ((name.lstrip("_"), value) for name, value in values if isinstance(value, Module))
    for name, child in children:
        if isinstance(child, Recurrent):
            yield prefix + name, child
        else:
            yield from _recurrent(child, f"{prefix}{name}.")


def inspected(who: str, layer: Any) -> Recurrent:
    """The layer, or a copy with which backward may run where it is frozen."""
    check_layer(who, layer)
    return copy.deepcopy(layer).thaw() if layer.frozen else layer


def passes_of(layer: Recurrent) -> Iterator[tuple[int, bool]]:
    """Layer and direction in the order of the states."""
    for k in range(layer.num_layers):
        yield from ((k, bool(reverse)) for reverse in range(1 + layer.bidirectional))


def lengths_of(tape: RecurrentTape) -> np.ndarray:
    """The steps of each row, (B,)."""
    steps, batch, _ = tape.passes[0].x.shape
    lengths = tape.passes[0].lengths
    return np.full(batch, steps) if lengths is None else lengths.copy()


def squeezed(array: np.ndarray, unbatched: bool) -> np.ndarray:
    """An array (T, B, ...) without the axis of the batch where x had none."""
    return array[:, 0] if unbatched else array
