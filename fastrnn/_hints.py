"""Arguments that are not there: what a message says of the nearest name, or of one from another library."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, ClassVar

from . import _checks
from .cells import Cell, kinds

__all__ = ["Arguments", "no_argument", "no_name", "of_init"]

#: Arguments of Keras, PyTorch and scikit-learn, by the names that they have here.
_ELSEWHERE = {
    **dict.fromkeys(("units", "hidden_dim", "n_hidden", "hidden_units"), "hidden_size"),
    "n_layers": "num_layers",
    **dict.fromkeys(("input_dim", "in_features", "n_features"), "input_size"),
    **dict.fromkeys(("hx", "h0", "h_0", "initial_state", "initial_h"), "state"),
    **dict.fromkeys(("sequence_lengths", "seq_lens", "input_lengths"), "lengths"),
    **dict.fromkeys(("embedding_dim", "output_dim", "embed_dim"), "embedding_size"),
    **dict.fromkeys(("validation_split", "validation_data", "validation_fraction"), "validation"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_iter"), "epochs"),
    **dict.fromkeys(("learning_rate", "learning_rate_init"), "lr"),
    **dict.fromkeys(("clipnorm", "clip_norm", "max_grad_norm"), "max_norm"),
    **dict.fromkeys(("verbose", "verbosity"), "progress"),
    **dict.fromkeys(("random_state", "seed", "rng"), ("random_state", "seed", "rng")),
    "n_iter_no_change": "patience",
    "epsilon": "eps",
    "decay": "weight_decay",
    "rho": "alpha",
    "beta_1": "betas",
    "beta_2": "betas",
    "num_beams": "beam_size",
    "max_new_tokens": "length",
}

#: Arguments of `fastrnn.nn.init.recurrent` that are taken for those of a layer or a model.
_OF_INIT = ("forget_bias", "chrono", "each_gate")


def no_argument(who: str, name: str, known: Collection[str], hint: str = "") -> TypeError:
    """The error of an argument that `who` does not take, with the name that it has here."""
    elsewhere = _ELSEWHERE.get(name, ())
    same = [n for n in ((elsewhere,) if isinstance(elsewhere, str) else elsewhere) if n in known]
    if not hint:
        hint = f"; here it is {same[0]!r}" if same else _checks.nearest(name, known)
    return TypeError(f"{who}: there is no argument {name!r}{hint}")


def no_name(module: str, name: str, known: Collection[str]) -> AttributeError:
    """The error of a name that a module of the package does not have."""
    return AttributeError(f"module {module!r} has no attribute {name!r}{_checks.nearest(name, known)}")


class Arguments:
    """A class whose constructor and methods say of an unknown argument what was meant.

    A subclass names the methods, besides its constructor, that are called with options.
    """

    _with_options: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("__init__", *cls._with_options):
            if name in vars(cls):
                setattr(cls, name, _telling(cls, vars(cls)[name]))


def _telling(owner: type, function: Callable[..., Any]) -> Callable[..., Any]:
    """The owner's function, which refuses arguments that it does not have in the name of the object's class.

    A subclass may take fewer arguments, and give this one others.
    """

    @functools.wraps(function)
    def telling(self: Any, *args: Any, **given: Any) -> Any:
        if given:
            known = _known(type(self), owner, function.__name__)  # type: ignore[arg-type]
            for name in given:
                if name not in known:
                    cell = args[0] if args else given.get("cell")
                    raise _error(type(self), owner, function.__name__, name, cell)
        return function(self, *args, **given)

    return telling


@functools.cache
def _known(kind: type, owner: type, method: str) -> frozenset[str]:
    """The arguments of the owner's method, with those that it hands on to the one of the class above it."""
    found: set[str] = set()
    for each in kind.__mro__[kind.__mro__.index(owner) :]:
        if method in vars(each):
            parameters = list(inspect.signature(vars(each)[method]).parameters.values())[1:]
            kinds_of = {parameter.kind for parameter in parameters}
            found.update(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
            if inspect.Parameter.VAR_KEYWORD not in kinds_of:
                break
    return frozenset(found)


def _error(kind: type, owner: type, method: str, name: str, cell: Any) -> TypeError:
    made = method == "__init__"
    known = _known(kind, owner, method)
    hint = ""
    if made and "cell" in known:
        hint = of_init(name) or _of_cell(name, cell)
    others = {"__init__", *getattr(kind, "_with_options", ())} & {"__init__", "fit"} - {method}
    for other in sorted(others):
        if not hint and hasattr(kind, other) and name in _known(kind, kind, other):
            hint = f"; it is an argument of {'the constructor' if other == '__init__' else other}"
    return no_argument(kind.__name__ if made else f"{kind.__name__}.{method}", name, known, hint)


def of_init(name: str) -> str:
    """Where an argument is one of `fastrnn.nn.init.recurrent`: how to give it."""
    return f"; it goes into init: init={{{name!r}: ...}}" if name in _OF_INIT else ""


def _of_cell(name: str, cell: Any) -> str:
    """Where an argument is an option of cells: how to give it."""
    first = [type(cell)] if isinstance(cell, Cell) else []
    for kind in [*first, *kinds().values()]:
        if name in {option.name for option in fields(kind)}:
            return f"; it is an option of the cell: cell=cells.{kind.__name__}({name}=...)"
    return ""
