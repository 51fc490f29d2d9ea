"""Where does the ball fly? Its direction from a few noisy positions, in tracks of different lengths.

The classifier names one of four directions, the regressor says the angle, the tagger finds the step at which
a ball bounced: the same data, three questions.
"""

import numpy as np

from fastrnn.models import SequenceClassifier, SequenceRegressor, SequenceTagger

rng = np.random.default_rng(0)
DIRECTIONS = ["right", "up", "left", "down"]


def tracks(n):
    """Return n tracks (T_i, 2), and the angle at which each ball flies."""
    angle = rng.uniform(-np.pi / 4, 7 * np.pi / 4, n)
    X = []
    for a in angle:
        steps = np.arange(rng.integers(5, 20))[:, None]
        start, speed = rng.uniform(-5, 5, 2), rng.uniform(0.5, 1.5)
        X.append(start + speed * steps * [np.cos(a), np.sin(a)] + rng.normal(0, 0.1, (len(steps), 2)))
    return X, angle


X, angle = tracks(1000)
names = [DIRECTIONS[int((a + np.pi / 4) // (np.pi / 2))] for a in angle]
model = SequenceClassifier(hidden_size=32).fit(X[:800], names[:800])
right = model.score(X[800:], names[800:])
print(f"direction named right for {right:.1%} of 200 balls; the first: {model.predict(X[800:801])[0]}")

way = np.stack([np.cos(angle), np.sin(angle)], 1)  # an angle jumps at 360 degrees, its cosine and sine do not
regressor = SequenceRegressor(hidden_size=32).fit(X[:800], way[:800])
found = regressor.predict(X[800:])
off = np.abs(np.angle(np.exp(1j * (np.arctan2(found[:, 1], found[:, 0]) - angle[800:]))))
print(f"angle off by {np.degrees(np.median(off)):.1f} degrees (median)")


def bounces(n):
    """Return n tracks that turn round at some step, and for each step whether it was before or after."""
    X, y = [], []
    for track in tracks(n)[0]:
        at = rng.integers(2, len(track) - 1)
        track[at:] = 2 * track[at - 1] - track[at:]
        X.append(track)
        y.append(["before"] * at + ["after"] * (len(track) - at))
    return X, y


tagger = SequenceTagger(hidden_size=32, bidirectional=True).fit(*bounces(1600))
tagged = tagger.score(*bounces(200))
print(f"before or after the bounce: right at {tagged:.1%} of the steps")
assert right > 0.9
assert np.degrees(np.median(off)) < 10
assert tagged > 0.9
