"""Where a file keeps the tensors of a recurrent layer, and which layers a file without a configuration has.

There are two layouts. Files of Keras 3, and ``.keras`` files, go by class and count:
``layers/bidirectional/forward_layer/cell/vars/0``. Those before go by the names that the user gave:
``bidirectional/bidirectional/forward_lstm/lstm_cell/kernel:0``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._file import FileFormatError
from ..layouts import KERAS_GATES
from ._config import Entry, LayerPlan, Way, snake_case
from ._hdf5 import Tree

ROLES = ("kernel", "recurrent_kernel", "bias")
#: What Keras has called the list of a model's layers.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
_WEIGHTS = "model_weights"


class Tensors(NamedTuple):
    """The arrays of one cell by role, and where they are."""

    path: str
    arrays: dict[str, np.ndarray]


def is_legacy(tree: Tree) -> bool:
    """Whether the tensors go by names."""
    return not any(re.search(r"(^|/)vars(/\d+)?$", path) for path in [*tree.attributes, *tree.arrays])


# ---- with a configuration ----


def tensors(tree: Tree, entry: Entry, plan: LayerPlan) -> list[list[Tensors]]:
    """The tensors of a layer: for each of its ways, of each of its cells."""
    return _by_name(tree, entry, plan) if is_legacy(tree) else _by_count(tree, entry, plan)


def variables(tree: Tree, entry: Entry, roles: Sequence[str], inside: str = "") -> dict[str, np.ndarray]:
    """The arrays of a layer without cells, such as Dense, by role; `roles` in the order of its variables.

    `inside` is the attribute of a layer that has them in its own place: "layer" of TimeDistributed.
    """
    if is_legacy(tree):
        found = _folders(tree, entry.names[0], tuple(dict.fromkeys((*roles, "bias"))))
        for name in entry.names[1:]:
            found = {path: each for path, each in found.items() if name in path.split("/")}
        if len(found) != 1:
            raise FileFormatError(f"layer {entry.name!r}: expected one {roles[0]}; found {len(found)}")
        (arrays,) = found.values()
    else:
        arrays = _vars(tree, entry.name, "/".join(filter(None, (_group(tree, entry), inside))), roles).arrays
    if list(arrays) != list(roles):
        raise FileFormatError(
            f"layer {entry.name!r} has {', '.join(arrays) or 'nothing'}; expected {', '.join(roles)}"
        )
    return arrays


def _group(tree: Tree, entry: Entry) -> str:
    """The path of a layer in a file that goes by count."""
    path = ""
    for attribute, name in zip(entry.attributes, entry.names, strict=True):
        found = [p for c in _CONTAINERS if (p := f"{path}{c}/{attribute}") in tree.attributes]
        if not found:
            raise FileFormatError(f"layer {entry.name!r}: the file has no group {path}layers/{attribute}")
        stored = tree.attributes.get(f"{found[0]}/vars", {}).get("name", name)
        if stored != name:
            raise FileFormatError(
                f"layer {entry.name!r}: {found[0]!r} has the weights of {stored!r}; expected {name!r}"
            )
        path = found[0] + "/"
    return path.removesuffix("/")


def _by_count(tree: Tree, entry: Entry, plan: LayerPlan) -> list[list[Tensors]]:
    path = _group(tree, entry) + "/"
    places = ("forward_layer/", "backward_layer/") if len(plan.ways) > 1 else ("",)
    return [
        [_vars(tree, entry.name, at) for at in _cell_paths(f"{path}{place}cell", way)]
        for place, way in zip(places, plan.ways, strict=True)
    ]


def _cell_paths(path: str, way: Way) -> Iterator[str]:
    if not way.stacked:
        yield path
        return
    counts: Counter[str] = Counter()
    for cell in way.cells:
        attribute = snake_case(f"{cell.kind}Cell")
        number = counts[attribute]
        counts[attribute] += 1
        yield f"{path}/cells/{attribute}" + (f"_{number}" if number else "")


def _vars(tree: Tree, name: str, path: str, names: Sequence[str] = ROLES) -> Tensors:
    """The variables of a cell or layer by role; those beyond the roles keep their numbers, to be refused."""
    prefix = f"{path}/vars/"
    numbers = [p.removeprefix(prefix) for p in tree.arrays if p.startswith(prefix)]
    if not numbers:
        raise FileFormatError(f"layer {name!r}: the file has no weights at {prefix!r}")
    roles = {str(k): role for k, role in enumerate(names)}
    return Tensors(path, {roles.get(n, n): tree.arrays[prefix + n] for n in sorted(numbers)})


def _by_name(tree: Tree, entry: Entry, plan: LayerPlan) -> list[list[Tensors]]:
    top, *below = entry.names
    folders = _folders(tree, top)
    if not folders:
        raise FileFormatError(f"layer {entry.name!r}: the file has no weights for it")
    for name in below:
        folders = {path: found for path, found in folders.items() if name in path.split("/")}
    result = []
    for way in plan.ways:
        mine = folders
        if len(plan.ways) > 1:
            mine = {path: found for path, found in folders.items() if way.name in path.split("/")}
        cells = [
            {p: f for p, f in mine.items() if p.split("/")[-1] == cell.name} if way.stacked else mine
            for cell in way.cells
        ]
        for cell, found in zip(way.cells, cells, strict=True):
            if len(found) != 1:
                raise FileFormatError(
                    f"layer {entry.name!r}: expected one kernel of {cell.name or way.name!r}; "
                    f"found {len(found)} in {', '.join(folders) or 'nothing'}"
                )
        result.append([Tensors(*next(iter(found.items()))) for found in cells])
    return result


def _folders(tree: Tree, top: str, roles: Sequence[str] = ROLES) -> dict[str, dict[str, np.ndarray]]:
    """What belongs to a layer in a file of names: by the path of its folders, the tensors by role.

    Folders without the last role that all have, which is no bias, are left out.
    """
    root = f"{_WEIGHTS}/" if _WEIGHTS in tree.attributes else ""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path, array in tree.arrays.items():
        folder, _, name = path.rpartition("/")
        role = re.sub(r":\d+$", "", name)
        if f"{folder}/".startswith(f"{root}{top}/") and role in roles:
            found.setdefault(folder, {})[role] = array
    needed = [role for role in roles if role != "bias"][-1]
    ordered = {p: {role: each[role] for role in roles if role in each} for p, each in found.items()}
    return {path: each for path, each in ordered.items() if needed in each}


# ---- without a configuration ----


class Guess(NamedTuple):
    """A layer as its tensors tell of it: in the form of a configuration, with the tensors."""

    entry: Entry
    tensors: list[list[Tensors]]


def guesses(tree: Tree, options: Callable[[str], Mapping[str, Any]]) -> list[Guess]:
    """The recurrent layers of a file that has weights alone."""
    found = list(_named_guesses(tree) if is_legacy(tree) else _counted_guesses(tree))
    return [Guess(_guess(name, cells, options(name)), cells) for name, cells in found]


def _counted_guesses(tree: Tree) -> Iterator[tuple[str, list[list[Tensors]]]]:
    layers: dict[str, dict[str, list[str]]] = {}
    for path in sorted(tree.attributes, key=_natural):
        match = re.fullmatch(r"(.+?)/(?:(forward|backward)_layer/)?cell(/cells/\w+)?/vars", path)
        if match and f"{path}/0" in tree.arrays:
            layers.setdefault(match[1], {}).setdefault(match[2] or "", []).append(path.removesuffix("/vars"))
    used: Counter[str] = Counter(_called(tree, path) for path in layers)
    for path, ways in layers.items():
        name = _called(tree, path)
        name = name if used[name] == 1 else path
        for cells in ways.values():
            kinds = {re.sub(r"_\d+$", "", cell.rpartition("/")[2]) for cell in cells}
            if len(kinds) > 1:
                raise FileFormatError(
                    f"layer {name!r} is a stack of {', '.join(sorted(kinds))}, whose order weights alone do "
                    "not tell; load the .keras file of the whole model"
                )
        order = ("forward", "backward") if "forward" in ways or "backward" in ways else ("",)
        if set(order) != set(ways):
            raise FileFormatError(f"layer {name!r}: the file has one direction of two, {' '.join(ways)!r}")
        yield name, [[_vars(tree, name, cell) for cell in ways[way]] for way in order]


def _called(tree: Tree, path: str) -> str:
    """The name of a layer, where the file tells it, else of its group."""
    return str(tree.attributes.get(f"{path}/vars", {}).get("name", path.rpartition("/")[2]))


def _named_guesses(tree: Tree) -> Iterator[tuple[str, list[list[Tensors]]]]:
    root = _WEIGHTS if _WEIGHTS in tree.attributes else ""
    prefix = f"{root}/" if root else ""
    groups = {p.removeprefix(prefix).partition("/")[0] for p in tree.arrays if p.startswith(prefix)}
    given = tree.attributes.get(root, {})
    order = [
        name for key in sorted(given, key=_natural) if key.startswith("layer_names") for name in given[key]
    ]
    missing = [name for name in order if f"{prefix}{name}" not in tree.attributes]
    if missing:
        raise FileFormatError(f"the file has no group for {missing[0]!r}, one of its layer_names")
    for name in order or sorted(groups, key=_natural):
        found = [Tensors(*item) for item in _folders(tree, name).items()]
        if len(found) == 1:
            yield name, [found]
        elif len(found) > 1:
            ways = [
                [t for t in found if any(p.startswith(way) for p in t.path.split("/"))]
                for way in ("forward_", "backward_")
            ]
            if [len(way) for way in ways] != [1, 1] or ways[0] == ways[1]:
                raise FileFormatError(
                    f"layer {name!r} holds several cells, {', '.join(t.path for t in found)}; weights alone "
                    "do not tell their order: load the file of the whole model"
                )
            yield name, ways


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort lstm_2 before lstm_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _guess(name: str, ways: list[list[Tensors]], options: Mapping[str, Any]) -> Entry:
    """The configuration that fits the tensors of a layer."""
    layers: list[dict[str, Any]] = []
    for cells in ways:
        inside = [_guess_cell(name, cell, options) for cell in cells]
        stacked = "/cells/" in cells[0].path
        if stacked:
            stack = {"class_name": "StackedRNNCells", "config": {"cells": [
                {"class_name": f"{c['class_name']}Cell", "config": c["config"]} for c in inside
            ]}}  # fmt: skip
            layers.append({"class_name": "RNN", "config": {"name": name, "cell": stack}})
        else:
            layers += inside
    if len(layers) == 1:
        return Entry(layers[0]["class_name"], layers[0]["config"], (name,), ())
    layers[1]["config"]["go_backwards"] = True
    config = {"name": name, "layer": layers[0], "backward_layer": layers[1]}
    return Entry("Bidirectional", config, (name,), ())


def _guess_cell(name: str, cell: Tensors, options: Mapping[str, Any]) -> dict[str, Any]:
    recurrent, bias = (cell.arrays.get(role) for role in ROLES[1:])
    shape = () if recurrent is None else recurrent.shape
    for kind, gates in KERAS_GATES.items():
        if len(shape) == 2 and shape[0] and shape[1] == len(gates) * shape[0]:
            config: dict[str, Any] = {"name": name, "units": shape[0], "use_bias": bias is not None}
            if kind == "GRU":
                if bias is None and "reset_after" not in options:
                    raise FileFormatError(
                        f"layer {name!r} is a GRU without bias, whose tensors do not tell where it resets; "
                        "give reset_after=True or False"
                    )
                config["reset_after"] = bias is not None and bias.ndim == 2
            return {"class_name": kind, "config": config}
    raise FileFormatError(
        f"layer {name!r}: {cell.path}: recurrent_kernel has shape {shape}; expected (H, H), (H, 3*H) or "
        "(H, 4*H)"
    )


# ---- checks ----


def check(name: str, plan: LayerPlan, ways: Iterable[Iterable[Tensors]]) -> None:
    """Refuse tensors that are not those of the plan."""
    widths = set()
    for way, found in zip(plan.ways, ways, strict=True):
        width = None
        for cell, tensors in zip(way.cells, found, strict=True):
            where, units = f"layer {name!r}: {tensors.path}", cell.units
            wanted = ROLES if cell.use_bias else ROLES[:2]
            missing = [role for role in wanted if role not in tensors.arrays]
            extra = [role for role in tensors.arrays if role not in wanted]
            if missing or extra:
                raise FileFormatError(
                    f"{where} {f'lacks {missing[0]}' if missing else f'has {extra[0]} as well'}; expected "
                    f"{', '.join(wanted)}"
                )
            kernel = tensors.arrays["kernel"]
            if width is None:
                width = kernel.shape[0] if kernel.ndim == 2 and kernel.shape[0] else 1
                widths.add(width)
            rows = len(KERAS_GATES[cell.kind]) * units
            shapes = {
                "kernel": (width, rows),
                "recurrent_kernel": (units, rows),
                "bias": (2, rows) if cell.reset_after else (rows,),
            }
            for role in wanted:
                array = tensors.arrays[role]
                if array.shape != shapes[role] or array.dtype.kind != "f":
                    raise FileFormatError(
                        f"{where}: {role} has shape {array.shape} and dtype {array.dtype}; expected floats "
                        f"{shapes[role]}, of a {cell.kind} with units={units}"
                    )
            width = units
    if len(widths) > 1:
        raise FileFormatError(f"layer {name!r}: its two directions read {sorted(widths)} features")
