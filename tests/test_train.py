import itertools
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest

from fastrnn import nn, optim, train
from fastrnn.train._progress import Lines


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
