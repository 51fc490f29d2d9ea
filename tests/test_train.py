import contextlib
import functools
import itertools
import math
import re
import signal
import sys
import threading
import time
import types
import zipfile

import numpy as np
import pytest

from fastrnn import io, nn, optim, train
from fastrnn.train._checkpoint import Training
from fastrnn.train._interrupts import interrupts
from fastrnn.train._progress import Lines
from fastrnn.train.schedules import described


class Line:
    """y = w x, fitted to y = 3 x: the least that `run` can train."""

    def __init__(self):
        self.network = nn.Linear(1, 1, bias=False, rng=0)
        self.optimizer = optim.SGD(self.network, lr=0.1)

    @property
    def w(self):
        return float(self.network.params["weight"][0, 0])

    def gradient(self, x):
        difference = self.w - 3.0
        return difference**2, {"weight": np.full((1, 1), 2 * difference * x, np.float32)}, 5

    def run(self, steps=20, gradient=None, **options):
        return train.run(
            self.network, self.optimizer, [1.0] * steps, gradient or self.gradient, total=steps, **options
        )


def test_run_trains_and_keeps_a_history():
    line = Line()
    history = line.run()
    assert abs(line.w - 3) < 0.1
    assert history.steps == len(history.norm) == len(history.lr) == len(history.seconds) == 20
    assert history.loss[-1] < history.loss[0]
    assert history.tokens == 100
    assert history.tokens_per_second > 0
    assert history.stopped == ""


def test_schedule_scales_the_rate_and_leaves_the_optimiser_as_it_was():
    line = Line()
    history = line.run(4, schedule=lambda done: 1 - done)
    np.testing.assert_allclose(history.lr, [0.1, 0.075, 0.05, 0.025])
    assert line.optimizer.lr == 0.1


def test_gradients_are_clipped():
    line = Line()
    before = line.w
    history = line.run(1, max_norm=0.5)
    assert history.norm[0] > 0.5
    assert line.w - before == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_what_is_not_finite_stops_and_names_the_step(bad):
    line = Line()
    values = []

    def gradient(x):
        values.append(line.w)
        loss, grads, n = line.gradient(x)
        if len(values) == 4:
            if bad == "loss":
                loss = float("nan")
            else:
                grads["weight"][:] = np.inf
        return loss, grads, n

    message = r"step 3: the .* is (nan|inf).*learning rate \(0\.1\)"
    with pytest.raises(FloatingPointError, match=message), np.errstate(invalid="ignore"):
        line.run(gradient=gradient)
    assert line.w == values[-1]


def test_time_limit_keeps_what_was_trained():
    history = Line().run(1000, seconds=0.0)
    assert history.steps == 0
    assert "time limit" in history.stopped


def interrupt_at(line, step):
    def gradient(x):
        if gradient.count == step:
            signal.raise_signal(signal.SIGINT)
        gradient.count += 1
        return line.gradient(x)

    gradient.count = 0
    return gradient


def test_interrupt_keeps_the_steps_made():
    line, twin = Line(), Line()
    history = line.run(gradient=interrupt_at(line, 7))
    assert history.steps == 7
    assert history.stopped == "interrupted after step 7 of 20"
    twin.run(7)
    assert line.w == twin.w
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_within_an_update_lets_it_end():
    line, twin = Line(), Line()
    step = line.optimizer.step

    def interrupted(grads):
        if line.optimizer.steps == 4:
            signal.raise_signal(signal.SIGINT)
        step(grads)

    line.optimizer.step = interrupted
    history = line.run()
    assert history.steps == line.optimizer.steps == 5
    twin.run(5)
    assert line.w == twin.w


def test_a_handler_of_the_users_own_is_left_alone():
    calls = []
    line = Line()
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        history = line.run(gradient=interrupt_at(line, 3))
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [1]
    assert history.steps == 20


def test_run_in_another_thread():
    line = Line()
    thread = threading.Thread(target=line.run)
    thread.start()
    thread.join()
    assert abs(line.w - 3) < 0.1


def test_progress_by_lines_without_tqdm(monkeypatch, capsys):
    """After two seconds, then every five, and at the end, however many steps there are."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    line = Line()

    def gradient(x):
        now[0] += 1
        return line.gradient(x)

    line.run(20, gradient, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [text.partition(" of 20: loss ")[0].split() for text in lines] == [
        ["step", str(step)] for step in (2, 7, 12, 17, 20)
    ]


def test_progress_of_a_short_run_is_its_end(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    Line().run(3, progress=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert "step      3 of 3: loss" in line


def test_progress_by_tqdm(monkeypatch):
    class Bar(Lines):
        def __init__(self, total, **options):
            super().__init__(total)
            bars.append(self)

    bars = []
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    Line().run(20, progress=True)
    assert bars[0].done == 20


@pytest.mark.parametrize(
    ("length", "batch", "chunk", "offset"), [(50, 4, 5, 0), (51, 4, 5, 7), (9, 1, 3, 8), (3, 2, 9, 0)]
)
def test_chunks_are_streams_that_go_on(length, batch, chunk, offset):
    ids = np.arange(length)
    parts = list(train.chunks(ids, batch, chunk, offset))
    assert [first for *_, first in parts] == [True] + [False] * (len(parts) - 1)
    inputs = np.concatenate([i for i, _, _ in parts])
    targets = np.concatenate([t for _, t, _ in parts])
    assert inputs.shape == ((length - 1) // batch, batch)
    assert all(len(i) <= chunk for i, *_ in parts)
    rolled = np.roll(ids, -offset)
    np.testing.assert_array_equal(inputs.T.reshape(-1), rolled[: inputs.size])
    np.testing.assert_array_equal(targets.T.reshape(-1), rolled[1 : inputs.size + 1])


def test_chunks_of_too_little_are_refused():
    with pytest.raises(ValueError, match="4 ids are too few for batch_size=4"):
        list(train.chunks(np.arange(4), 4, 8))


def test_cosine_warms_up_and_falls_to_nothing():
    factors = [train.cosine(done) for done in np.linspace(0, 1, 201)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) > 0.99
    assert all(a >= b for a, b in itertools.pairwise(factors[2:]))
    assert factors[-1] == 0


# ---- epochs ----


def test_every_sequence_is_in_one_batch_of_every_epoch():
    lengths = np.random.default_rng(0).integers(1, 300, 103)
    batches = train.Buckets(lengths, 8, seed=1)
    epochs = [batches.epoch(k) for k in range(3)]
    for epoch in epochs:
        assert len(epoch) == len(batches) == 13
        assert sorted(np.concatenate(epoch)) == list(range(103))
    firsts = [epoch[0].tolist() for epoch in epochs]
    assert len({tuple(first) for first in firsts}) == 3
    assert [b.tolist() for b in batches.epoch(1)] == [
        b.tolist() for b in train.Buckets(lengths, 8, 1).epoch(1)
    ]


def test_sequences_of_about_one_length_go_together():
    lengths = np.random.default_rng(0).integers(1, 300, 1000)
    padded = sum(len(b) * lengths[b].max() for b in train.Buckets(lengths, 16).epoch(0))
    assert padded < 1.2 * lengths.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 4), "lengths have shape"),
        (([3], 0), "batch_size is 0"),
        (([3], 2, -1), "seed is -1"),
    ],
)
def test_bad_buckets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        train.Buckets(*arguments)


def test_schedules_by_name():
    for name, factors in {
        "constant": [1, 1, 1, 1, 1, 1],
        "step": [1, 1, 0.1, 0.1, 0.01, 0.01],
        "cosine": [train.cosine(k / 6) for k in range(6)],
    }.items():
        assert fitted(Line(), 6, schedule=name).lr == pytest.approx([0.1 * f for f in factors])


def test_plateau_lowers_the_rate_when_validation_stands_still():
    losses = iter([3.0, 2.0, 2.0, 2.0, 1.0, 2.0])
    history = fitted(
        Line(), 6, schedule=train.Plateau(patience=2, factor=0.5), validate=lambda: (next(losses), 0.0)
    )
    assert history.lr == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 2}, {"factor": -1}])
def test_bad_schedules_are_refused(wrong):
    with pytest.raises(ValueError, match="Step: "):
        train.Step(**wrong)


@pytest.mark.parametrize(
    ("factor", "error"),
    [(math.nan, ValueError), (math.inf, ValueError), (-1.0, ValueError), (None, TypeError), ("1", TypeError)],
)
def test_a_schedule_that_returns_no_factor_is_named(factor, error):
    line, history = Line(), train.History()
    message = r"training stopped at step 2: schedule\(0\.5\), the factor of lr, is .*; expected a number"
    with pytest.raises(error, match=message):
        line.run(4, schedule=lambda done: factor if done >= 0.5 else 1.0, history=history)
    assert history.steps == line.optimizer.steps == 2
    line, before = Line(), Line().w
    with pytest.raises(error, match=r"train.fit: schedule\(0\.5\), the factor of lr, is"):
        fitted(line, 4, schedule=lambda done: factor if done >= 0.5 else 1.0)
    assert line.w == before


def test_schedules_with_a_factor_that_is_not_finite_are_refused():
    for kind in (train.Step, train.Plateau):
        with pytest.raises(ValueError, match=f"{kind.__name__}: factor is inf"):
            kind(factor=math.inf)


def fitted(line, epochs, **options):
    """One batch an epoch."""
    return train.fit(
        line.network,
        line.optimizer,
        train.Buckets([1], 1),
        lambda places: line.gradient(1.0),
        epochs=epochs,
        **options,
    )


def test_history_by_epochs():
    losses = iter([3.0, 1.0, 2.0])
    history = fitted(Line(), 3, validate=lambda: (next(losses), 0.5))
    assert history.epoch_ends == [1, 2, 3]
    assert history.epoch_loss == history.loss
    assert history.validation_loss == [3.0, 1.0, 2.0]
    assert history.validation_score == [0.5] * 3
    assert history.best_epoch == 1


def test_a_validation_loss_that_is_not_finite_stops():
    with pytest.raises(FloatingPointError, match="after step 1: the validation loss is nan"):
        fitted(Line(), 3, validate=lambda: (float("nan"), 0.0))


def test_time_limit_and_resumption(tmp_path):
    line, path = Line(), tmp_path / "run.npz"
    assert fitted(line, 5, checkpoint=path, seconds=0.0).steps == 0
    assert fitted(line, 5, checkpoint=path, resume=True).steps == 5
    history = fitted(Line(), 9, checkpoint=path, resume=True)  # more epochs than first asked for
    assert history.steps == 9
    assert history.seconds == sorted(history.seconds)


def test_the_checkpoint_keeps_the_rate_that_the_schedule_scales(tmp_path):
    whole, path = fitted(Line(), 8, schedule="cosine"), tmp_path / "run.npz"
    line = Line()
    with pytest.raises(RuntimeError):
        fitted(line, 8, schedule="cosine", checkpoint=path, validate=failing_after(4))
    again = fitted(Line(), 8, schedule="cosine", checkpoint=path, resume=True, validate=lambda: (0.0, 0.0))
    assert (again.lr, again.loss) == (whole.lr, whole.loss)


def test_a_validation_that_was_interrupted_is_made_when_the_run_goes_on(tmp_path):
    def interrupted():
        interrupted.calls += 1
        if interrupted.calls == 2:
            signal.raise_signal(signal.SIGINT)
        return 1.0 / interrupted.calls, 0.0

    interrupted.calls = 0
    path, losses = tmp_path / "run.npz", iter([0.5, 0.25])
    history = fitted(Line(), 3, checkpoint=path, validate=interrupted)
    assert (history.steps, history.validation_loss) == (2, [1.0])
    assert history.stopped == "interrupted after step 2 of 3"
    history = fitted(Line(), 3, checkpoint=path, resume=True, validate=lambda: (next(losses), 0.0))
    assert (history.steps, history.validation_loss) == (3, [1.0, 0.5, 0.25])


def test_the_best_weights_outlive_a_stop(tmp_path):
    once, line, path = Line(), Line(), tmp_path / "run.npz"
    fitted(once, 1)
    with pytest.raises(RuntimeError):
        fitted(Line(), 4, patience=4, checkpoint=path, validate=failing_after(2))
    worse = fitted(line, 4, patience=4, checkpoint=path, resume=True, validate=lambda: (1.0, 0.0))
    assert worse.best_epoch == 0
    assert line.w == once.w


def test_a_checkpoint_may_be_a_safetensors_file(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "run.safetensors"
    fitted(Line(), 2, checkpoint=path)
    assert fitted(Line(), 4, checkpoint=path, resume=True).loss == fitted(Line(), 4).loss


def failing_after(epochs):
    def validate():
        validate.calls += 1
        if validate.calls > epochs:
            raise RuntimeError
        return 0.0, 0.0

    validate.calls = 0
    return validate


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_generator_goes_on_from_a_checkpoint(kind, tmp_path):
    def dropout():
        module = nn.Linear(1, 1, rng=0)
        module.dropout = nn.Dropout(0.5, rng=np.random.Generator(kind(7)))
        return module

    first, second, x = dropout(), dropout(), np.ones(9, np.float32)
    first.dropout.forward(x)
    for module, resume in ((first, False), (second, True)):
        train.fit(
            module,
            optim.SGD(module),
            train.Buckets([1], 1),
            lambda places: pytest.fail("nothing is to be done"),
            epochs=1,
            seconds=0.0,
            checkpoint=tmp_path / "run.npz",
            resume=resume,
        )
    np.testing.assert_array_equal(first.dropout.forward(x)[0], second.dropout.forward(x)[0])


def nothing(array):
    """What becomes of an array that is taken out."""


def with_first(value):
    def changed(array):
        array = array.copy()
        array.reshape(-1)[0] = value
        return array

    return changed


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("history.loss", nothing, "'history.loss'"),
        ("history.loss", with_first(np.nan), "history.loss has nan"),
        ("history.loss", lambda a: a[:1], "'history.loss'"),
        ("history.validation", lambda a: np.ones((9, 2)), "'history.validation'"),
        ("history.validation", with_first(np.inf), "history.validation has inf"),
        ("network.weight", nothing, "'network.weight'"),
        ("network.weight", with_first(np.nan), "network.weight has nan"),
        ("best.weight", nothing, "'best.weight'"),
        ("best.weight", with_first(np.inf), "best.weight has inf"),
        ("optimizer.steps", nothing, "'optimizer.steps'"),
        ("optimizer.steps", lambda a: np.array(-5), "steps is -5"),
        ("optimizer.steps", lambda a: np.array(1), "optimizer.steps is 1 after 2 steps"),
        ("optimizer.steps", lambda a: np.array(2.5), "integer"),
        ("optimizer.momentum_buffer.weight", with_first(np.nan), "momentum_buffer.weight has nan"),
        ("carry.h", nothing, "'carry.h'"),
        ("carry.h", lambda a: a[:1], "'carry.h'"),
        ("carry.h", with_first(np.nan), "carry.h has nan"),
        ("carry.c", lambda a: np.ones(3), "'carry.c'"),
    ],
)
def test_a_damaged_checkpoint_is_refused(name, change, message, tmp_path):
    def run(line, **options):
        line.optimizer = optim.SGD(line.network, lr=0.1, momentum=0.5)
        carry = train.Carry()
        carry.after(1, {"h": np.ones(2)})
        losses = {"validate": lambda: (1.0, np.nan), "patience": 5, "checkpoint": path, "carry": carry}
        return fitted(line, 2, **losses, **options), carry

    path = tmp_path / "run.npz"
    run(Line())
    assert run(Line(), resume=True)[1].before(2)["h"].tolist() == [1, 1]
    arrays, meta = io.load(path)
    changed = change(arrays.get(name))
    arrays = (
        {**arrays, name: changed} if changed is not None else {n: a for n, a in arrays.items() if n != name}
    )
    io.save(path, arrays, **meta)
    line = Line()
    before = line.w
    with pytest.raises(io.FileFormatError, match=f"run.npz: not a whole checkpoint .*{message}"):
        run(line, resume=True)
    assert (line.w, line.optimizer.steps) == (before, 0)


@pytest.mark.parametrize(("validations", "message"), [(9, "9 validations of 2 epochs"), (0, "0 validations")])
def test_a_checkpoint_with_more_or_less_validations_than_epochs_is_refused(validations, message, tmp_path):
    path = tmp_path / "run.npz"
    fitted(Line(), 2, checkpoint=path, validate=lambda: (1.0, 0.0))
    arrays, meta = io.load(path)
    arrays["history.validation"] = np.ones((validations, 2))
    meta["shapes"]["history.validation"] = [validations, 2]
    io.save(path, arrays, **meta)
    with pytest.raises(io.FileFormatError, match=message):
        fitted(Line(), 3, checkpoint=path, resume=True, validate=lambda: (1.0, 0.0))


def test_an_optimiser_that_made_steps_before_goes_on_from_a_checkpoint(tmp_path):
    line, again = Line(), Line()
    line.run(3)
    fitted(line, 2, checkpoint=tmp_path / "run.npz")
    assert fitted(again, 4, checkpoint=tmp_path / "run.npz", resume=True).steps == 4
    assert again.optimizer.steps == 7


def test_streams_are_chunks_from_another_place_in_each_epoch():
    ids = np.arange(1000)
    streams = train.Streams(len(ids), 7, 16, seed=3)
    firsts = set()
    for epoch in range(4):
        places = streams.epoch(epoch)
        offset = int(streams.cut(ids, places[0])[0][0, 0])
        firsts.add(offset)
        whole = list(train.chunks(ids, 7, 16, offset))
        assert len(whole) == len(streams) == len(places)
        for (inputs, targets, _), place in zip(whole, places, strict=True):
            for expected, found in zip((inputs, targets), streams.cut(ids, place), strict=True):
                np.testing.assert_array_equal(found, expected)
    assert len(firsts) == 4
    with pytest.raises(ValueError, match="7 ids are too few for batch_size=7"):
        train.Streams(7, 7, 16)


def test_a_step_made_again_begins_with_what_it_began_with():
    carry = train.Carry()
    carry.after(0, {"h": np.zeros(2)})
    carry.after(1, {"h": np.ones(2)})
    np.testing.assert_array_equal(carry.before(1)["h"], np.zeros(2))
    carry.after(1, {"h": np.full(2, 2.0)})
    np.testing.assert_array_equal(carry.before(2)["h"], np.full(2, 2.0))
    assert carry.before(0) == {}


# ---- stops and errors ----


def zip_calls(at):
    """A profiler that sends Ctrl-C at the call number `at` of a function of zipfile; it counts them."""

    def profile(frame, event, arg):
        if event == "call" and frame.f_code.co_filename == zipfile.__file__:
            profile.calls += 1
            if profile.calls == at:
                signal.raise_signal(signal.SIGINT)

    profile.calls = 0
    return profile


@contextlib.contextmanager
def profiled(profile):
    sys.setprofile(profile)
    try:
        yield profile
    finally:
        sys.setprofile(None)


def test_interrupts_while_a_checkpoint_is_written_end_the_run_with_both_whole(tmp_path):
    path, plain = tmp_path / "run.npz", {}
    for epochs in (1, 2):
        plain[epochs] = Line()
        fitted(plain[epochs], epochs)
    with profiled(zip_calls(0)) as counted:
        fitted(Line(), 2, checkpoint=path)
    assert counted.calls > 60
    for at in range(1, counted.calls + 1, 3):
        line = Line()
        with profiled(zip_calls(at)):
            history = fitted(line, 2, checkpoint=path)
        assert history.stopped == f"interrupted after step {history.steps} of 2"
        assert line.w == plain[history.steps].w
        assert io.load(path).arrays["history.loss"].tolist() == history.loss
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # closed again, in vain
def test_an_interrupted_file_says_so_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.npz"
    io.save(path, {"a": np.ones(3)})
    with profiled(zip_calls(0)) as counted:
        io.save(path, {"a": np.ones(3)})
    for at in range(6, counted.calls - 5):  # from the first member to the last
        with pytest.raises(KeyboardInterrupt), profiled(zip_calls(at)):
            io.save(path, {"a": np.zeros(3)})
        assert io.load(path).arrays["a"].tolist() == [1, 1, 1]


def test_an_interrupt_after_the_last_step_keeps_the_best_weights(monkeypatch):
    def loaded(self, mapping, *args, **options):
        signal.raise_signal(signal.SIGINT)
        return load(self, mapping, *args, **options)

    once, line, load = Line(), Line(), nn.Module.load_state_dict
    fitted(once, 1)
    losses = iter([1.0, 2.0])
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", loaded)
        history = fitted(line, 2, patience=2, validate=lambda: (next(losses), 0.0))
    assert history.stopped == "interrupted after step 2 of 2"
    assert line.w == once.w


@pytest.mark.parametrize("stop", ["patience", "seconds"])
def test_an_interrupt_in_the_last_checkpoint_is_told_besides_another_stop(monkeypatch, tmp_path, stop):
    options = {"patience": {"patience": 1, "validate": lambda: (1.0, 0.0)}, "seconds": {"seconds": 0.0}}[stop]
    plain = fitted(Line(), 9, **options)
    assert not plain.interrupted

    def saved(self, path):
        if self.history.stopped:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Training, "save", saved)
    history = fitted(Line(), 9, checkpoint=tmp_path / "run.npz", **options)
    assert history.interrupted
    assert history.stopped == f"{plain.stopped}; interrupted after step {history.steps} of 9"


def test_a_history_that_goes_on_forgets_what_stopped_it():
    line, history = Line(), train.History()
    line.run(gradient=interrupt_at(line, 7), history=history)
    assert history.interrupted
    line.run(history=history)
    assert (history.stopped, history.interrupted, history.steps) == ("", False, 27)


def test_blocks_of_interrupts_stand_within_each_other():
    with interrupts(held=True) as outer:
        signal.raise_signal(signal.SIGINT)
        assert outer.pending
        with pytest.raises(KeyboardInterrupt), interrupts():
            pytest.fail("what was held back comes first")
        assert not outer.pending
        with pytest.raises(KeyboardInterrupt), interrupts() as inner, inner.held():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert outer.pending
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("wrong", ["none/run.npz", "."])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(wrong, tmp_path):
    history = train.History()
    with pytest.raises(OSError, match=r"does not exist|is not a file"):
        fitted(Line(), 2, checkpoint=tmp_path / wrong, history=history)
    assert history.steps == 0


def test_a_full_disk_or_a_loss_that_overflows_leaves_the_history_and_the_best_weights(monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "no space left")

    once, losses = Line(), iter([1.0, 2.0, np.nan])
    fitted(once, 1)
    monkeypatch.setattr(io, "save", full)
    for options, error in [
        ({"validate": lambda: (next(losses), 0.0)}, FloatingPointError),
        ({"checkpoint": tmp_path / "run.npz", "checkpoint_steps": 3}, OSError),
    ]:
        line, history = Line(), train.History()
        with pytest.raises(error):
            fitted(line, 4, patience=4, history=history, **{"validate": lambda: (1.0, 0.0), **options})
        assert history.steps == 3
        assert line.w == once.w


def test_weights_that_are_not_finite_are_no_success():
    line = Line()

    def gradient(x):
        return 0.0, {"weight": np.full((1, 1), 1e38, np.float32)}, 1

    line.optimizer.lr = 1e3
    with pytest.raises(FloatingPointError, match="step 1 with weight not finite"), np.errstate(over="ignore"):
        line.run(1, gradient)


def test_numbers_of_numpy_go_into_a_checkpoint(tmp_path):
    line, path = Line(), tmp_path / "run.npz"
    options = {"epochs": 2, "checkpoint": path, "max_norm": np.float32(1), "seconds": np.int64(9)}
    train.fit(
        line.network,
        line.optimizer,
        train.Buckets([1], 1),
        lambda places: (np.float32(2), line.gradient(1.0)[1], np.int64(5)),
        **options,
    )
    assert io.load(path).meta["tokens"] == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_norm": None}, "max_norm is None; expected a number"),
        ({"seconds": None}, "seconds is None"),
        ({"seconds": "long"}, "seconds is 'long'"),
        ({"checkpoint": 3}, "checkpoint is an int; expected a path"),
        ({"resume": 3.5}, "resume is a float; expected a path"),
    ],
)
def test_what_is_no_number_or_path_is_named(options, message):
    with pytest.raises(TypeError, match=message):
        fitted(Line(), 1, **options)
    assert fitted(Line(), 1, resume=None).steps == 1


# ---- going on ----


def halving(factor):
    return lambda done: factor**done


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"schedule": halving(0.5)}, {"schedule": halving(0.25)}),
        ({"schedule": train.Step(0.5)}, {"schedule": train.Step(0.51)}),
        ({"schedule": train.Plateau(2)}, {"schedule": train.Plateau(3)}),
        ({"patience": 2}, {"patience": 3}),
        ({"validate": None}, {}),
        ({"weight_decay": 0.1}, {}),
        ({"momentum": 0.5}, {"momentum": 0.6}),
        ({"kind": optim.Adam}, {"kind": optim.Adam, "betas": (0.5, 0.999)}),
        ({"kind": optim.AdamW}, {"kind": optim.Adam, "weight_decay": 0.01}),
        ({"batch_size": 1}, {"batch_size": 2}),
        ({"lengths": (1, 2)}, {"lengths": (1, 3)}),
    ],
    ids=str,
)
def test_every_option_is_the_same_in_a_run_that_goes_on(first, second, tmp_path):
    def begin(kind=optim.SGD, validate=lambda: (1.0, 0.0), batch_size=1, lengths=(1, 1), **options):
        line = Line()
        own = {name: options.pop(name) for name in ("weight_decay", "momentum", "betas") if name in options}
        path, batches = tmp_path / "run.npz", train.Buckets(lengths, batch_size)
        optimizer = kind(line.network, lr=0.1, **own)
        options |= {"checkpoint": path, "validate": validate, "resume": True, "seconds": 0.0}
        train.fit(line.network, optimizer, batches, lambda _: line.gradient(1.0), epochs=3, **options)

    begin(**first)
    begin(**first)
    with pytest.raises(ValueError, match=r"resume: the run of .* had "):
        begin(**second)


def test_what_differs_from_another_run_is_said_and_nothing_else(tmp_path):
    path = tmp_path / "run.npz"
    cell = {"name": "GRU", "reset": "after", "clip": None}
    run = {"checkpoint": path, "resume": True}
    fitted(Line(), 1, about={"cell": cell, "data": 5}, **run)
    for about, said in (
        ({"cell": cell | {"reset": "before"}, "data": 5}, "had cell.reset='after', this one has 'before';"),
        ({"cell": {"name": "LSTM", "proj_size": 0}, "data": 5}, "had cell='GRU', this one has 'LSTM';"),
        ({"cell": {"name": "GRU", "clip": None}, "data": 5}, "had cell.reset='after', this one has None;"),
        ({"cell": cell, "data": 6}, "had other data: the data has changed;"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)) as caught:
            fitted(Line(), 1, about=about, **run)
        assert "clip" not in str(caught.value)


def test_a_schedule_is_the_same_in_another_process():
    assert described(halving(0.5)) == described(halving(0.5))
    assert described(functools.partial(pow, 0.5)) == described(halving(0.5))


def test_a_run_with_nothing_left_is_written_to_another_file(tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    fitted(Line(), 2, checkpoint=first)
    fitted(Line(), 2, resume=first, checkpoint=second)
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history.loss", np.zeros(1)),
        ("history.loss", np.zeros((2, 1))),
        ("history.validation", np.zeros((2, 3))),
        ("best.weight", np.zeros((2, 1), np.float32)),
        ("best.other", np.zeros((1, 1), np.float32)),
        ("network.weight", np.zeros((2, 1), np.float32)),
        ("optimizer.lr", np.zeros(3)),
        ("about", 3),
        ("generators", [3]),
        ("tokens", "many"),
    ],
)
def test_damage_is_named_and_changes_nothing(name, value, tmp_path):
    path, line, history = tmp_path / "run.npz", Line(), train.History()
    fitted(Line(), 2, checkpoint=path, patience=2, validate=lambda: (1.0, 0.0))
    arrays, meta = io.load(path)
    (arrays if "." in name else meta)[name] = value
    io.save(path, arrays, **meta)
    before = line.w
    with pytest.raises(io.FileFormatError, match=r"run\.npz"):
        fitted(
            line, 2, checkpoint=path, patience=2, validate=lambda: (1.0, 0.0), resume=True, history=history
        )
    assert (line.w, line.optimizer.steps, history) == (before, 0, train.History(steps_per_epoch=1))


def test_a_plateau_waits_anew_after_it_lowered_the_rate():
    assert train.Plateau(patience=2, factor=0.5).after([1.0, 2.0, 2.0, 2.0]) == 0.5
    assert train.Plateau(patience=2, factor=0.5).after([1.0, 2.0, 2.0, 2.0, 2.0]) == 0.25
