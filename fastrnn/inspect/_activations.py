"""Gates and states of every step, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..cells import Cell
from ..nn import Recurrent
from ._by_layer import ByLayer, check_layer, lengths_of, pass_name, passes_of, squeezed


@dataclass(frozen=True, eq=False, repr=False)
class Activations(ByLayer[dict[str, np.ndarray]]):
    """Gates and states of every step: see `activations`.

    ``found.layer(0)["f"]`` is the forget gate, ``found.layer(0)["c"]`` the cell state after each step,
    (T, B, H), for x without a batch (T, H); read-only, 0 past a length. At a masked step gates are 0, and
    states are those held.

    Attributes
    ----------
    cell : Cell
    gates : tuple of str
        Which of the names are the cell's gates, as its tape has them; the others are states.
    counted : bool ndarray, (T, B) or (T,)
        The steps within a row's length that are not masked.
    tokens : tuple of str, or None
        What the steps of x were made of.
    """

    cell: Cell
    gates: tuple[str, ...]
    counted: np.ndarray
    tokens: tuple[str, ...] | None = None

    def pairs(self, name: str, unit: int, k: int = 0, reverse: bool = False) -> list[tuple[str, float]]:
        """Return each token with the value of one unit at its step.

        Parameters
        ----------
        name : str
            A gate or a state.
        unit : int
        k, reverse
            Layer and direction.

        Raises
        ------
        ValueError, IndexError
            There are no tokens, or is no such name, unit, layer or direction.

        Examples
        --------
        >>> import fastrnn
        >>> from fastrnn import inspect
        >>> x = np.eye(3, dtype=np.float32)
        >>> found = inspect.activations(fastrnn.GRU(3, 2, rng=0), x, tokens="abc")
        >>> [(token, round(z, 2)) for token, z in found.pairs("z", unit=1)]
        [('a', 0.67), ('b', 0.65), ('c', 0.36)]
        """
        if self.tokens is None:
            raise ValueError("Activations.pairs: there are no tokens; give activations(..., tokens=text)")
        arrays = self.layer(k, reverse)
        if name not in arrays:
            there = ", ".join(map(repr, arrays))
            raise ValueError(f"Activations.pairs: name is {name!r}; expected one of {there}")
        array = arrays[name]
        if not 0 <= unit < array.shape[-1]:
            raise IndexError(
                f"Activations.pairs: unit is {unit}; {name} has units 0 to {array.shape[-1] - 1}"
            )
        return list(zip(self.tokens, array[:, unit].tolist(), strict=True))

    def _lines(self) -> Iterator[tuple[str, ...]]:
        yield "", "gates", "states", ""
        for which, arrays in self.passes.items():
            states = [f"{name} {array.shape}" for name, array in arrays.items() if name not in self.gates]
            yield pass_name(which), ", ".join(self.gates) or "none", ", ".join(states), ""


def activations(
    layer: Recurrent,
    x: np.ndarray,
    *,
    state: Any = None,
    lengths: Sequence[int] | None = None,
    mask: np.ndarray | None = None,
    tokens: Iterable[str] | None = None,
) -> Activations:
    """Run a layer and return the gates and states of every step, by name, for each layer and direction.

    Parameters
    ----------
    layer : Recurrent
    x : array_like
        As the layer takes it.
    state, lengths, mask
        As for calling the layer.
    tokens : str or iterable of str, optional
        What the steps were made of, for x without a batch (T, I): T strings, such as the characters of a
        text.

    Raises
    ------
    ValueError, TypeError
        layer is no recurrent layer; tokens for a batch, or not as many as steps; others as from calling the
        layer.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> x = np.random.default_rng(0).standard_normal((50, 8, 3))
    >>> found = inspect.activations(fastrnn.LSTM(3, 16, num_layers=2), x)
    >>> found
    Activations of LSTM(3, 16, num_layers=2)
               gates       states
      layer 0  i, f, g, o  h (50, 8, 16), c (50, 8, 16)
      layer 1  i, f, g, o  h (50, 8, 16), c (50, 8, 16)
    >>> found.layer(1)["f"].shape
    (50, 8, 16)
    """
    check_layer("activations", layer)
    _, _, tape = layer.run(x, state, lengths=lengths, mask=mask, tape=True)
    first = tape.passes[0]
    inside = np.arange(len(first.x))[:, None] < lengths_of(tape)
    passes = {}
    for which in passes_of(layer):
        one = tape.layer(*which)
        # In reverse a tape has the initial state in the slot past a length.
        states = {name: _read_only(np.where(inside[..., None], a, 0)) for name, a in one.state.items()}
        arrays = {**one.gates, **states}
        passes[which] = {name: squeezed(a, tape.unbatched) for name, a in arrays.items()}
    counted = inside if first.mask is None else inside & first.mask
    given = _tokens(tokens, len(counted), tape.unbatched)
    gates = tuple(first.gates)
    return Activations(repr(layer), passes, layer.cell, gates, squeezed(counted, tape.unbatched), given)


def text_activations(model: Any, text: str) -> Activations:
    """Run a language model over a text and return the gates and states at every character or word.

    Parameters
    ----------
    model : fastrnn.models.LanguageModel
    text : str
        At least one character or word.

    Returns
    -------
    Activations
        With the characters or words as its tokens.

    Raises
    ------
    TypeError, ValueError
        model is no language model, text is no str, or empty.

    References
    ----------
    Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks", 2015.

    Examples
    --------
    >>> from fastrnn import cells, inspect, models
    >>> model = models.LanguageModel(cells.LSTM(), hidden_size=32, num_layers=1)
    >>> model.build("the cat sat on the mat.")
    >>> found = inspect.text_activations(model, "the cat")
    >>> found.layer(0)["c"].shape, found.tokens
    ((7, 32), ('t', 'h', 'e', ' ', 'c', 'a', 't'))
    """
    if not hasattr(type(model), "vocab") or not hasattr(type(model), "network"):
        raise TypeError(
            f"text_activations: model is {_checks.kind(model)}; expected a fastrnn.models.LanguageModel"
        )
    if not isinstance(text, str):
        raise TypeError(f"text_activations: text is {_checks.kind(text)}; expected a str")
    if not text:
        raise ValueError("text_activations: text is empty; give at least one character")
    network = model.network
    ids = model.encode(text)
    return activations(network.rnn, network.embedding(ids), tokens=model.units.tokens(text))


def _tokens(tokens: Iterable[str] | None, steps: int, unbatched: bool) -> tuple[str, ...] | None:
    if tokens is None:
        return None
    given = tuple(tokens)
    if not unbatched:
        raise ValueError("activations: tokens go with one sequence; give x without a batch, (T, I)")
    if len(given) != steps:
        raise ValueError(
            f"activations: there are {len(given)} tokens; expected {steps}, one for each step of x"
        )
    return given


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
