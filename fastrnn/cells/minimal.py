"""Cells with less: one gate, units that see themselves alone, gates that see the input alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .activations import Activation
from .base import Gated


@dataclass(frozen=True, repr=False)
class MGU(Gated):
    """Minimal gated unit, gates in the order f, n: one gate that forgets, resets and updates.

    ::

        f = sigmoid(W_if x + b_if + W_hf h' + b_hf)
        n = tanh(W_in x + b_in + W_hn (f * h') + b_hn)
        h = (1 - f) * h' + f * n

    Parameters
    ----------
    activations : mapping of str to activation
        Of "f", "n"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    Notes
    -----
    Elsewhere:

    * as it is: torchrecurrent; in Flax with f after the product W_hn h', and f and 1 - f exchanged in h

    References
    ----------
    G.-B. Zhou et al. (2016), "Minimal gated unit for recurrent neural networks".

    Examples
    --------
    >>> MGU().parameter_shapes(3, 5)
    {'w_ih': (10, 3), 'w_hh': (10, 5), 'b_ih': (10,), 'b_hh': (10,)}
    """

    name: ClassVar[str] = "mgu"
    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    usual: ClassVar[Mapping[str, Activation]] = {"f": Activation("sigmoid"), "n": Activation("tanh")}


@dataclass(frozen=True, repr=False)
class IndRNN(Gated):
    """Independently recurrent network: each unit sees its own past alone.

    ::

        h = activation(W_ih x + b_ih + w_hh * h' + b_hh)

    with a vector ``w_hh``.

    Parameters
    ----------
    activations : mapping of str to activation
        Of "n", usually relu; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    Notes
    -----
    Elsewhere:

    * as it is: haste, torchrecurrent

    References
    ----------
    S. Li et al. (2018), "Independently recurrent neural network (IndRNN): building a longer and deeper RNN".

    Examples
    --------
    >>> IndRNN().parameter_shapes(3, 5)
    {'w_ih': (5, 3), 'w_hh': (5,), 'b_ih': (5,), 'b_hh': (5,)}
    """

    name: ClassVar[str] = "indrnn"
    gates: ClassVar[tuple[str, ...]] = ("n",)
    usual: ClassVar[Mapping[str, Activation]] = {"n": Activation("relu")}

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {**super().parameter_shapes(input_size, hidden_size), "w_hh": (hidden_size,)}

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """``(1,)``: row 0 of its weights that multiply unit by unit is there."""
        return (1,)


@dataclass(frozen=True, repr=False)
class MinGRU(Gated):
    """minGRU: a GRU whose gates see the input alone, in the order z, n.

    ::

        z = sigmoid(W_iz x + b_iz)
        n = W_in x + b_in
        h = (1 - z) * h' + z * n

    Parameters
    ----------
    activations : mapping of str to activation
        Of "z" and "n", for n usually none, which is "affine"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    References
    ----------
    L. Feng et al. (2024), "Were RNNs all we needed?"

    Examples
    --------
    >>> MinGRU().parameter_shapes(3, 5)
    {'w_ih': (10, 3), 'b_ih': (10,)}
    """

    name: ClassVar[str] = "mingru"
    gates: ClassVar[tuple[str, ...]] = ("z", "n")
    parameters: ClassVar[tuple[str, ...]] = ("w_ih", "b_ih")
    usual: ClassVar[Mapping[str, Activation]] = {"z": Activation("sigmoid"), "n": Activation("affine")}


@dataclass(frozen=True, repr=False)
class MinLSTM(Gated):
    """minLSTM: an LSTM whose gates see the input alone, in the order f, i, n, and share a whole.

    ::

        f = sigmoid(W_if x + b_if)
        i = sigmoid(W_ii x + b_ii)
        n = W_in x + b_in
        h = f / (f + i) * h' + i / (f + i) * n

    where both quotients are a half if ``f + i`` is 0.

    Parameters
    ----------
    activations : mapping of str to activation
        Of "f", "i" and "n", for n usually none, which is "affine"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    References
    ----------
    L. Feng et al. (2024), "Were RNNs all we needed?"

    Examples
    --------
    >>> MinLSTM().parameter_shapes(3, 5)
    {'w_ih': (15, 3), 'b_ih': (15,)}
    """

    name: ClassVar[str] = "minlstm"
    gates: ClassVar[tuple[str, ...]] = ("f", "i", "n")
    parameters: ClassVar[tuple[str, ...]] = ("w_ih", "b_ih")
    usual: ClassVar[Mapping[str, Activation]] = {
        "f": Activation("sigmoid"),
        "i": Activation("sigmoid"),
        "n": Activation("affine"),
    }
