"""The house is as docs/architecture.md says: imports go down, the C knows no Python, the tables agree."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit import ACTIVATIONS, CELLS

from fastrnn import cells

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastrnn"

# What each module may import from the package, at any level of nesting: the floors of the house.
FOUNDATION = {"cells", "_checks", "_config", "_extra", "_hints", "_warn"}
MAY_IMPORT = {
    "cells": set(),
    "_checks": {"cells"},
    "_hints": {"cells", "_checks"},
    "_native": set(),
    "_warn": set(),
    "_extra": set(),
    "_masks": set(),
    "_config": {"_native"},
    "reference": {"cells", "_checks"},
    "functional": FOUNDATION | {"_masks", "_native", "reference"},
    "nn": FOUNDATION | {"functional"},
    "losses": {"_checks", "functional"},
    "optim": {"_checks", "_hints", "functional"},
    "vocab": {"_checks"},
    "io": FOUNDATION | {"functional", "nn", "losses"},
    "inspect": FOUNDATION | {"functional", "nn"},
    "plot": FOUNDATION | {"functional", "nn", "inspect"},
    "torch": FOUNDATION | {"functional", "nn", "io"},
    "train": {"_checks", "_config", "functional", "nn", "losses", "optim", "io"},
    "models": FOUNDATION | {"functional", "nn", "losses", "optim", "io", "vocab", "train"},
    "sklearn": {"_checks", "_hints", "models"},
    "_bench": FOUNDATION | {"functional", "nn", "reference"},
}
# Leaves import what they like, and nothing imports them.
LEAVES = {"__init__", "__main__", "cli", "_demo"}

# Bridges are imported only when asked for; everywhere else these stay inside functions.
BRIDGES = {"torch", "sklearn", "plot"}


def floor(path):
    """fastrnn/nn/basic.py -> nn"""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


SOURCES = sorted(PACKAGE.rglob("*.py"))
SOURCE_IDS = [p.relative_to(PACKAGE).as_posix() for p in SOURCES]


def imported(path, functions=True):
    """Full names of the modules that a file imports, `from x import a` counting as x.a.

    Imports for type checkers alone do not count; `functions`: whether those inside functions do.
    """
    package = ("fastrnn", *path.relative_to(PACKAGE).parent.parts)

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not functions:
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child
            yield from walk(child)

    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from (".".join([*base, alias.name]) for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=SOURCE_IDS)
def test_imports_go_down_only(path):
    here = floor(path)
    if here in LEAVES:
        return
    assert here in MAY_IMPORT, f"fastrnn.{here} is not in the table above: add it with what it may import"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "fastrnn" and parts[1] not in ("__version__", here):
            assert parts[1] in MAY_IMPORT[here], f"fastrnn.{here} must not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=SOURCE_IDS)
def test_only_numpy_and_the_standard_library_are_imported_at_import(path):
    if floor(path) in BRIDGES:
        return
    allowed = {"fastrnn", "numpy", *sys.stdlib_module_names}
    foreign = {name.split(".")[0] for name in imported(path, functions=False)} - allowed
    assert not foreign, f"import {foreign} inside the function that needs it"


def test_reference_imports_nothing_but_cells_checks_and_numpy():
    for path in PACKAGE.glob("reference/**/*.py"):
        for name in imported(path):
            parts = name.split(".")
            assert parts[0] == "fastrnn" or parts[0] == "numpy" or parts[0] in sys.stdlib_module_names, name


def test_import_brings_only_numpy_and_the_standard_library():
    code = (
        "import sys, numpy; before = set(sys.modules); import fastrnn; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    new = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    # Cython's shared types register under this name.
    new = {name for name in new if not name.startswith(("cython_runtime", "_cython_"))}
    assert new <= {"fastrnn", "numpy", *sys.stdlib_module_names}


def test_no_numerical_code_in_the_binding():
    """_native.pyx hands over pointers; what computes stands in csrc/ or in the reference."""
    text = (PACKAGE / "_native.pyx").read_text(encoding="utf-8")
    assert set(re.findall(r"\b(?:np|numpy)\.(\w+)", text)) <= {"empty"}
    assert set(re.findall(r"\bmath\.(\w+)", text)) <= {"prod"}
    assert not re.search(r"libc\.math|\w @ \w|cdef (float|double) \w+\s*\[", text)


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(ROOT.glob("csrc/**/*")) if p.suffix in (".c", ".h", ".inc", ".def")],
    ids=lambda p: p.name,
)
def test_c_knows_no_python(path):
    includes = re.findall(r'#\s*include\s*[<"]([^>"]+)', path.read_text(encoding="utf-8"))
    assert not [name for name in includes if re.search(r"python|numpy|cython|structmember", name, re.I)]


def cells_def():
    """name -> (weight gates, cached gates, states, parameters), the rows of csrc/cells.def."""
    text = (ROOT / "csrc" / "cells.def").read_text(encoding="utf-8")
    row = re.compile(r'^FR_CELL\((\w+),\s*(\d+),\s*(\d+),\s*(\d+),\s*"([^"]*)"\)', re.M)
    return {name: (int(g), int(c), int(s), tuple(p.split())) for name, g, c, s, p in row.findall(text)}


def test_cells_def_and_cells_py_agree():
    """A row of cells.def has the most of each that any options of the cell ask for."""
    table = cells_def()
    whole = cells.LSTM.variant("FGR", proj_size=3)
    declared = {}
    for cell in [*CELLS, whole]:
        row = (len(cell.gates), len(cell.cached), len(cell.states), tuple(cell.parameters))
        most = zip(row, declared.get(cell.name, row), strict=True)
        declared[cell.name] = tuple(
            max(pair, key=lambda v: v if isinstance(v, int) else len(v)) for pair in most
        )
    assert declared == table


def test_activations_def_and_cells_py_agree():
    text = (ROOT / "csrc" / "activations.def").read_text(encoding="utf-8")
    rows = re.findall(r"^FR_ACTIVATION\((\w+)\)", text, re.M)
    assert [activation.name for activation in ACTIVATIONS] == rows
    assert [activation.native[0] for activation in ACTIVATIONS] == list(range(len(rows)))


def test_isas_def_and_the_isa_files_agree():
    text = (ROOT / "csrc" / "isas.def").read_text(encoding="utf-8")
    rows = re.findall(r"^FR_ISA_ROW\((\w+),", text, re.M)
    assert sorted(rows) == sorted(p.stem for p in ROOT.glob("csrc/isa/*.c"))
