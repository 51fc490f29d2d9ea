"""PyTorch's recurrent modules and ours: read by their class and attributes, without an import of torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from .. import nn
from .._extra import optional
from ..nn import init

__all__ = ["from_torch", "layer_like", "torch_state_dict"]

#: Where torch.nn defines them.
_HOME: Final = "torch.nn.modules.rnn"
_LAYERS: Final = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
_CELLS: Final = {f"{name}Cell": kind for name, kind in _LAYERS.items()}
_DTYPES: Final = {"torch.float32": np.float32, "torch.float64": np.float64}


def from_torch(module: Any) -> nn.Recurrent:
    """Return the layer that computes what one of PyTorch's recurrent modules computes, with copied weights.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM, GRU, RNNCell, LSTMCell or GRUCell
        On the CPU, float32 or float64. A cell becomes a layer of its own, to be used by ``.step``. Modules of
        `fastrnn.torch` are taken as well.

    Returns
    -------
    RNN, LSTM or GRU
        With the module's options and dtype. Calling it is inference, whatever the mode of the module.

    Raises
    ------
    TypeError
        Another module, a subclass, a quantised one; weights that are computed (``parametrize``,
        ``weight_norm``), not on the CPU, or of another dtype. The message says what to do.

    Examples
    --------
    >>> import torch                                                          # doctest: +SKIP
    >>> lstm = fastrnn.from_torch(torch.load("model.pt").encoder.lstm)        # doctest: +SKIP
    """
    if type(module).__module__ == "fastrnn.torch" and hasattr(module, "layer"):
        return module.layer()
    layer = layer_like(module)
    ending = "_l0" * (type(module).__name__ in _CELLS)
    layer.load_state_dict(
        {f"{name}{ending}": value for name, value in module._parameters.items() if value is not None}
    )
    layer.rng = np.random.default_rng()
    return layer


def torch_state_dict(layer: nn.Module, *, cell: bool = False, prefix: str = "") -> dict[str, Any]:
    """Return copies of a module's parameters as tensors, for ``load_state_dict`` of the PyTorch module.

    Parameters
    ----------
    layer : Module
    cell : bool
        For an RNNCell, LSTMCell or GRUCell, whose names have no ``_l0``.
    prefix : str
        What stands before the names in a larger model.

    Examples
    --------
    >>> import torch                                                            # doctest: +SKIP
    >>> module.load_state_dict(fastrnn.io.torch_state_dict(layer))              # doctest: +SKIP
    """
    torch = optional("torch", "torch")
    arrays = layer.state_dict()
    if cell:
        several = [name for name in arrays if not name.endswith("_l0")]
        if several:
            raise ValueError(
                f"torch_state_dict: cell is True, but {type(layer).__name__} has {several[0]!r}; a cell is "
                "one layer in one direction"
            )
        arrays = {name.removesuffix("_l0"): value for name, value in arrays.items()}
    return {prefix + name: torch.from_numpy(value) for name, value in arrays.items()}


def layer_like(module: Any) -> nn.Recurrent:
    """Return a layer of the options and the dtype of PyTorch's module, its parameters not filled in.

    Raises
    ------
    TypeError
        As `from_torch`.
    """
    kind = _kind(module)
    dtype = _dtype(module)
    options: dict[str, Any] = {"bias": bool(module.bias), "dtype": dtype, "rng": init.UNDRAWN}
    if kind is nn.RNN:
        options["nonlinearity"] = module.nonlinearity
    if type(module).__name__ in _LAYERS:
        options |= {
            name: getattr(module, name) for name in ("num_layers", "batch_first", "dropout", "bidirectional")
        }
        options["dropout"] = float(module.dropout)
        if kind is nn.LSTM:
            options["proj_size"] = module.proj_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of dropout with one layer: theirs has warned
        return kind(module.input_size, module.hidden_size, **options)


def _kind(module: Any) -> type[Any]:
    """Return our class for theirs, which is exactly one of those of torch.nn."""
    own = type(module)
    kinds: Mapping[str, type[Any]] = {**_LAYERS, **_CELLS}
    if own.__module__ == _HOME and own.__name__ in kinds:
        if "forward" in vars(module):
            raise TypeError(
                f"from_torch: the forward of this {own.__name__} was replaced; convert it before that"
            )
        return kinds[own.__name__]
    shown = f"{own.__module__}.{own.__qualname__}"
    if hasattr(module, "parametrizations"):
        names = ", ".join(repr(str(name)) for name in module.parametrizations)
        raise TypeError(
            f"from_torch: {own.__name__} computes {names}; make them parameters first, with "
            "torch.nn.utils.parametrize.remove_parametrizations(module, name)"
        )
    if "quantized" in own.__module__:
        raise TypeError(
            f"from_torch: {shown} is quantised; give the module as it was before quantize_dynamic or convert"
        )
    if hasattr(module, "_c") and hasattr(module, "original_name"):
        raise TypeError(
            f"from_torch: this is TorchScript of {module.original_name}; give the module that it was made "
            "of, or load its state_dict() into a layer built here"
        )
    bases = [base.__name__ for base in own.__mro__ if base.__module__ == _HOME and base.__name__ in kinds]
    if bases:
        raise TypeError(
            f"from_torch: {shown} is a subclass of {bases[0]}, and may compute something else; if it does "
            f"not: fastrnn.{bases[0].removesuffix('Cell')}(...).load_state_dict(module.state_dict())"
        )
    raise TypeError(
        f"from_torch: got a {shown}; expected torch.nn.RNN, LSTM, GRU or one of their cells. Of a larger "
        "model give the part: from_torch(model.encoder.lstm)"
    )


def _dtype(module: Any) -> type[Any]:
    """Return the NumPy dtype of the module's weights, having checked what and where they are."""
    name = type(module).__name__
    computed = [key.removesuffix("_g") for key in module._parameters if key.endswith("_g")]
    if computed:
        raise TypeError(
            f"from_torch: {name} computes {computed[0]!r}; make it a parameter first, with "
            f"torch.nn.utils.remove_weight_norm(module, {computed[0]!r})"
        )
    weights = {key: value for key, value in module._parameters.items() if value is not None}
    expected = {*getattr(module, "_flat_weights_names", ("weight_ih", "weight_hh"))}
    absent = sorted(expected - weights.keys())
    if absent:
        raise TypeError(
            f"from_torch: {name} has no parameter {absent[0]!r}; undo what computes it (spectral_norm, "
            "pruning: torch.nn.utils.prune.remove) first"
        )
    dtypes = {str(value.dtype) for value in weights.values()}
    for key, value in weights.items():
        device = value.device.type
        if device == "meta":
            raise TypeError(
                f"from_torch: {key} of {name} is on the meta device, without values; call module.to_empty"
                '(device="cpu") and load its weights first'
            )
        if device != "cpu":
            raise TypeError(f"from_torch: {key} of {name} is on {value.device}; give module.cpu()")
        if str(value.dtype) not in _DTYPES:
            raise TypeError(
                f"from_torch: {key} of {name} is {str(value.dtype).removeprefix('torch.')}; expected float32 "
                "or float64: give module.float()"
            )
    if len(dtypes) > 1:
        raise TypeError(
            f"from_torch: {name} has weights of {' and '.join(sorted(dtypes))}; give module.float()"
        )
    return _DTYPES[dtypes.pop()]
