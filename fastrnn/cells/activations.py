"""The activations of gates: ONNX's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._options import LARGEST, is_number

#: The activations, in the order of csrc/activations.def: the defaults of alpha and beta where they take them.
_ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}
_SPELLINGS = {name.replace("_", ""): name for name in _ACTIVATIONS}


@dataclass(frozen=True, repr=False)
class Activation:
    """What a gate makes of its pre-activation: a function of ONNX's list, with its numbers.

    ================  ========================================================  ==========
    sigmoid           ``1 / (1 + exp(-z))``
    tanh              ``tanh(z)``
    relu              ``max(z, 0)``
    affine            ``alpha * z + beta``                                      1, 0
    leaky_relu        ``alpha * z`` below 0, else z                             0.01
    thresholded_relu  z above alpha, else 0                                     1
    scaled_tanh       ``alpha * tanh(beta * z)``                                1, 1
    hard_sigmoid      ``alpha * z + beta``, cut off at 0 and 1                  0.2, 0.5
    elu               ``alpha * (exp(z) - 1)`` below 0, else z                  1
    softsign          ``z / (1 + |z|)``
    softplus          ``log(1 + exp(z))``
    ================  ========================================================  ==========

    The numbers are what alpha and beta are if not given: the defaults of ONNX's operators of these names;
    ScaledTanh has none there, and 1, 1 here. Cells take an activation as a name alone, too, or as
    ``(name, alpha)`` or ``(name, alpha, beta)``.

    The slope at a kink is that from the left, so at 0 relu's is 0 and those of leaky_relu and elu are alpha;
    hard_sigmoid's is 0 where its value is 0 or 1.

    Parameters
    ----------
    name : str
        In any case, with or without underscores: "leaky_relu", "LeakyRelu".
    alpha, beta : float, optional
        Rounded to the dtype of the layer. None where the function takes none.

    Raises
    ------
    ValueError
        If there is no such function, or alpha or beta are not finite numbers (of float32's range), or are
        given to a function that takes none.

    Examples
    --------
    >>> Activation("HardSigmoid", alpha=0.25)
    Activation('hard_sigmoid', alpha=0.25, beta=0.5)
    """

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        name = _SPELLINGS.get(self.name.replace("_", "").lower()) if isinstance(self.name, str) else None
        if name is None:
            raise ValueError(
                f"no activation is called {self.name!r}; expected one of {', '.join(map(repr, _ACTIVATIONS))}"
            )
        object.__setattr__(self, "name", name)
        defaults = _ACTIVATIONS[name]
        for i, number in enumerate(("alpha", "beta")):
            value = getattr(self, number)
            if i >= len(defaults):
                if value is not None:
                    takes = "alpha, but no beta" if defaults else "neither alpha nor beta"
                    raise ValueError(f"{number} of {name} is {value!r}; {name} takes {takes}: leave it out")
                continue
            if value is None:
                value = defaults[i]
            if not is_number(value) or not abs(value) <= LARGEST:
                raise ValueError(
                    f"{number} of {name} is {value!r}; expected a finite number of float32's range"
                )
            object.__setattr__(self, number, float(value) + 0.0)  # -0 becomes +0: equal values act alike

    @classmethod
    def read(cls, value: Any, what: str) -> Activation:
        """The activation that a user gave as ``what``, such as "RNN: activation"."""
        try:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                return cls(value)
            if isinstance(value, Mapping) and value.keys() == {"name", "alpha", "beta"}:
                return cls(**value)  # what dataclasses.asdict makes of one
            if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3:
                return cls(*value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        raise ValueError(
            f"{what} is {value!r}; expected a name, (name, alpha), (name, alpha, beta) or an Activation"
        )

    @property
    def native(self) -> tuple[int, float, float]:
        """``(kind, alpha, beta)`` for the native kernels; 0 for numbers that the function does not take."""
        return list(_ACTIVATIONS).index(self.name), self.alpha or 0.0, self.beta or 0.0

    def __repr__(self) -> str:
        numbers = [
            f", {name}={value!r}"
            for name, value in (("alpha", self.alpha), ("beta", self.beta))
            if value is not None
        ]
        return f"Activation({self.name!r}{''.join(numbers)})"


#: What users may give for an activation: (name, alpha) and (name, alpha, beta) are tuples.
AnyActivation = Activation | str | tuple
