"""What every module has: named parameters, their loading and saving, the version rule, freezing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from .. import _checks
from .init import parameter_dtype

__all__ = ["IncompatibleKeys", "Module", "Tape", "join_grads"]


#: What kernels and optimisers ask of the array of a parameter: C order, aligned, writeable.
_LIVE: Final = ("C", "A", "W")
#: Names of learned initial states, which PyTorch's layers have not: h0_l0, encoder.c0_l1_reverse.
_LEARNED_STATE: Final = re.compile(r"(^|\.)[a-z]+0_l\d+(_reverse)?$")


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(..., strict=False)`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """What a module's ``forward`` keeps for its ``backward``: immutable, and good for any number of
    backwards.

    It refers to the module's input and parameters; both must stay as they are until backward is done.
    """

    module: Module
    version: int
    saved: tuple[Any, ...] = ()


class Module:
    """Base of everything with parameters.

    A module owns named arrays, registered by `add_parameter`, and contains the modules found among its
    attributes (and in lists or tuples that are attributes). Parameters of a contained module get the
    attribute's name as a prefix, ``"lstm.weight_ih_l0"``, so that a model of several modules is saved, loaded
    and optimised as one.

    Subclasses write ``__call__(x) -> y`` (inference), ``forward(x) -> y, tape`` (training) and
    ``backward(tape, dy) -> dx, grads``, where `grads` has the keys of `params`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> class Tagger(nn.Module):
    ...     def __init__(self, rng=None):
    ...         rng = np.random.default_rng(rng)
    ...         self.lstm = nn.LSTM(3, 4, rng=rng)
    ...         self.out = nn.Linear(4, 2, rng=rng)
    ...
    ...     def __call__(self, x):
    ...         return self.out(self.lstm(x)[0])
    ...
    ...     def forward(self, x):
    ...         y, _, lstm_tape = self.lstm.forward(x)
    ...         scores, out_tape = self.out.forward(y)
    ...         return scores, (lstm_tape, out_tape)
    ...
    ...     def backward(self, tape, dy):
    ...         dy, out = self.out.backward(tape[1], dy)
    ...         dx, _, lstm = self.lstm.backward(tape[0], dy)
    ...         return dx, nn.join_grads(lstm=lstm, out=out)
    >>> Tagger()
    Tagger(
      (lstm): LSTM(3, 4)
      (out): Linear(in_features=4, out_features=2, bias=True)
    )
    >>> sorted(Tagger().params)[-2:]
    ['out.bias', 'out.weight']
    """

    # Defaults at class level, so that a subclass need not call super().__init__().
    _own: Mapping[str, np.ndarray] = MappingProxyType({})
    _changes: int = 0
    _frozen: bool = False
    _holders: Mapping[str, None] = MappingProxyType({})  # attributes that are, or may have, modules

    # ---- attributes ----

    if not TYPE_CHECKING:  # with it, every attribute would be there to a type checker

        def __getattr__(self, name: str) -> Any:
            """Say where a parameter, or what PyTorch has by this name, is to be found."""
            hint = f"a parameter is in params[{name!r}]" if name in self._own else ""
            raise _checks.no_attribute(self, name, hint)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._own.get(name, value) is not value:
            raise AttributeError(
                f"{type(self).__name__}: {name} is a parameter, not an attribute; write into it, "
                f"params[{name!r}][...] = value, or call load_state_dict"
            )
        super().__setattr__(name, value)
        if _holds_modules(type(value)) != (name in self._holders):
            self._find_holders()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._find_holders()

    # ---- the tree ----

    def add_parameter(self, name: str, value: np.ndarray) -> np.ndarray:
        """Make `value` (float32 or float64) the parameter `name`, and return the array in use."""
        value = np.require(value, parameter_dtype(value.dtype), _LIVE)
        self._own = {**self._own, name: value}
        return value

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the contained modules with their names, in the order in which they became attributes."""
        for name in self._holders:
            value = vars(self).get(name)
            if isinstance(value, Module):
                yield name, value
            for i, item in enumerate(value if isinstance(value, (list, tuple)) else ()):
                if isinstance(item, Module):
                    yield f"{name}.{i}", item

    def _find_holders(self) -> None:
        holders = {name: None for name, value in vars(self).items() if _holds_modules(type(value))}
        super().__setattr__("_holders", holders)

    def modules(self) -> Iterator[Module]:
        """Yield this module and, depth first, all that it contains."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    @property
    def params(self) -> Mapping[str, np.ndarray]:
        """Read-only mapping of the names to the live arrays, to be written to in place unless frozen.

        ``params[name][...] = value`` writes; call `mark_changed` afterwards, so that older tapes are refused.
        """
        arrays = dict(self._own)
        for prefix, child in self.children():
            arrays.update((f"{prefix}.{name}", value) for name, value in child.params.items())
        return MappingProxyType(arrays)

    # ---- saving and loading ----

    def state_dict(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Return a copy of every parameter by name, after `prefix`. (`params` has the live arrays.)"""
        return {prefix + name: value.copy() for name, value in self.params.items()}

    def load_state_dict(
        self, mapping: Mapping[str, Any], strict: bool = True, *, prefix: str = ""
    ) -> IncompatibleKeys:
        """Copy parameters from a mapping of names to array-likes, torch tensors included.

        Everything is checked before anything is written.

        Parameters
        ----------
        mapping : mapping of str to array_like
            Floating-point values of the parameters' shapes; they are cast to the parameters' dtype.
        strict : bool
            If false, missing and unexpected names are passed over and returned.
        prefix : str
            Only the entries whose names begin with it are taken, and it is cut off: ``"encoder.lstm."`` for a
            part of a larger model.

        Raises
        ------
        ValueError
            Unexpected, missing (both only if `strict`) or misshapen entries, each named, with the nearest
            right name; a prefix with which no name begins, with those that there are.
        TypeError
            No mapping, or entries that are not real floating-point arrays.
        RuntimeError
            The module is frozen.
        """
        self.check_not_frozen("load_state_dict")
        params, where = self.params, f"{type(self).__name__}.load_state_dict"
        if prefix or not isinstance(prefix, str):
            mapping = _checks.part(where, mapping, prefix)
        values, missing, unexpected = _match(where, params, mapping, strict, whole=not prefix)
        copies = {name: value.copy() for name, value in values.items()}  # they may be our own, exchanged
        self.mark_changed()
        for name, value in copies.items():
            params[name][...] = value
        return IncompatibleKeys(missing, unexpected)

    def check_grads(self, grads: Mapping[str, Any], what: str = "grads") -> dict[str, np.ndarray]:
        """Return `grads` as arrays of the parameters' dtypes, having checked that names and shapes are those
        of `params`.

        Raises
        ------
        ValueError, TypeError
            As `load_state_dict`.
        """
        return _match(f"{type(self).__name__}: {what}", self.params, grads, strict=True)[0]

    # ---- the version rule ----

    @property
    def version(self) -> int:
        """How often the parameters, here and in the contained modules, were changed by this library."""
        return self._changes + sum(child.version for _, child in self.children())

    def mark_changed(self) -> None:
        """Raise the version: tapes made until now are refused by ``backward``.

        `load_state_dict` and the optimisers call it; call it after writing into `params` by other means.
        """
        for module in self.modules():
            module._changes += 1

    def check_tape(self, tape: Tape) -> None:
        """Refuse a tape of another module or older than the parameters, and a frozen module."""
        name = type(self).__name__
        self.check_not_frozen("backward")
        if not isinstance(tape, Tape):
            raise TypeError(
                f"{name}.backward: tape is {_checks.kind(tape)}; give the tape that forward returned"
            )
        if tape.module is not self:
            raise ValueError(f"{name}.backward: this tape was made by another module ({tape.module!r})")
        if tape.version != self.version:
            raise ValueError(
                f"{name}.backward: the parameters changed after this tape was made (its version is "
                f"{tape.version}, theirs is {self.version}); run forward again, "
                "and backward before the optimiser's step"
            )

    # ---- freezing ----

    @property
    def frozen(self) -> bool:
        """Whether this module or one that it contains is frozen."""
        return any(module._frozen for module in self.modules())

    def freeze(self) -> Self:
        """Make the parameters read-only and pack them once, for the fastest inference; return the module."""
        for module in self.modules():
            module._freeze()
        return self

    def thaw(self) -> Self:
        """Undo `freeze`; return the module."""
        for module in self.modules():
            module._thaw()
        return self

    def _freeze(self) -> None:
        for value in self._own.values():
            value.flags.writeable = False
        self._frozen = True

    def _thaw(self) -> None:
        for value in self._own.values():
            value.flags.writeable = True
        self._frozen = False

    def check_not_frozen(self, action: str) -> None:
        """Refuse `action` on a frozen module."""
        if self.frozen:
            raise RuntimeError(f"{type(self).__name__}.{action}: the module is frozen; call thaw() first")

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickled out of band, or of a frozen module copied shallowly, arrays are read-only and not ours.
        given = state.get("_own", {})
        own = {name: np.require(value, requirements=_LIVE) for name, value in given.items()}
        live = {id(value): own[name] for name, value in given.items()}
        self.__dict__.update({key: live.get(id(value), value) for key, value in state.items()}, _own=own)
        self._find_holders()
        self._bind()
        if self._frozen:
            self._freeze()

    def _bind(self) -> None:
        """Make what is derived from the parameters: in the constructor, and in a copy."""

    # ---- printing ----

    def extra_repr(self) -> str:
        """Return the arguments shown by `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        inside = "".join(f"\n  {line}" for line in children) + "\n" if children else ""
        return f"{type(self).__name__}({self.extra_repr()}{inside})"


def _holds_modules(kind: type) -> bool:
    """Whether a value of a type is a module, or may have some in it."""
    return issubclass(kind, (Module, list, tuple))


def join_grads(**parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Join the gradients of contained modules under their attribute names: the keys of the whole module's
    `params`.

    Examples
    --------
    >>> join_grads(out={"weight": 1, "bias": 2})
    {'out.weight': 1, 'out.bias': 2}
    """
    return {f"{prefix}.{name}": value for prefix, grads in parts.items() for name, value in grads.items()}


def _match(
    where: str,
    expected: Mapping[str, np.ndarray],
    given: Mapping[str, Any],
    strict: bool,
    whole: bool = False,
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Return the given values as arrays like the expected ones, and the missing and the unexpected names.

    `whole`: the caller has an argument ``prefix``, not used yet.
    """
    if not isinstance(given, Mapping):
        hint = "; pass its .arrays" if hasattr(given, "arrays") else ""
        if not hint and isinstance(given, tuple) and given and isinstance(given[-1], Mapping):
            hint = "; of what backward returns give the last, the gradients of the parameters"
        raise TypeError(f"{where}: got {_checks.kind(given)}; expected a mapping of names to arrays{hint}")
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    values, misshapen = {}, []
    for name, like in expected.items():
        if name in given:
            value = given[name]
            if hasattr(value, "detach"):  # a torch tensor that requires gradients
                value = value.detach()
            value = values[name] = _checks.real(where, repr(name), value, like.dtype)
            if value.shape != like.shape:
                misshapen.append(name)
    absent, foreign = (missing, unexpected) if strict else ([], [])
    prefixed = _checks.prefix(absent, given, argument=whole)
    near = {} if prefixed else absent or expected

    def missing_hint(name: str) -> str:
        if "_ln_" in name:
            return ": of layer normalisation; weights without it fit a layer built without layer_norm=True"
        if _LEARNED_STATE.search(name):
            return ": a learned initial state (learn_state=True); strict=False leaves it as it is"
        return ""

    def unexpected_hint(name: str) -> str:
        if name == _checks.HEADER:
            return ": this is a file of fastrnn.save; give fastrnn.load(path).arrays"
        if "_ln_" in str(name):
            return ": this layer has no layer normalisation; build it with layer_norm=True"
        if str(name).replace("bias", "weight", 1) in expected and name not in expected:
            return ": this layer has no bias; build it with bias=True"
        if isinstance(name, str) and _LEARNED_STATE.search(name):
            return ": this layer learns no initial state; build it with learn_state=True"
        return _checks.nearest(name, near)

    faults = [
        *prefixed,
        *_checks.first_few(
            absent, lambda n: f"{n!r} is missing, shape {expected[n].shape}{missing_hint(n)}", "missing"
        ),
        *_checks.first_few(foreign, lambda n: f"{n!r} is unexpected{unexpected_hint(n)}", "unexpected"),
        *_checks.first_few(
            misshapen,
            lambda n: f"{n!r} has shape {values[n].shape}, expected {expected[n].shape}",
            "of wrong shape",
        ),
    ]
    if faults:
        raise ValueError(f"{where}: {'; '.join(faults)}")
    return values, missing, unexpected
