"""Ctrl-C in a long call raises KeyboardInterrupt promptly and leaves nothing half-written."""

import signal
import time

import pytest
from trust_work import python

# Several seconds of work on the slowest kernels, at the memory of a moderate one.
PROGRAM = """
import sys, time
import numpy as np, fastrnn
from trust_work import CELLS, bits, case, compute
from fastrnn import functional, nn

given = case(CELLS["lstm"], 4000, 16, 64, 128)
cell, params, x = given["cell"], given["params"], given["x"]
before = {name: array.tobytes() for name, array in params.items()}

def back(every):
    y, _, tape = functional.forward(cell, params, x, checkpoint_every=every)
    return lambda: functional.backward(cell, params, tape, y)

def directions_back():
    both = nn.LSTM(64, 128, bidirectional=True)
    y, _, tape = both.forward(x)
    return lambda: both.backward(tape, y)

def linear():
    rows = np.broadcast_to(x[0], (3000, *x[0].shape)).reshape(-1, 64)
    wide = np.ones((2000, 64), np.float32)
    return lambda: functional.linear(rows, wide)

call = {
    "forward": lambda: lambda: functional.forward(cell, params, x, tape=False),
    "frozen": lambda: lambda: nn.LSTM(64, 128).freeze()(x),
    "backward": lambda: back(None),
    "checkpoints": lambda: lambda: functional.forward(cell, params, x, checkpoint_every=20),
    "checkpoints back": lambda: back(20),
    "directions": lambda: lambda: nn.LSTM(64, 128, bidirectional=True)(x),
    "directions back": directions_back,
    "linear": linear,
}["CALL"]()
with fastrnn.isa("baseline"), fastrnn.num_threads(THREADS):
    print("ready", flush=True)
    try:
        call()
        print("finished", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
assert before == {name: array.tobytes() for name, array in params.items()}
small = case(CELLS["lstm"], 5, 3, 7, 9)
with fastrnn.backend("reference"):
    expected = bits(compute(small))
assert bits(compute(small)) == expected
print("ok", flush=True)
"""


def interrupt(call, threads):
    """Seconds from the signal to the exception."""
    process = python(PROGRAM.replace("CALL", call).replace("THREADS", str(threads)))
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    time.sleep(0.4)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    caught, end = out.split()
    assert caught != "finished", "the call ended before the signal came"
    assert (process.returncode, end) == (0, "ok"), err
    return float(caught) - sent


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "call",
    [
        "forward",
        "frozen",
        "backward",
        "checkpoints",
        "checkpoints back",
        "directions",
        "directions back",
        "linear",
    ],
)
def test_ctrl_c_ends_a_long_call_within_a_fifth_of_a_second(call, threads):
    # A busy machine may delay a try; a call that does not look would delay all of them by seconds.
    assert any(interrupt(call, threads) < 0.2 for _ in range(3))
