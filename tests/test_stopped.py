"""Training that is killed or interrupted, as it happens: by signals, at any moment."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from fastrnn.models import LanguageModel, SequenceClassifier

FOREVER = 10**6


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((32, 5, 3)), np.arange(32) % 2


def trained(epochs=FOREVER, **options):
    """Four steps an epoch, each of which takes less time than to write it down."""
    model = SequenceClassifier(hidden_size=64, num_layers=2, dropout=0.3)
    return model.fit(*data(), epochs=epochs, batch_size=8, schedule="constant", **options)


# Forks one training after the other, each from the file that the last one left, and kills it.
KILLER = """
import os, signal, sys, time
import numpy as np
from test_stopped import trained

path, kills = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(kills)
for _ in range(kills):
    before = os.stat(path).st_ino if os.path.exists(path) else 0
    child = os.fork()
    if not child:
        trained(checkpoint=path, checkpoint_steps=1, resume=True)
    while not os.path.exists(path) or os.stat(path).st_ino == before:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    contents = np.load(path)  # each member has a checksum
    print(len([contents[name] for name in contents.files]), len(contents["history.loss"]), flush=True)
"""


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.long)])
def test_a_run_that_is_killed_while_it_saves_goes_on_each_time_to_the_same_bits(kills, tmp_path):
    path = tmp_path / "run.npz"
    command = [sys.executable, "-c", KILLER, path, str(kills)]
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    lines = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()
    members, steps = zip(*(map(int, line.split()) for line in lines), strict=True)
    assert len(steps) == kills
    assert len(set(members)) == 1
    assert list(steps) == sorted(set(steps))  # each went on, none began anew
    left = list(tmp_path.glob(".run.npz.*.tmp"))
    print(f"{len(left)} of {kills} kills fell into the writing of a file, {steps[-1]} steps were made")
    assert len(left) >= kills / 10
    epochs = steps[-1] // 4 + 1
    killed, through = trained(epochs, resume=path), trained(epochs)
    assert killed.history_.loss == through.history_.loss
    for name, value in through.network_.params.items():
        assert killed.network_.params[name].tobytes() == value.tobytes()


def interrupted(fit, after):
    """Return how long `fit` went on after Ctrl-C."""
    sent = []

    def interrupt():
        time.sleep(after)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    fit()
    seconds = time.perf_counter() - sent[0]
    thread.join()
    return seconds


def test_interrupt_ends_training_at_once():
    """Within 0.2 s; on a busy machine one of some attempts."""
    rng = np.random.default_rng(0)
    X, y = list(rng.standard_normal((640, 100, 8))), np.arange(640) % 2
    text = "the cat sat on the mat. the dog sat on the log. " * 4000
    for kind in (SequenceClassifier, LanguageModel):
        times = []
        while len(times) < 8 and min(times, default=1) > 0.2:
            model, data = kind(), (X, y) if kind is SequenceClassifier else (text,)
            with pytest.warns(UserWarning, match="interrupted after step"):
                times.append(interrupted(partial(model.fit, *data, epochs=FOREVER), 0.5 + 0.1 * len(times)))
            usable = model.predict(X[:2]) if kind is SequenceClassifier else model.generate("the ", 2, seed=0)
            assert len(usable) == 2
        print(f"{kind.__name__}: " + ", ".join(f"{1e3 * t:.0f} ms" for t in times))
        assert min(times) < 0.2
