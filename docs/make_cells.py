"""docs/cells.md, made of what the cells say of themselves: `python docs/make_cells.py > docs/cells.md`.

Equations, options, papers and where else a cell can be had are read off the docstrings in fastrnn/cells/,
the rest off the cells.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields

from fastrnn import cells

INPUTS, HIDDEN = 5, 100  # sizes that cannot be mistaken for another
HEAD = """\
# The cells

Made by `python docs/make_cells.py > docs/cells.md` of what `fastrnn/cells/` declares;
tests/test_cells_table.py holds the two equal.

Any cell is a layer by `fastrnn.Recurrent(cell, I, H)`; `fastrnn.RNN`, `fastrnn.LSTM` and `fastrnn.GRU` take
the options of theirs by keyword (RNN's `activation` as `nonlinearity`, PyTorch's name). A parameter `w_NAME`
is `weight_NAME_l{k}` in layer k, `b_NAME` is `bias_NAME_l{k}`.

I inputs, H hidden units, P outputs of a projection, B rows. `h'` is the state of the step before, `*` and `/`
act unit by unit; a line with an option holds where that is given. The first state is the output. The
biases, `b_*`, may be left out together. "Elsewhere" says who has the cell, or an option of it; of a variant,
who has all of its options; –: none that we know.

"""
COLUMNS = ("Cell", "Equations", "Parameters", "States", "Options", "Source", "Elsewhere", "Row of cells.def")


class Declared:
    """What the docstring of a cell's class declares.

    Attributes
    ----------
    summary, source : str
    equations : list of (str, str)
        Each with the option it needs, as ``coupled`` or ``input_gate=False``, or "".
    options : dict
        Name -> type and meaning.
    elsewhere : dict
        Option, or "as it is" -> systems.
    """

    def __init__(self, kind: type[cells.Cell]) -> None:
        head, sections = _sections(inspect.getdoc(kind))
        self.summary = _on_one_line(head.partition("\n\n")[0])
        blocks = re.findall(r"::\n\n((?: {4}.*\n?)+)", head)
        self.equations = [_equation(line) for block in blocks for line in block.splitlines()]
        self.options = _definitions(sections["Parameters"])
        bullets = re.sub(r"\n +", " ", sections.get("Notes", ""))
        self.elsewhere = dict(re.findall(r"^\* (.*?): (.*)", bullets, re.M))
        self.source = _on_one_line(sections["References"])


def _sections(doc: str) -> tuple[str, dict[str, str]]:
    """A docstring's head, and its sections by name."""
    head, *parts = re.split(r"\n\n(\w+)\n-+\n", doc)
    return head, dict(zip(parts[::2], parts[1::2], strict=True))


def _equation(line: str) -> tuple[str, str]:
    """An equation, and the option at the end of its line, or ""."""
    equation, _, option = line.strip().partition("    ")
    return equation, option.strip()


def _definitions(section: str) -> dict[str, tuple[str, str]]:
    """Name -> type and meaning, of a section such as Parameters."""
    found = {}
    for names, kind, meaning in re.findall(r"^(\S.*?) : (.*)\n((?: +.*\n?)+)", section, re.M):
        found |= dict.fromkeys(names.split(", "), (kind, _on_one_line(meaning)))
    return found


def rows() -> Iterator[tuple[str, ...]]:
    """The rows of the table: each cell, then its variants with a name."""
    for name, kind in cells.kinds().items():
        declared = Declared(kind)
        yield _cell(name, kind(), declared)
        for variant in kind.variants:
            yield _variant(f'{name}.variant("{variant}")', kind.variant(variant), declared)


def _cell(name: str, cell: cells.Cell, declared: Declared) -> tuple[str, ...]:
    missing = [field.name for field in fields(cell) if field.name not in declared.options]
    if missing:
        raise LookupError(f"the docstring of cells.{name} describes no parameter {', '.join(missing)}")
    name_of = inspect.getattr_static(type(cell), "name")
    return (
        f"**{name}**<br>{declared.summary}",
        _lines(
            f"{_code(option)}: {_code(line)}" if option else _code(line)
            for line, option in declared.equations
        ),
        _parameters(cell),
        _states(cell),
        _lines(
            f"{', '.join(_code(f'{f.name}={f.default!r}') for f in same)} ({kind}): {meaning}"
            for (kind, meaning), same in itertools.groupby(fields(cell), lambda f: declared.options[f.name])
        ),
        declared.source,
        _lines(
            s if option == "as it is" else f"{_code(option)}: {s}" for option, s in declared.elsewhere.items()
        )
        or "–",
        _code(name_of) if isinstance(name_of, str) else inspect.getdoc(name_of),
    )


def _variant(name: str, cell: cells.Cell, declared: Declared) -> tuple[str, ...]:
    _, sections = _sections(inspect.getdoc(type(cell).variant))
    activations = [
        f"activation of {gate}: {activation.name} instead of {cell.usual[gate].name}"
        for gate, activation in cell.activations
    ]
    systems = [declared.elsewhere.get(o, "").split(", ") for o in ("as it is", *cell.chosen)]
    return (
        f"{_code(name)}<br>= {_code(repr(cell))}",
        _lines(
            [_code(line) for line, o in declared.equations if o.partition("=")[0] in cell.chosen]
            + activations
        )
        or "as above, without options",
        _parameters(cell),
        _states(cell),
        f"those of {type(cell).__name__}",
        _on_one_line(sections["References"]),
        ", ".join(s for s in systems[0] if all(s in others for others in systems)) or "–",
        _code(cell.name),
    )


def _parameters(cell: cells.Cell) -> str:
    shapes = cell.parameter_shapes(INPUTS, HIDDEN)
    return _lines(_code(f"{name} ({', '.join(map(_size, shape))})") for name, shape in shapes.items())


def _states(cell: cells.Cell) -> str:
    return _lines(_code(f"{name} (B, {_size(width)})") for name, width in cell.state_shapes(HIDDEN).items())


def _size(n: int) -> str:
    return {INPUTS: "I", HIDDEN: "H"}.get(n) or (str(n) if n % HIDDEN else f"{n // HIDDEN}H")


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text}`"


def _lines(parts: Iterable[str]) -> str:
    return "<br>".join(parts)


def document() -> str:
    """The whole of docs/cells.md."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return HEAD + table.replace("``", "`")


if __name__ == "__main__":
    print(document(), end="")
