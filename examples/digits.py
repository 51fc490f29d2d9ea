"""Handwritten digits, read row by row as a sequence of 8 vectors of 8 pixels.

Needs scikit-learn for its data: ``pip install scikit-learn``.
"""

import time

try:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
except ImportError:
    raise SystemExit("this example takes its data from scikit-learn: pip install scikit-learn") from None

from fastrnn.models import SequenceClassifier

digits = load_digits()  # 1797 images (8, 8)
X, X_test, y, y_test = train_test_split(digits.images, digits.target, test_size=0.25, random_state=0)

start = time.perf_counter()
model = SequenceClassifier(hidden_size=64).fit(X, y, epochs=30)
accuracy = model.score(X_test, y_test)
print(f"{accuracy:.1%} of {len(y_test)} digits read right, {time.perf_counter() - start:.1f} s of training")
assert accuracy > 0.96
