"""What do the cells remember? Four classical tasks whose answer lies many steps back, as one table.

- *Adding*: of 100 numbers two are marked; what is their sum? (The part of 500 sums that are right to 0.04.)
- *Temporal order*: among some 50 random symbols are two of X and Y; which came first, which second?
- *Embedded Reber grammar*: the last symbol but one of a string is foretold by its second.
- *Timing*: was the last distance between two spikes 10 steps or 11? The answer is wanted at every step.

The first three are those of Hochreiter and Schmidhuber, "Long short-term memory", 1997 (temporal order at
half the length), the last is made after Gers and Schmidhuber, "Recurrent nets that time and count", 2000. All
cells train on the same data, with the same settings; what is printed is the mean over the seeds.

``--quick`` only shows that it runs.
"""

import argparse
import time

import numpy as np

from fastrnn import cells
from fastrnn.models import SequenceClassifier, SequenceRegressor, SequenceTagger

#: The cells, and how the weights begin where not as PyTorch's do. A bias of 1 opens an LSTM's forget gate.
OPEN = {"forget_bias": 1.0}
CELLS = {
    "RNN": (cells.RNN(), None),
    "LSTM": (cells.LSTM(), OPEN),
    "LSTM, peepholes": (cells.LSTM(peepholes="ifo"), OPEN),
    "LSTM, no bias": (cells.LSTM(), None),
    "GRU": (cells.GRU(), None),
    "MGU": (cells.MGU(), None),
}


def adding(n, rng):
    X = np.zeros((n, 100, 2))
    X[..., 0] = rng.uniform(0, 1, (n, 100))
    rows, marked = np.arange(n)[:, None], np.stack([rng.integers(0, 50, n), rng.integers(50, 100, n)], 1)
    X[rows, marked, 1] = 1
    return X, X[rows, marked, 0].sum(1)


def temporal_order(n, rng):
    """Symbols as one of six features: a, b, c, d, X, Y."""
    X, y = [], []
    for _ in range(n):
        symbols = rng.integers(0, 4, rng.integers(50, 56))
        first, second = rng.integers(0, 2, 2)
        symbols[rng.integers(5, 11)], symbols[rng.integers(25, 31)] = 4 + first, 4 + second
        X.append(np.eye(6)[symbols])
        y.append("XY"[first] + "XY"[second])
    return X, y


# The states of Reber's grammar: the symbols that may come, and where each leads to.
REBER = [{"T": 1, "P": 2}, {"S": 1, "X": 3}, {"T": 2, "V": 4}, {"X": 2, "S": 5}, {"P": 3, "V": 5}]


def reber(n, rng):
    """Strings without their last symbol, and for each symbol the next one."""
    X, y = [], []
    for _ in range(n):
        branch, state, inner = str(rng.choice(["T", "P"])), 0, ""
        while state < 5:
            symbol = str(rng.choice(list(REBER[state])))
            inner, state = inner + symbol, REBER[state][symbol]
        string = f"B{branch}B{inner}E{branch}E"
        X.append(list(string[:-1]))
        y.append(list(string[1:]))
    return X, y


def timing(n, rng):
    """A train of spikes, and for each step whether the last distance was the longer one."""
    X, y = [], []
    for _ in range(n):
        distances = 10 + rng.integers(0, 2, 8)
        ends = np.cumsum(distances)
        spikes = np.zeros(ends[-1] + 1)
        spikes[[0, *ends]] = 1
        known = np.repeat(distances == 11, [*distances[1:], 1])
        X.append(spikes)
        y.append(np.concatenate([np.zeros(ends[0], bool), known]))  # before the second spike: False
    return X, y


def sums_right(model, X, y):
    return np.mean(np.abs(model.predict(X) - y) < 0.04)


def foretold(model, X, y):
    """The part of strings in which the last symbol but one was held for the likelier of T and P."""
    place = {symbol: np.flatnonzero(model.classes_ == symbol)[0] for symbol in "TP"}
    right = 0
    for p, row in zip(model.predict_proba(X), y, strict=True):
        other = "P" if row[-2] == "T" else "T"
        right += p[-2, place[row[-2]]] > p[-2, place[other]]
    return right / len(y)


# Data, model, how many sequences, hidden units, options of fit, measure, chance.
TASKS = {
    "adding": (adding, SequenceRegressor, 6000, 32, {"epochs": 12}, sums_right, "8%"),
    "temporal order": (temporal_order, SequenceClassifier, 6000, 32, {"epochs": 8}, None, "25%"),
    "Reber grammar": (reber, SequenceTagger, 4000, 16, {"epochs": 15}, foretold, "50%"),
    "timing": (timing, SequenceTagger, 600, 8, {"epochs": 40, "batch_size": 16, "lr": 0.02}, None, "55%"),
}


def trained(task, cell, seed, quick):
    """Return how much of the test data is right."""
    data, kind, count, units, options, measure, _ = TASKS[task]
    if quick:
        count, options = 64, {**options, "epochs": 1}
    recurrent, init = CELLS[cell]
    model = kind(recurrent, hidden_size=units, init=init, seed=seed)
    model.fit(*data(count, np.random.default_rng(seed)), **options)
    X, y = data(500, np.random.default_rng(1000 + seed))
    return float(measure(model, X, y) if measure else model.score(X, y))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little data, one epoch")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    seeds = range(1 if options.quick else options.seeds)
    start = time.perf_counter()
    print(f"{'right':<16}{'chance':>8}" + "".join(f"{cell:>17}" for cell in CELLS))
    for task in options.tasks:
        print(f"{task:<16}{TASKS[task][-1]:>8}", end="", flush=True)
        for cell in CELLS:
            found = [trained(task, cell, seed, options.quick) for seed in seeds]
            print(f"{np.mean(found):>17.1%}", end="", flush=True)
        print()
    print(f"{len(seeds)} seeds, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
