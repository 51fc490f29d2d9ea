"""The network of all models of labelled sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import cells
from ..nn import Dropout, Embedding, Linear, Module, Recurrent, join_grads
from ..nn import init as initial
from ._pool import POOLS, Pool

__all__ = ["SequenceNetwork"]


class SequenceNetwork(Module):
    """Embedding (of ids), recurrent layers, pool (or none: an output a step), Linear.

    The outputs of a row do not depend on the other rows or on the padding, bit for bit.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        cell: cells.Cell,
        *,
        embedding_size: int | None,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        init: initial.Options | None = None,
        pool: str | None,
        rng: np.random.Generator | int | None,
    ) -> None:
        rng = np.random.default_rng(rng)
        if embedding_size is not None:
            self.embedding = Embedding(inputs, embedding_size, rng=rng)
        self.embedded = embedding_size is not None
        self.rnn = Recurrent(
            cell,
            inputs if embedding_size is None else embedding_size,
            hidden_size,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            init=init,
            rng=rng,
        )
        self.pool: Pool | None = None if pool is None else POOLS[pool]
        self.dropout = Dropout(dropout, rng=rng)
        self.out = Linear(cell.output_size(hidden_size) * (1 + bidirectional), outputs, rng=rng)

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the outputs (B, O), without a pool (T, B, O), of x (T, B, F) or ids (T, B)."""
        y, state = self.rnn(self.embedding(x) if self.embedded else x, lengths=lengths.tolist())
        if self.pool is not None:
            y = self.pool.forward(self.rnn, y, state, lengths)[0]
        return self.out(y)

    def forward(self, x: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, tuple]:
        """Return the outputs and the tape."""
        embedding = pool = dropout = None
        if self.embedded:
            x, embedding = self.embedding.forward(x)
        y, state, rnn = self.rnn.forward(x, lengths=lengths.tolist())
        if self.pool is not None:
            y, pool = self.pool.forward(self.rnn, y, state, lengths)
        if self.dropout.p:
            y, dropout = self.dropout.forward(y)
        outputs, out = self.out.forward(y)
        return outputs, (embedding, rnn, pool, dropout, out)

    def backward(self, tape: tuple, doutputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of the parameters; the tape is spent."""
        embedding, rnn, pool, dropout, out = tape
        dy, dout = self.out.backward(out, doutputs)
        dstate: Any = None
        if dropout is not None:
            dy, _ = self.dropout.backward(dropout, dy)
        dy_rnn: np.ndarray | None = dy
        if self.pool is not None:
            dy_rnn, dstate = self.pool.backward(self.rnn, pool, dy)
        dx, _, drnn = self.rnn.backward(rnn, dy_rnn, dstate, consume=True)
        parts = {"rnn": drnn, "out": dout}
        if embedding is not None:
            parts = {"embedding": self.embedding.backward(embedding, dx)[1], **parts}
        return join_grads(**parts)
