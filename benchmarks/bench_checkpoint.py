"""What `checkpoint_every` costs and saves in a training step; the results are equal bit by bit.

    python -m benchmarks.bench_checkpoint                       # seconds
    python -m benchmarks.bench_checkpoint --steps 100000        # the full tape takes 300 MB

Memory is the peak of what the process holds during forward and backward, over what it held before and less
the results: tape and workspace. Times are medians of --rounds steps, the two kinds in turn.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import _native, cells, functional

CELLS = {"lstm": cells.LSTM(), "gru": cells.GRU(), "gru_before": cells.GRU("before"), "rnn": cells.RNN()}


def status(field):
    """Bytes of a line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def flat(results):
    y, dx, dstate0, grads = results
    return [y, dx, *(dstate0 if isinstance(dstate0, tuple) else (dstate0,)), *grads.values()]


def held(arrays):
    """Bytes of the process's memory that arrays like these stand in."""
    before = status("VmRSS")
    copies = [_native.empty(array.shape, array.dtype) for array in arrays]
    for copy in copies:
        copy.fill(0)
    return status("VmRSS") - before


def training_step(cell, params, x, dy, every):
    """All results, the bytes of the tape, and the seconds taken."""
    start = time.perf_counter()
    y, _, tape = functional.forward(cell, params, x, checkpoint_every=every)
    nbytes = tape.nbytes
    results = functional.backward(cell, params, tape, dy, consume=True)
    return (y, *results), nbytes, time.perf_counter() - start


def peak(cell, params, x, dy, every):
    """Bytes that a training step needs besides its arguments and results, and the results."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    before = status("VmRSS")
    results = flat(training_step(cell, params, x, dy, every)[0])
    return status("VmHWM") - before - held(results), results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", choices=CELLS, default="lstm")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--every", type=lambda k: k if k == "auto" else int(k), default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()

    cell, rng = CELLS[given.cell], np.random.default_rng(0)
    shapes = cell.parameter_shapes(given.inputs, given.hidden)
    params = {n: (rng.uniform(-1, 1, s) / given.hidden**0.5).astype(np.float32) for n, s in shapes.items()}
    x = rng.standard_normal((given.steps, given.batch, given.inputs), np.float32)
    dy = rng.standard_normal((given.steps, given.batch, given.hidden), np.float32)
    kinds = {"full tape": None, f"every {given.every}": given.every}
    print(
        f"{cell}, T={given.steps} B={given.batch} I={given.inputs} H={given.hidden}, {given.threads} threads"
    )
    with fastrnn.num_threads(given.threads):
        fastrnn.keep_memory(0)
        training_step(cell, params, x[:100], dy[:100], None)  # pages of the code, threads
        memory, results = zip(*[peak(cell, params, x, dy, every) for every in kinds.values()], strict=True)
        fastrnn.keep_memory(1 << 30)
        times = {name: [] for name in kinds}
        for _ in range(given.rounds):
            for name, every in kinds.items():
                _, nbytes, seconds = training_step(cell, params, x, dy, every)
                times[name].append((seconds, nbytes))
    for name, whole in zip(kinds, memory, strict=True):
        seconds, nbytes = statistics.median(s for s, _ in times[name]), times[name][0][1]
        print(
            f"{name:>12}: tape {nbytes / 1e6:8.2f} MB, with workspace {whole / 1e6:8.2f} MB, {seconds:.3f} s"
        )
    first, second = (statistics.median(s for s, _ in times[name]) for name in kinds)
    print(f"memory 1/{memory[0] / memory[1]:.1f}, time {second / first:.2f} times")
    if any(a.tobytes() != b.tobytes() for a, b in zip(*results, strict=True)):
        raise SystemExit("the results differ")
    print("all results equal bit by bit")


if __name__ == "__main__":
    main()
