"""`Backend`: ONNX's interface to what runs models, which its own tests use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._model import Model, load
from ._proto import OPSETS, element_number, require


@functools.cache
def backend() -> type:
    """Return the class, made on the first call, since its base is in the package onnx."""
    onnx = require()
    from onnx.backend import base

    class Prepared(base.BackendRep):
        """A model that was prepared; ``run`` takes one array, a sequence or a mapping of them."""

        def __init__(self, model: Model) -> None:
            self.model = model
            self._outputs = base.namedtupledict("Outputs", model.outputs)

        def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
            """Return the outputs, a tuple with names."""
            _no_more("run", kwargs)
            model = self.model
            if isinstance(inputs, np.ndarray):
                inputs = [inputs]
            if not isinstance(inputs, Mapping):
                names = model.required if len(inputs) <= len(model.required) else tuple(model.inputs)
                if len(inputs) != len(names):
                    raise ValueError(f"got {len(inputs)} inputs; the model takes {', '.join(names)}")
                inputs = dict(zip(names, inputs, strict=True))
            return self._outputs(*model.run(inputs).values())

    class Backend(base.Backend):
        """fastrnn as a backend of ONNX: RNN, LSTM, GRU and the simple operators around them, on CPUs.

        ``prepare(model).run(inputs)``, ``run_model(model, inputs)`` and ``run_node(node, inputs)`` are as the
        class `onnx.backend.base.Backend` describes them.
        """

        @classmethod
        def supports_device(cls, device: str) -> bool:
            """Return whether models run on a device: on "CPU"."""
            return device.split(":")[0] == "CPU"

        @classmethod
        def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
            """Return whether every node that a model needs can be run here."""
            try:
                loaded = load(model)
                loaded.check()
            except (NotImplementedError, ValueError):
                return False
            return cls.supports_device(device)

        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
            """Return a model that is ready to run; one that cannot run is refused here."""
            _no_more("prepare", kwargs)
            if not cls.supports_device(device):
                raise ValueError(f"prepare: device is {device!r}; expected 'CPU'")
            onnx.checker.check_model(model)
            loaded = load(model)
            loaded.check()
            return Prepared(loaded)

        @classmethod
        def run_node(
            cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
        ) -> tuple[Any, ...]:
            """Return the outputs of one node; ``opset_version=`` says of which version it is."""
            opset = kwargs.pop("opset_version", min(OPSETS[-1], onnx.defs.onnx_opset_version()))
            _no_more("run_node", kwargs)
            names = [name for name in dict.fromkeys(node.input) if name]
            arrays = [np.asarray(each) for each in inputs]
            if len(arrays) != len(names):
                raise ValueError(f"run_node: got {len(arrays)} inputs; the node takes {', '.join(names)}")
            declare = onnx.helper.make_tensor_value_info
            graph = onnx.helper.make_graph(
                [node],
                "node",
                [declare(n, element_number(a.dtype), a.shape) for n, a in zip(names, arrays, strict=True)],
                [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name],
            )
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
            loaded = load(model)
            return base.namedtupledict("Outputs", loaded.outputs)(
                *loaded.run(dict(zip(names, arrays, strict=True))).values()
            )

    for made in (Prepared, Backend):
        made.__module__ = "fastrnn.io.onnx"
        made.__qualname__ = made.__name__
    return Backend


def _no_more(who: str, options: Mapping[str, Any]) -> None:
    if options:
        raise TypeError(f"{who}: there is no option {next(iter(options))!r} here")
