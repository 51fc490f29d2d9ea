"""What all models say of themselves, and of names that they do not have."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .. import _checks, _hints, cells
from .._warn import warn
from ..train import History

__all__ = ["Model", "NotFittedError"]

#: Names from other libraries, and the way here.
_ELSEWHERE = {
    "compile": "there is nothing to compile; fit takes lr, schedule and max_norm",
    "evaluate": "score(...) says how good the model is, the loss of other data is in history_ after "
    "fit(validation=...)",
    "summary": "print(model) shows the options, print of the network its layers",
    **dict.fromkeys(("train", "train_on_batch", "fit_generator", "partial_fit"), "fit trains the model"),
    "eval": "there are no modes: fit applies dropout, and nothing else does",
    "parameters": "the arrays are in params of the network",
    "state_dict": "save(path) writes the model; the network has state_dict()",
    "load_state_dict": "load(path) reads a model; the network has load_state_dict(...)",
    "load_weights": "load(path) reads a model",
    "save_weights": "save(path) writes the model",
    "forward": "the network has forward",
    **dict.fromkeys(("history", "loss_curve_"), "it is history_"),
    "history_": "the model is not fitted yet",
    "network_": "the model is not fitted yet",
}


class NotFittedError(RuntimeError, AttributeError):
    """A model was asked for what `fit` makes; an AttributeError, so that `hasattr` can look."""


class Model(_hints.Arguments):
    """Base of all models."""

    #: More of such names, which a subclass has others for.
    _elsewhere: ClassVar[dict[str, str]] = {}
    _with_options = (
        *("fit", "predict", "predict_proba", "score", "translate", "error_rate"),
        *("generate", "next", "fill", "rank", "conversation"),
    )
    history_: History

    if not TYPE_CHECKING:  # with it, every attribute would be there to a type checker

        def __getattr__(self, name: str) -> Any:
            """Say where what other libraries have by this name is to be found."""
            own = getattr(type(self), name, None)
            if isinstance(own, property):  # which has said why there is nothing
                return own.__get__(self)
            hint = {**_ELSEWHERE, **self._elsewhere}.get(name, "")
            if not hint and not name.startswith("_"):
                hint = _checks.nearest(name, [n for n in dir(type(self)) if n[0] != "_"]).strip(" ()")
            raise _checks.no_attribute(self, name, hint)

    @property
    def _is_fitted(self) -> bool:
        raise NotImplementedError

    def __repr__(self) -> str:
        """The options that are not the defaults, and whether there is something to run."""
        defaults = _defaults(type(self)) | {"cell": cells.GRU()}
        chosen = {
            name: value
            for name, value in vars(self).items()
            if name[0] != "_" and name[-1] != "_" and (name not in defaults or defaults[name] != value)
        }
        cell = [repr(chosen.pop("cell"))] if "cell" in chosen else []  # the one without a name is the first
        shown = [*cell, *(f"{name}={value!r}" for name, value in chosen.items())]
        state = "fitted" if self._is_fitted else "not fitted"
        return f"{type(self).__name__}({', '.join(shown)}), {state}"

    @classmethod
    def _of(cls, cell: cells.Cell, settings: Mapping[str, Any]) -> Self:
        """A model of these settings, of which the constructor of a subclass may not take all."""
        make: Any = cls
        ours: Any = next(kind for kind in cls.__mro__ if kind.__module__.startswith("fastrnn."))
        if make is ours:
            return make(cell, **settings)
        with contextlib.suppress(TypeError):
            return make(cell, **settings)
        model = make.__new__(make)
        try:
            model.__init__()  # it has other options, or sets some of these itself
        except TypeError:
            ours.__init__(model)  # it wants what the file does not know
        vars(model).update(settings, cell=cell)
        return model

    def _warn_of_interrupt(self, method: str) -> None:
        """Warn the caller of `fit` of a training that Ctrl-C ended."""
        if self.history_.interrupted:
            warn(
                f"{type(self).__name__}.{method}: {self.history_.stopped}; the model is that of this step, "
                "or with patience that of the best epoch"
            )


def _defaults(kind: type) -> dict[str, Any]:
    """The values of a constructor's options if none are given; a class's own come before those above it."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if "__init__" in vars(each):
            parameters = inspect.signature(vars(each)["__init__"]).parameters
            found |= {name: parameter.default for name, parameter in parameters.items()}
    return found
