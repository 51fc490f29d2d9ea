"""The order in which a model runs its layers, where that is one after the other.

A functional model tells of each layer where its inputs come from. It is one chain if each layer takes what
one other gives, from the input to the output. Keras 3 has the masks that Embedding and Masking make as
operations beside the chain, NotEqual and Any: they are compared with what the chain itself passes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._file import FileFormatError
from ._config import MODELS, inside

#: Operations that make masks.
_OPERATIONS = frozenset({"NotEqual", "Any"})


def chain(model: Any) -> list[tuple[str, ...]]:
    """The layers of a model as it runs them: the names of the models around each, and its own.

    Raises
    ------
    FileFormatError
        The model, or one in it, branches, or runs a layer twice.
    """
    try:
        return list(_walk(model))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError("the configuration does not tell what the layers of the model take") from error


def _walk(model: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    kind, config = inside(model)
    layers = {layer["config"]["name"]: layer for layer in config["layers"]}
    for name in layers if kind == "Sequential" else _in_order("/".join(names), layers, config):
        if inside(layers[name])[0] in MODELS:
            yield from _walk(layers[name], (*names, name))
        else:
            yield (*names, name)


def _in_order(who: str, layers: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a functional model's layers from its input to its output."""
    title = f"the model {who!r}" if who else "the model"
    ends = [_ends(config.get(key)) for key in ("input_layers", "output_layers")]
    if [len(end) for end in ends] != [1, 1]:
        raise FileFormatError(
            f"{title} has {len(ends[0])} inputs and {len(ends[1])} outputs; expected one of each, as "
            "load_model runs chains of layers"
        )
    (here,), (last,) = ends
    nodes = {name: _node(title, name, layer) for name, layer in layers.items()}
    operations = {name for name, layer in layers.items() if layer.get("class_name") in _OPERATIONS}
    takers: dict[str, list[str]] = {name: [] for name in layers}
    for name, (sources, _) in nodes.items():
        for source in sources if name not in operations else ():
            takers[source].append(name)
    made = None  # the mask that the chain passes on: the layer whose output it is made of, and the value
    left = len(layers) - len(operations)
    while left:
        _, masks = nodes[here]
        for mask in masks:
            if made is None or _mask(layers, nodes, mask) != made:
                raise FileFormatError(
                    f"layer {here!r} takes a mask that is not of an Embedding or Masking before it; "
                    "load_model runs chains of layers"
                )
        yield here
        left -= 1
        kind, options = inside(layers[here])
        if kind == "Masking" or (kind == "Embedding" and options.get("mask_zero") is True):
            made = (*nodes[here][0], options.get("mask_value", 0))
        after = takers[here]
        if here == last and not after:
            break
        if len(after) != 1 or here == last:
            raise FileFormatError(
                f"{title} is no chain: {len(after) + (here == last)} layers or outputs take what {here!r} "
                "gives; take the recurrent layers by load"
            )
        (here,) = after
    if left or here != last:
        raise FileFormatError(f"{title} is no chain: not all of its layers are between input and output")


def _ends(value: Any) -> list[str]:
    """The names in input_layers or output_layers: one alone, or a list of them."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = [value]
    return [end[0] for end in value if _is_history(end)] if isinstance(value, list) else []


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _node(title: str, name: str, layer: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What a layer takes: the names of the layers that give its inputs, and its masks."""
    nodes = layer.get("inbound_nodes") or []
    if not isinstance(nodes, list) or len(nodes) > 1:
        raise FileFormatError(f"{title} is no chain: it runs layer {name!r} more than once")
    if not nodes:
        return [], []
    (node,) = nodes
    if isinstance(node, dict):  # Keras 3
        given, named = _histories(node.get("args")), dict(node.get("kwargs") or {})
    else:  # Keras 2: [layer, node, tensor, arguments] of each input
        given, named = [item[0] for item in node], dict(node[0][3] if len(node[0]) > 3 else {})
    masks = _histories(named.pop("mask", None))
    several = len(given) != 1 or any(isinstance(value, (list, dict)) for value in named.values())
    if several or named.get("training"):
        raise FileFormatError(
            f"{title} is no chain: layer {name!r} is called with more than the output of one layer"
        )
    return given, masks


def _histories(value: Any) -> list[str]:
    """The names of the layers that give the tensors in the arguments of a call in Keras 3."""
    if isinstance(value, list):
        return [name for item in value for name in _histories(item)]
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return [value["config"]["keras_history"][0]]
    return []


def _mask(
    layers: Mapping[str, Any], nodes: Mapping[str, tuple[list[str], list[str]]], name: str
) -> tuple[str, Any] | None:
    """What a mask is made of: a layer, and the value that is masked in its output."""
    kind = layers[name].get("class_name")
    if kind == "Any":
        return _mask(layers, nodes, nodes[name][0][0])
    if kind == "NotEqual":
        return nodes[name][0][0], layers[name]["inbound_nodes"][0]["args"][1]
    return None
