"""Elman's network, in which every unit sees all of the step before."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ._options import limit, probabilities
from .activations import Activation, AnyActivation
from .base import Cell, check_norm

_TANH = Activation("tanh")


@dataclass(frozen=True, repr=False)
class RNN(Cell):
    """Elman's recurrent network (1990), with any activation.

    ::

        h = activation(W_ih x + b_ih + W_hh h' + b_hh)
        w_ln_ih * norm(W_ih x), w_ln_hh * norm(W_hh h') in place of W_ih x, W_hh h'    layer_norm

    where ``h'`` is the state of the step before.

    Parameters
    ----------
    activation : str, tuple or Activation
        The name of an `Activation`, ``(name, alpha)``, ``(name, alpha, beta)``, or one of them.
    clip : float, optional
        Cut the pre-activation to [-clip, clip] (ONNX's ``clip``); beyond, the slope is 0.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products (Ba et al., 2016), each with gains of its own, ``w_ln_ih`` and
        ``w_ln_hh`` (H,); see `LSTM`.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If there is no such activation, or clip is not a positive, finite number.

    Notes
    -----
    Elsewhere:

    * as it is: PyTorch, Keras, ONNX, oneDNN, cuDNN, FlashRNN, Flax, Haiku, numpy-ml, madmom
    * activation: Keras, ONNX, Flax, numpy-ml, madmom; relu alone PyTorch, oneDNN, cuDNN
    * clip: ONNX

    References
    ----------
    J. L. Elman (1990), "Finding structure in time"; J. L. Ba, J. R. Kiros and G. E. Hinton (2016), "Layer
    normalization".

    Examples
    --------
    >>> RNN(activation="relu").parameter_shapes(3, 5)
    {'w_ih': (5, 3), 'w_hh': (5, 5), 'b_ih': (5,), 'b_hh': (5,)}
    >>> RNN(("leaky_relu", 0.02), clip=3).activation
    Activation('leaky_relu', alpha=0.02)
    """

    activation: Activation = _TANH
    clip: float | None = None
    zoneout: Any = ()
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    gates: ClassVar[tuple[str, ...]] = ("n",)

    def __init__(
        self,
        activation: AnyActivation = "tanh",
        clip: float | None = None,
        zoneout: Any = (),
        layer_norm: bool = False,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        object.__setattr__(self, "activation", Activation.read(activation, "RNN: activation"))
        object.__setattr__(self, "clip", limit("RNN", "clip", clip))
        object.__setattr__(self, "zoneout", probabilities("RNN", "zoneout", zoneout, "h"))
        object.__setattr__(self, "layer_norm", layer_norm)
        object.__setattr__(self, "layer_norm_eps", layer_norm_eps)
        check_norm(self)

    @property
    def name(self) -> str:
        """``"rnn"`` for tanh and relu without a limit and zoneout, ``"rnn_general"`` for the rest."""
        plain = self.activation.name in ("tanh", "relu") and self.clip is None and not self.zoneout
        return "rnn" if plain else "rnn_general"

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """Of ``rnn_general`` the pre-activation before the clip."""
        return () if self.name == "rnn" else ("z",)

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """Of ``rnn`` ``(0,)`` for tanh, ``(1,)`` for relu."""
        return (int(self.activation.name == "relu"),) if self.name == "rnn" else ()

    @functools.cached_property
    def native_numbers(self) -> tuple[float, ...]:
        return (math.inf if self.clip is None else self.clip,)

    @functools.cached_property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return (self.activation.native,)
