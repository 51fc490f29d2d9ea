"""Optimisers with PyTorch's formulas, defaults and argument names, and clipping of gradients."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import _checks, _hints

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm_"]

#: Elements updated at a time: a few arrays of so many stay in the first caches.
_BLOCK = 8192


class Module(Protocol):
    """What an optimiser asks of a module; `fastrnn.nn.Module` has it."""

    @property
    def params(self) -> Mapping[str, np.ndarray]: ...

    def check_grads(self, grads: Mapping[str, Any], what: str = "grads") -> dict[str, np.ndarray]: ...

    def check_not_frozen(self, action: str) -> None: ...

    def mark_changed(self) -> None: ...


class Optimizer(_hints.Arguments):
    """Base of the optimisers.

    A subclass names the arrays it keeps for each parameter (`_slots`) and writes `_update`, which changes one
    block of one parameter and of its arrays in place.

    Parameters
    ----------
    module : fastrnn.nn.Module
        Its parameters are changed in place, and its version is raised.
    lr : float
        Learning rate; the attribute `lr` may be set at any time.
    weight_decay : float
        Factor of the parameter that is added to its gradient.

    Attributes
    ----------
    steps : int
        How many steps were made.

    Raises
    ------
    ValueError
        An argument out of its range; an array that the module has under two names.
    """

    def __init__(self, module: Module, lr: float, weight_decay: float) -> None:
        if not hasattr(module, "check_grads"):
            raise TypeError(
                f"{type(self).__name__}: module is {_checks.kind(module)}; give the module itself, not "
                "its params; several modules have an optimiser each, or are attributes of one"
            )
        for (name, value), (other, same) in itertools.combinations(module.params.items(), 2):
            if np.may_share_memory(value, same):
                raise ValueError(
                    f"{type(self).__name__}: {name!r} and {other!r} are one array, which would be updated "
                    "twice a step; let what is shared be one attribute, and let backward add up the "
                    "gradients of its uses"
                )
        self.module = module
        self.lr = lr
        self.weight_decay = self._number("weight_decay", weight_decay)
        self.steps = 0
        self._arrays: dict[str, dict[str, np.ndarray]] = {
            slot: {name: np.zeros_like(value) for name, value in module.params.items()}
            for slot in self._slots()
        }

    @property
    def lr(self) -> float:
        """Learning rate; set it to follow a schedule."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = self._number("lr", value)

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments but the learning rate, and the kind."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, (bool, float, tuple))}
        return {"kind": type(self).__name__, **{n: own[n] for n in sorted(own) if n != "_lr"}}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say where what PyTorch has by this name is to be found."""
            raise _checks.no_attribute(self, name)

    def _number(self, name: str, value: float) -> float:
        return _checks.factor(type(self).__name__, name, value)

    def _flag(self, name: str, value: bool) -> bool:
        return _checks.flag(type(self).__name__, name, value)

    def _slots(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _update(self, value: np.ndarray, grad: np.ndarray, *arrays: np.ndarray) -> None:
        """Change `value` and `arrays`, in the order of the slots; `grad` may be used as scratch."""
        raise NotImplementedError

    def _decay(self, value: np.ndarray, grad: np.ndarray) -> None:
        if self.weight_decay:
            grad += self.weight_decay * value

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Make one step.

        Parameters
        ----------
        grads : mapping of str to array_like
            The gradient of every parameter of the module, by name, as ``backward`` returns them; left as they
            are.

        Raises
        ------
        ValueError
            Missing, unexpected or misshapen gradients, each named; nothing was changed.
        RuntimeError
            The module is frozen.
        """
        self.module.check_not_frozen(f"{type(self).__name__}.step")
        checked = self.module.check_grads(grads)
        self.module.mark_changed()
        self.steps += 1
        for name, value in self.module.params.items():
            arrays = [self._arrays[slot][name].reshape(-1) for slot in self._slots()]
            value, grad = value.reshape(-1), checked[name].reshape(-1)
            for start in range(0, value.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                self._update(value[block], grad[block].copy(), *(array[block] for array in arrays))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the learning rate, the number of steps and a copy of the arrays, as a flat mapping of names
        to arrays.

        Other arguments belong to the constructor.
        """
        state = {"lr": np.array(self.lr, np.float64), "steps": np.array(self.steps, np.int64)}
        for slot, arrays in self._arrays.items():
            state.update((f"{slot}.{name}", value.copy()) for name, value in arrays.items())
        return state

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Go on from the state of an optimiser of the same kind for the same parameters.

        Raises
        ------
        ValueError
            Missing, unexpected or misshapen entries, each named; nothing was changed.
        TypeError
            No mapping, or entries that are not real floating-point arrays.
        """
        name = type(self).__name__
        if not isinstance(mapping, Mapping):
            raise TypeError(f"{name}.load_state_dict: got {_checks.kind(mapping)}; expected a mapping")
        missing = [key for key in ("lr", "steps") if key not in mapping]
        known = tuple(f"{slot}." for slot in self._slots())
        unexpected = [k for k in mapping if k not in ("lr", "steps") and not str(k).startswith(known)]
        if missing or unexpected:
            faults = _checks.prefix(missing, mapping) + [
                f"{what} {', '.join(_checks.first_few(names))}"
                for what, names in (("missing", missing), ("unexpected", unexpected))
                if names
            ]
            raise ValueError(f"{name}.load_state_dict: {'; '.join(faults)}")
        checked = {}
        for slot in self._slots():
            part = {
                key.removeprefix(f"{slot}."): mapping[key] for key in mapping if key.startswith(f"{slot}.")
            }
            checked[slot] = self.module.check_grads(part, what=f"{name}.load_state_dict: {slot}")
        lr, steps = (
            float(mapping["lr"]),
            _checks.size(f"{name}.load_state_dict", "steps", mapping["steps"], 0),
        )
        self.lr, self.steps = lr, steps
        for slot, arrays in checked.items():
            for key, value in arrays.items():
                self._arrays[slot][key][...] = value


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum.

    .. math::

        b \leftarrow \mu b + (1 - \tau) g \;(\text{first step: } g), \quad
        p \leftarrow p - \eta b \;(\text{Nesterov: } p - \eta (g + \mu b))

    with the gradient g, to which weight_decay * p is added.

    Parameters
    ----------
    module : fastrnn.nn.Module
    lr, momentum, dampening, weight_decay : float
        :math:`\eta, \mu, \tau` and the factor of the decay.
    nesterov : bool
        Needs a momentum and no dampening.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, as PyTorch
    writes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> module = nn.Linear(1, 1, bias=False, dtype=np.float64)
    >>> module.params["weight"][...] = 1.0
    >>> SGD(module, lr=0.25).step({"weight": [[2.0]]})
    >>> module.params["weight"]
    array([[0.5]])
    """

    def __init__(
        self,
        module: Module,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum = self._number("momentum", momentum)
        self.dampening = self._number("dampening", dampening)
        self.nesterov = self._flag("nesterov", nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"{type(self).__name__}: nesterov needs momentum > 0 and dampening = 0; got {momentum} and "
                f"{dampening}"
            )
        super().__init__(module, lr, weight_decay)

    def _slots(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _update(self, value: np.ndarray, grad: np.ndarray, *arrays: np.ndarray) -> None:
        self._decay(value, grad)
        for buffer in arrays:
            buffer *= self.momentum
            buffer += grad if self.steps == 1 else (1 - self.dampening) * grad
            grad = grad + self.momentum * buffer if self.nesterov else buffer
        value -= self.lr * grad


class RMSprop(Optimizer):
    r"""Gradients divided by their running root mean square.

    .. math::

        v \leftarrow \alpha v + (1 - \alpha) g^2, \quad p \leftarrow p - \eta g / (\sqrt{v} + \epsilon)

    ``centered`` subtracts the squared running mean of g from v; with a momentum the quotient runs through a
    buffer
    :math:`b \leftarrow \mu b + g / (\sqrt{v} + \epsilon)`, and :math:`p \leftarrow p - \eta b`.

    Parameters
    ----------
    module : fastrnn.nn.Module
    lr, alpha, eps, weight_decay, momentum : float
    centered : bool

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5, RMSprop", 2012; centered: Graves, "Generating sequences with recurrent
    neural networks", 2013. As PyTorch writes them.
    """

    def __init__(
        self,
        module: Module,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        self.alpha = self._number("alpha", alpha)
        self.eps = self._number("eps", eps)
        self.momentum = self._number("momentum", momentum)
        self.centered = self._flag("centered", centered)
        super().__init__(module, lr, weight_decay)

    def _slots(self) -> tuple[str, ...]:
        return ("square_avg", *["momentum_buffer"] * (self.momentum > 0), *["grad_avg"] * self.centered)

    def _update(self, value: np.ndarray, grad: np.ndarray, *arrays: np.ndarray) -> None:
        by_slot = dict(zip(self._slots(), arrays, strict=True))
        self._decay(value, grad)
        square_avg = by_slot["square_avg"]
        square_avg *= self.alpha
        square_avg += (1 - self.alpha) * grad * grad
        mean_square = square_avg
        if self.centered:
            grad_avg = by_slot["grad_avg"]
            grad_avg += (1 - self.alpha) * (grad - grad_avg)
            mean_square = square_avg - grad_avg * grad_avg
        grad /= np.sqrt(mean_square) + self.eps
        if self.momentum:
            buffer = by_slot["momentum_buffer"]
            buffer *= self.momentum
            buffer += grad
            grad = buffer
        value -= self.lr * grad


class Adam(Optimizer):
    r"""Running mean of the gradient, divided by its running root mean square, both corrected for their start
    at zero.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with the gradient g, to which weight_decay * p is added. ``amsgrad`` uses the greatest v so far.

    Parameters
    ----------
    module : fastrnn.nn.Module
    lr : float
    betas : (float, float)
    eps, weight_decay : float
    amsgrad : bool

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; amsgrad: Reddi, Kale and Kumar, "On the
    convergence of Adam and beyond", 2018. As PyTorch writes them.
    """

    def __init__(
        self,
        module: Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        if np.shape(betas) != (2,) or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{type(self).__name__}: betas is {betas}; expected two numbers, 0 <= beta < 1")
        self.betas = float(betas[0]), float(betas[1])
        self.eps = self._number("eps", eps)
        self.amsgrad = self._flag("amsgrad", amsgrad)
        super().__init__(module, lr, weight_decay)

    def _slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * self.amsgrad)

    def _update(self, value: np.ndarray, grad: np.ndarray, *arrays: np.ndarray) -> None:
        self._decay(value, grad)
        mean, square, *greatest = arrays
        beta1, beta2 = self.betas
        mean += (1 - beta1) * (grad - mean)
        grad *= grad
        grad *= 1 - beta2
        square *= beta2
        square += grad
        for array in greatest:
            np.maximum(array, square, out=array)
            square = array
        root = np.sqrt(square, out=grad)
        root /= (1 - beta2**self.steps) ** 0.5
        root += self.eps
        np.divide(mean, root, out=root)
        root *= self.lr / (1 - beta1**self.steps)
        value -= root


class AdamW(Adam):
    r"""Adam with the decay apart from the gradient: first :math:`p \leftarrow (1 - \eta \lambda) p`.

    Parameters
    ----------
    module : fastrnn.nn.Module
    lr : float
    betas : (float, float)
    eps : float
    weight_decay : float
        :math:`\lambda`; 0.01 as in PyTorch.
    amsgrad : bool

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, as PyTorch writes it.
    """

    def __init__(
        self,
        module: Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(module, lr, betas, eps, weight_decay, amsgrad)

    def _decay(self, value: np.ndarray, grad: np.ndarray) -> None:
        value *= 1 - self.lr * self.weight_decay


def clip_grad_norm_(grads: Mapping[str, np.ndarray], max_norm: float) -> float:
    """Scale the gradients in place so that their common norm is at most `max_norm`; return the norm before.

    The norm is that of all elements together, summed in float64 in the order of the mapping. If it is NaN,
    the gradients become NaN: look at the result before an optimiser's step.

    Parameters
    ----------
    grads : mapping of str to numpy.ndarray
        As ``backward`` returns them.
    max_norm : float
        At least 0.

    Raises
    ------
    ValueError
        If max_norm is negative or NaN; the gradients are left as they are.
    TypeError
        If the gradients are no mapping.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> grads = {"weight": np.array([3.0, 0.0]), "bias": np.array([4.0])}
    >>> clip_grad_norm_(grads, 1.0)
    5.0
    >>> grads["bias"].round(4)
    array([0.8])
    """
    if not isinstance(grads, Mapping):
        raise TypeError(
            f"clip_grad_norm_: grads is {_checks.kind(grads)}; expected the gradients, a mapping of names "
            "to arrays, as backward returns them"
        )
    max_norm = _checks.not_negative("clip_grad_norm_", "max_norm", max_norm)
    squares = sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads.values())
    norm = squares**0.5
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:
        for grad in grads.values():
            grad *= scale
    return norm


if not TYPE_CHECKING:  # with it, every name would be there to a type checker

    def __getattr__(name: str) -> Any:
        """Say which name was meant."""
        raise _hints.no_name(__name__, name, __all__)
