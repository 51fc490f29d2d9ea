"""From what users have, series of vectors, ids, strings, to the arrays that a network reads.

Each kind of input is learned from the training data (`learn`), then reads any data (`read`) into one array a
sequence, (T_i, F) float32 or (T_i,) int64, and is kept in the model's file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from .. import _checks
from .._warn import warn
from ..vocab import Vocabulary
from ._finite import as_float32
from ._windows import Windows
from ._words import composed, words

__all__ = [
    "KINDS",
    "Ids",
    "Inputs",
    "Text",
    "Vectors",
    "array_of",
    "is_frame",
    "learn",
    "listed",
    "missing",
    "moments",
    "refuse_a_table_of_strings",
    "series_of",
    "warn_of_unknown",
]

#: What `inputs` may be; "auto" looks at the first sequence.
KINDS = ("auto", "vectors", "ids", "words", "characters", "tokens")


#: More ids than this, many times as many as steps, are no ids.
_MANY_IDS = 1 << 20


class Inputs(Protocol):
    """What every kind of input has."""

    kind: ClassVar[str]
    embedded: ClassVar[bool]

    @property
    def size(self) -> int:
        """Features of a step, or how many ids there are."""
        ...

    def read(self, who: str, X: Any, argument: str = "X") -> list[np.ndarray]:
        """The sequences, checked."""
        ...

    def meta(self) -> dict[str, Any]:
        """What the file has to tell, besides arrays."""
        ...

    def arrays(self) -> dict[str, np.ndarray]: ...


def listed(who: str, X: Any, argument: str = "X") -> Sequence[Any]:
    """X as a sequence of sequences, at least one."""
    if isinstance(X, (str, bytes)):
        raise TypeError(
            f"{who}: {argument} is a single {type(X).__name__}; expected a list of them: [{argument}]"
        )
    if is_frame(X):
        raise TypeError(
            f"{who}: {argument} is a table; give the column of the sequences, {argument}[{X.columns[0]!r}]; "
            f"or {argument}.to_numpy(), where each row is a sequence"
        )
    if hasattr(X, "to_numpy") and getattr(X, "ndim", 0) == 1:  # a column of pandas, or of polars
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "OTU" and X.ndim not in (2, 3):
            raise ValueError(
                f"{who}: {argument} has shape {X.shape}; expected (n, T, F), (n, T), or a list of arrays"
                + (f"; one sequence is a list of one: [{argument}]" if X.ndim == 1 else "")
            )
    elif not isinstance(X, (list, tuple, Windows)):
        raise TypeError(f"{who}: {argument} is {_checks.kind(X)}; expected a list of sequences, or an array")
    if len(X) == 0:
        raise ValueError(f"{who}: {argument} is empty; expected at least one sequence")
    return X


def is_frame(X: Any) -> bool:
    """Whether X is a table of pandas, or of polars."""
    return hasattr(X, "columns") and hasattr(X, "to_numpy")


def refuse_a_table_of_strings(who: str, X: Any) -> None:
    """Say which column to give where X is a table, or an array (n, k), of strings."""
    array = X.to_numpy() if is_frame(X) else X
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "OTU":
        return
    if any(isinstance(value, str) for value in array[:1].ravel()):
        column = f"X[{X.columns[0]!r}]" if is_frame(X) else "X[:, 0]"
        raise ValueError(
            f"{who}: X is a table of {_checks.plural(array.shape[1], 'column')}, with strings; give the "
            f"column of the texts, {column}; or inputs='tokens', where each row is one sequence of tokens"
        )


def missing(x: Any) -> bool:
    """Whether a table has nothing where x stands: None, NaN, and pandas's NA."""
    return x is None or type(x).__name__ in ("NAType", "NaTType") or (isinstance(x, float) and x != x)


def learn(
    who: str,
    X: Any,
    inputs: str,
    *,
    standardize: bool,
    lowercase: bool,
    min_count: int,
    kept: Sequence[int] | np.ndarray,
) -> tuple[Inputs, list[np.ndarray]]:
    """Return the kind of input that X is, and all of X as it reads it.

    Mean and deviation of vectors, and the vocabulary of texts, are those of the sequences `kept`; how many
    ids there are is found in all.
    """
    X = listed(who, X)
    if inputs not in KINDS:
        raise ValueError(f"{who}: inputs is {inputs!r}; expected one of {', '.join(KINDS)}")
    if inputs == "auto":
        refuse_a_table_of_strings(who, X)
        kind = _kind_of(who, next((x for x in X if not missing(x)), X[0]))
    else:
        kind = inputs
    if kind == "vectors":
        return Vectors.learn(who, X, standardize, kept)
    if kind == "ids":
        return Ids.learn(who, X)
    return Text.learn(who, X, kind, lowercase, min_count, kept)


def _kind_of(who: str, first: Any) -> str:
    if isinstance(first, str):
        return "words"
    if isinstance(first, (list, tuple)) and first and isinstance(first[0], str):
        return "tokens"
    array = array_of(who, "X[0]", first)
    if array.dtype.kind in "iu" and array.ndim == 2:
        raise TypeError(
            f"{who}: X[0] is {array.dtype} of shape {array.shape}; ids have one axis, and vectors are "
            "floats: X.astype(np.float32), or inputs='vectors'"
        )
    return "ids" if array.dtype.kind in "iu" else "vectors"


@dataclass(frozen=True)
class Vectors:
    """Series of vectors of real numbers, standardised where asked for."""

    kind: ClassVar[str] = "vectors"
    embedded: ClassVar[bool] = False
    mean: np.ndarray  # (F,) float64
    scale: np.ndarray  # (F,) float64

    @property
    def size(self) -> int:
        return len(self.mean)

    @classmethod
    def learn(
        cls, who: str, X: Sequence[Any], standardize: bool, kept: Sequence[int] | np.ndarray
    ) -> tuple[Vectors, list[np.ndarray]]:
        series = _series(who, "X", X)
        mean, scale = np.zeros(series[0].shape[1]), np.ones(series[0].shape[1])
        itself = cls(mean, scale)
        itself._check_features(who, "X", series)
        if standardize:
            if isinstance(X, Windows):
                rows, counts = np.concatenate(series), X.counts(np.asarray(kept))
                rows, weights = rows[counts > 0], counts[counts > 0]
            else:
                rows, weights = np.concatenate([series[i] for i in kept]), None
            itself = cls(*moments(who, "X", rows, weights))
        return itself, itself._cut(who, "X", X, series)

    def read(self, who: str, X: Any, argument: str = "X") -> list[np.ndarray]:
        X = listed(who, X, argument)
        series = _series(who, argument, X)
        self._check_features(who, argument, series)
        return self._cut(who, argument, X, series)

    def _check_features(self, who: str, argument: str, series: Sequence[np.ndarray]) -> None:
        for i, x in enumerate(series):
            if x.shape[1] != self.size:
                raise ValueError(
                    f"{who}: {argument}[{i}] has {x.shape[1]} features (shape {x.shape}); expected "
                    f"{self.size}, as the first sequence that the model was fitted to"
                )

    def _cut(
        self, who: str, argument: str, X: Sequence[Any], series: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """The sequences X of series: these, or windows of them."""
        scaled = [
            as_float32(who, f"{argument}[{i}]", (x - self.mean) / self.scale) for i, x in enumerate(series)
        ]
        return X.of(scaled) if isinstance(X, Windows) else scaled

    def meta(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "scale": self.scale}


@dataclass(frozen=True)
class Ids:
    """Sequences of token ids, 0 <= id < size."""

    kind: ClassVar[str] = "ids"
    embedded: ClassVar[bool] = True
    size: int

    @classmethod
    def learn(cls, who: str, X: Sequence[Any]) -> tuple[Ids, list[np.ndarray]]:
        ids = [_ids(who, f"X[{i}]", x) for i, x in enumerate(X)]
        size, steps = 1 + max(int(x.max()) for x in ids), sum(map(len, ids))
        if size > max(_MANY_IDS, 16 * steps):
            raise ValueError(
                f"{who}: X has the id {size - 1} in {steps} steps; every id up to the greatest has a vector "
                "of its own. If the integers are quantities, give inputs='vectors'; if they are ids, number "
                "them from 0"
            )
        return cls(size), ids

    def read(self, who: str, X: Any, argument: str = "X") -> list[np.ndarray]:
        ids = [_ids(who, f"{argument}[{i}]", x) for i, x in enumerate(listed(who, X, argument))]
        for i, x in enumerate(ids):
            if x.max() >= self.size:
                raise ValueError(
                    f"{who}: {argument}[{i}] has the id {x.max()}; the model was fitted to ids less "
                    f"than {self.size}"
                )
        return ids

    def meta(self) -> dict[str, Any]:
        return {"kind": self.kind, "size": self.size}

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


@dataclass(frozen=True)
class Text:
    """Strings, split into words or characters, or lists of strings, the tokens.

    Strings are brought to Unicode's composed form (NFC) first, so that the two ways in which accents are
    written are one.
    """

    kind: ClassVar[str] = "text"
    embedded: ClassVar[bool] = True
    split: str  # words, characters, tokens
    lowercase: bool
    vocab: Vocabulary

    @property
    def size(self) -> int:
        return len(self.vocab)

    @classmethod
    def learn(
        cls,
        who: str,
        X: Sequence[Any],
        split: str,
        lowercase: bool,
        min_count: int,
        kept: Sequence[int] | np.ndarray,
        *,
        argument: str = "X",
        specials: Sequence[str] = (),
    ) -> tuple[Text, list[np.ndarray]]:
        itself = cls(split, lowercase, Vocabulary([], specials))
        tokens = itself.tokens(who, X, argument)
        vocab = Vocabulary.of((token for i in kept for token in tokens[i]), min_count, specials)
        if len(vocab) == 1 + len(specials):
            raise ValueError(
                f"{who}: none of the {split} of {argument} occurs min_count={min_count} times; give more "
                "data or a smaller min_count"
            )
        return cls(split, lowercase, vocab), [vocab.encode(row) for row in tokens]

    def read(self, who: str, X: Any, argument: str = "X") -> list[np.ndarray]:
        return [self.vocab.encode(row) for row in self.tokens(who, listed(who, X, argument), argument)]

    def tokens(self, who: str, X: Iterable[Any], argument: str) -> list[list[str]]:
        """The tokens of each string, known and unknown."""
        rows = []
        for i, x in enumerate(X):
            rows.append(self._row(who, f"{argument}[{i}]", x))
            if not rows[-1]:
                raise ValueError(f"{who}: {argument}[{i}] has no {self.split}: {x!r}; leave it out")
        return rows

    def _row(self, who: str, argument: str, x: Any) -> list[str]:
        if self.split == "tokens":
            tokens = x.tolist() if hasattr(x, "tolist") else x
            if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
                raise TypeError(f"{who}: {argument} is {x!r:.60}; expected a list of strings, the tokens")
            if "" in tokens:
                raise ValueError(
                    f"{who}: {argument} has an empty token at step {tokens.index('')}; leave it out"
                )
            return [composed(token) for token in tokens]
        if missing(x):
            raise ValueError(f"{who}: {argument} is missing ({x}): fill it or leave it out")
        if not isinstance(x, str):
            column = "; of a table give the column of the texts, X[:, 0]" * isinstance(x, np.ndarray)
            raise TypeError(f"{who}: {argument} is {_checks.kind(x)}; expected a str{column}")
        text = composed(x.lower() if self.lowercase else x)
        return words(text) if self.split == "words" else list(text)

    def meta(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "split": self.split,
            "lowercase": self.lowercase,
            "vocab": list(self.vocab.tokens[1 + len(self.vocab.specials) :]),
            "specials": list(self.vocab.specials),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


def warn_of_unknown(who: str, reader: Inputs, sequences: Sequence[np.ndarray]) -> None:
    """Warn of texts of which no token is known, as of another language."""
    if not isinstance(reader, Text):
        return
    unknown = [i for i, ids in enumerate(sequences) if not (ids != reader.vocab.unknown_id).any()]
    if unknown:
        places = ", ".join(_checks.first_few(unknown, lambda i: f"X[{i}]"))
        warn(
            f"{who}: the model knows no {reader.split} of {places}; it knows those that occurred min_count "
            "times in what it was fitted to"
        )


def from_file(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Inputs:
    """The inputs that `meta` and `arrays` told of."""
    kind = meta["kind"]
    if kind == "vectors":
        mean, scale = (np.asarray(arrays[name], np.float64) for name in ("mean", "scale"))
        if mean.ndim != 1 or mean.shape != scale.shape:
            raise ValueError(f"mean and scale have shapes {mean.shape} and {scale.shape}")
        return Vectors(mean, scale)
    if kind == "ids":
        return Ids(_checks.size("Ids", "size", meta["size"]))
    if kind == "text" and meta["split"] in KINDS[3:]:
        return Text(
            meta["split"], bool(meta["lowercase"]), Vocabulary(meta["vocab"], meta.get("specials", ()))
        )
    raise ValueError(f"unknown kind of inputs {meta!r:.80}")


def moments(
    who: str, argument: str, rows: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column; 1 for a deviation that is nothing, or rounding.

    `weights`: how often each row counts, once if not given.

    Raises
    ------
    ValueError
        The numbers are so large that they overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(rows, 0, weights)
        scale = np.sqrt(np.average(np.square(rows - mean), 0, weights))
    greatest = np.abs(rows).max(0)
    if not (np.isfinite(mean) & np.isfinite(scale)).all():
        raise ValueError(
            f"{who}: {argument} has numbers of up to {greatest.max():g}, whose deviation overflows; scale "
            "them down"
        )
    rounding = 10 * np.finfo(np.float64).eps * greatest * len(rows) ** 0.5
    constant = (rows.max(0) == rows.min(0)) | (scale <= rounding)
    return mean, np.where(constant, 1.0, scale)


def array_of(who: str, argument: str, x: Any) -> np.ndarray:
    """What came as an array, none of it masked."""
    if np.ma.is_masked(x):
        raise ValueError(
            f"{who}: {argument} is a masked array of which {np.ma.count_masked(x)} are masked; fill them, or "
            "leave them out"
        )
    try:
        return np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{who}: {argument} is not readable as an array: {error}") from error


def _not_empty(who: str, argument: str, x: np.ndarray) -> None:
    if len(x) == 0:
        raise ValueError(f"{who}: {argument} is empty (shape {x.shape}); leave it out")


def _series(who: str, argument: str, X: Sequence[Any]) -> Sequence[np.ndarray]:
    """The series of X, checked; those of windows are."""
    if isinstance(X, Windows):
        return X.series
    return [series_of(who, f"{argument}[{i}]", x) for i, x in enumerate(X)]


def series_of(who: str, argument: str, x: Any) -> np.ndarray:
    """A series as (T, F) float64, finite."""
    x = array_of(who, argument, x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"{who}: {argument} is {x.dtype}; expected real numbers, (T, F) or (T,)")
    if x.ndim not in (1, 2) or x.shape[1:] == (0,):
        raise ValueError(f"{who}: {argument} has shape {x.shape}; expected (T, F), or (T,) for one feature")
    _not_empty(who, argument, x)
    x = (x[:, None] if x.ndim == 1 else x).astype(np.float64)
    finite = np.isfinite(x).all(1)
    if not finite.all():
        step = int(np.argmin(finite))
        raise ValueError(
            f"{who}: {argument} has {x[step][~np.isfinite(x[step])][0]} at step {step}; fill the gap, or "
            "leave the sequence out"
        )
    return x


def _ids(who: str, argument: str, x: Any) -> np.ndarray:
    x = array_of(who, argument, x)
    _not_empty(who, argument, np.atleast_1d(x))
    if x.ndim != 1 or x.dtype.kind not in "iu":
        raise TypeError(f"{who}: {argument} is {x.dtype} of shape {x.shape}; expected ids, (T,) of integers")
    if x.min() < 0 or x.max() > np.iinfo(np.int64).max:
        wrong = x.min() if x.min() < 0 else x.max()
        raise ValueError(f"{who}: {argument} has the id {wrong}; expected ids of at least 0, less than 2**63")
    return x.astype(np.int64)
