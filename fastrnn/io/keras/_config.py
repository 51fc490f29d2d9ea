"""The configuration of a model of Keras: its layers, and what each recurrent one is told to do.

It is JSON, and nothing in it is evaluated: a class or an activation that is not known by its name is not
ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ... import cells
from .._file import FileFormatError

#: The layers with one cell, and the cells, by what `fastrnn.io.layouts` calls them.
KINDS = {name: name for name in ("SimpleRNN", "LSTM", "GRU")}
_CELLS = {f"{name}Cell": name for name in KINDS}
MODELS = frozenset({"Sequential", "Functional", "Model"})
_MERGES = ("concat", "sum", "mul", "ave", None)
_ACTIVATIONS: dict[str, Any] = {
    **{name: name for name in ("tanh", "sigmoid", "relu", "elu", "softsign", "softplus")},
    "linear": "affine",
    "leaky_relu": ("leaky_relu", 0.2),
}
#: The numbers of hard_sigmoid by the major version: relu6(x + 3) / 6 since Keras 3.
HARD_SIGMOID = {3: ("hard_sigmoid", 1 / 6, 0.5), 2: ("hard_sigmoid", 0.2, 0.5)}

#: What Keras does where nothing else is said: of a layer, and of a cell.
LAYER_DEFAULTS: dict[str, Any] = {
    "go_backwards": False,
    "return_sequences": False,
    "return_state": False,
    "stateful": False,
    "zero_output_for_mask": False,
}
CELL_DEFAULTS: dict[str, Any] = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "reset_after": False,  # before Keras 2.1.3 there was no other
}


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What the configuration says of one cell."""

    kind: str
    name: str
    units: int
    use_bias: bool
    cell: cells.Cell
    dropout: float
    recurrent_dropout: float

    @property
    def reset_after(self) -> bool:
        return isinstance(self.cell, cells.GRU) and self.cell.reset == "after"


@dataclass(frozen=True, slots=True)
class Way:
    """Cells on top of each other that run over the steps in one direction."""

    name: str
    cells: tuple[CellPlan, ...]
    stacked: bool  # whether Keras has them as StackedRNNCells, even if one is all
    backwards: bool


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What the configuration says of one recurrent layer; `ways` are two in `Bidirectional`."""

    name: str
    ways: tuple[Way, ...]
    return_sequences: bool
    return_state: bool
    stateful: bool
    zero_output_for_mask: bool
    merge_mode: str | None
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A layer in a model: its class and configuration, and where it stands.

    ``names`` are those of the models around it and its own; ``attributes`` the ways from each of these to the
    next in a file of Keras 3, by class and count: ``("functional", "lstm_1")``.
    """

    kind: str
    config: dict[str, Any]
    names: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        return "/".join(self.names)

    @property
    def is_recurrent(self) -> bool:
        if self.kind == "Bidirectional":
            kind, config = inside(self.config.get("layer"))
            return kind in KINDS or (kind == "RNN" and _known_cells(config))
        return self.kind in KINDS or (self.kind == "RNN" and _known_cells(self.config))


def entries(
    model: Any, names: tuple[str, ...] = (), attributes: tuple[str, ...] = (), depth: int = 0
) -> Iterator[Entry]:
    """Yield the layers of a model in its order, those of models inside it at their places."""
    kind, config = inside(model)
    layers = config.get("layers")
    if kind not in MODELS or not isinstance(layers, list) or depth > 32:
        raise FileFormatError(
            f"the model is a {kind or 'class that is not Keras own'}, whose configuration does not list its "
            f"layers; expected {', '.join(sorted(MODELS))}. Give its weights alone, of save_weights"
        )
    counts: Counter[str] = Counter()
    for layer in layers:
        name = layer.get("class_name") if isinstance(layer, dict) else None
        kind, config = inside(layer)
        title = config.get("name")
        if not isinstance(name, str) or not isinstance(title, str):
            raise FileFormatError("a layer of the configuration has no class_name or no name")
        attribute = snake_case(name)
        number = counts[attribute]
        counts[attribute] += 1
        here = (*names, title), (*attributes, f"{attribute}_{number}" if number else attribute)
        if kind in MODELS:
            yield from entries(layer, *here, depth + 1)
        else:
            yield Entry(kind, config, *here)


def snake_case(name: str) -> str:
    """SimpleRNN -> simple_rnn: what Keras calls the first layer of a class in a file.

    >>> snake_case("SimpleRNN"), snake_case("LSTMCell"), snake_case("GRU")
    ('simple_rnn', 'lstm_cell', 'gru')
    """
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W+", "", name)).lower()


def cell_entries(config: Mapping[str, Any]) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """The cells of an RNN layer with their kinds, and whether they are StackedRNNCells."""
    kind, inner = inside(config.get("cell"))
    if kind != "StackedRNNCells":
        return [(_CELLS.get(kind, ""), inner)], False
    several = inner.get("cells")
    if not isinstance(several, list) or not several:
        return [], True
    return [(_CELLS.get(k, ""), c) for k, c in map(inside, several)], True


def _known_cells(config: Mapping[str, Any]) -> bool:
    found, _ = cell_entries(config)
    return bool(found) and all(kind for kind, _ in found)


def inside(value: Any) -> tuple[str, dict[str, Any]]:
    """The class of a serialized object and its configuration; no class for what is not of Keras."""
    if not isinstance(value, dict):
        return "", {}
    kind, config, module = value.get("class_name"), value.get("config"), value.get("module")
    if isinstance(config, list):  # a Sequential before Keras 2.3
        config = {"layers": config}
    if not isinstance(config, dict):
        config = {}
    foreign = value.get("registered_name") not in (None, kind) or not (
        module is None or (isinstance(module, str) and re.match(r"(tf_)?keras\b", module))
    )
    return kind if isinstance(kind, str) and not foreign else "", config


class Reader:
    """Makes plans of the configurations of recurrent layers.

    Parameters
    ----------
    version : int or None
        The major version of Keras that wrote the file.
    options : mapping
        Take the place of what is written, in the layers that have them.
    """

    def __init__(self, version: int | None, options: Mapping[str, Any]) -> None:
        self.version = version
        self.options = options
        self.used: set[str] = set()

    def layer(self, entry: Entry) -> LayerPlan:
        """The plan of a recurrent layer."""
        name, config = entry.name, entry.config
        merge_mode = None
        if entry.kind == "Bidirectional":
            merge_mode = self.get(name, config, "merge_mode", "concat")
            if merge_mode not in _MERGES:
                raise FileFormatError(
                    f"layer {name!r}: merge_mode is {merge_mode!r}; expected one of {_MERGES}"
                )
            kind, first = inside(config.get("layer"))
            other_kind, second = inside(config.get("backward_layer"))
            forward = self.way(f"forward_{_bare(first, 'forward_')}", name, kind, first)
            if config.get("backward_layer") is None:
                other = {**first, "go_backwards": not forward.backwards}
                backward = self.way(f"backward_{_bare(first, 'backward_')}", name, kind, other)
            else:
                backward = self.way(str(second.get("name")), name, other_kind, second)
            if forward.backwards == backward.backwards:
                raise FileFormatError(f"layer {name!r}: both layers of Bidirectional run in one direction")
            ways: tuple[Way, ...] = (forward, backward)
            config = first
        else:
            ways = (self.way(entry.names[-1], name, entry.kind, config),)
        flags = {key: self.flag(name, config, key) for key in LAYER_DEFAULTS if key != "go_backwards"}
        if entry.kind == "Bidirectional":
            flags["zero_output_for_mask"] = flags["return_sequences"]  # as Keras forces it
        return LayerPlan(name, ways, **flags, merge_mode=merge_mode, config=entry.config)

    def way(self, own: str, name: str, kind: str, config: dict[str, Any]) -> Way:
        """The plan of a recurrent layer in one direction."""
        if config.get("time_major"):
            raise FileFormatError(
                f"layer {name!r} has time_major=True, which is not supported; expected False"
            )
        if kind in KINDS:
            found, stacked = [(kind, config)], False
        elif kind == "RNN" and _known_cells(config):
            found, stacked = cell_entries(config)
        else:
            raise FileFormatError(f"layer {name!r} holds a {kind or 'class that is not of Keras'}; expected "
                                  "SimpleRNN, LSTM, GRU, or RNN of their cells")  # fmt: skip
        plans = tuple(self.cell(name, k, c) for k, c in found)
        return Way(own, plans, stacked, self.flag(name, config, "go_backwards"))

    def cell(self, name: str, kind: str, config: dict[str, Any]) -> CellPlan:
        """The plan of a cell."""
        units = config.get("units")
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise FileFormatError(f"layer {name!r}: units is {units!r}; expected a positive integer")
        activation = self.activation(name, config, "activation")
        cell: cells.Cell
        if kind == "SimpleRNN":
            cell = cells.RNN(activation)
        else:
            gate = self.activation(name, config, "recurrent_activation")
            if kind == "LSTM":
                cell = cells.LSTM(
                    activations={"i": gate, "f": gate, "o": gate, "g": activation, "h": activation}
                )
            else:
                reset: Literal["after", "before"] = (
                    "after" if self.flag(name, config, "reset_after") else "before"
                )
                cell = cells.GRU(reset, activations={"r": gate, "z": gate, "n": activation})
        return CellPlan(
            kind,
            str(config.get("name", "")),
            units,
            self.flag(name, config, "use_bias", True),
            cell,
            self.probability(name, config, "dropout"),
            self.probability(name, config, "recurrent_dropout"),
        )

    # ---- values ----

    def get(self, name: str, config: Mapping[str, Any], key: str, default: Any) -> Any:
        if key in self.options:
            self.used.add(key)
            return self.options[key]
        return config.get(key, default)

    def flag(self, name: str, config: Mapping[str, Any], key: str, default: bool | None = None) -> bool:
        value = self.get(name, config, key, _default(key) if default is None else default)
        if not isinstance(value, bool):
            raise FileFormatError(f"layer {name!r}: {key} is {value!r}; expected True or False")
        return value

    def probability(self, name: str, config: Mapping[str, Any], key: str) -> float:
        value = self.get(name, config, key, _default(key))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise FileFormatError(f"layer {name!r}: {key} is {value!r}; expected a probability, 0 to 1")
        return float(value)

    def activation(self, name: str, config: Mapping[str, Any], key: str) -> cells.Activation:
        value = self.get(name, config, key, _default(key))
        if value == "hard_sigmoid":
            if self.version not in HARD_SIGMOID:
                raise FileFormatError(
                    f"layer {name!r}: {key} is 'hard_sigmoid', which Keras 2 and 3 compute differently, and "
                    f"the file does not tell which wrote it; give {key}=('hard_sigmoid', 0.2, 0.5) for "
                    f"Keras 2, ('hard_sigmoid', 1/6, 0.5) for Keras 3"
                )
            return cells.Activation(*HARD_SIGMOID[self.version])
        if key in self.options and not (isinstance(value, str) or value is None):
            return cells.Activation.read(value, f"layer {name!r}: {key}")
        known = "linear" if value is None else value
        if not isinstance(known, str) or known not in _ACTIVATIONS:
            raise FileFormatError(
                f"layer {name!r}: {key} is {shown(value)}; expected one of "
                f"{', '.join(map(repr, [*_ACTIVATIONS, 'hard_sigmoid']))}"
            )
        return cells.Activation.read(_ACTIVATIONS[known], key)


def _default(key: str) -> Any:
    return {**LAYER_DEFAULTS, **CELL_DEFAULTS}[key]


def _bare(config: Mapping[str, Any], prefix: str) -> str:
    return str(config.get("name", "")).removeprefix(prefix)


def shown(value: Any) -> str:
    """What a configuration has for an activation, in short: of a serialized object its class."""
    if isinstance(value, dict):
        value = value.get("registered_name") or value.get("class_name")
    return repr(value)[:80]
