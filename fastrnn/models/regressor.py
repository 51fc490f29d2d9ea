"""Numbers of a sequence, and forecasts of a series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from .. import _checks, cells
from ..losses import mse
from ._finite import as_float32
from ._inputs import array_of, listed, moments, series_of
from ._sequences import Options, SequenceModel
from ._windows import Windows

__all__ = ["SequenceRegressor"]


class SequenceRegressor(SequenceModel):
    r"""Numbers for each sequence, or the next steps of a series.

    The options not named here are those of all models: see `SequenceModel`, for what X may be too. Squared
    error of standardised targets.

    *Numbers for each sequence*: y is (n,), or (n, ...) for several numbers each; `predict` returns the same.

    *Forecasts*, with ``horizon=k``: there is no y, ``fit(X)``. X is a list of series of one length or many,
    vectors or one feature a step; every window of `window` steps is a sequence, and the k steps after it are
    its targets. ``predict(X)`` returns the k steps after each series, (n, k) for one feature, (n, k, F) for
    more. With ``validation=0.2`` the windows that come last in the series are held out. ``score(X)`` looks at
    all windows of X.

    `score` is :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`, the mean over the numbers: 1 is
    right, 0 as good as always the mean.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Any cell, with any options, or the name of one without, such as "LSTM"; ``cells.GRU()`` if not given.
    pool : {"last", "mean", "max"}
        What of a sequence counts, as in `SequenceClassifier`.
    horizon : int, optional
        How many steps to forecast.
    window : int
        How many steps a forecast looks back at; for `horizon` only.
    **options
        As `SequenceModel`.

    Attributes
    ----------
    network_, history_
        As `SequenceModel`.
    columns_ : list of str or None
        How the features of the series are called, where they were given names since `fit`; in the file too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import SequenceRegressor
    >>> series = np.sin(np.arange(300) / 5)
    >>> model = SequenceRegressor(horizon=10, window=30).fit([series[:250]])
    >>> forecast = model.predict([series[:250]])
    >>> forecast.shape, bool(np.abs(forecast[0] - series[250:260]).max() < 0.1)
    ((1, 10), True)
    """

    _criterion = staticmethod(mse)
    _settings: ClassVar[tuple[str, ...]] = (*SequenceModel._settings, "pool", "horizon", "window")
    _shape: tuple[int, ...]  # of the targets of a sequence
    _mean: np.ndarray  # float64, one for each number of the targets
    _scale: np.ndarray
    _columns: list[str] | None = None

    def __init__(
        self,
        cell: cells.Cell | str | None = None,
        *,
        pool: str = "last",
        horizon: int | None = None,
        window: int = 32,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(cell, **options)
        self.pool = pool
        self.horizon = horizon
        self.window = window

    @property
    def columns_(self) -> list[str] | None:
        """How the features of the series are called; None until it is set."""
        return self._fitted()._columns

    @columns_.setter
    def columns_(self, names: Sequence[str] | None) -> None:
        model = self._fitted()
        model._columns = None if names is None else model._checked_columns(names)

    def predict(self, X: Any) -> np.ndarray:
        """Return the numbers of each sequence, (n, ...) as y was, or the steps after each series.

        With `horizon`, a series has at least `window` steps, of which the last are read.
        """
        model = self._fitted()
        if model.horizon is not None:
            who = self._who("predict")
            series = [series_of(who, f"X[{i}]", x) for i, x in enumerate(listed(who, X))]
            for i, x in enumerate(series):
                if len(x) < model.window:
                    raise ValueError(
                        f"{who}: X[{i}] has {_checks.plural(len(x), 'step')}; the model was fitted to "
                        f"windows of {model.window}: give at least as many"
                    )
            X = [x[-model.window :] for x in series]
        outputs = np.stack(self._answer("predict", X)).astype(np.float64)
        return (outputs * model._scale + model._mean).reshape(len(outputs), *model._shape)

    def _check_settings(self, who: str) -> None:
        super()._check_settings(who)
        self.window = _checks.size(who, "window", self.window)
        if self.horizon is not None:
            self.horizon = _checks.size(who, "horizon", self.horizon)
            if self.inputs not in ("auto", "vectors"):
                raise ValueError(f"{who}: inputs is {self.inputs!r}; horizon forecasts vectors")

    # ---- forecasts ----

    def _pairs(self, who: str, X: Any, y: Any, argument: str = "") -> tuple[Any, Any]:
        if self.horizon is None:
            return super()._pairs(who, X, y, argument)
        if y is not None:
            raise TypeError(f"{who}: {argument}y is given; with horizon the targets are the next steps of X")
        return self._windows(who, X, f"{argument}X")

    def _windows(self, who: str, X: Any, argument: str) -> tuple[Windows, np.ndarray]:
        """Every window of the series, those that end earlier in theirs first, and what comes after each."""
        assert self.horizon is not None
        series = [series_of(who, f"{argument}[{i}]", x) for i, x in enumerate(listed(who, X, argument))]
        whole = self.window + self.horizon
        for i, x in enumerate(series):
            if len(x) < whole or x.shape[1] != series[0].shape[1]:
                raise ValueError(
                    f"{who}: {argument}[{i}] has shape {x.shape}; expected at least window + horizon = "
                    f"{whole} steps of {series[0].shape[1]} features"
                )
        places = self._places([len(x) for x in series])
        after = np.stack(Windows(series, places + [0, self.window], self.horizon)[:])
        return Windows(series, places, self.window), after[..., 0] if after.shape[2] == 1 else after

    def _places(self, lengths: Sequence[int]) -> np.ndarray:
        """Of every window its series and its start (n, 2), those that end earlier in theirs first."""
        assert self.horizon is not None
        counts = np.array(lengths) - self.window - self.horizon + 1
        which = np.repeat(np.arange(len(counts)), counts)
        starts = np.concatenate([np.arange(count) for count in counts])
        order = np.lexsort((starts, which, (starts + 1) / counts[which]))
        return np.stack([which, starts], 1)[order]

    def _other_data(self, who: str, validation: Sequence[Any]) -> tuple[Any, Any]:
        if self.horizon is not None and len(validation) == 1:
            return validation[0], None
        return super()._other_data(who, validation)

    def _held_out(self, who: str, X: Any, n: int, part: float) -> tuple[np.ndarray, np.ndarray]:
        if self.horizon is None:
            return super()._held_out(who, X, n, part)
        count = min(max(1, round(part * n)), n - 1)
        places = self._places([len(x) for x in X]).tolist()
        first: dict[int, int] = {}  # held-out window of each series
        for i, start in places[n - count :]:
            first[i] = min(start, first.get(i, start))
        # A window whose targets are among those held out is neither trained on nor held out.
        kept = [
            k
            for k, (i, start) in enumerate(places[: n - count])
            if i not in first or start + self.horizon <= first[i]
        ]
        if not kept:
            raise ValueError(
                f"{who}: validation is {part} of {n} windows; none is left whose targets, horizon="
                f"{self.horizon} steps, are not held out too; give longer series or a smaller part"
            )
        return np.array(kept), np.arange(n - count, n)

    # ---- targets ----

    @property
    def _outputs(self) -> int:
        return math.prod(self._shape)

    def _learn_targets(self, who: str, y: Any, lengths: Sequence[int], kept: np.ndarray) -> list[np.ndarray]:
        rows = _numbers(who, y, "y")
        self._shape, self._columns = rows.shape[1:], None
        flat = rows.reshape(len(rows), -1)
        self._mean, self._scale = moments(who, "y", flat[kept])
        return list(self._scaled(who, "y", flat))

    def _read_targets(
        self, who: str, y: Any, lengths: Sequence[int], argument: str = "y"
    ) -> list[np.ndarray]:
        rows = _numbers(who, y, argument)
        if rows.shape[1:] != self._shape:
            raise ValueError(
                f"{who}: {argument} has shape {rows.shape}; the model was fitted to (n, *{self._shape})"
            )
        return list(self._scaled(who, argument, rows.reshape(len(rows), -1)))

    def _scaled(self, who: str, argument: str, rows: np.ndarray) -> np.ndarray:
        return as_float32(who, argument, (rows - self._mean) / self._scale)

    def _metric(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        wanted = targets.astype(np.float64)
        missed = np.square(outputs - wanted).sum(0)
        spread = np.square(wanted - wanted.mean(0)).sum(0)
        return float((1 - missed / np.where(spread > 0, spread, 1.0)).mean())

    # ---- files ----

    def _meta(self) -> dict[str, Any]:
        return {"shape": list(self._shape), "columns": self._columns}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self._mean, "scale": self._scale}

    def _from_meta(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._shape = tuple(_checks.size("SequenceRegressor", "shape", n) for n in meta["shape"])
        self._mean, self._scale = arrays["mean"], arrays["scale"]
        if meta.get("columns") is not None:  # files were written without before there were such
            self._columns = self._checked_columns(meta["columns"])
        if not self._mean.shape == self._scale.shape == (self._outputs,):
            raise ValueError(f"mean has shape {self._mean.shape}, the targets have shape {self._shape}")

    def _checked_columns(self, names: Sequence[str]) -> list[str]:
        found, size = list(names), self._reader.size
        if len(found) != size or not all(isinstance(name, str) for name in found):
            raise ValueError(
                f"SequenceRegressor: columns_ is {names!r:.80}; expected {_checks.plural(size, 'name')}, one "
                "for each feature"
            )
        return found


def _numbers(who: str, y: Any, argument: str) -> np.ndarray:
    """Targets as float64, finite, (n, ...)."""
    rows = array_of(who, argument, y)
    if rows.dtype.kind not in "fiu" or 0 in rows.shape:
        raise TypeError(
            f"{who}: {argument} is {rows.dtype} of shape {rows.shape}; expected real numbers, (n,) or "
            "(n, ...)"
        )
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        place = np.argwhere(~np.isfinite(rows))[0].tolist()
        raise ValueError(f"{who}: {argument}[{place[0]}] has {rows[tuple(place)]}; leave the sequence out")
    return rows
