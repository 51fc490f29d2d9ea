"""Training on one endless sequence by truncated back-propagation through time, written out.

An LSTM learns the next value of a sum of two sines. The state is carried from chunk to chunk, gradients are
not; `fastrnn.models` does the same for text.
"""

import numpy as np

from fastrnn import LSTM, Linear, losses, nn, optim


class Forecaster(nn.Module):
    """LSTM and Linear as one module: one set of parameters, one optimiser, one file."""

    def __init__(self, hidden, rng):
        self.lstm = LSTM(1, hidden, rng=rng)
        self.out = Linear(hidden, 1, rng=rng)

    def forward(self, x, state=None):
        y, state, lstm = self.lstm.forward(x, state)
        prediction, out = self.out.forward(y)
        return prediction, state, (lstm, out)

    def backward(self, tape, dprediction):
        lstm, out = tape
        dy, dout = self.out.backward(out, dprediction)
        _, _, dlstm = self.lstm.backward(lstm, dy)
        return nn.join_grads(lstm=dlstm, out=dout)


time = np.arange(16_001)
series = (np.sin(time / 5) + np.sin(time / 17)).astype(np.float32)
x = series[:-1].reshape(8, -1, 1).transpose(1, 0, 2)  # 8 streams side by side: (2000, 8, 1)
target = series[1:].reshape(8, -1, 1).transpose(1, 0, 2)

model = Forecaster(32, np.random.default_rng(0))
optimizer = optim.Adam(model, lr=0.01)
for epoch in range(3):
    state = None
    for start in range(0, 2000, 50):
        chunk = slice(start, start + 50)
        prediction, state, tape = model.forward(x[chunk], state)  # the state of the chunk before
        loss, gradient = losses.mse(prediction, target[chunk])
        grads = model.backward(tape, gradient)
        optim.clip_grad_norm_(grads, 1.0)
        optimizer.step(grads)
    print(f"epoch {epoch}: mean squared error {loss:.5f}")

assert loss < 0.01
