"""Any number of Python threads may call at once; settings of a thread are its own."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from trust_work import CELLS, available_isas, bits, case, compute

import fastrnn


def test_eight_threads_give_the_bits_of_one():
    cases = [
        case(cell, 6, 4, 9, 10 + n, dtype, seed=n, lengths=n % 2 == 1)
        for n, cell in enumerate(CELLS.values())
        for dtype in (np.float32, np.float64)
    ]
    expected = [bits(compute(c)) for c in cases]
    start = threading.Barrier(8)

    def work(worker):
        start.wait()
        isas = available_isas()
        for call in range(100):
            n = (worker + call) % len(cases)
            with fastrnn.num_threads(1 + (worker + call) % 3), fastrnn.isa(isas[(worker + call) % len(isas)]):
                assert bits(compute(cases[n])) == expected[n]
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_one_layer_serves_many_threads():
    layer = fastrnn.LSTM(6, 11, num_layers=2, bidirectional=True, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((7, 3, 6), dtype=np.float32)
    expected = layer(x)[0].tobytes()
    with ThreadPoolExecutor(8) as pool:
        for y, _ in pool.map(lambda _: layer(x), range(200)):
            assert y.tobytes() == expected


def test_settings_of_a_thread_are_its_own():
    seen = {}

    def look(name):
        seen[name] = fastrnn.get_num_threads()

    with fastrnn.num_threads(7):
        thread = threading.Thread(target=look, args=("other",))
        thread.start()
        thread.join()
        look("here")
    assert seen["here"] == 7
    if not getattr(sys.flags, "thread_inherit_context", 0):  # Python 3.14, free-threaded
        assert seen["other"] != 7


def test_the_lock_of_the_interpreter_is_released():
    """Another Python thread runs on while a call computes."""
    given = case(CELLS["lstm"], 400, 16, 128, 128)
    running, ticks = threading.Event(), 0

    def call():
        with fastrnn.isa("baseline"), fastrnn.num_threads(1):
            running.set()
            compute(given)

    thread = threading.Thread(target=call)
    thread.start()
    running.wait()
    while thread.is_alive():
        ticks += 1
        thread.join(0.005)
    assert ticks > 3
