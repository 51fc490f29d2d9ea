"""The network of `Seq2Seq`: encoder, decoder, attention after the decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import cells, functional
from ..losses import log_softmax
from ..nn import (
    AdditiveAttention,
    Attention,
    DotAttention,
    Dropout,
    Embedding,
    Linear,
    Memory,
    Module,
    Recurrent,
    join_grads,
)
from ..nn import init as initial

__all__ = ["ATTENTIONS", "Start", "TranslationNetwork", "as_state", "states_of"]

ATTENTIONS = ("dot", "additive")


class Start(NamedTuple):
    """What the decoder takes of a batch of sources."""

    memory: Memory | None
    state: Any


class _Before(NamedTuple):
    """What `forward` keeps of all that stands before attention."""

    of_source: Any
    encoder: Any
    bridge: Any
    of_target: Any
    decoder: Any


class _Tape(NamedTuple):
    """What `forward` keeps."""

    before: _Before
    attention: Any
    combine: Any
    combined: Any  # (N, width), an array where there is attention
    dropout: Any
    out: Any
    inside: np.ndarray


class TranslationNetwork(Module):
    """Encoder (embedding of ids, recurrent layers), decoder (the same), attention, Linear.

    The decoder's recurrent layers do not see what attention finds, so that in training they run over all
    steps at once; attention looks from their output h at the encoder's outputs, and ``tanh(W (h, context))``
    is what the last Linear reads. The bits of a row depend neither on the other rows nor on the padding.
    """

    def __init__(
        self,
        sources: int,
        targets: int,
        cell: cells.Cell,
        *,
        embedding_size: int,
        embedded: bool,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        init: initial.Options | None = None,
        attention: str | None,
        rng: np.random.Generator | int | None,
        dtype: Any = np.float32,
    ) -> None:
        self.rng = rng = np.random.default_rng(rng)
        own: dict[str, Any] = {"rng": rng, "dtype": dtype}
        width = cell.output_size(hidden_size)
        layers: dict[str, Any] = {"dropout": dropout if num_layers > 1 else 0.0, "init": init, **own}
        self.embedding = Embedding(sources, embedding_size, **own) if embedded else None
        size = embedding_size if embedded else sources
        self.encoder = Recurrent(cell, size, hidden_size, num_layers, bidirectional=bidirectional, **layers)
        self.bridge = Bridge(cell, hidden_size, num_layers, **own) if bidirectional else None
        self.target_embedding = Embedding(targets, embedding_size, **own)
        self.decoder = Recurrent(cell, embedding_size, hidden_size, num_layers, **layers)
        self.attention: Attention | None = None
        if attention is not None:
            wide = width * (1 + bidirectional)
            if attention == "dot":
                self.attention = DotAttention(width, wide, general=True, **own)
            else:
                self.attention = AdditiveAttention(width, wide, **own)
            self.combine = Linear(width + wide, width, **own)
        self.dropout = Dropout(dropout, rng=rng)
        self.out = Linear(width, targets, **own)

    # ---- inference ----

    def encode(self, x: np.ndarray, lengths: np.ndarray) -> Start:
        """Return what the decoder takes of x (S, B, F) or ids (S, B)."""
        y, state = self.encoder(x if self.embedding is None else self.embedding(x), lengths=lengths.tolist())
        memory = None if self.attention is None else self.attention.read(y, lengths)
        return Start(memory, state if self.bridge is None else self.bridge(state))

    def step(self, ids: np.ndarray, start: Start) -> tuple[np.ndarray, np.ndarray | None, Any]:
        """Return logits (K, B, V), weights of attention (K, B, S), and the state, after the tokens `ids`.

        `ids` are K ways in which each of the B translations may go on, (K, B); the state has K * B rows.
        """
        y, state = self.decoder.step(self.target_embedding(ids.reshape(-1)), start.state)
        logits, weights = self._read_out(y.reshape(*ids.shape, -1), start.memory)
        return logits, weights, state

    def __call__(self, x: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the logits (T, B, V) of what comes after each of the tokens `ids` (T, B)."""
        start = self.encode(x, lengths)
        y, _ = self.decoder(self.target_embedding(ids), start.state)
        return self._read_out(y, start.memory)[0]

    def log_probabilities(
        self, x: np.ndarray, lengths: np.ndarray, ids: np.ndarray, wanted: np.ndarray, steps: int
    ) -> np.ndarray:
        """Return the log-probability (T, B), float64, of each of the tokens `wanted` after those of `ids`.

        The logits of `steps` steps are there at once; no bits depend on how many.
        """
        start = self.encode(x, lengths)
        y, _ = self.decoder(self.target_embedding(ids), start.state)
        found = np.empty(ids.shape)
        for at in range(0, len(ids), steps):
            part = slice(at, at + steps)
            logits = log_softmax(self._read_out(y[part], start.memory)[0])
            found[part] = np.take_along_axis(logits, wanted[part][..., None], -1)[..., 0]
        return found

    def _read_out(self, y: np.ndarray, memory: Memory | None) -> tuple[np.ndarray, np.ndarray | None]:
        if self.attention is None or memory is None:
            return self.out(y), None
        context, weights = self.attention.look(y, memory)
        combined = functional.tanh(self.combine(np.concatenate([y, context], -1)))
        return self.out(combined), weights

    # ---- training ----

    def forward(
        self, x: np.ndarray, lengths: np.ndarray, ids: np.ndarray, inside: np.ndarray
    ) -> tuple[np.ndarray, _Tape]:
        """Return the logits (N, V) after those tokens of `ids` (T, B) that are `inside`, and the tape."""
        of_source, x = self._embed(self.embedding, x)
        memory, state, encoder = self.encoder.forward(x, lengths=lengths.tolist())
        bridge = None
        if self.bridge is not None:
            state, bridge = self.bridge.forward(state)
        of_target, y = self._embed(self.target_embedding, ids)
        y, _, decoder = self.decoder.forward(y, state, lengths=inside.sum(0).tolist())
        attention = combine = combined = None
        rows = y[inside]
        if self.attention is not None:
            context, _, attention = self.attention.forward(y, memory, lengths)
            rows, combine = self.combine.forward(np.concatenate([rows, context[inside]], -1))
            rows = combined = functional.tanh(rows)
        rows, dropout = self._drop(rows)
        logits, out = self.out.forward(rows)
        before = _Before(of_source, encoder, bridge, of_target, decoder)
        return logits, _Tape(before, attention, combine, combined, dropout, out, inside)

    def backward(self, tape: _Tape, dlogits: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of the parameters; the tape is spent."""
        before, attention, combine, combined, dropout, out, inside = tape
        parts: dict[str, Any] = {}
        drows, parts["out"] = self.out.backward(out, dlogits)
        drows = self._drop_back(dropout, drows)
        dmemory = None
        if self.attention is not None:
            drows, parts["combine"] = self.combine.backward(combine, drows * (1 - combined * combined))
            width = self.attention.query_size
            dcontext = _spread(drows[:, width:], inside)
            dy, dmemory, parts["attention"] = self.attention.backward(attention, dcontext)
            dy += _spread(drows[:, :width], inside)
        else:
            dy = _spread(drows, inside)
        grads = join_grads(**parts, **self._back_before(before, dy, dmemory))
        return {name: grads[name] for name in self.params}

    def _back_before(self, tape: _Before, dy: np.ndarray, dmemory: np.ndarray | None) -> dict[str, Any]:
        """Return the gradients of what stands before attention, from those of both layers' outputs."""
        of_source, encoder, bridge, of_target, decoder = tape
        parts: dict[str, Any] = {}
        dx, dstate, parts["decoder"] = self.decoder.backward(decoder, dy, consume=True)
        parts["target_embedding"] = self._embed_back(self.target_embedding, of_target, dx)
        if self.bridge is not None:
            dstate, parts["bridge"] = self.bridge.backward(bridge, dstate)
        dx, _, parts["encoder"] = self.encoder.backward(encoder, dmemory, dstate, consume=True)
        if self.embedding is not None:
            parts["embedding"] = self._embed_back(self.embedding, of_source, dx)
        return parts

    def _embed(self, embedding: Embedding | None, ids: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return the tape and the vectors, of which training drops elements."""
        if embedding is None:
            return None, ids
        x, tape = embedding.forward(ids)
        x, dropout = self._drop(x)
        return (tape, dropout), x

    def _embed_back(self, embedding: Embedding, tape: Any, dx: np.ndarray) -> dict[str, np.ndarray]:
        return embedding.backward(tape[0], self._drop_back(tape[1], dx))[1]

    def _drop(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return self.dropout.forward(x) if self.dropout.p else (x, None)

    def _drop_back(self, tape: Any, dy: np.ndarray) -> np.ndarray:
        return dy if tape is None else self.dropout.backward(tape, dy)[0]


class Bridge(Module):
    """From the last states of both directions of each layer to the state of one: ``tanh(W (h, h') + b)``.

    Of every state and layer there is a Linear: ``linears.{state * num_layers + layer}``.
    """

    def __init__(self, cell: cells.Cell, hidden_size: int, num_layers: int, **own: Any) -> None:
        self.num_layers = num_layers
        widths = cell.state_shapes(hidden_size).values()
        self.linears = [Linear(2 * width, width, **own) for width in widths for _ in range(num_layers)]

    def __call__(self, state: Any) -> Any:
        """Return the state (L, B, width) of a state (2 L, B, width)."""
        return self.forward(state)[0]

    def forward(self, state: Any) -> tuple[Any, Any]:
        """Return the state and the tape."""
        tapes, states = [], []
        linears = iter(self.linears)
        for array in states_of(state):
            layers = []
            for k in range(self.num_layers):
                both = np.concatenate([array[2 * k], array[2 * k + 1]], -1)
                y, tape = next(linears).forward(both)
                layers.append(functional.tanh(y))
                tapes.append((tape, layers[-1]))
            states.append(np.stack(layers))
        return as_state(state, states), tapes

    def backward(self, tape: Any, dstate: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """Return the gradients of the state of both directions, and of the parameters."""
        grads: dict[str, np.ndarray] = {}
        dstates = []
        places = iter(enumerate(zip(self.linears, tape, strict=True)))
        for darray in states_of(dstate):
            both = []
            for dy in darray:
                i, (linear, (linear_tape, y)) = next(places)
                dx, of_linear = linear.backward(linear_tape, dy * (1 - y * y))
                both += np.split(dx, 2, axis=-1)
                grads |= {f"linears.{i}.{name}": value for name, value in of_linear.items()}
            dstates.append(np.stack(both))
        return as_state(dstate, dstates), grads


def states_of(state: Any) -> tuple[np.ndarray, ...]:
    """The arrays of a state, which is one, or a tuple of them."""
    return state if isinstance(state, tuple) else (state,)


def as_state(like: Any, arrays: list[np.ndarray]) -> Any:
    """The arrays in the form of another state."""
    return tuple(arrays) if isinstance(like, tuple) else arrays[0]


def _spread(rows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Rows (N, W) in their places of (T, B, W), elsewhere zeros."""
    result = np.zeros((*inside.shape, rows.shape[-1]), rows.dtype)
    result[inside] = rows
    return result
