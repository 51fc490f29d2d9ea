"""Writing layers as models of ONNX."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import _checks, cells
from ...nn import Dropout, Embedding, Linear, Module, Recurrent
from ...nn.recurrent import parameter_name
from .._file import write_atomically
from ..layouts import to_onnx
from ._directions import Directions
from ._proto import OPSETS, element_number, require

#: The first version of the operators whose axes and sizes are inputs, as they are written here.
_FIRST = 13
#: Bytes of parameters in a file; the rest of the 2 GiB is for the nodes.
_LARGEST = 2**31 - 2**20
#: What each cell's functions f, g, h are the activations of.
_FUNCTIONS = {"RNN": ("n",), "LSTM": ("ifo", "g", "h"), "GRU": ("rz", "n")}


def export(
    module: Module | Sequence[Module],
    path: str | os.PathLike[str] | None = None,
    *,
    lengths: bool = False,
    state: bool = False,
    opset: int = 17,
) -> Any:
    """Write a layer, or layers that follow each other, as a model of ONNX, for inference.

    Parameters
    ----------
    module : Module, or sequence of them
        Of `fastrnn.RNN`, `fastrnn.LSTM`, `fastrnn.GRU`, `fastrnn.Recurrent` of these cells,
        `fastrnn.Linear`, `fastrnn.Embedding`, `fastrnn.Dropout`, and what is in a loaded model's ``layers``.
    path : path-like, optional
        Where the file goes; it appears whole or not at all.
    lengths : bool
        Whether the model takes the valid steps of each row, ``lengths`` (B,), int32.
    state : bool
        Whether it takes the initial states, ``h0`` and ``c0``, (L*D, B, H). If not, they are zero, or as
        learned.
    opset : int
        Version of ONNX's operators, 13 at least.

    Returns
    -------
    onnx.ModelProto
        Its input is ``x`` (T, B, I), or (B, T, I) with ``batch_first``, or ``ids`` for an embedding, without
        the last axis; outputs are ``y`` and the last states ``h_n`` and ``c_n``. Where there are several
        recurrent modules, their states have the place in the sequence before their name: ``1.h_n``. T and
        B are open.

    Raises
    ------
    ValueError
        What a layer computes has no operator in ONNX: a cell other than RNN, LSTM and GRU, an LSTM with
        ``proj_size``, ``cell_clip``, missing gates or full gate recurrence, layer normalisation, zoneout (in
        inference it keeps a part of the state), activations that differ where ONNX has one function. Or the
        layers have several dtypes, or the model is larger than a file of ONNX can be, 2 GiB.
    TypeError
        A module of another kind.
    ImportError
        The package onnx is missing: ``pip install "fastrnn[onnx]"``.

    Notes
    -----
    Dropout acts in training alone, and is left out. ``clip`` and the numbers of activations are float32 in
    ONNX, those of float64 layers as well. ONNX Runtime computes recurrent layers in float32 only, and refuses
    ONNX's ``layout=1``: here ``batch_first`` is a Transpose before and after. The last states of
    rows of length 0 are the initial ones, as here, though an operator of ONNX alone makes them 0.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn.io import onnx
    >>> model = onnx.export([fastrnn.Embedding(50, 8), fastrnn.GRU(8, 16), fastrnn.Linear(16, 50)])
    >>> [node.op_type for node in model.graph.node]
    ['Gather', 'GRU', 'Squeeze', 'MatMul', 'Add', 'Identity', 'Identity']
    """
    onnx = require()
    lengths = _checks.flag("export", "lengths", lengths)
    state = _checks.flag("export", "state", state)
    newest = min(OPSETS[-1], onnx.defs.onnx_opset_version())
    if _checks.size("export", "opset", opset, _FIRST) > newest:
        raise ValueError(f"export: opset is {opset}; expected {_FIRST} to {newest}")
    modules: list[Any] = list(module) if isinstance(module, (list, tuple)) else [module]
    _check_modules(modules)
    size = sum(value.nbytes for each in modules for value in each.params.values())
    if size > _LARGEST:
        raise ValueError(f"export: the parameters have {size} bytes; a file of ONNX may have 2 GiB")
    dtypes = {value.dtype for each in modules for value in each.params.values()}
    if len(dtypes) != 1:
        came = " and ".join(sorted(map(str, dtypes))) or "nothing"
        raise ValueError(f"export: the modules have parameters of {came}; expected one dtype")
    graph = _Graph(onnx, dtypes.pop())
    _write(graph, modules, lengths, state)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "fastrnn", graph.inputs, graph.outputs, graph.tensors),
        producer_name="fastrnn",
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    if path is not None:
        data = model.SerializeToString()
        with write_atomically(path) as file:
            file.write(data)
    return model


class _Graph:
    """A graph in the making."""

    def __init__(self, onnx: Any, dtype: np.dtype) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._made: set[str] = set()

    def input(self, name: str, shape: Sequence[int | str], dtype: Any = None) -> str:
        self.inputs.append(self._declared(name, shape, self.dtype if dtype is None else dtype))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        """Make a value an output of this name."""
        self.node("Identity", [value], outputs=[name])
        self.outputs.append(self._declared(name, shape, self.dtype))

    def _declared(self, name: str, shape: Sequence[int | str], dtype: Any) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, element_number(dtype), shape)

    def tensor(self, name: str, value: Any) -> str:
        """Put an array into the model once, and return its name."""
        if name not in self._made:
            self._made.add(name)
            self.tensors.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        return self.tensor(f"ints_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        name: str = "",
        outputs: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        """Add a node and return its first output, which is given a name if it has none."""
        outputs = outputs or [f"{operator.lower()}_{len(self.nodes)}"]
        self.nodes.append(
            self.onnx.helper.make_node(
                operator, inputs, outputs, name or f"{operator}_{len(self.nodes)}", **attributes
            )
        )
        return outputs[0]


def _check_modules(modules: Sequence[Any]) -> None:
    """Refuse modules that cannot be written, or do not follow each other."""
    kinds = (Recurrent, Directions, Linear, Embedding, Dropout)
    if not modules:
        raise ValueError("export: got no modules")
    for place, module in enumerate(modules):
        if isinstance(module, kinds):
            if isinstance(module, Embedding) and place:
                raise ValueError(
                    f"export: module {place} is an Embedding; it reads ids, and can only be first"
                )
            continue
        parts = [name for name, _ in module.children()] if isinstance(module, Module) else []
        hint = f"; export([m.{', m.'.join(parts)}]) if they follow each other in this order" if parts else ""
        raise TypeError(
            f"export: got {_checks.kind(module)}, and only its code knows what it computes; expected "
            f"recurrent layers, Linear, Embedding, Dropout, or a sequence of them{hint}"
        )
    sized = [each for each in modules if not isinstance(each, Dropout)]
    for below, above in itertools.pairwise(sized):
        if (out := _width([below], "out")) != (expected := _width([above], "in")):
            raise ValueError(
                f"export: {type(below).__name__} gives {out} features, and {type(above).__name__} after it "
                f"was built for {expected}"
            )


def _write(graph: _Graph, modules: Sequence[Module], lengths: bool, state: bool) -> None:
    """Write the modules one after the other, inputs and outputs around them."""
    recurrent = [m for m in modules if isinstance(m, (Recurrent, Directions))]
    if not recurrent and (lengths or state):
        raise ValueError(f"export: {'lengths' if lengths else 'state'}=True, but no module is recurrent")
    if len({m.batch_first for m in recurrent}) > 1:
        raise ValueError(
            "export: batch_first is true of some of the recurrent layers; expected of all or none"
        )
    batch_first = bool(recurrent and recurrent[0].batch_first)
    axes = ["batch", "time"] if batch_first else ["time", "batch"]
    first = modules[0]
    if isinstance(first, Embedding):
        value = graph.input("ids", axes, np.int64)
    else:
        value = graph.input("x", [*axes, _width(modules, "in")])
    counts = graph.input("lengths", ["batch"], np.int32) if lengths else ""
    last: list[tuple[str, str, tuple[int, int]]] = []
    for place, module in enumerate(modules):
        prefix = f"{place}." if len(modules) > 1 else ""
        if isinstance(module, Embedding):
            value = graph.node("Gather", [graph.tensor(f"{prefix}weight", module.params["weight"]), value])
        elif isinstance(module, Linear):
            weight = graph.tensor(f"{prefix}weight", module.params["weight"].T)
            value = graph.node("MatMul", [value, weight])
            if module.bias:
                value = graph.node("Add", [value, graph.tensor(f"{prefix}bias", module.params["bias"])])
        elif isinstance(module, (Recurrent, Directions)):
            named = prefix if len(recurrent) > 1 else ""
            value, found = _write_recurrent(graph, module, value, counts, state, prefix, named)
            last += found
    graph.output("y", value, [*axes, _width(modules, "out")])
    for name, value, (passes, width) in last:
        graph.output(name, value, [passes, "batch", width])


def _width(modules: Sequence[Any], end: str) -> int | str:
    """Return the features of the input ("in") or of the output ("out")."""
    for module in modules if end == "in" else reversed(modules):
        if isinstance(module, (Recurrent, Directions)):
            if end == "in":
                return module.input_size
            return _layers(module)[0].directions * module.hidden_size
        if isinstance(module, Embedding):
            return module.embedding_dim
        if isinstance(module, Linear):
            return module.in_features if end == "in" else module.out_features
    raise ValueError("export: there is nothing but Dropout; export layers that compute something")


class _Layer(NamedTuple):
    """One layer as one node: for each direction its cell, parameters and whether it runs backwards."""

    passes: list[tuple[cells.Cell, dict[str, np.ndarray], bool]]

    @property
    def directions(self) -> int:
        return len(self.passes)


def _layers(module: Recurrent | Directions) -> list[_Layer]:
    """Return the layers of a module, the lowest first."""
    if isinstance(module, Directions):
        ways, count = list(zip(module.cells, module.reversed, strict=True)), 1
    else:
        ways = [(module.cell, reverse) for reverse in (False, True)[: 1 + module.bidirectional]]
        count = module.num_layers
    params = module.params

    def of(cell: cells.Cell, layer: int, reverse: bool) -> dict[str, np.ndarray]:
        public = {name: parameter_name(name, layer, reverse) for name in cell.parameters}
        return {name: params[key] for name, key in public.items() if key in params}

    return [_Layer([(cell, of(cell, k, reverse), reverse) for cell, reverse in ways]) for k in range(count)]


def _write_recurrent(
    graph: _Graph, module: Recurrent | Directions, x: str, lengths: str, state: bool, prefix: str, named: str
) -> tuple[str, list[tuple[str, str, tuple[int, int]]]]:
    """Write a recurrent module; return its output, and of its states the names, values and shapes."""
    layers, hidden = _layers(module), module.hidden_size
    kind, names = _kind(module), layers[0].passes[0][0].states
    passes = len(layers) * layers[0].directions
    given = {n: graph.input(f"{named}{n}0", [passes, "batch", hidden]) if state else "" for n in names}
    parts = {n: _parts(graph, value, len(layers), layers[0].directions) for n, value in given.items()}
    if module.batch_first:
        x = graph.node("Transpose", [x], perm=[1, 0, 2])
    finals: dict[str, list[str]] = {name: [] for name in names}
    for k, layer in enumerate(layers):
        called = f"{prefix}{kind.lower()}_l{k}"
        initial = [
            parts[name][k] or _learned(graph, module, name, k, layer.directions, x, called) for name in names
        ]
        x, last = _write_layer(graph, kind, layer, x, lengths, initial, called)
        for name, value, begin in zip(names, last, initial, strict=True):
            finals[name].append(_kept(graph, value, begin, lengths))
    if module.batch_first:
        x = graph.node("Transpose", [x], perm=[1, 0, 2])
    found = []
    for name, values in finals.items():
        value = values[0] if len(values) == 1 else graph.node("Concat", values, axis=0)
        found.append((f"{named}{name}_n", value, (passes, hidden)))
    return x, found


def _write_layer(
    graph: _Graph, kind: str, layer: _Layer, x: str, lengths: str, initial: Sequence[str], called: str
) -> tuple[str, list[str]]:
    """Write one node and what brings its output into the form (T, B, D*H); return that and the states."""
    cell = layer.passes[0][0]
    found = [
        to_onnx(kind, each.gates, params, getattr(each, "peepholes", "ifo"))
        for each, params, _ in layer.passes
    ]
    weights = {
        name: graph.tensor(f"{called}.{name}", np.stack([each[name] for each in found])) for name in found[0]
    }
    inputs = [x, weights["W"], weights["R"], weights.get("B", ""), lengths, *initial]
    if "P" in weights:
        inputs.append(weights["P"])
    while not inputs[-1]:
        inputs.pop()
    states = [f"{called}.{name}" for name in cell.states]
    y = graph.node(kind, inputs, name=called, outputs=[f"{called}.y", *states], **_attributes(kind, layer))
    if layer.directions == 1:
        return graph.node("Squeeze", [y, graph.integers(1)]), states
    y = graph.node("Transpose", [y], perm=[0, 2, 1, 3])
    hidden = found[0]["R"].shape[1]
    return graph.node("Reshape", [y, graph.integers(0, 0, layer.directions * hidden)]), states


def _parts(graph: _Graph, state: str, layers: int, directions: int) -> Sequence[str]:
    """Split an initial state by layers; empty names if there is none."""
    if not state or layers == 1:
        return [state] * layers
    names = [f"{state}_l{k}" for k in range(layers)]
    graph.node("Split", [state, graph.integers(*[directions] * layers)], outputs=names, axis=0)
    return names


def _learned(graph: _Graph, module: Any, name: str, layer: int, directions: int, x: str, called: str) -> str:
    """Write a learned initial state, repeated for each row of x; an empty name if it is zero."""
    if not getattr(module, "learn_state", False):
        return ""
    keys = [f"{name}0_l{layer}{'_reverse' * d}" for d in range(directions)]
    rows = np.stack([module.params[key] for key in keys])[:, None]
    batch = graph.node("Gather", [graph.node("Shape", [x]), graph.integers(1)])
    shape = graph.node("Concat", [graph.integers(directions), batch, graph.integers(rows.shape[2])], axis=0)
    return graph.node("Expand", [graph.tensor(f"{called}.{name}0", rows), shape])


def _kept(graph: _Graph, state: str, initial: str, lengths: str) -> str:
    """Write the last state: that of a row of length 0 is the initial one."""
    if not lengths or not initial:
        return state
    empty = graph.node("Equal", [lengths, graph.tensor("nothing", np.zeros(1, np.int32))])
    return graph.node("Where", [graph.node("Unsqueeze", [empty, graph.integers(0, 2)]), initial, state])


def _attributes(kind: str, layer: _Layer) -> dict[str, Any]:
    """Return the attributes of a node; alpha and beta are always said, as not all agree on their defaults."""
    cell: Any = layer.passes[0][0]
    given = [a for each, _, _ in layer.passes for a in _activations(kind, each)]
    backwards = tuple(reverse for _, _, reverse in layer.passes)
    options: dict[str, Any] = {
        "hidden_size": layer.passes[0][1]["w_hh"].shape[1],
        "direction": {(False,): "forward", (True,): "reverse", (False, True): "bidirectional"}[backwards],
        "activations": ["".join(map(str.capitalize, a.name.split("_"))) for a in given],
        "activation_alpha": [a.alpha for a in given if a.alpha is not None],
        "activation_beta": [a.beta for a in given if a.beta is not None],
    }
    if cell.clip is not None:
        options["clip"] = cell.clip
    if kind == "LSTM":
        options["input_forget"] = int(cell.coupled)
    if kind == "GRU":
        options["linear_before_reset"] = int(cell.reset == "after")
    return {name: value for name, value in options.items() if value != []}


def _activations(kind: str, cell: Any) -> list[cells.Activation]:
    """Return the functions f, g, h of a cell; gates that share one in ONNX must have the same."""
    if kind == "RNN":
        return [cell.activation]
    found = []
    for parts in _FUNCTIONS[kind]:
        gates = {gate: cell.activation(gate) for gate in parts if len(parts) == 1 or gate in cell.gates}
        if len(set(gates.values())) > 1:
            raise ValueError(
                f"export: {cell}: its gates {', '.join(gates)} have the activations "
                f"{', '.join(str(a) for a in gates.values())}; ONNX has one function for all of them"
            )
        found.append(next(iter(gates.values())))
    return found


def _kind(module: Recurrent | Directions) -> str:
    """Return the operator of a module's cell, refusing what ONNX's operators do not compute."""
    cell = module.cells[0] if isinstance(module, Directions) else module.cell
    kind = type(cell).__name__
    if type(cell) not in (cells.RNN, cells.LSTM, cells.GRU):
        raise ValueError(
            f"export: ONNX has no operator for {cell}; it has RNN, LSTM and GRU. Save it with fastrnn.save"
        )
    never: Mapping[str, Any] = {
        "proj_size": 0,
        "input_gate": True,
        "forget_gate": True,
        "output_gate": True,
        "full_gate_recurrence": False,
        "cell_clip": None,
        "layer_norm": False,
        "zoneout": (),
    }
    for option, usual in never.items():
        value = getattr(cell, option, usual)
        if value != usual:
            raise ValueError(
                f"export: {option}={value!r} of {cell} is in no operator of ONNX; expected {usual!r}: build "
                "the layer without it, or save it with fastrnn.save"
            )
    return kind
