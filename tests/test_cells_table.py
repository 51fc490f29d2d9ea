"""docs/cells.md is what docs/make_cells.py makes of the cells, and the cells declare what it needs."""

import re
import runpy
from dataclasses import fields, replace
from pathlib import Path

import pytest
from kit import CELLS
from test_house import cells_def

from fastrnn import cells

ROOT = Path(__file__).parents[1]
MAKE = runpy.run_path(str(ROOT / "docs" / "make_cells.py"))
SYSTEMS = {
    *("PyTorch", "Keras", "ONNX", "oneDNN", "cuDNN", "haste", "FlashRNN", "Flax", "Equinox", "Haiku"),
    *("numpy-ml", "madmom", "thinc", "torchrecurrent"),
}
kinds = pytest.mark.parametrize("kind", cells.kinds().values(), ids=cells.kinds())


def test_the_file_is_what_the_cells_declare():
    text = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    assert text == MAKE["document"](), "run: python docs/make_cells.py > docs/cells.md"


def tables(text):
    """Each table of a text, as a list of rows."""
    for block in text.split("\n\n"):
        if block.startswith("|"):
            yield [line.strip("| ").split(" | ") for line in block.splitlines()]


def test_every_cell_has_a_row_and_a_section_and_every_variant_a_row():
    text = MAKE["document"]()
    everything, *others = tables(text)
    assert [row[0] for row in everything[2:]] == [f"[{name}](#{name.lower()})" for name in cells.kinds()]
    assert re.findall(r"^## (.*)", text, re.M) == list(cells.kinds())
    named = [table for table in others if table[0][0] == "Variant"]
    assert [[row[0] for row in table[2:]] for table in named] == [[f"`{n}`" for n in cells.LSTM.variants]]
    for table in (everything, *others):
        assert {len(row) for row in table} == {len(table[0])}


@kinds
def test_a_section_has_every_equation_and_every_option_with_what_it_adds(kind):
    parts = list(MAKE["section"](kind.__name__, kind))
    blocks = "".join(part for part in parts if part.startswith("```"))
    assert all(line in blocks for line, _ in MAKE["Declared"](kind).equations)
    (table,) = (t for part in parts for t in tables(part) if t[0][0] == "Option")
    options = {name: row[2] for row in table[2:] for name in re.findall(r"`(\w+)=", row[0])}
    assert options.keys() == {field.name for field in fields(kind)}
    most = kind.variant("FGR", proj_size=2) if kind is cells.LSTM else kind()
    norm = {"layer_norm": True} if "layer_norm" in options else {}
    for parameter in set(replace(most, **norm).parameters) - {*kind().parameters}:
        assert any(f"`{parameter} (" in shapes for shapes in options.values()), parameter


def test_every_row_of_cells_def_is_named():
    named = " ".join(part for name, kind in cells.kinds().items() for part in MAKE["section"](name, kind))
    for name in cells_def():
        assert re.search(f'Row of `csrc/cells.def`: .*[`"]{name}[`"]', named), name


@kinds
def test_numerics_has_the_rule_of_every_cell_forward_and_back(kind):
    text = (ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")
    forward, backward = (text.split(f"\n## {k}.")[1].split("\n## ")[0] for k in (2, 3))
    for section in (forward, backward):
        assert re.search(rf"^\* \*\*{kind.__name__}\b", section, re.M | re.I), kind


@kinds
def test_docstrings_declare_what_the_table_needs(kind):
    declared, options = MAKE["Declared"](kind), {field.name for field in fields(kind)}
    assert declared.options.keys() == options
    assert declared.source
    assert not declared.equations[0][1]
    assert {option.partition("=")[0] for _, option in declared.equations} <= {"", *options}
    for option, systems in declared.elsewhere.items():
        assert option.partition("=")[0] in {"as it is", *options}
        assert any(system in systems for system in SYSTEMS)


def test_systems_are_spelled_alike():
    """Of lists without more words: a variant's systems are those that all of its options name."""
    lists = [s for kind in cells.kinds().values() for s in MAKE["Declared"](kind).elsewhere.values()]
    assert {system for systems in lists if ";" not in systems for system in systems.split(", ")} <= SYSTEMS


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_parameters_of_the_table_are_the_cells(cell):
    shown = MAKE["_parameters"](cell)
    assert re.findall(r"`(\w+) \(", shown) == list(cell.parameters)


def test_an_option_without_a_description_is_named():
    class Undescribed(cells.MGU):
        """A cell.

        ::

            h = x

        Parameters
        ----------
        clip : float
            Limit.

        References
        ----------
        None.
        """

    with pytest.raises(LookupError, match=r"the docstring of cells\.Mine describes no parameter activations"):
        list(MAKE["section"]("Mine", Undescribed))
