"""Models of ONNX: a graph that is checked, its recurrent nodes as layers, and its run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import _checks
from ...nn import Module
from .._file import FileFormatError
from . import _operators, _proto
from ._proto import STANDARD, Node, name_of
from ._recurrent import WEIGHTS, RecurrentNode, is_recurrent

#: What an operator may raise where its inputs do not go together.
_FAULTS = (ValueError, TypeError, IndexError, KeyError, OverflowError, ArithmeticError, MemoryError)

#: How many times the size of a model its weights may come to as they are made ready.
_GROWTH = 8


@dataclass(frozen=True)
class Input:
    """An input of a model as it is declared: dtype and sizes, None where it leaves them open."""

    dtype: np.dtype | None
    shape: tuple[int | None, ...] | None


class Model:
    """A model of ONNX, to be run or taken apart; `load` makes it.

    Attributes
    ----------
    layers : dict of str to Module
        The recurrent nodes whose weights stand in the model, by the name of the node (or of its first output,
        where the node has none): `fastrnn.RNN`, `fastrnn.LSTM`, `fastrnn.GRU`, or, for one that only runs
        backwards or has other activations in each direction, a layer that is called like them. They are
        frozen; ``thaw()`` makes them trainable, and the model goes on with what they have become. Nodes with
        the same weights and attributes have one layer.
    inputs : dict of str to Input
        What `run` takes: dtype and shape as declared. Those with a default value may be left out.
    outputs : tuple of str
        What it returns.
    operators : tuple of str
        The kinds of nodes there are, sorted.
    """

    def __init__(self, source: Any, max_bytes: int) -> None:
        proto, folder, size = _proto.read(source)
        self._folder, self._max_bytes = folder, max_bytes
        self._opset = _opset(proto)
        graph = proto.graph
        if len(graph.sparse_initializer):
            raise FileFormatError("the graph has sparse tensors; save the model with dense ones")
        self._constants = dict(_proto.initializers(graph, folder))
        self._unreadable = {t.name for t in graph.initializer} - self._constants.keys()
        declared = {name_of(value.name): _input(value) for value in graph.input}
        if len(declared) < len(graph.input):
            raise FileFormatError("two inputs have the same name")
        self.inputs = declared
        self.outputs = tuple(name_of(value.name) for value in graph.output)
        if len({*self.outputs}) < len(self.outputs):
            raise FileFormatError("two outputs have the same name")
        self._nodes = tuple(Node.of(node) for node in graph.node)
        self._check_order()
        self.operators = tuple(sorted({node.operator for node in self._nodes}))
        self._recurrent = {
            k: RecurrentNode.of(node, folder) for k, node in enumerate(self._nodes) if is_recurrent(node)
        }
        self._attributes: dict[int, dict[str, Any]] = {}
        self._built = self._build(max(size, sum(a.nbytes for a in self._constants.values()), 1 << 16))
        self.layers: dict[str, Module] = {}
        for k, layer in self._built.items():
            node = self._nodes[k]
            names = [name for name in (node.name, *node.outputs) if name and name not in self.layers]
            self.layers[names[0] if names else f"node {k}"] = layer
        self._usual = self._plan(self.outputs, self._built)
        if (
            not self.inputs.keys() & self._constants.keys()
        ):  # no default can be replaced: layers have the rest
            read = {*self.outputs, *(name for k in self._usual for name in self._needs(k, self._built))}
            self._constants = {name: a for name, a in self._constants.items() if name in read}

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs that have no default value."""
        return tuple(name for name in self.inputs if name not in self._constants)

    def __repr__(self) -> str:
        layers = "".join(f"\n  {name}: {layer!r}" for name, layer in self.layers.items())
        return f"Model({', '.join(self.required)} -> {', '.join(self.outputs)}){layers}"

    # ---- running ----

    def __call__(self, *inputs: Any) -> Any:
        """Return the output, or a tuple of several, of inputs in the order of `inputs` without defaults."""
        if len(inputs) != len(self.required):
            raise TypeError(f"got {len(inputs)} inputs; the model takes {_listed(self.required)}")
        found = tuple(self.run(dict(zip(self.required, inputs, strict=True))).values())
        return found[0] if len(found) == 1 else found

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run the model.

        Parameters
        ----------
        inputs : mapping of str to array_like
            Real floating-point values are cast to the declared type, integers to the declared integers.

        Returns
        -------
        dict of str to numpy.ndarray
            Every output by name.

        Raises
        ------
        NotImplementedError
            A node that is needed is of a kind that is not run here; `layers` are there all the same.
        ValueError, TypeError
            An input is missing, unknown, of another shape or type than declared.
        FileFormatError
            A node cannot compute what it is given; the message names it.
        """
        given = self._given(inputs)
        values: dict[str, Any] = {**self._constants, **given}
        if given.keys() & self._constants.keys():  # a default was replaced
            built, plan = {}, self._plan(self.outputs, {})
        else:
            built, plan = self._built, self._usual
        self._check_operators(plan)
        last = {name: k for k in plan for name in self._needs(k, built)}
        held: dict[str, int] = {}  # bytes of what nodes made and later ones read
        taken = 0
        for k in plan:
            self._compute(k, values, built.get(k), self._max_bytes - taken)
            made = [name for name in self._nodes[k].outputs if name]
            held |= {name: values[name].nbytes for name in made}
            taken += sum(held[name] for name in made)
            if taken > self._max_bytes:
                raise FileFormatError(
                    f"{self._nodes[k]}: what the nodes have made takes {taken} bytes; the limit is "
                    f"{self._max_bytes}, set by load(..., max_bytes=)"
                )
            for name in (*self._needs(k, built), *made):
                if last.get(name, k) == k and name not in self.outputs:
                    values.pop(name, None)
                    taken -= held.pop(name, 0)
        return {name: _owned(self._value(values, name, "the outputs")) for name in self.outputs}

    def check(self) -> None:
        """Refuse a model that has a node that `run` would refuse."""
        self._check_operators(self._usual)

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the inputs as arrays of the declared types."""
        if not isinstance(inputs, Mapping):
            raise TypeError(f"run: got {_checks.kind(inputs)}; expected a mapping of names to arrays")
        missing = [name for name in self.required if name not in inputs]
        unknown = [name for name in inputs if name not in self.inputs]
        if missing or unknown:
            came = _listed(inputs) if inputs else "nothing"
            raise ValueError(f"run: got {came}; the model takes {_listed(self.inputs)}")
        return {name: _fitting(name, value, self.inputs[name]) for name, value in inputs.items()}

    def _needs(self, k: int, built: Mapping[int, Module]) -> list[str]:
        """Return the names that a node reads: without the weights, where its layer has them."""
        names = enumerate(self._nodes[k].inputs)
        return [name for i, name in names if name and not (k in built and i in WEIGHTS)]

    def _plan(self, names: Iterable[str], built: Mapping[int, Module]) -> list[int]:
        """Return the nodes that these names need, in order."""
        wanted, plan = set(names), []
        for k in range(len(self._nodes) - 1, -1, -1):
            if wanted.intersection(self._nodes[k].outputs):
                plan.append(k)
                wanted.update(self._needs(k, built))
        return plan[::-1]

    def _check_operators(self, plan: Iterable[int]) -> None:
        for k in plan:
            node = self._nodes[k]
            if k not in self._recurrent and self._function(node) is None:
                raise NotImplementedError(
                    f"{node} is of a kind that fastrnn.io.onnx does not run in version {self._opset} of the "
                    "operators: it runs recurrent nodes and the simple ones around them. Take the recurrent "
                    "nodes as layers (.layers) and write the rest in NumPy, or use ONNX Runtime"
                )

    def _function(self, node: Node) -> Any:
        return _operators.find(node.operator, self._opset) if node.domain in STANDARD else None

    def _compute(self, k: int, values: dict[str, Any], layer: Module | None, limit: int) -> None:
        """Run one node: read its inputs among the values and add its outputs to them."""
        node, skipped = self._nodes[k], WEIGHTS if layer is not None else ()
        inputs = [
            self._value(values, name, node) if name and i not in skipped else None
            for i, name in enumerate(node.inputs)
        ]
        token = _operators.LIMIT.set(limit)
        try:
            if k in self._recurrent:
                recurrent = self._recurrent[k]
                inputs += [None] * (8 - len(inputs))
                if layer is None:
                    layer = recurrent.layer(*(inputs[i] for i in WEIGHTS))
                found = recurrent.run(layer, inputs[0], *inputs[4:7])
            else:
                if k not in self._attributes:
                    self._attributes[k] = node.attributes(self._folder)
                attributes = self._attributes[k]
                found = _operators.call(self._function(node), inputs, attributes, len(node.outputs))
        except FileFormatError:
            raise
        except _FAULTS as error:
            raise FileFormatError(f"{node}: {error}") from error
        finally:
            _operators.LIMIT.reset(token)
        if len(node.outputs) > len(found):
            raise FileFormatError(f"{node}: {len(node.outputs)} outputs; there are {len(found)} here")
        values.update((name, value) for name, value in zip(node.outputs, found, strict=False) if name)

    def _value(self, values: Mapping[str, Any], name: str, reader: Any) -> np.ndarray:
        if name not in values:
            why = (
                "holds elements of a type that is not read here" if name in self._unreadable else "is missing"
            )
            raise FileFormatError(f"{reader}: {name!r} {why}")
        return values[name]

    # ---- building ----

    def _check_order(self) -> None:
        """Refuse a graph in which a name is read before it is made, or made twice."""
        made = {*self._constants, *self._unreadable, *self.inputs}
        later = {name for node in self._nodes for name in node.outputs}
        for node in self._nodes:
            for name in node.inputs:
                if name and name not in made:
                    order = "a later node makes it: the nodes are out of order, or go round in a circle"
                    why = order if name in later else "nothing makes it"
                    raise FileFormatError(f"{node}: its input {name!r} is not there; {why}")
            for name in node.outputs:
                if name and name in made:
                    raise FileFormatError(f"{node}: its output {name!r} is there already")
            if not any(node.outputs):
                raise FileFormatError(f"{node}: it has no outputs")
            made.update(node.outputs)
        for name in self.outputs:
            if name not in made:
                raise FileFormatError(f"the output {name!r} is made by no node")

    def _build(self, size: int) -> dict[int, Module]:
        """Return the layers of the recurrent nodes whose weights follow from what stands in the model.

        Weights may have come through other nodes (Concat, Slice); those are run. Nodes with the same weights
        share a layer. What is made is counted: a model may not grow without measure while it is read.
        """
        layers: dict[int, Module] = {}
        made: dict[Any, Module] = {}
        values: dict[str, Any] = dict(self._constants)
        fixed, used = self._fixed(), 0

        def count(more: int, what: Any) -> None:
            nonlocal used
            used += more
            if used > _GROWTH * size:
                raise FileFormatError(f"{what}: the model grows to more than {_GROWTH} times its size")

        for k, recurrent in self._recurrent.items():
            names = [recurrent.node.inputs[i] if i < len(recurrent.node.inputs) else "" for i in WEIGHTS]
            if not all(name in fixed for name in names if name):
                continue
            key = (
                *names,
                recurrent.node.operator,
                recurrent.cells,
                recurrent.reversed,
                recurrent.batch_first,
            )
            if key not in made:
                for j in self._plan([name for name in names if name not in values], {}):
                    node = self._nodes[j]
                    if not values.keys() >= {name for name in node.outputs if name}:
                        self._compute(j, values, None, size)
                        count(sum(values[name].nbytes for name in node.outputs if name), node)
                arrays = [self._value(values, name, recurrent.node) if name else None for name in names]
                count(sum(a.nbytes for a in arrays if a is not None), recurrent.node)
                made[key] = recurrent.layer(*arrays).freeze()
            layers[k] = made[key]
        return layers

    def _fixed(self) -> set[str]:
        """Return the names whose values do not depend on inputs, by nodes that can be run here."""
        fixed = set(self._constants)
        for k, node in enumerate(self._nodes):
            known = k in self._recurrent or self._function(node) is not None
            if known and all(name in fixed for name in node.inputs if name):
                fixed.update(node.outputs)
        return fixed


def load(source: Any, *, max_bytes: int = 1 << 30) -> Model:
    """Read a model in ONNX's format.

    Nothing in the file is executed, and reading takes no more memory than a small multiple of its size.
    Weights in files of their own are read from the model's folder alone.

    Parameters
    ----------
    source : path-like, bytes or onnx.ModelProto
    max_bytes : int
        What the arrays that the nodes make in a run may take together, as far as they are still to be read.

    Returns
    -------
    Model

    Raises
    ------
    FileFormatError
        It is no ONNX file or damaged, a tensor has not the values of its shape, nodes are out of order, a
        recurrent node's attributes or weights are wrong: the message names the tensor or the node.
    ImportError
        The package onnx is missing: ``pip install "fastrnn[onnx]"``.
    OSError
        The file cannot be opened or read.

    Notes
    -----
    Versions 7 to 28 of ONNX's operators. RNN, LSTM and GRU with all attributes and inputs, in float32 or
    float64; where the specification leaves something open, as ONNX Runtime has it, except that alpha and beta
    are by default those that the specification gives. Around them: arithmetic and comparisons, products,
    activations, softmax, reductions, and what changes shapes or takes parts.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn.io import onnx
    >>> lstm = fastrnn.LSTM(3, 4, bidirectional=True, rng=0)
    >>> model = onnx.load(onnx.export(lstm))
    >>> model.layers
    {'lstm_l0': LSTM(3, 4, bidirectional=True)}
    >>> x = np.ones((7, 2, 3), np.float32)
    >>> y, h, c = model(x)
    >>> bool((y == lstm(x)[0]).all())
    True
    """
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise ValueError(f"load: max_bytes is {max_bytes!r}; expected a positive integer")
    try:
        return Model(source, max_bytes)
    except FileFormatError as error:
        if isinstance(source, (str, os.PathLike)) and not str(error).startswith(os.fspath(source)):
            raise FileFormatError(f"{os.fspath(source)}: {error}") from error
        raise


def _opset(proto: Any) -> int:
    versions = [each.version for each in proto.opset_import if each.domain in STANDARD]
    if not proto.HasField("graph") or len(versions) != 1:
        raise FileFormatError("not a model: it has no graph, or does not say its version of the operators")
    if versions[0] not in _proto.OPSETS:
        raise FileFormatError(
            f"it is made of version {versions[0]} of the operators; here are {_proto.OPSETS[0]} to "
            f"{_proto.OPSETS[-1]}: convert it with onnx.version_converter"
        )
    return versions[0]


def _input(value: Any) -> Input:
    if not value.name:
        raise FileFormatError("an input has no name")
    if value.type.WhichOneof("value") != "tensor_type":
        return Input(None, None)
    tensor = value.type.tensor_type
    shape: tuple[int | None, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return Input(_proto.element_type(tensor.elem_type), shape)


def _fitting(name: str, value: Any, declared: Input) -> np.ndarray:
    """Return an input as an array of the declared type and of a shape that agrees."""
    array, dtype = np.asarray(value), declared.dtype
    if dtype is None:
        raise TypeError(f"run: input {name!r} is declared as something else than a tensor of numbers")
    if array.dtype != dtype:
        alike = array.dtype.kind == dtype.kind == "f" or {array.dtype.kind, dtype.kind} <= {"i", "u"}
        cast = array.astype(dtype) if alike else array
        if not alike or (dtype.kind != "f" and (cast != array).any()):
            raise TypeError(f"run: input {name!r} is {array.dtype}; expected {dtype}: use .astype")
        array = cast
    shape = declared.shape
    if shape is not None and (
        len(shape) != array.ndim or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True))
    ):
        expected = f"({', '.join('any' if n is None else str(n) for n in shape)})"
        raise ValueError(f"run: input {name!r} has shape {array.shape}; expected {expected}")
    return array


def _owned(array: Any) -> np.ndarray:
    """Return a contiguous array of the caller's own: no view of a weight or of an input."""
    return np.array(array, order="C")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "no inputs"
