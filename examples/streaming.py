"""A stream, step by step: what arrives is answered at once.

The answers have the bits of the whole sequence run at once, and so has a stream that is cut anywhere.
"""

import numpy as np

import fastrnn

gru = fastrnn.GRU(40, 64, num_layers=2, rng=0).freeze()  # packed once: the fastest for single steps
frames = np.random.default_rng(0).standard_normal((200, 1, 40), np.float32)  # 200 frames of one stream

state = None
answers = []
for frame in frames:
    y, state = gru.step(frame, state)
    answers.append(y)

whole, last = gru(frames)
print("step by step as at once, bit for bit:", np.array_equal(np.stack(answers), whole))
assert np.array_equal(np.stack(answers), whole)
assert np.array_equal(state, last)
