"""Attention: for each query a mean of the steps of a memory, by weights that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .. import _checks, functional
from . import init
from .basic import Linear
from .module import Module, Tape

__all__ = ["AdditiveAttention", "Attention", "DotAttention", "Memory"]


Rows = list[np.ndarray]  # an array of each row of a batch


@dataclass(frozen=True, slots=True)
class Memory:
    """What queries look at: `Attention.read` makes it of a memory, once for any number of queries.

    `rows` leaves some out, puts them in another order, or repeats them, without a copy.
    """

    attention: Attention  # that read it
    keys: Rows  # of each row (S_b, width of the scores)
    values: Rows  # of each row (M, S_b)
    steps: int  # S

    def rows(self, places: Sequence[int] | np.ndarray) -> Memory:
        """Return the memory of these rows."""
        keys, values = [self.keys[i] for i in places], [self.values[i] for i in places]
        return Memory(self.attention, keys, values, self.steps)


class Attention(Module):
    r"""Base of the kinds of attention; a subclass says what a score is.

    .. math::

        a_{ts} = \frac{e^{score(q_t, m_s)}}{\sum_{s'} e^{score(q_t, m_{s'})}}, \quad c_t = \sum_s a_{ts} m_s

    over the steps s of a row that are inside its length; the weights of the others are 0. A row of length 0
    has weights and context 0.

    Queries are (T, B, query_size), the memory (S, B, memory_size), `lengths` (B,) those of the memory; the
    contexts are (T, B, memory_size), the weights (T, B, S). The bits of a row do not depend on the other
    rows, nor on the padding, nor on how many queries there are.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        name = type(self).__name__
        self.query_size = _checks.size(name, "query_size", query_size)
        self.memory_size = _checks.size(name, "memory_size", memory_size)
        self.query: Linear | None = None  # what is done to queries before they are scored
        self.key: Linear | None = None  # and to the memory

    # ---- what a subclass says ----

    def _scores(self, q: np.ndarray, keys: Rows) -> Rows:
        """Return of each row the scores (T, S_b) of its queries, of (B, T, W), and its keys (S_b, W)."""
        raise NotImplementedError

    def _scores_back(
        self, q: np.ndarray, keys: Rows, dscores: Rows, grads: dict[str, np.ndarray]
    ) -> tuple[Rows, Rows]:
        """Return dq and dk of each row, and add to `grads` of the parameters that are the class's own."""
        raise NotImplementedError

    # ---- running ----

    def __call__(
        self, queries: np.ndarray, memory: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the contexts (T, B, memory_size) and the weights (T, B, S).

        Raises
        ------
        ValueError
            Shapes that do not match, lengths outside 0 to S.
        TypeError
            Queries or memory that are not real floating-point, lengths that are not integers.
        """
        return self.look(queries, self.read(memory, lengths))

    def read(self, memory: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> Memory:
        """Return the memory (S, B, memory_size) as `look` takes it, for any number of calls."""
        memory = self._checked("memory", memory, "S", self.memory_size)
        return self._read(memory, self._key(memory)[0], lengths)

    def look(self, queries: np.ndarray, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """Return the contexts and the weights of queries (T, B, query_size), of a memory from `read`."""
        queries = self._queries(queries, memory)
        q = queries if self.query is None else self.query(queries)
        context, weights = self._look(_by_row(q), memory)
        return _by_row(context), _by_row(weights)

    def forward(
        self, queries: np.ndarray, memory: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, Tape]:
        """Return the contexts, the weights and the tape."""
        memory = self._checked("memory", memory, "S", self.memory_size)
        keys, key_tape = self._key(memory)
        read = self._read(memory, keys, lengths)
        q, query_tape = self._queries(queries, read), None
        if self.query is not None:
            q, query_tape = self.query.forward(q)
        q = _by_row(q)
        context, weights = self._look(q, read)
        tape = Tape(self, self.version, (query_tape, key_tape, q, read, weights))
        return _by_row(context), _by_row(weights), tape

    def backward(
        self, tape: Tape, dcontext: np.ndarray, dweights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return the gradients of the queries, of the memory, and of the parameters.

        Parameters
        ----------
        tape : Tape
        dcontext : array, (T, B, memory_size)
        dweights : array, (T, B, S), optional
            For a loss of the weights themselves; zero if not given.
        """
        self.check_tape(tape)
        query_tape, key_tape, q, read, weights = tape.saved
        who = f"{type(self).__name__}.backward"
        dtype, (batch, queries, steps) = q.dtype, weights.shape
        dcontext = _gradient(who, "dcontext", dcontext, (queries, batch, self.memory_size), dtype)
        given = None
        if dweights is not None:
            given = _by_row(_gradient(who, "dweights", dweights, (queries, batch, steps), dtype))
        dq = np.empty_like(q)
        dkeys = np.zeros((batch, steps, q.shape[-1]), dtype)
        dmemory = np.zeros((batch, steps, self.memory_size), dtype)
        grads = {name: np.zeros_like(value) for name, value in self._own.items()}
        each = functional.linear_backward_each(
            [weights[b, :, : len(k)] for b, k in enumerate(read.keys)], read.values, list(_by_row(dcontext))
        )
        dinside = np.zeros((batch, queries, steps), dtype)
        for b, (k, (da, dv)) in enumerate(zip(read.keys, each, strict=True)):
            dinside[b, :, : len(k)] = da
            dmemory[b, : len(k)] = dv.T
        if given is not None:
            dinside += given
        dscores = weights * (dinside - _sum_in_order(weights * dinside).astype(dtype))
        rows = [dscores[b, :, : len(k)] for b, k in enumerate(read.keys)]
        for b, (dq_b, dk) in enumerate(zip(*self._scores_back(q, read.keys, rows, grads), strict=True)):
            dq[b], dkeys[b, : len(dk)] = dq_b, dk
        dqueries, dmemory, dkeys = _by_row(dq), _by_row(dmemory), _by_row(dkeys)
        if self.query is not None:
            dqueries, of_query = self.query.backward(query_tape, dqueries)
            grads |= {f"query.{name}": value for name, value in of_query.items()}
        if self.key is not None:
            dkeys, of_key = self.key.backward(key_tape, dkeys)
            grads |= {f"key.{name}": value for name, value in of_key.items()}
        return dqueries, dmemory + dkeys, {name: grads[name] for name in self.params}

    # ---- inside ----

    def _key(self, memory: np.ndarray) -> tuple[np.ndarray, Tape | None]:
        return (memory, None) if self.key is None else self.key.forward(memory)

    def _read(self, memory: np.ndarray, keys: np.ndarray, lengths: Any) -> Memory:
        steps, batch, _ = memory.shape
        if lengths is None:
            lengths = [steps] * batch
        places = list(enumerate(_checks.row_lengths(type(self).__name__, lengths, steps, batch)))
        return Memory(
            self,
            [np.ascontiguousarray(keys[:n, b]) for b, n in places],
            [np.ascontiguousarray(memory[:n, b].T) for b, n in places],
            steps,
        )

    def _look(self, q: np.ndarray, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """Return contexts (B, T, M) and weights (B, T, S) of queries (B, T, W).

        Row by row, without the padding: so neither products nor sums know of it.
        """
        batch, queries, _ = q.shape
        scores = np.full((batch, queries, memory.steps), -np.inf, q.dtype)
        for b, row in enumerate(self._scores(q, memory.keys)):
            scores[b, :, : row.shape[1]] = row
        weights = _softmax(scores)
        inside = [weights[b, :, : v.shape[1]] for b, v in enumerate(memory.values)]
        context = np.empty((batch, queries, self.memory_size), q.dtype)
        for b, row in enumerate(functional.linear_each(inside, memory.values)):
            context[b] = row
        return context, weights

    def _queries(self, queries: np.ndarray, memory: Memory) -> np.ndarray:
        name = type(self).__name__
        if not isinstance(memory, Memory) or memory.attention is not self:
            came = "one of another attention" if isinstance(memory, Memory) else f"{_checks.kind(memory)}"
            raise TypeError(f"{name}: memory is {came}; expected what `read` of this one returned")
        queries = self._checked("queries", queries, "T", self.query_size)
        if memory.keys:
            queries = queries.astype(memory.keys[0].dtype, copy=False)
        if queries.shape[1] != len(memory.keys):
            raise ValueError(
                f"{name}: queries have {queries.shape[1]} rows (shape {queries.shape}), and "
                f"the memory has {len(memory.keys)}"
            )
        return queries

    def _checked(self, argument: str, value: Any, axis: str, size: int) -> np.ndarray:
        name = type(self).__name__
        params = self.params
        if params:
            value = _checks.real(name, argument, value, next(iter(params.values())).dtype)
        else:
            value = _checks.elementwise_argument(name, value, argument)
        if value.ndim != 3 or value.shape[2] != size:
            raise ValueError(f"{name}: {argument} has shape {value.shape}; expected ({axis}, B, {size})")
        return value


class DotAttention(Attention):
    r"""Products of query and memory, :math:`score(q, m) = q \cdot m`; with `general` :math:`q^T W m`.

    Parameters
    ----------
    query_size, memory_size : int
        Features of a query and of a step of the memory; the same, without `general`.
    general : bool
        Whether there is a matrix between the two.
    dtype : float32 or float64
        Of the matrix; inputs are cast to it. Without one, a float32 memory stays that, all else is float64,
        and queries are cast to the memory's dtype.
    rng : numpy.random.Generator, int or None
        Draws the matrix, as that of `Linear`.

    Notes
    -----
    The parameter is ``key.weight`` (query_size, memory_size), W. See `Attention` for the rest.

    References
    ----------
    Luong, Pham and Manning, "Effective approaches to attention-based neural machine translation", 2015: "dot"
    and "general".

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> rng = np.random.default_rng(0)
    >>> queries, memory = rng.standard_normal((2, 3, 4)), rng.standard_normal((5, 3, 4))
    >>> context, weights = nn.DotAttention(4, 4)(queries, memory, lengths=[5, 2, 1])
    >>> context.shape, weights.shape, weights[0, 2].tolist()
    ((2, 3, 4), (2, 3, 5), [1.0, 0.0, 0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        general: bool = False,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(query_size, memory_size)
        self.general = _checks.flag("DotAttention", "general", general)
        if general:
            rng = init.generator("DotAttention", rng)
            self.key = Linear(memory_size, query_size, bias=False, dtype=dtype, rng=rng)
        elif query_size != memory_size:
            raise ValueError(
                f"DotAttention: query_size is {query_size} and memory_size {memory_size}; products need the "
                "same, or general=True, a matrix between them"
            )

    def _scores(self, q: np.ndarray, keys: Rows) -> Rows:
        return functional.linear_each(list(q), keys)

    def _scores_back(
        self, q: np.ndarray, keys: Rows, dscores: Rows, grads: dict[str, np.ndarray]
    ) -> tuple[Rows, Rows]:
        each = functional.linear_backward_each(list(q), keys, dscores)
        return [dq for dq, _ in each], [dk for _, dk in each]

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, general={self.general}"


class AdditiveAttention(Attention):
    r"""A small network of query and memory, :math:`score(q, m) = v \cdot \tanh(W q + b + U m)`.

    Parameters
    ----------
    query_size, memory_size : int
        Features of a query and of a step of the memory.
    attention_size : int, optional
        Units of the network; `query_size` if not given.
    dtype : float32 or float64
        Of the parameters; inputs are cast to it.
    rng : numpy.random.Generator, int or None
        Draws the initial values of v, W, b and U, as those of `Linear`.

    Notes
    -----
    Parameters are ``v`` (attention_size,), ``query.weight`` (attention_size, query_size), ``query.bias`` and
    ``key.weight`` (attention_size, memory_size). Memory of T * S * attention_size numbers is taken for one
    row at a time. See `Attention` for the rest.

    References
    ----------
    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> attention = nn.AdditiveAttention(4, 6, attention_size=8, rng=0)
    >>> queries, memory = np.ones((2, 3, 4), np.float32), np.ones((5, 3, 6), np.float32)
    >>> context, weights, tape = attention.forward(queries, memory, lengths=[5, 2, 1])
    >>> dqueries, dmemory, grads = attention.backward(tape, np.ones_like(context))
    >>> dqueries.shape, dmemory.shape, sorted(grads)
    ((2, 3, 4), (5, 3, 6), ['key.weight', 'query.bias', 'query.weight', 'v'])
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(query_size, memory_size)
        size = query_size if attention_size is None else attention_size
        self.attention_size = size = _checks.size("AdditiveAttention", "attention_size", size)
        dtype, rng = init.parameter_dtype(dtype), init.generator("AdditiveAttention", rng)
        self.add_parameter("v", init.uniform(rng, (size,), 1 / sqrt(size), dtype))
        self.query = Linear(query_size, size, dtype=dtype, rng=rng)
        self.key = Linear(memory_size, size, bias=False, dtype=dtype, rng=rng)

    def _hidden(self, q: np.ndarray, k: np.ndarray) -> np.ndarray:
        return functional.tanh(q[:, None] + k)

    def _scores(self, q: np.ndarray, keys: Rows) -> Rows:
        v = self._own["v"][None]
        return [functional.linear(self._hidden(*row), v)[..., 0] for row in zip(q, keys, strict=True)]

    def _scores_back(
        self, q: np.ndarray, keys: Rows, dscores: Rows, grads: dict[str, np.ndarray]
    ) -> tuple[Rows, Rows]:
        dq, dk = [], []
        for row, dscore in zip(zip(q, keys, strict=True), dscores, strict=True):
            hidden = self._hidden(*row)  # again: it is large, and cheap
            dhidden, dv, _ = functional.linear_backward(hidden, self._own["v"][None], dscore[..., None])
            grads["v"] += dv[0]
            dsum = dhidden * (1 - hidden * hidden)
            dq.append(_sum_of_first(dsum.transpose(1, 0, 2)))
            dk.append(_sum_of_first(dsum))
        return dq, dk

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, attention_size={self.attention_size}"


def _by_row(x: np.ndarray) -> np.ndarray:
    """(T, B, W) as (B, T, W), and back."""
    return np.ascontiguousarray(x.transpose(1, 0, 2))


def _sum_in_order(x: np.ndarray) -> np.ndarray:
    """Sums of the last axis, kept, in float64, one after the other: zeros at the end change no bit."""
    if not x.shape[-1]:
        return np.zeros((*x.shape[:-1], 1))
    return np.add.accumulate(x, axis=-1, dtype=np.float64)[..., -1:]


def _sum_of_first(x: np.ndarray) -> np.ndarray:
    """The sum over the first axis, in order."""
    total = np.zeros(x.shape[1:], x.dtype)
    for each in x:
        total += each
    return total


def _softmax(scores: np.ndarray) -> np.ndarray:
    """The softmax over the last axis, whose sums do not depend on how many -inf end it; of -inf alone 0."""
    most = scores.max(-1, keepdims=True, initial=-np.inf)
    exponentials = functional.exp(scores - np.where(most == -np.inf, scores.dtype.type(0), most))
    sums = _sum_in_order(exponentials)
    return exponentials / np.where(sums == 0, 1.0, sums).astype(scores.dtype)


def _gradient(who: str, argument: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    value = _checks.real(who, argument, value, dtype)
    if value.shape != shape:
        raise ValueError(f"{who}: {argument} has shape {value.shape}; the output was {shape}")
    return value
