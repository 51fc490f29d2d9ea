"""docs/cells.md, made of what the cells say of themselves: `python docs/make_cells.py > docs/cells.md`.

Equations, options, papers and where else a cell can be had are read off the docstrings in fastrnn/cells/,
the rest off the cells.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, fields, replace
from typing import Any

from fastrnn import cells

INPUTS, HIDDEN = 5, 100  # sizes that cannot be mistaken for another
PROJECTED, ROWS = 7, 11
#: An option that is not a flag, as it is given to see what it changes; of others the shapes do not depend.
GIVEN = {"proj_size": PROJECTED, "peepholes": "ifo"}
HEAD = """\
# The cells

Made by `python docs/make_cells.py > docs/cells.md` of what `fastrnn/cells/` declares;
tests/test_cells_table.py holds the two equal.

Any cell is a layer by `fastrnn.Recurrent(cell, I, H)`; `fastrnn.RNN`, `fastrnn.LSTM` and `fastrnn.GRU` take
the options of theirs by keyword (RNN's `activation` as `nonlinearity`, PyTorch's name). A parameter `w_NAME`
is `weight_NAME_l{k}` in layer k, `b_NAME` is `bias_NAME_l{k}`.

I inputs, H hidden units, P outputs of a projection, B rows. `h'` is the state of the step before, `*` and `/`
act unit by unit. The first state is the output. The biases, `b_*`, may be left out together.

"""
TABLE = ("Cell", "What it is", "Gates", "States", "Options", "Paper")
OPTIONS = ("Option", "What it is", "Shapes with it")
VARIANTS = ("Variant", "It is", "What differs", "Parameters", "Elsewhere")


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


def table() -> Iterator[tuple[str, ...]]:
    """The rows of the table of all cells."""
    for name, kind in cells.kinds().items():
        declared, cell = Declared(kind), kind()
        options = [field.name for field in fields(cell) if not field.name.endswith("_eps")]
        yield (
            f"[{name}](#{name.lower()})",
            declared.summary,
            ", ".join(cell.gates),
            ", ".join(cell.states),
            ", ".join(map(_code, options)),
            declared.source.partition(")")[0] + ")",
        )


def section(name: str, kind: type[cells.Cell]) -> Iterator[str]:
    """The parts of what there is to say of a cell."""
    declared, cell = Declared(kind), kind()
    missing = [field.name for field in fields(cell) if field.name not in declared.options]
    if missing:
        raise LookupError(f"the docstring of cells.{name} describes no parameter {', '.join(missing)}")
    yield f"## {name}"
    yield declared.summary
    usual = {"", *(f'{field.name}="{field.default}"' for field in fields(cell))}
    yield _block(line for line, option in declared.equations if option in usual)
    others = [(option, line) for line, option in declared.equations if option not in usual]
    if others:
        yield "With options:"
        yield _block(_aligned(others))
    yield f"Parameters: {_parameters(cell)}. States: {_states(cell)}."
    yield _table(OPTIONS, options(cell, declared))
    if kind.variants:
        yield (
            f"Variants with a name, `{name}.variant(NAME)`, of {_references(kind.variant)} Elsewhere are "
            "those who have all of their options; –: none that we know."
        )
        yield _table(VARIANTS, variants(kind, declared))
    if declared.elsewhere:
        yield "Elsewhere:"
        yield "\n".join(
            f"- {'the cell' if option == 'as it is' else _code(option)}: {systems}"
            for option, systems in declared.elsewhere.items()
        )
    name_of = inspect.getattr_static(kind, "name")
    yield f"Source: {declared.source}"
    row = f"{_code(name_of)}." if isinstance(name_of, str) else inspect.getdoc(name_of)
    yield f"Row of `csrc/cells.def`: {row}"


def options(cell: cells.Cell, declared: Declared) -> Iterator[tuple[str, ...]]:
    """The rows of the table of a cell's options; those that are described together share one."""
    for (kind, meaning), same in itertools.groupby(fields(cell), lambda f: declared.options[f.name]):
        group = list(same)
        yield (
            "<br>".join(_code(f"{f.name}={f.default!r}") for f in group),
            f"({kind}) {meaning}",
            "; ".join(dict.fromkeys(filter(None, (_needs(cell, f) for f in group)))) or "–",
        )


def _needs(cell: cells.Cell, option: Field[Any]) -> str:
    """The parameters and states that a cell has with an option alone and has not, or not so, without."""
    given = GIVEN.get(option.name, not option.default if isinstance(option.default, bool) else None)
    if given is None:
        return ""
    other = replace(cell, **{option.name: given})
    new = [p for p in _shapes(other) if p not in _shapes(cell)]
    return ", ".join(map(_code, new))


def variants(kind: type[cells.Cell], declared: Declared) -> Iterator[tuple[str, ...]]:
    """The rows of the table of a cell's variants that have a name."""
    for name in kind.variants:
        cell = kind.variant(name)
        equations = [_code(line) for line, o in declared.equations if o.partition("=")[0] in cell.chosen]
        activations = [
            f"activation of {gate}: {activation.name} instead of {cell.usual[gate].name}"
            for gate, activation in cell.activations
        ]
        systems = [declared.elsewhere.get(o, "").split(", ") for o in ("as it is", *cell.chosen)]
        yield (
            _code(name),
            _code(repr(cell)),
            "<br>".join(equations + activations) or "–",
            _parameters(cell),
            ", ".join(s for s in systems[0] if all(s in others for others in systems)) or "–",
        )


def _references(method: Any) -> str:
    return _on_one_line(_sections(inspect.getdoc(method))[1]["References"])


def _parameters(cell: cells.Cell) -> str:
    return ", ".join(map(_code, _shapes(cell, states=False)))


def _states(cell: cells.Cell) -> str:
    return ", ".join(_code(s) for s in _shapes(cell) if s not in _shapes(cell, states=False))


def _shapes(cell: cells.Cell, states: bool = True) -> list[str]:
    """Parameters and states with their shapes, such as "w_ih (4H, I)"."""
    shapes = cell.parameter_shapes(INPUTS, HIDDEN)
    if states:
        shapes |= {name: (ROWS, width) for name, width in cell.state_shapes(HIDDEN).items()}
    return [f"{name} ({', '.join(map(_size, shape))})" for name, shape in shapes.items()]


def _size(n: int) -> str:
    letter = {INPUTS: "I", HIDDEN: "H", PROJECTED: "P", ROWS: "B"}.get(n)
    return letter or (str(n) if n % HIDDEN else f"{n // HIDDEN}H")


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text}`"


def _block(lines: Iterable[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def _aligned(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines of two columns."""
    width = max(len(first) for first, _ in pairs)
    return (f"{first:{width}}    {second}" for first, second in pairs)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("``", "`")


def document() -> str:
    """The whole of docs/cells.md."""
    parts = [_table(TABLE, table())]
    for name, kind in cells.kinds().items():
        parts += [part if part.startswith("```") else part.replace("``", "`") for part in section(name, kind)]
    return HEAD + "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(document(), end="")
