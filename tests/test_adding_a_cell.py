"""docs/adding-a-cell.md quotes the code as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "adding-a-cell.md").read_text(encoding="utf-8")


def quotes():
    """Each quoted piece of code, with the file that was named last before it."""
    for found in re.finditer(r"^```(?:python|c)?\n(.*?)^```$", TEXT, re.M | re.S):
        yield re.findall(r"`((?:csrc|fastrnn|tests)/[\w/.]+)`", TEXT[: found.start()])[-1], found[1]


QUOTES = list(quotes())


@pytest.mark.parametrize(("path", "code"), QUOTES, ids=[f"{path}-{k}" for k, (path, _) in enumerate(QUOTES)])
def test_the_code_is_quoted_as_it_stands(path, code):
    assert code in (ROOT / path).read_text(encoding="utf-8")


def test_every_step_is_quoted():
    steps = "minimal.py reference/mgu.py equations.py mgu_tmpl.c cells.def dtype.inc kit.py gradients.py"
    assert all(any(path.endswith(step) for path, _ in QUOTES) for step in steps.split())


def test_files_that_are_named_are_there():
    named = set(re.findall(r"`((?:csrc|fastrnn|tests|docs)/[\w/.-]+)`", TEXT))
    assert all((ROOT / path).exists() for path in named), named


def test_every_field_of_the_table_is_explained():
    struct = (ROOT / "csrc" / "cell_tmpl.h").read_text(encoding="utf-8").split("typedef struct FN(cell) {")[1]
    fields = re.findall(
        r"(\w+)(?:\[\d\])?[,;]", re.sub(r"/\*.*?\*/", "", struct.partition("}")[0], flags=re.S)
    )
    told = re.findall(r"\w+", TEXT)
    assert len(fields) > 15
    assert not [field for field in fields if field not in told and field.rstrip("s") not in told]


def test_the_binding_the_loop_and_the_layers_know_no_cell():
    files = [
        "fastrnn/_native.pyx",
        "fastrnn/reference/sequence.py",
        "csrc/backward_tmpl.c",
        "csrc/dispatch.c",
    ]
    for path in files + [
        "csrc/sequence_tmpl.c",
        "csrc/threads.c",
        "fastrnn/functional.py",
        "fastrnn/_masks.py",
    ]:
        text = (ROOT / path).read_text(encoding="utf-8").lower()
        assert not re.search(r"\b(mgu|indrnn|mingru|minlstm)\b", text), path
