"""Long short-term memory, and its variants."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ._options import flag, limit, one_of
from .activations import Activation
from .base import Gated, check_norm

#: The vanilla LSTM of "LSTM: a search space odyssey", and what else it compares: that with one thing changed.
_V: dict[str, Any] = {"peepholes": "ifo"}
_ODYSSEY: dict[str, dict[str, Any]] = {
    "V": _V,
    "NIG": {**_V, "input_gate": False},
    "NFG": {**_V, "forget_gate": False},
    "NOG": {**_V, "output_gate": False},
    "NIAF": {**_V, "activations": {"g": "affine"}},
    "NOAF": {**_V, "activations": {"h": "affine"}},
    "CIFG": {**_V, "coupled": True},
    "NP": {},
    "FGR": {**_V, "full_gate_recurrence": True},
}


@dataclass(frozen=True, repr=False)
class LSTM(Gated):
    """Long short-term memory, gates in the order i, f, g, o, and what the literature has made of it.

    ::

        zi, zf, zg, zo = W_ih x + b_ih + W_hh h' + b_hh
        i, f, o = sigmoid(zi), sigmoid(zf), sigmoid(zo);  g = tanh(zg)
        c = f * c' + i * g
        h = o * tanh(c)

    and, by the options below::

        h = W_hr (o * tanh(c))                                      proj_size
        zi += p_i * c';  zf += p_f * c';  zo += p_o * c             peepholes
        f = 1 - i                                                   coupled
        i = 1                                                       input_gate=False
        f = 1                                                       forget_gate=False
        o = 1                                                       output_gate=False
        zi, zf, zo += W_gg (i', f', o')                             full_gate_recurrence
        c cut to [-cell_clip, cell_clip]                            cell_clip
        zi, zf, zg, zo = w_ln_ih * norm(W_ih x) + w_ln_hh * norm(W_hh h') + b_ih + b_hh    layer_norm
        h = o * tanh(w_ln_c * norm(c) + b_ln_c)                     layer_norm

    where ``norm(v) = (v - mean) / sqrt(variance + layer_norm_eps)``, over all units of all gates.

    Parameters
    ----------
    proj_size : int
        Size P of the projected output; 0 for none. Then ``w_hh`` is (4*H, P) and ``w_hr`` (P, H).
    peepholes : str
        Gates that see the cell state, of "ifo": i and f that of the step before, o the new one. Their weights
        are ``w_peephole``, always (3, H), the rows for i, f, o; rows of others have gradient 0.
    coupled : bool
        The input gate sets the forget gate; f has no weights then.
    input_gate, forget_gate, output_gate : bool
        A gate that is left out is 1, and has no weights.
    full_gate_recurrence : bool
        The gates of the step before, i, f and o as far as they are there, feed them, by ``w_gg``. They are a
        third state, r (B, R), R = 3*H for three of them; ``w_gg`` is (R, R).
    cell_clip : float or None
        Limit of the cell state. The gradient of what is cut off is 0.
    activations : mapping of str to activation
        Of "i", "f", "g", "o", and of "h", which acts on c; see `Activation`.
    clip : float or None
        Limit of the pre-activations, peepholes and biases included.
    zoneout : float or (float, float)
        Probability with which a unit of h and c, or of h and one of c, keeps its value of the step before in
        training; in inference it keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products, each over the G*H units of all its gates together, and of c on
        its way to h, with gains ``w_ln_ih`` and ``w_ln_hh`` (G*H) and ``w_ln_c`` (H), and the bias ``b_ln_c``
        (H): the equations of Ba et al. (2016) with one bias for both products, as haste has them. With full
        gate recurrence the product over h includes that over the gates. Peepholes see c as it is.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If an option is none of these, or two contradict each other.

    Notes
    -----
    Elsewhere:

    * as it is: PyTorch, Keras, ONNX, oneDNN, cuDNN, haste, FlashRNN, Flax, Equinox, Haiku, numpy-ml, madmom,
      thinc
    * proj_size: PyTorch, oneDNN, cuDNN
    * peepholes: ONNX, oneDNN, madmom
    * coupled: ONNX
    * cell_clip: cuDNN
    * activations: Keras, ONNX, Flax, numpy-ml, madmom
    * zoneout: haste; of h alone
    * layer_norm: haste
    * clip: ONNX

    References
    ----------
    S. Hochreiter and J. Schmidhuber (1997), "Long short-term memory" (full gate recurrence); F. Gers, J.
    Schmidhuber and F. Cummins (2000), "Learning to forget" (the forget gate); F. Gers and J. Schmidhuber
    (2000), "Recurrent nets that time and count" (peepholes); H. Sak, A. Senior and F. Beaufays (2014), "Long
    short-term memory recurrent neural network architectures for large scale acoustic modeling" (the
    projection); J. L. Ba, J. R. Kiros and G. E. Hinton (2016), "Layer normalization"; K. Greff et al. (2017),
    "LSTM: a search space odyssey" (gates left out or coupled); D. Krueger et al. (2017), "Zoneout:
    regularizing RNNs by randomly preserving hidden activations".

    Examples
    --------
    >>> LSTM(proj_size=2).parameter_shapes(3, 5)
    {'w_ih': (20, 3), 'w_hh': (20, 2), 'b_ih': (20,), 'b_hh': (20,), 'w_hr': (2, 5)}
    >>> LSTM(coupled=True, peepholes="io").gates
    ('i', 'g', 'o')
    """

    proj_size: int = 0
    _: KW_ONLY
    peepholes: str = ""
    coupled: bool = False
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    full_gate_recurrence: bool = False
    cell_clip: float | None = None
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = _ODYSSEY
    zoned: ClassVar[str] = "hc"
    usual: ClassVar[Mapping[str, Activation]] = {
        "i": Activation("sigmoid"),
        "f": Activation("sigmoid"),
        "g": Activation("tanh"),
        "o": Activation("sigmoid"),
        "h": Activation("tanh"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.proj_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(
                f"LSTM: proj_size is {size!r}; expected an integer of at least 0, 0 for no projection"
            )
        object.__setattr__(self, "proj_size", int(size))
        for option in ("coupled", "input_gate", "forget_gate", "output_gate", "full_gate_recurrence"):
            object.__setattr__(self, option, flag("LSTM", option, getattr(self, option)))
        check_norm(self)
        if self.coupled and not (self.input_gate and self.forget_gate):
            gone = "input_gate" if not self.input_gate else "forget_gate"
            raise ValueError(f"LSTM: coupled=True makes f of i, and {gone}=False leaves it out; choose one")
        if self.full_gate_recurrence and self.gates == ("g",):
            raise ValueError("LSTM: full_gate_recurrence=True, but no gate is there that could feed others")
        peepholes = self.peepholes
        if (
            not isinstance(peepholes, str)
            or set(peepholes) - set("ifo")
            or len(set(peepholes)) < len(peepholes)
        ):
            raise ValueError(f"LSTM: peepholes is {peepholes!r}; expected some of the letters of 'ifo'")
        object.__setattr__(self, "peepholes", "".join(n for n in "ifo" if n in peepholes))
        object.__setattr__(self, "cell_clip", limit("LSTM", "cell_clip", self.cell_clip))

    @classmethod
    def variant(cls, name: str, **options: Any) -> Self:
        """One of the variants of "LSTM: a search space odyssey" by its name there.

        Parameters
        ----------
        name : {"V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"}
            V, the paper's vanilla LSTM, has peepholes; the others are V with one thing changed: no input,
            forget or output gate, no input or output activation, coupled gates, no peepholes, full gate
            recurrence.
        **options
            Further options of the cell, or others in place of the variant's.

        References
        ----------
        K. Greff et al. (2017), "LSTM: a search space odyssey".

        Examples
        --------
        >>> LSTM.variant("NP") == LSTM()
        True
        >>> LSTM.variant("CIFG", proj_size=2).gates
        ('i', 'g', 'o')
        """
        one_of("LSTM.variant", "name", name, tuple(cls.variants))
        return cls(**{**cls.variants[name], **options})

    @functools.cached_property
    def _is_plain(self) -> bool:
        return self.chosen.keys() <= {"proj_size"}

    @property
    def name(self) -> str:
        """``"lstm"``, or ``"lstm_general"`` with any option but a projection."""
        return "lstm" if self._is_plain else "lstm_general"

    @functools.cached_property
    def gates(self) -> tuple[str, ...]:
        """Those of i, f, g, o that have weights."""
        there = {
            "i": self.input_gate,
            "f": self.forget_gate and not self.coupled,
            "g": True,
            "o": self.output_gate,
        }
        return tuple(gate for gate, is_there in there.items() if is_there)

    @functools.cached_property
    def peeping(self) -> str:
        """The gates with a peephole that are there."""
        return "".join(gate for gate in self.peepholes if gate in self.gates)

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """The gates; with any option but a projection, their pre-activations."""
        return self.gates if self._is_plain else super().cached

    @functools.cached_property
    def states(self) -> tuple[str, ...]:
        """h and c; with full gate recurrence also r, the gates i, f, o side by side."""
        return ("h", "c", "r") if self.full_gate_recurrence else ("h", "c")

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of `Cell`, and those that the options ask for."""
        more = {"w_hr": self.proj_size, "w_peephole": self.peepholes, "w_gg": self.full_gate_recurrence}
        own = [name for name, wanted in more.items() if wanted]
        names = super().parameters
        return (*names[:4], *own, *names[4:], *["w_ln_c", "b_ln_c"] * self.layer_norm)

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        fed = (len(self.gates) - 1) * hidden_size
        shapes = {
            **super().parameter_shapes(input_size, hidden_size),
            "w_hr": (self.proj_size, hidden_size),
            "w_peephole": (3, hidden_size),
            "w_gg": (fed, fed),
        }
        return {name: shapes[name] for name in self.parameters}

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        fed = (len(self.gates) - 1) * hidden_size
        widths = {"h": self.output_size(hidden_size), "c": hidden_size, "r": fed}
        return {name: widths[name] for name in self.states}

    def output_size(self, hidden_size: int) -> int:
        return self.proj_size or hidden_size

    def check_hidden_size(self, hidden_size: int) -> None:
        if self.proj_size >= hidden_size:
            raise ValueError(
                f"LSTM: proj_size is {self.proj_size}; expected less than hidden_size={hidden_size}, "
                "0 for no projection"
            )

    @functools.cached_property
    def native_form(self) -> int:
        """Bits: gates i, f, o have weights; they feed those of the next step."""
        if self._is_plain:
            return 0
        return (
            sum(1 << k for k, gate in enumerate("ifo") if gate in self.gates) + 8 * self.full_gate_recurrence
        )

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """Bits of the gates i, f, o with a peephole; whether i and f are coupled."""
        return sum(1 << k for k, gate in enumerate("ifo") if gate in self.peeping), int(self.coupled)

    @functools.cached_property
    def native_numbers(self) -> tuple[float, ...]:
        return (*super().native_numbers, math.inf if self.cell_clip is None else self.cell_clip)
