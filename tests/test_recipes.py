"""The recipes of docs/recipes run as they stand, from the first block to the last."""

import re
from pathlib import Path

import pytest

RECIPES = sorted((Path(__file__).parents[1] / "docs" / "recipes").glob("*.md"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipes_run(path, tmp_path, monkeypatch):
    """In a folder of their own. What needs another library says so: ``<!-- needs: torch -->``."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- needs: (\w+) -->", text):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S))
    exec(compile(program, str(path), "exec"), {"__name__": "recipe"})
