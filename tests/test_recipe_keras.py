"""docs/recipes/keras.md keeps its word: without Keras on a file that it has saved, and with it."""

import os
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("h5py")
ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "docs" / "recipes" / "keras.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", RECIPE, re.M | re.S)


def run(programs):
    exec(compile("\n".join(programs), "keras.md", "exec"), {"__name__": "recipe"})


@pytest.mark.parametrize("weights", [False, True])
def test_the_recipe_runs_without_keras(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    for name in ["model.keras", *["model.weights.h5"] * weights]:
        shutil.copy(ROOT / "tests" / "golden" / "keras" / name, tmp_path)
    run(blocks("python"))


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_recipe_runs_from_its_first_line(tmp_path, monkeypatch):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    run(blocks("py") + blocks("python"))
