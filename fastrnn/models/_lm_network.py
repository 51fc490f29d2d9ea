"""The networks of language models, in one direction and in two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .. import cells, functional
from ..losses import cross_entropy
from ..nn import Embedding, Linear, Module, Recurrent, join_grads
from ..nn import init as initial

__all__ = ["Chunk", "Directions", "Network", "TiedLinear"]


#: Steps that are read at once where only what comes after the last is asked for.
_PIECE = 1024


class TiedLinear(Module):
    r"""The map from outputs to logits whose weight is the table E of an embedding: :math:`z = y E^T + b`.

    It owns the bias alone.

    References
    ----------
    Press and Wolf, "Using the output embedding to improve language models", 2017; Inan, Khosravi and Socher,
    "Tying word vectors and word classifiers", 2017.
    """

    def __init__(self, size: int) -> None:
        self.add_parameter("bias", np.zeros(size, np.float32))

    def __call__(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the logits (..., V) of y (..., E), given the table (V, E)."""
        return functional.linear(y, weight, self._own["bias"])

    def backward(
        self, y: np.ndarray, weight: np.ndarray, dlogits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return the gradients of y, of the table, and of the parameters."""
        dy, dweight, dbias = functional.linear_backward(y, weight, dlogits)
        return dy, dweight, {"bias": dbias}


class Network(Module):
    """Embedding, recurrent layers, Linear: ids (T, B) to the logits (T, B, V) of the id that comes next.

    With `tied`, the weight of the last is the embedding's table: one parameter, whose gradient is the sum of
    those of both uses.
    """

    def __init__(
        self,
        size: int,
        cell: cells.Cell,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        rng: Any,
        tied: bool = False,
        init: initial.Options | None = None,
    ) -> None:
        rng = np.random.default_rng(rng)
        width = cell.output_size(hidden_size)
        if tied and embedding_size != width:
            raise ValueError(
                f"LanguageModel: embedding_size is {embedding_size}, the layers put out {width} features; "
                f"tied=True makes one array of both: embedding_size={width}"
            )
        self.embedding = Embedding(size, embedding_size, rng=rng)
        self.rnn = Recurrent(
            cell, embedding_size, hidden_size, num_layers, dropout=dropout, init=init, rng=rng
        )
        self.out: Linear | TiedLinear
        if tied:
            self.out = TiedLinear(size)
            self.embedding.params["weight"][...] *= np.float32(1 / sqrt(width))  # logits of size 1, not 16
        else:
            self.out = Linear(width, size, rng=rng)

    def logits(self, y: np.ndarray) -> np.ndarray:
        """Return the logits of what the layers put out."""
        if isinstance(self.out, TiedLinear):
            return self.out(y, self.embedding.params["weight"])
        return self.out(y)

    def __call__(
        self, ids: np.ndarray, state: Any = None, lengths: Sequence[int] | None = None
    ) -> tuple[np.ndarray, Any]:
        """Return logits and state."""
        y, state = self.rnn(self.embedding(ids), state, lengths=lengths)
        return self.logits(y), state

    def read(self, ids: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits (V,) of what comes after ids (T,), at least one, and the state.

        No other logits are made, and no bits depend on the pieces that are read at once.
        """
        for at in range(0, len(ids), _PIECE):
            y, state = self.rnn(self.embedding(ids[at : at + _PIECE, None]), state)
        return self.logits(y[-1])[0], state

    def step(self, ids: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits (B, V) and the state after one more id a row, (B,)."""
        y, state = self.rnn.step(self.embedding(ids), state)
        return self.logits(y), state

    def forward(
        self, ids: np.ndarray, state: Any = None, lengths: Sequence[int] | None = None
    ) -> tuple[np.ndarray, Any, tuple]:
        """Return logits, state and tape."""
        x, embedding = self.embedding.forward(ids)
        y, state, rnn = self.rnn.forward(x, state, lengths=lengths)
        if isinstance(self.out, TiedLinear):
            return self.logits(y), state, (embedding, rnn, y)
        logits, out = self.out.forward(y)
        return logits, state, (embedding, rnn, out)

    def backward(self, tape: tuple, dlogits: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of the parameters; the tape is spent."""
        embedding, rnn, out = tape
        table = None
        if isinstance(self.out, TiedLinear):
            dy, table, dout = self.out.backward(out, self.embedding.params["weight"], dlogits)
        else:
            dy, dout = self.out.backward(out, dlogits)
        dx, _, drnn = self.rnn.backward(rnn, dy, consume=True)
        _, dembedding = self.embedding.backward(embedding, dx)
        if table is not None:
            dembedding["weight"] += table
        return join_grads(embedding=dembedding, rnn=drnn, out=dout)

    def gradient(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        state: Any = None,
        lengths: np.ndarray | None = None,
    ) -> tuple[float, dict, Any]:
        """Return the mean cross-entropy in nats, its gradients, and the state after the inputs."""
        mask = None if lengths is None else np.arange(len(inputs))[:, None] < lengths
        logits, state, tape = self.forward(inputs, state, None if lengths is None else lengths.tolist())
        loss, dlogits = cross_entropy(logits, targets, mask=mask)
        return float(loss), self.backward(tape, dlogits), state


class Chunk(NamedTuple):
    """What one direction learns from in a step."""

    inputs: np.ndarray  # (T, B)
    targets: np.ndarray
    lengths: np.ndarray | None = None  # (B,)


class Directions(Module):
    """A network that reads from left to right and, if there are two, one that reads from right to left.

    They are trained together and share nothing but the steps: each learns from its own cross-entropy.
    """

    def __init__(self, ahead: Network, back: Network | None = None) -> None:
        self.ahead = ahead
        self.back = back

    def each(self) -> Iterator[tuple[str, Network]]:
        """Yield the networks by name."""
        yield "ahead", self.ahead
        if self.back is not None:
            yield "back", self.back

    def gradient(
        self, chunks: Mapping[str, Chunk], states: Mapping[str, np.ndarray]
    ) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the mean loss, the gradients of the sum, and the states after the chunks, as flat names."""
        losses, grads = [], {}
        after: dict[str, np.ndarray] = {}
        for name, network in self.each():
            loss, grads[name], state = network.gradient(
                chunks[name].inputs, chunks[name].targets, _state(states, name), chunks[name].lengths
            )
            losses.append(loss)
            parts = state if isinstance(state, tuple) else (state,)
            after |= {f"{name}.{i}": part for i, part in enumerate(parts)}
        return sum(losses) / len(losses), join_grads(**grads), after


def _state(arrays: Mapping[str, np.ndarray], name: str) -> Any:
    """The state of one direction from flat names, None if there is none."""
    parts = tuple(arrays[key] for key in sorted(arrays) if key.startswith(f"{name}."))
    return None if not parts else parts if len(parts) > 1 else parts[0]
