"""Recurrent layers from files of Keras, without Keras: ``.keras``, ``.h5`` and ``.weights.h5``.

Needs h5py: ``pip install "fastrnn[keras]"``. No code is run from a file, whatever it holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ... import _checks
from .._file import FileFormatError
from . import _config, _find
from ._chain import chain
from ._files import Stored, read
from ._layer import KerasLayer
from ._model import KerasModel, stages

__all__ = ["KerasLayer", "KerasLayers", "KerasModel", "load", "load_model"]

#: The arguments of Keras's layers that `load` takes.
_OPTIONS = frozenset({*_config.LAYER_DEFAULTS, *_config.CELL_DEFAULTS, "merge_mode"})


class KerasLayers(Mapping[str, KerasLayer]):
    """The recurrent layers of a file by name, in the order of the model, as far as the file tells it.

    Attributes
    ----------
    weights : dict of str to array
        Every array of the file by its path there, those of other layers (Dense, Embedding) included.
    config : dict or None
        The model's configuration, None of a file of weights alone.
    keras_version : str or None
        The version that wrote the file, where it tells.
    """

    def __init__(self, layers: dict[str, KerasLayer], stored: Stored) -> None:
        self._layers = layers
        self.weights = stored.tree.arrays
        self.config = stored.config
        self.keras_version = stored.version

    def __getitem__(self, name: str) -> KerasLayer:
        try:
            return self._layers[name]
        except KeyError:
            raise KeyError(f"there is no layer {name!r}; the file has {', '.join(map(repr, self))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return f"KerasLayers({', '.join(map(repr, self._layers.values()))})"


def load(
    path: str | os.PathLike[str], *, layers: Mapping[str, Mapping[str, Any]] | None = None, **options: Any
) -> KerasLayers:
    """Read the recurrent layers of a model that Keras saved.

    SimpleRNN, LSTM, GRU, RNN of their cells, also stacked, and Bidirectional of these, in models inside the
    model too; from ``model.save("m.keras")``, ``model.save("m.h5")`` and ``model.save_weights``, of Keras 3,
    Keras 2 and tf.keras. Other layers are passed over, whatever they are; their arrays are in ``weights``.

    Parameters
    ----------
    path : path-like
        The kind is told by what is in the file, not by its ending.
    layers : mapping of str to mapping, optional
        Options of single layers by name, before `options`.
    **options
        Arguments of Keras's layers that take the place of what the file says: activation,
        recurrent_activation, reset_after, go_backwards, return_sequences, return_state, stateful,
        zero_output_for_mask, merge_mode, dropout, recurrent_dropout. A file of weights alone says none of
        them, and what is not given is as Keras 3 has it by default (``return_sequences=False`` too); shapes
        tell the kind of a layer, and of a GRU with a bias also reset_after. Activations are names of Keras's,
        or what `fastrnn.cells.Activation` takes.

    Returns
    -------
    KerasLayers
        A mapping of names to `KerasLayer`.

    Raises
    ------
    FileFormatError
        The file is damaged, of another kind, or has what is not supported; tensors that are missing, too many
        or of another shape. The message names them.
    ValueError
        Options that no layer takes, or of layers that are not there.
    OSError
        It cannot be opened or read.
    ImportError
        h5py is not there.

    Notes
    -----
    A damaged or hostile file can do no more than be refused, for memory of the order of its own size, as far
    as that lies with fastrnn: the format itself is read by the HDF5 library.

    Examples
    --------
    >>> from fastrnn import io
    >>> layers = io.keras.load("model.keras")  # doctest: +SKIP
    >>> y = layers["lstm"].freeze()(x, mask=mask)  # doctest: +SKIP
    """
    each = _checked_options(options, layers or {})
    stored = read(path)
    try:
        found, used = _build(stored, options, each)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None
    for name in each:
        if name not in found:
            raise ValueError(f"keras.load: layers names {name!r}; the file has {', '.join(map(repr, found))}")
    idle = [key for key in options if key not in used]
    if idle:
        raise ValueError(f"keras.load: no layer of the file takes {idle[0]}, or each has its own in layers")
    return KerasLayers(found, stored)


def load_model(path: str | os.PathLike[str]) -> KerasModel:
    """Read a whole model that Keras saved, to run it: a Sequential, or a functional one that is one chain.

    Its layers may be those that `load` reads, Embedding, Masking, Dense, TimeDistributed of Dense,
    Activation, BatchNormalization, LayerNormalization, GlobalAveragePooling1D, GlobalMaxPooling1D,
    RepeatVector, Flatten, and layers that do nothing in inference, such as Dropout; models inside it too. For
    all others take the recurrent layers by `load`.

    Parameters
    ----------
    path : path-like
        A ``.keras`` file, or the ``.h5`` file of a whole model.

    Returns
    -------
    KerasModel

    Raises
    ------
    FileFormatError
        As from `load`, and for models that branch, and layers of other classes.
    OSError, ImportError
        As from `load`.

    Examples
    --------
    >>> from fastrnn import io
    >>> model = io.keras.load_model("model.keras").freeze()  # doctest: +SKIP
    >>> probabilities = model(ids)  # doctest: +SKIP
    """
    stored = read(path)
    try:
        if stored.config is None:
            raise FileFormatError("a file of weights alone; load_model needs the file of a whole model")
        entries = {entry.names: entry for entry in _config.entries(stored.config)}
        order = [entries[names] for names in chain(stored.config)]
        recurrent, _ = _build(stored, {}, {})
        return KerasModel(list(stages(stored.tree, order, recurrent, stored.major)))
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None


def _checked_options(
    options: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    if not isinstance(layers, Mapping) or not all(isinstance(each, Mapping) for each in layers.values()):
        raise TypeError("keras.load: layers is no mapping of names to mappings of options")
    for key in [*options, *(key for each in layers.values() for key in each)]:
        if key not in _OPTIONS:
            raise TypeError(f"keras.load: there is no option {key!r}{_checks.nearest(key, _OPTIONS)}")
    return dict(layers)


def _build(
    stored: Stored, options: Mapping[str, Any], each: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, KerasLayer], set[str]]:
    """Build all layers; return them and which of the options were used."""

    def chosen(name: str) -> dict[str, Any]:
        return {**options, **each.get(name, {})}

    pairs: list[tuple[_config.Entry, list[list[_find.Tensors]] | None]]
    if stored.config is None:
        pairs = [(guess.entry, guess.tensors) for guess in _find.guesses(stored.tree, chosen)]
        others = ""
    else:
        entries = list(_config.entries(stored.config))
        pairs = [(entry, None) for entry in entries if entry.is_recurrent]
        others = ", ".join(sorted({entry.kind or "classes that are not Keras own" for entry in entries}))
    if not pairs:
        raise FileFormatError(
            f"no SimpleRNN, LSTM or GRU is in the file{f', which has {others}' if others else ''}"
        )
    found: dict[str, KerasLayer] = {}
    used: set[str] = set()
    for entry, tensors in pairs:
        own = each.get(entry.name, {})
        reader = _config.Reader(stored.major, chosen(entry.name))
        plan = reader.layer(entry)
        if stored.has_old_defaults and "recurrent_activation" not in reader.options:
            _refuse_old_defaults(plan, stored.version)
        for key in own:
            if key not in reader.used:
                raise ValueError(f"keras.load: layer {entry.name!r} is a {entry.kind}, which takes no {key}")
        used |= reader.used - set(own)
        if tensors is None:
            tensors = _find.tensors(stored.tree, entry, plan)
        _find.check(entry.name, plan, tensors)
        if entry.name in found:
            raise FileFormatError(f"two layers are called {entry.name!r}")
        found[entry.name] = KerasLayer(plan, tensors)
    return found, used


def _refuse_old_defaults(plan: _config.LayerPlan, version: str | None) -> None:
    if any(cell.kind != "SimpleRNN" for way in plan.ways for cell in way.cells):
        raise FileFormatError(
            f"layer {plan.name!r}: weights alone, of Keras {version}, do not tell recurrent_activation, by "
            "default 'hard_sigmoid' before Keras 2.3, 'sigmoid' in TensorFlow 2; give recurrent_activation"
        )
