import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import pytest

import fastrnn
from fastrnn import _demo, cli
from fastrnn._bench import contenders
from fastrnn.models import LanguageModel

VIETNAMESE = "Trăm năm trong cõi người ta, chữ tài chữ mệnh khéo là ghét nhau.\n" * 60
DEMO = ["demo", "--hidden", "24", "--epochs", "3"]


def run(*arguments):
    return cli.main([str(a) for a in arguments])


@pytest.fixture
def poem(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text(VIETNAMESE, encoding="utf-8")
    return path


def test_demo_and_generate(poem, tmp_path, capsys):
    model = tmp_path / "m.npz"
    assert run(*DEMO, "--text", poem, "-o", model, "--prompt", "Trăm ") == 0
    out = capsys.readouterr().out
    for part in ("before training", "bigram model", "after training", "in plain NumPy", f"Saved to {model}"):
        assert part in out
    assert "\nTrăm " in out

    assert run("generate", model, "--prompt", "chữ ", "--length", 30, "--seed", 1) == 0
    first = capsys.readouterr().out
    assert first.startswith("chữ ")
    assert len(first) == len("chữ ") + 30 + 1
    assert run("generate", model, "--prompt", "chữ ", "--length", 30, "--seed", 1, "--threads", 1) == 0
    assert capsys.readouterr().out == first


def test_demo_is_the_same_in_every_run(poem, tmp_path, capsys):
    for name in ("a", "b"):
        run(*DEMO, "--text", poem, "-o", tmp_path / name, "--seed", 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_demo_trains_on_one_thread_where_more_are_slower(poem, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_demo, "get_num_threads", lambda: 2)
    measured, seconds = [], {"ours": 1.0, "naive": 1.0, "one": 1.0}

    def interleaved(calls, rounds):
        measured.append(fastrnn.get_num_threads())
        return seconds

    monkeypatch.setattr(_demo, "interleaved", interleaved)
    for seconds["all"], said in ((2.0, True), (0.5, False)):
        run(*DEMO, "--text", poem, "-o", tmp_path / str(said))
        out = capsys.readouterr().out
        assert ("on one thread" in out) == said
        assert measured[-1] == 2 - said  # the step as the run
        assert f"Training speed on {'1 thread' if said else '2 threads'}, characters a second" in out
    assert (tmp_path / "True").read_bytes() == (tmp_path / "False").read_bytes()


@pytest.mark.parametrize(("hidden", "epochs", "said"), [(2, 1, True), (32, 60, False)])
def test_a_model_worse_than_the_bigram_has_advice(poem, tmp_path, capsys, hidden, epochs, said):
    sizes = ["--hidden", hidden, "--epochs", epochs, "--threads", 1]
    with fastrnn.num_threads(1):  # which the command sets for good
        run("demo", *sizes, "--text", poem, "-o", tmp_path / "m.npz")
    out = capsys.readouterr().out
    assert ("worse than the bigram" in out) == said
    assert (f"to learn more: --epochs (now {epochs}), --hidden (units, now {hidden})" in out) == said


def test_help_says_how_long_a_text_is(capsys):
    with pytest.raises(SystemExit):
        run("demo", "--help")
    assert f"at least {_demo._SHORTEST:,} characters" in capsys.readouterr().out


def test_a_warning_is_one_line(poem, tmp_path, capsys):
    model = tmp_path / "m.npz"
    trained = LanguageModel(hidden_size=8)
    trained.build(VIETNAMESE)
    trained.save(model)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("generate", model, "--prompt", "жёлтый") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastrnn: LanguageModel.generate: 100% of the characters of prompt are unknown")


def test_default_text_holds_nothing_twice():
    text = _demo.default_text()
    assert len(text) > 200_000
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    assert len(set(paragraphs)) == len(paragraphs)


def test_split_is_all_of_the_text():
    for text in (_demo.default_text(), "x" * 5000, VIETNAMESE):
        training, held_out = _demo._split(text)
        assert training + held_out == text
        assert 0 < len(held_out) <= len(text) // 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^fastrnn: /.*/text: No such file"),
        (b"short", "has 5 characters"),
        ("naïve ".encode("latin-1") * 900, r"not UTF-8 \(byte 2 is 0xef\)"),
        (VIETNAMESE.encode("utf-16"), r"not UTF-8 .* iconv -f UTF-16"),
        (b"\x7fELF\0\0" * 900, "text is binary, not text; give a text file"),
        (bytes(3000), "text is binary, not text"),
    ],
)
def test_bad_texts_end_with_a_message(content, message, tmp_path, capsys):
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    assert run("demo", "--text", path, "-o", tmp_path / "m.npz") == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "Errno" not in said
    assert not (tmp_path / "m.npz").exists()


def test_an_output_that_cannot_be_written_is_found_before_training(poem, tmp_path, capsys):
    assert run("demo", "--text", poem, "-o", tmp_path / "no" / "m.npz") == 1
    assert "--output" in capsys.readouterr().err


def test_generate_names_the_file_that_is_no_model(poem, capsys):
    assert run("generate", poem) == 1
    assert "poem.txt" in capsys.readouterr().err


def test_info_shows_the_configuration(capsys):
    assert run("info") == 0
    assert "instruction set" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bench_measures_a_shape(dtype, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contenders, "available", list)
    path = tmp_path / "out.json"
    shape = ["--shape", "2,1,3,4", "--cell", "gru", "--mode", "forward"]
    assert run("bench", *shape, "--dtype", dtype, "--threads", 1, "--quick", "--json", path) == 0
    out = capsys.readouterr().out
    assert "Not installed: onnxruntime, torch" in out
    assert f"GRU forward, {dtype}, 1 thread" in out
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert (row["case"], row["mode"], row["dtype"]) == ("2,1,3,4", "forward", dtype)


def test_bench_says_what_a_step_is(capsys):
    assert run("bench", "--shape", "2,1,3,4", "--mode", "step") == 1
    assert "T = 1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demo"], ["generate"], ["bench"], ["info"]])
def test_help_explains(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*command, "--help")
    assert stop.value.code == 0
    assert "usage: fastrnn" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["dem"], ["demo", "--epochs", "0"], ["generate"], ["bench", "--shape", "1,2"]]
)
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("demo --seed -1", "demo: argument --seed: got '-1'; expected a whole number of at least 0"),
        ("demo --hidden abc", "demo: argument --hidden: got 'abc'; expected a whole number of at least 1"),
        ("demo --epochs 1.5", "argument --epochs: got '1.5'; expected a whole number"),
        ("info --threads 0", "argument --threads: got '0'; expected a whole number of at least 1"),
        ("generate m --length -3", "argument --length: got '-3'; expected"),
        ("generate m --temperature nan", "argument --temperature: got 'nan'; expected a number of"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(arguments, message, capsys):
    with pytest.raises(SystemExit):
        run(*arguments.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_module_runs_as_the_command():
    out = subprocess.check_output([sys.executable, "-m", "fastrnn", "--version"], text=True)
    assert out.startswith("fastrnn ")


@pytest.mark.timeout(120)
def test_interrupt_keeps_the_model(tmp_path):
    """A real Ctrl-C, to the process that trains."""
    model = tmp_path / "m.npz"
    command = [
        sys.executable,
        "-u",
        "-m",
        "fastrnn",
        "demo",
        "--hidden",
        "32",
        "--epochs",
        "50",
        "-o",
        str(model),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        for line in demo.stdout:
            if "Ctrl-C" in line:
                break
        time.sleep(1.0)
        os.kill(demo.pid, signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait() == 0
    assert "interrupted after step" in rest
    assert "kept" in rest
    assert len(LanguageModel.load(model).generate("a", 5, seed=0)) == 5
