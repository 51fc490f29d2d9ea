"""Who speaks? Nine men say the vowel "ae": series of 7 to 29 steps of 12 coefficients.

Japanese Vowels (Kudo, Toyama and Shimbo 1999), the standard split: 270 series to train on, 370 to test. The
data is in the package aeon, of which nothing else is used: ``pip install --no-deps aeon``.
"""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fastrnn.models import SequenceClassifier


def series(part):
    """Return the series (T_i, 12) of a part of the data, and who speaks in each."""
    package = find_spec("aeon")
    if package is None:
        raise SystemExit("this example takes its data from aeon: pip install --no-deps aeon")
    folder = Path(package.submodule_search_locations[0], "datasets", "data", "JapaneseVowels")
    text = (folder / f"JapaneseVowels_{part}.ts").read_text(encoding="utf-8")
    X, y = [], []
    for line in text.partition("@data\n")[2].splitlines():
        *features, speaker = line.split(":")
        X.append(np.array([feature.split(",") for feature in features], float).T)
        y.append(int(speaker))
    return X, y


X, y = series("TRAIN")
X_test, y_test = series("TEST")

start = time.perf_counter()
model = SequenceClassifier(hidden_size=64, bidirectional=True, pool="mean", dropout=0.3).fit(X, y, epochs=40)
accuracy = model.score(X_test, y_test)
seconds = time.perf_counter() - start
print(f"{accuracy:.1%} of {len(y_test)} speakers named right, {seconds:.1f} s of training on {len(X)}")
assert accuracy > 0.95
