"""docs/cells.md is what docs/make_cells.py makes of the cells, and the cells declare what it needs."""

import re
import runpy
from dataclasses import fields
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


def test_every_cell_and_every_variant_has_a_row():
    names = [row[0].partition("<br>")[0] for row in MAKE["rows"]()]
    expected = [f"**{name}**" for name in cells.kinds()]
    expected += [f'`LSTM.variant("{name}")`' for name in cells.LSTM.variants]
    assert sorted(names) == sorted(expected)
    assert {len(row) for row in MAKE["rows"]()} == {len(MAKE["COLUMNS"])}
    assert not any("|" in cell or "\n" in cell for row in MAKE["rows"]() for cell in row)


def test_every_row_of_cells_def_is_named():
    named = " ".join(row[-1] for row in MAKE["rows"]())
    for name in cells_def():
        assert f'"{name}"' in named.replace("`", '"'), name


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
    assert [part.strip("`").partition(" ")[0] for part in shown.split("<br>")] == list(cell.parameters)


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
        MAKE["_cell"]("Mine", Undescribed(), MAKE["Declared"](Undescribed))
