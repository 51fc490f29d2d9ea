"""The recipes of docs/recipes, and those of docs/models.md, run as they stand.

Blocks of ``python`` run where their packages are, by ``<!-- needs: onnx -->``; ``py`` needs PyTorch too.
"""

import re
from pathlib import Path

import pytest

# That of Keras needs files; test_recipe_keras.py has them.
DOCS = Path(__file__).parents[1] / "docs"
RECIPES = [*sorted((DOCS / "recipes").glob("[!k]*.md")), DOCS / "models.md"]


def programs(path, language):
    """The blocks of a recipe, each with those that it says it goes on from."""
    before = ""
    for block in re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S):
        before = before + block if block.startswith("# goes on from above") else block
        yield before


def named(language):
    return [
        pytest.param(path, program, id=f"{path.stem} {k}")
        for path in RECIPES
        for k, program in enumerate(programs(path, language))
    ]


def run(path, program, tmp_path, monkeypatch):
    for name in re.findall(r"<!-- needs: (\w+) -->", path.read_text(encoding="utf-8")):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(path), "exec"), {"__name__": "recipe"})


@pytest.mark.parametrize(("path", "program"), named("python"))
def test_recipes_run(path, program, tmp_path, monkeypatch):
    run(path, program, tmp_path, monkeypatch)


@pytest.mark.peers
@pytest.mark.parametrize(("path", "program"), named("py"))
def test_recipes_with_pytorch_run(path, program, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    run(path, program, tmp_path, monkeypatch)


def test_every_recipe_has_something_to_run():
    assert len(RECIPES) >= 4
    for path in RECIPES:
        assert [*programs(path, "python"), *programs(path, "py")], path.name
