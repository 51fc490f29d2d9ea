"""README and examples keep their word: the Python runs, the commands are where .ci/run looks for them."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_python_blocks_run(capsys):
    """In order and in one namespace, as a reader would paste them."""
    namespace = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert "instruction set" in capsys.readouterr().out


def test_first_two_commands_install_and_run():
    first, second = (block.split("\n") for block in blocks("bash")[:2])
    assert first[0].startswith("pip install")
    assert "fastrnn demo" in first
    assert second[0].startswith("pip install")
    assert "pytest" in second


NAMED = sorted(set(re.findall(r"`((?:docs|benchmarks)/[\w.]+|[A-Z]+\.md)`", README)))


@pytest.mark.parametrize("name", NAMED)
def test_files_named_exist(name):
    assert (ROOT / name).exists()


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.py")), ids=lambda p: p.stem)
def test_examples_run(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
