"""The measuring core: what is counted, that what is measured is right, and how it is written down."""

import json
import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrnn._bench import contenders, naive, report, roofline
from fastrnn._bench.cases import CELLS, MODES, Case, draw, quick
from fastrnn._bench.timing import Times, evictor, interleaved, measure, watch

ROOT = Path(__file__).parents[1]
SMALL = (6, 3, 4, 5)


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of benchmarks, importable; no peers, which take seconds to import."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(contenders, "available", list)


# ---- times ----


def test_measure_calls_in_turn_after_a_warm_up():
    log = []
    calls = {name: (lambda name=name: log.append(name)) for name in "ab"}
    times = measure(calls, 3, block=0, beside=lambda: log.append("|"))
    assert set(times) == {"a", "b"}
    blocks = "".join(log).split("|")[1:]
    assert len(blocks) == 3
    for block in blocks:
        assert block == "a" * block.count("a") + "b" * block.count("b")
        assert block.count("a") >= 2
    assert times["a"].samples == 3
    assert 0 < times["a"].low <= times["a"].median <= times["a"].high


def test_measure_empties_the_caches_before_every_counted_call():
    log = []
    measure({"a": lambda: log.append("a")}, 2, block=1e-9, before=lambda: log.append("-"))
    assert "".join(log).count("-a") == 2
    assert "".join(log).count("-") == 2


def test_what_takes_long_sits_out_rounds():
    assert measure({"a": lambda: None}, 6, block=0, budget=1e-9)["a"].samples == 2
    assert measure({"a": lambda: None}, 1, block=0, budget=1e-9)["a"].samples == 1


def test_interleaved_returns_seconds_of_each():
    assert all(seconds > 0 for seconds in interleaved({"a": list, "b": dict}, 2).values())


def test_times_of_samples():
    times = Times.of([4.0, 1.0, 2.0, 3.0, 5.0])
    assert times == (3.0, 2.0, 4.0, 5)
    assert times.spread == pytest.approx(1 / 3)


def test_evictor_can_be_called():
    evictor(1 << 12, 2)()


# ---- cases ----


def test_operations_count_the_valid_steps_of_all_layers():
    case = Case("lstm", "forward", 10, 2, 3, 5)
    assert case.operations == 10 * 2 * 2 * 4 * 5 * (3 + 5)
    assert replace(case, mode="training").operations == 3 * case.operations
    stacked = replace(case, layers=2, bidirectional=True)
    assert stacked.operations == 10 * 2 * 2 * 2 * 4 * 5 * ((3 + 5) + (10 + 5))
    ragged = replace(case, ragged=True)
    assert ragged.operations * case.steps * case.batch == case.operations * int(ragged.lengths.sum())
    assert ragged.name == "10,2,3,5 ragged"
    assert stacked.name == "10,2,3,5 x2 bidirectional"


@pytest.mark.parametrize("cell", CELLS)
def test_vanishing_gradients_become_subnormal(cell):
    case = Case(cell, "training", 200, 4, 16, 32, vanishing=True)
    data = draw(case)
    weights = [data.params[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    _, _, tape = naive.forward(cell, weights, data.x)
    dx, _ = naive.backward(cell, weights, tape, data.dy)
    assert ((dx != 0) & (np.abs(dx) < np.finfo(np.float32).tiny)).any()


# ---- contenders ----

VARIANTS = [{}, {"layers": 2, "bidirectional": True}, {"ragged": True}, {"dtype": "float64"}]


def each_case():
    for cell in CELLS:
        for mode in MODES:
            shape = SMALL if mode != "step" else (1, *SMALL[1:])
            for options in VARIANTS if mode != "step" else VARIANTS[::3]:
                yield Case(cell, mode, *shape, **options)
        yield Case(cell, "step", 1, 1, 4, 5)


def built(case, peers):
    with ExitStack() as stack:
        return contenders.build(case, draw(case), 1, stack, peers)


@pytest.mark.parametrize("case", list(each_case()), ids=str)
def test_the_naive_loop_agrees(case):
    assert set(built(case, [])) == {"fastrnn", "numpy"}


@pytest.mark.parametrize("case", [c for c in each_case() if c.dtype == "float64"], ids=str)
def test_all_that_is_computed_is_compared(case):
    ways = built(case, [])
    answers = [next(iter(each.values())) for each in ways.values()]
    ours, loop = (way.read(way.call()) for way in answers)
    names = {"y", "dx", *draw(case).params} if case.mode == "training" else {"y"}
    assert names <= ours.keys() & loop.keys()
    for name in names:
        np.testing.assert_allclose(ours[name], loop[name], rtol=1e-9, atol=1e-12)


def test_a_wrong_answer_is_not_measured(monkeypatch):
    def wrong(*arguments):
        ways = contenders.numpy(*arguments)
        return {name: contenders.Way(way.call, lambda _: {"y": np.zeros(1)}) for name, way in ways.items()}

    monkeypatch.setitem(contenders.CONTENDERS, "torch", wrong)
    with pytest.raises(RuntimeError, match="y of torch"):
        built(Case("gru", "forward", *SMALL), ["torch"])


def test_a_nan_is_a_wrong_answer():
    way = contenders.Way(lambda: None, lambda _: {"y": np.array([np.nan])})
    right = contenders.Way(lambda: None, lambda _: {"y": np.array([1.0])})
    with pytest.raises(RuntimeError, match="y of fastrnn"):
        contenders.verify(quick("rnn")[0], {"fastrnn": {"layer": way}, "numpy": {"loop": right}})


@pytest.mark.peers
@pytest.mark.parametrize("case", list(each_case()), ids=str)
def test_the_peers_agree(case):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    expected = {"fastrnn", "numpy", "torch"}
    if case.mode != "training" and case.dtype == "float32":
        expected.add("onnxruntime")
    assert set(built(case, ["torch", "onnxruntime"])) == expected


# ---- the roofline ----

#: A machine of round numbers: a thread does 1e9 operations a second and reads 1e9, 1e8, 1e7 bytes.
LIMITS = roofline.Limits(1e9, 1e9, 1e8, 1e7, 1e-6, 0.0, 0.0, 1, 1 << 12, 1 << 16)


def two_threads(limits):
    rates = {name: 2 * getattr(limits, name) for name in ("operations", "l1", "l2", "memory")}
    return limits._replace(**rates, threads=2)


def test_roofline_of_operations():
    """Rows enough that the weights' way does not matter: 2 T B G H (I + H) operations."""
    case = Case("rnn", "forward", 7, 64, 16, 16)
    assert roofline.roofline(case, LIMITS) == pytest.approx(case.operations / 1e9)
    training = replace(case, mode="training")
    assert roofline.roofline(training, LIMITS) == pytest.approx(training.operations / 1e9)
    assert roofline.roofline(case, two_threads(LIMITS)) == pytest.approx(case.operations / 2e9)


def test_roofline_of_reading():
    """One row: 4 H H bytes a step, as much as fits from L1, then from L2, the rest from beyond."""
    case = Case("rnn", "forward", 10, 1, 1, 32)
    inputs = 10 * 2 * 32 / 1e9
    assert roofline.roofline(case, LIMITS) == pytest.approx(inputs + 10 * 4096 / 1e9)
    large = replace(case, hidden=256)
    a_step = 4096 / 1e9 + 65536 / 1e8 + (4 * 256 * 256 - 4096 - 65536) / 1e7
    assert roofline.roofline(large, LIMITS) == pytest.approx(10 * 2 * 256 / 1e9 + 10 * a_step)
    cold = roofline.roofline(large, LIMITS, cold=True) - roofline.roofline(large, LIMITS)
    assert cold == pytest.approx(4 * 256 * 257 / 1e7)


def test_roofline_of_two_threads_takes_the_better_of_sharing_and_not():
    case = Case("rnn", "forward", 10, 1, 1, 64)
    free = two_threads(LIMITS)._replace(barrier=0.0)
    share = 4 * 64 * 32
    shared = 10 * 64 / 1e9 + 10 * (4096 / 1e9 + (share - 4096) / 1e8)
    assert roofline.roofline(case, free) == pytest.approx(shared)
    assert roofline.roofline(case, free._replace(barrier=1e-9)) == pytest.approx(shared + 10 * 1e-9)
    assert roofline.roofline(case, free._replace(barrier=1.0)) == pytest.approx(
        roofline.roofline(case, LIMITS)
    )


def test_roofline_of_two_directions_runs_them_at_once():
    one = Case("gru", "forward", 10, 1, 1, 32)
    both = replace(one, bidirectional=True)
    expected = roofline.roofline(one, LIMITS)
    assert roofline.roofline(both, two_threads(LIMITS)._replace(barrier=1.0)) == pytest.approx(expected)


def test_roofline_of_gates():
    limits = LIMITS._replace(sigmoid=1.0, tanh=100.0)
    plain = {cell: Case(cell, "forward", 2, 3, 4, 5) for cell in CELLS}
    terms = {cell: roofline.roofline(c, limits) - roofline.roofline(c, LIMITS) for cell, c in plain.items()}
    assert terms == pytest.approx({"lstm": 30 * 203, "gru": 30 * 102, "rnn": 30 * 100})
    training = replace(plain["lstm"], mode="training")
    assert roofline.roofline(training, limits) - roofline.roofline(training, LIMITS) == pytest.approx(
        30 * 303
    )


def test_roofline_of_ragged_rows_counts_the_valid_steps():
    case = Case("lstm", "forward", 9, 64, 16, 16, ragged=True)
    assert roofline.roofline(case, LIMITS._replace(l1=1e15)) == pytest.approx(case.operations / 1e9)


def test_cache_bytes_has_an_answer_everywhere():
    assert roofline.cache_bytes(9, 123) == 123
    assert roofline.cache_bytes(2, 123) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_probe_measures_this_machine(dtype):
    why = roofline.no_probe()
    if why:
        pytest.skip(why)
    probe = roofline.Probe(2, "none", dtype)
    probe.sample()
    limits = probe.limits
    assert limits.threads == 2
    assert all(math.isfinite(value) for value in limits)
    assert min(limits.operations, limits.l1, limits.l2, limits.memory, limits.barrier) > 0


def test_no_compiler_is_said(monkeypatch):
    monkeypatch.setattr(roofline, "_compiled", roofline._compiled.__wrapped__)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert "no C compiler" in roofline.no_probe()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler" in roofline.no_probe()


# ---- the report ----


def row(case=None, limits=LIMITS, **milliseconds):
    milliseconds = milliseconds or {"fastrnn": 2.0, "numpy": 20.0, "torch": 6.0, "onnxruntime": 4.0}
    times = {k: Times(v / 1e3, v / 1e3 * 0.9, v / 1e3 * 1.1, 7) for k, v in milliseconds.items()}
    case = case or Case("lstm", "forward", 100, 1, 16, 16)
    return report.Row(case, 1, "avx2", False, times, dict.fromkeys(times, "way"), limits)


def test_a_row_is_compared_with_the_best_peer():
    found = row()
    assert found.best_peer == "onnxruntime"
    assert found.ratio == pytest.approx(2)
    assert found.times_faster("numpy") == pytest.approx(10)
    assert found.of_roofline() == pytest.approx(roofline.roofline(found.case, LIMITS) / 2e-3)
    assert found.of_roofline("onnxruntime") == pytest.approx(found.of_roofline() / 2)
    alone = row(limits=None, fastrnn=1.0, numpy=2.0)
    assert alone.best_peer is None
    assert math.isnan(alone.ratio)
    assert math.isnan(alone.of_roofline())


def test_the_table_has_a_heading_wherever_the_setting_changes():
    training = row(Case("lstm", "training", 100, 1, 16, 16), fastrnn=3.0, numpy=30.0, torch=9.0)
    lines = list(report.table([row(), row(), training]))
    assert lines[1].startswith("LSTM forward, float32, 1 thread, avx2")
    assert lines[6].startswith("LSTM training")
    assert len(lines) == 9
    heading, first = lines[2], lines[3]
    assert len(heading) == len(first)
    for name in ("fastrnn", "roofline", "naive NumPy", "PyTorch", "ONNX RT", "x peer"):
        assert name in heading
    assert first.split()[:3] == ["100,1,16,16", "2.00", "10%"]
    assert first.split()[-3:-1] == ["10.0", "2.00"]
    assert "ONNX" not in lines[7]


def test_the_table_leaves_out_a_roofline_that_was_not_measured():
    lines = list(report.table([row(limits=None, fastrnn=1e-3, numpy=2.0)]))
    assert "roofline" not in lines[2]
    assert "peer at" not in lines[2]
    assert len(lines[2]) == len(lines[3])
    assert "0.0010" in lines[3]


def test_means_are_geometric_and_name_the_least():
    rows = [row(), row(Case("lstm", "forward", 1, 1, 2, 2), fastrnn=2.0, numpy=20.0, torch=1.0)]
    (entry,) = report.means(rows)
    assert entry["peer"] == pytest.approx(1)
    assert entry["naive"] == pytest.approx(10)
    assert (entry["least"], entry["least_case"]) == (0.5, "1,1,2,2")
    assert "0.50 at 1,1,2,2" in list(report.means_table(rows))[-1]


def test_costs_are_over_the_case_without_what_costs():
    whole = Case("gru", "training", 10, 4, 3, 5)
    ragged, vanishing = replace(whole, ragged=True), replace(whole, vanishing=True)
    both = replace(whole, bidirectional=True)
    assert report.companions(whole, 1) == {}
    assert report.companions(both, 2) == {
        "that on 1 thread": (both, 1, 1.0),
        "that of one direction on 1 thread": (whole, 1, 1.0),
    }
    assert report.companions(vanishing, 1) == {"that with ordinary gradients": (whole, 1, 1.0)}
    share = int(ragged.lengths.sum()) / 40
    assert report.companions(ragged, 1) == {"that of its share of the whole batch": (whole, 1, share)}


def test_costs_are_measured_and_written_down():
    found = report.run(Case("rnn", "forward", 3, 2, 2, 2, ragged=True), 2, rounds=1, peers=[], probe=False)
    assert set(found.times) == {"fastrnn", "numpy"}
    assert len(found.costs) == 2
    assert all(cost > 0 for cost in found.costs.values())
    assert any("times that on 1 thread: RNN forward" in line for line in report.costs_table([found]))
    assert report.as_json([found])["rows"][0]["costs"] == found.costs
    assert not list(report.costs_table([row()]))


def test_json_says_what_was_measured_and_where():
    results = json.loads(json.dumps(report.as_json([row(), row(limits=None, fastrnn=1.0, numpy=2.0)])))
    machine = results["machine"]
    assert {"cpu", "cpus", "instruction_set", "versions", "date"} <= machine.keys()
    assert {"python", "numpy", "fastrnn"} <= machine["versions"].keys()
    first, second = results["rows"]
    assert {
        "cell",
        "mode",
        "steps",
        "batch",
        "inputs",
        "hidden",
        "dtype",
        "threads",
        "isa",
        "cold",
    } <= first.keys()
    assert first["seconds"]["torch"] == {
        "median": 6e-3,
        "low": pytest.approx(5.4e-3),
        "high": pytest.approx(6.6e-3),
        "samples": 7,
        "way": "way",
    }
    assert first["best_peer"] == "onnxruntime"
    assert first["faster_than_peer"] == pytest.approx(2)
    assert first["limits"]["threads"] == 1
    assert not {"faster_than_peer", "limits", "roofline"} & second.keys()
    assert len(results["means"]) == 1


def test_an_interrupt_ends_with_the_report(monkeypatch, capsys):
    def run(case, threads, **settings):
        if case.hidden == 7:
            raise KeyboardInterrupt
        return row(case)

    monkeypatch.setattr(report, "run", run)
    rows = report.show([Case("rnn", "forward", 1, 1, 1, h) for h in (5, 7, 9)], [1], peers=[])
    assert [r.case.hidden for r in rows] == [5]
    out = capsys.readouterr().out
    assert "interrupted" in out
    assert "Geometric means" in out


@pytest.mark.parametrize(("taken", "said"), [(0.34, True), (0.01, False), (math.nan, False)])
def test_a_busy_machine_is_named_under_the_figures(taken, said, monkeypatch, capsys):
    monkeypatch.setattr(report, "watch", lambda: lambda: taken)
    report.show([], [1], peers=[], probe=False)
    assert ("Other work took 34% of the CPUs' time" in capsys.readouterr().out) == said


def test_the_work_of_others_is_not_ours():
    others, cpus = watch(), len(os.sched_getaffinity(0))
    with subprocess.Popen(
        [sys.executable, "-c", "while True: pass"]
    ) as other:  # counts as ours once it ended
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
        taken = others()
        other.kill()
    assert 0.3 / cpus < taken <= 1.1


def test_the_work_of_others_is_unknown_without_proc(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert math.isnan(watch()())


# ---- python -m benchmarks.compare ----


def chosen(*arguments):
    from benchmarks import compare

    return list(compare.chosen(compare.parser().parse_args(arguments)))


def test_cases_are_chosen_by_words(benchmarks):
    everything = chosen()
    assert len({str(case) for case in everything}) == len(everything) > 100
    assert {case.name for case in chosen("--shapes", "x3", "1,1,64,64")} == {"100,1,40,256 x3", "1,1,64,64"}
    new = chosen("--shapes", "3,2,5,7", "--cells", "gru", "--dtype", "float64")
    assert [case.mode for case in new] == ["forward", "training"]
    assert {case.dtype for case in new} == {"float64"}
    assert [case.mode for case in chosen("--shapes", "1,2,5,7", "--cells", "gru")] == list(MODES)
    assert not chosen("--shapes", "nothing")


def test_every_vanishing_case_stands_beside_an_ordinary_one(benchmarks):
    cases = chosen()
    for case in cases:
        if case.vanishing:
            assert replace(case, vanishing=False) in cases


def test_compare_writes_what_it_measured(benchmarks, tmp_path, capsys):
    from benchmarks import compare

    path = tmp_path / "out.json"
    options = ["--shapes", "2,1,3,4", "--cells", "rnn", "--threads", "1", "--quick", "--no-probe", "--cold"]
    assert compare.main([*options, "--json", str(path)]) == 0
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert [(r["case"], r["mode"], r["cold"]) for r in rows] == [
        ("2,1,3,4", "forward", True),
        ("2,1,3,4", "training", True),
    ]
    assert "RNN forward, float32, 1 thread" in capsys.readouterr().out
    assert compare.main(["--shapes", "nothing"]) == 2


def test_plot_draws_a_panel_for_each_cell_and_mode(benchmarks, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plot import plot

    slow = row(Case("gru", "training", 2, 2, 2, 2), fastrnn=2.0, numpy=20.0, torch=1.0)
    cold = replace(row(), cold=True)
    plot(report.as_json([row(), slow, cold]), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to plot"):
        plot(report.as_json([row(fastrnn=1.0, numpy=2.0)]), tmp_path / "none.png")


def test_plot_names_what_it_needs(benchmarks, monkeypatch):
    from benchmarks import compare

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        compare.main(["--plot", "out.png"])
