"""Gated recurrent units."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from ._options import one_of
from .activations import Activation
from .base import Gated, check_norm


@dataclass(frozen=True, repr=False)
class GRU(Gated):
    """Gated recurrent unit, gates in the order r, z, n.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h' + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h' + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h' + b_hn))         reset="after"
        n = tanh(W_in x + b_in + W_hn (r * h') + b_hn)         reset="before"
        h = (1 - z) * n + z * h'
        w_ln_ih * norm(W_ih x), w_ln_hh * norm(W_hh h') in place of W_ih x, W_hh h'    layer_norm

    Parameters
    ----------
    reset : {"after", "before"}
        Where the reset gate is applied: after the recurrent product, as PyTorch and cuDNN have it, or before
        it, as the paper.
    activations : mapping of str to activation
        Of "r", "z", "n"; see `Activation`.
    clip : float or None
        Limit of the pre-activations: what the activations are taken of.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products (Ba et al., 2016), each over the 3*H units of all its gates
        together, with gains ``w_ln_ih`` and ``w_ln_hh`` (3*H,), as haste has it; see `LSTM`. It goes with
        reset="after" alone.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If an option is none of these, or two contradict each other.

    Notes
    -----
    Elsewhere:

    * reset="after": PyTorch, Keras, ONNX, oneDNN, cuDNN, haste, FlashRNN, Flax, Equinox, madmom
    * reset="before": Keras, ONNX, oneDNN, Haiku
    * zoneout: haste
    * layer_norm: haste
    * activations: Keras, ONNX, Flax, madmom
    * clip: ONNX

    References
    ----------
    K. Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation" (reset before; there z and 1 - z change places); J. L. Ba, J. R. Kiros and G. E. Hinton
    (2016), "Layer normalization".

    Examples
    --------
    >>> GRU(reset="before").name
    'gru_before'
    """

    reset: Literal["after", "before"] = "after"
    _: KW_ONLY
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    usual: ClassVar[Mapping[str, Activation]] = {
        "r": Activation("sigmoid"),
        "z": Activation("sigmoid"),
        "n": Activation("tanh"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("GRU", "reset", self.reset, ("after", "before"))
        check_norm(self)
        if self.layer_norm and self.reset == "before":
            raise ValueError(
                'GRU: layer_norm=True with reset="before"; expected reset="after": before it, n has a '
                "recurrent product of its own, which no paper's normalisation covers"
            )

    @property
    def _is_plain(self) -> bool:
        return not (self.activations or self.clip or self.zoneout)

    @property
    def name(self) -> str:
        """``"gru"`` or ``"gru_before"``; with activations, a limit or zoneout ``"gru_general"``."""
        return {"after": "gru", "before": "gru_before"}[self.reset] if self._is_plain else "gru_general"

    @functools.cached_property
    def gates(self) -> tuple[str, ...]:
        return ("r", "z", "n")

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """The gates, or their pre-activations; with reset after also nh, the part of n that r multiplies."""
        gates = self.gates if self._is_plain else super().cached
        return (*gates, "nh") if self.reset == "after" else gates

    @functools.cached_property
    def native_form(self) -> int:
        return 0 if self._is_plain else ("after", "before").index(self.reset)
