"""fastrnn's models as estimators of scikit-learn, by ``import fastrnn.sklearn``.

`RNNClassifier` and `RNNRegressor` are `fastrnn.models.SequenceClassifier` and `SequenceRegressor` with
scikit-learn's manners: every option is a parameter of the constructor, so that pipelines, ``clone`` and
searches over parameters find it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np

from . import _checks, _hints
from .models import SequenceClassifier, SequenceModel, SequenceRegressor, _inputs

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ImportError as error:
    raise ImportError('fastrnn.sklearn needs scikit-learn: pip install "fastrnn[sklearn]"') from error
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

__all__ = ["RNNClassifier", "RNNRegressor"]

#: The parameters that are arguments of the model's `fit`; the others are the model's own.
_OF_FIT = ("epochs", "batch_size", "lr", "schedule", "max_norm", "validation", "patience")


class _Estimator(_hints.Arguments, BaseEstimator):
    """What both share: parameters, what X may be, fitting and running."""

    _model: ClassVar[type[SequenceModel]]
    model_: SequenceModel
    n_features_in_: int

    def __init__(
        self,
        cell: Any = "GRU",
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        init: Any = None,
        pool: str = "last",
        inputs: str = "auto",
        embedding_size: int = 32,
        min_count: int = 2,
        lowercase: bool = True,
        standardize: bool = True,
        epochs: int = 30,
        batch_size: int = 32,
        lr: float = 0.01,
        schedule: Any = "cosine",
        max_norm: float = 1.0,
        validation: Any = None,
        patience: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.init = init
        self.pool = pool
        self.inputs = inputs
        self.embedding_size = embedding_size
        self.min_count = min_count
        self.lowercase = lowercase
        self.standardize = standardize
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.max_norm = max_norm
        self.validation = validation
        self.patience = patience
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = self.inputs not in ("vectors", "ids")
        return tags

    @property
    def history_(self) -> Any:
        """What happened in the training: `fastrnn.train.History`."""
        return self.model_.history_

    @property
    def n_iter_(self) -> int:
        """How many epochs were made."""
        return self.model_.history_.epochs

    @contextlib.contextmanager
    def _as_before_unless_fitted(self) -> Iterator[None]:
        """After an error, put back what was learned before, unless there is a new model."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            if vars(self).get("model_") is before.get("model_"):
                self.__dict__.clear()
                self.__dict__.update(before)
            raise

    def _fit(self, X: Any, y: Any) -> Self:
        """Train a model of these parameters on sequences and targets that were checked."""
        options = {name: getattr(self, name) for name in _PARAMETERS}
        seed = options.pop("random_state")
        if not isinstance(seed, (int, np.integer)):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        cell = _checks.cell_or_name(type(self).__name__, options.pop("cell"))
        of_fit = {name: options.pop(name) for name in _OF_FIT}
        validation = of_fit["validation"]
        if isinstance(validation, (tuple, list)) and len(validation) == 2:
            of_fit["validation"] = self._read(validation[0]), self._targets(validation[1], "validation y")
        options["inputs"] = self._kind(X)
        model = self._model(cell, seed=seed, **options)
        model._called = type(self).__name__
        self.model_ = model.fit(X, y, **of_fit)
        if self.model_.history_.interrupted:  # a search or a pipeline has to end too
            raise KeyboardInterrupt(self.model_.history_.stopped)
        return self

    def _targets(self, y: Any, argument: str) -> Any:
        """Targets as the model takes them."""
        raise NotImplementedError

    def _read(self, X: Any, reset: bool = False) -> Any:
        """X as the model takes it; a table is checked in scikit-learn's way, and its columns become steps."""
        kind = self._kind(X)
        if kind in ("vectors", "words", "characters"):
            _inputs.refuse_a_table_of_strings(type(self).__name__, X)
        if not _is_table(X, kind):
            if reset:  # what an earlier table left
                for name in {"n_features_in_", "feature_names_in_"} & vars(self).keys():
                    delattr(self, name)
            return list(X) if getattr(X, "ndim", 0) == 1 else X  # a Series of sequences
        if reset or hasattr(self, "n_features_in_"):
            table = validate_data(self, X, reset=reset)
        else:
            table = check_array(X, estimator=self)
        return table if kind == "ids" else table.astype(np.float64)

    def _kind(self, X: Any) -> str:
        """What `inputs` says, or of X where it is "auto": strings are words, numbers are vectors."""
        if self.inputs != "auto":
            return self.inputs
        first = None
        if isinstance(X, (list, tuple)) or getattr(X, "ndim", 0) == 1:
            first = next((x for x in X if not _inputs.missing(x)), None)
        if isinstance(first, str):
            return "words"
        tokens = isinstance(first, (list, tuple)) and len(first) > 0 and isinstance(first[0], str)
        return "tokens" if tokens else "vectors"

    def _given(self, y: Any) -> Any:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        return y

    def _fitted(self) -> Any:
        check_is_fitted(self)
        return self.model_


#: A subclass may have fewer, and `get_params` returns those.
_PARAMETERS = tuple(inspect.signature(_Estimator).parameters)


def _is_table(X: Any, kind: str) -> bool:
    """Whether X has rows and columns: it is no text, no ragged list, and has no third axis."""
    if kind not in ("vectors", "ids"):
        return False
    if isinstance(X, (list, tuple)):
        try:
            X = np.asarray(X)
        except ValueError:  # ragged
            return False
    ndim = getattr(X, "ndim", 2)
    return ndim < 3 and not (ndim == 1 and getattr(X, "dtype", None) == np.dtype(object))


class RNNClassifier(ClassifierMixin, _Estimator):
    """A recurrent network that says to which class a sequence belongs, for scikit-learn.

    X is an array (n, T, F), a list of arrays (T_i, F) or (T_i,) of any lengths, or a table (n, T), whose
    columns are taken as steps of one feature; or it is a list, or a column, of strings, or a list of lists of
    strings, their tokens. y is (n,), of any labels that scikit-learn takes.

    Parameters
    ----------
    cell : str or fastrnn.cells.Cell
        Any cell: by the name of its class ("LSTM", "GRU", "RNN", "MGU", ...), or one with options, such as
        ``cells.LSTM(peepholes="ifo")``.
    hidden_size, num_layers, bidirectional, dropout, init, pool
        As `fastrnn.models.SequenceClassifier`.
    inputs : {"auto", "vectors", "ids", "words", "characters", "tokens"}
        What a sequence is, as there; but of "auto" integers are numbers here, not ids.
    embedding_size, min_count, lowercase, standardize
        As there.
    epochs, batch_size, lr, schedule, max_norm, validation, patience
        As of its ``fit``; a validation (X, y) is as X and y are here.
    random_state : int, RandomState or None
        Of the initial weights, the order of the data, and dropout; an int is the model's seed.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    model_ : fastrnn.models.SequenceClassifier
        Of the classes' numbers, 0 to C-1.
    history_ : fastrnn.train.History
    n_iter_ : int
        How many epochs were made.
    n_features_in_ : int
        The columns of a table; not there where X was of sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from fastrnn.sklearn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((rng.integers(4, 9), 2)).cumsum(0) for _ in range(60)]
    >>> y = [["left", "right"][int(x[-1, 0] > 0)] for x in X]
    >>> search = GridSearchCV(RNNClassifier(hidden_size=8), {"cell": ["RNN", "GRU"]}, cv=3).fit(X, y)
    >>> bool(search.best_score_ > 0.8), search.predict(X[:2]).shape
    (True, (2,))

    Of texts:

    >>> X = ["turn on the light", "light on please", "is it raining", "rain today?"] * 4
    >>> y = ["light", "light", "weather", "weather"] * 4
    >>> RNNClassifier(hidden_size=16, pool="max").fit(X, y).predict(["light please", "rain?"]).tolist()
    ['light', 'weather']
    """

    _model = SequenceClassifier
    classes_: np.ndarray

    def fit(self, X: Any, y: Any) -> Self:
        """Train from the beginning.

        Raises
        ------
        ValueError, TypeError
            A parameter, a sequence or a label that cannot be.
        FloatingPointError
            The loss is not finite. After any of these the estimator is as before.
        """
        with self._as_before_unless_fitted():
            X = self._read(X, reset=True)
            y = column_or_1d(self._given(y), warn=True)
            assert_all_finite(y, input_name="y")
            check_classification_targets(y)
            self.classes_, numbers = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(
                    f"{type(self).__name__}: y has one class, {self.classes_[0]}; expected at least two "
                    "classes"
                )
            return self._fit(X, numbers)

    def _targets(self, y: Any, argument: str) -> np.ndarray:
        """The classes' numbers of labels."""
        numbers = {label: number for number, label in enumerate(self.classes_.tolist())}
        y = column_or_1d(y, warn=True).tolist()
        for i, label in enumerate(y):
            if label not in numbers:
                raise ValueError(
                    f"{type(self).__name__}: {argument}[{i}] is {label!r}, not one of y's labels, "
                    f"{', '.join(_checks.first_few(list(numbers), str))}"
                )
        return np.array([numbers[label] for label in y])

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each sequence, (n,)."""
        numbers = self._fitted().predict(self._read(X))
        return self.classes_[numbers]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each sequence, (n, C), in the order of `classes_`."""
        return self._fitted().predict_proba(self._read(X))


class RNNRegressor(RegressorMixin, _Estimator):
    """A recurrent network that says a number, or several, for each sequence, for scikit-learn.

    X is as for `RNNClassifier`. y is (n,) or (n, k), and so is what `predict` returns.

    Parameters
    ----------
    cell, hidden_size, ..., random_state
        As `RNNClassifier`.

    Attributes
    ----------
    model_ : fastrnn.models.SequenceRegressor
    history_, n_iter_, n_features_in_
        As `RNNClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastrnn.sklearn import RNNRegressor
    >>> X = np.random.default_rng(0).standard_normal((200, 6))
    >>> y = X.max(1)
    >>> pipeline = make_pipeline(StandardScaler(), RNNRegressor(hidden_size=16)).fit(X[:150], y[:150])
    >>> bool(pipeline.score(X[150:], y[150:]) > 0.7)
    True
    """

    _model = SequenceRegressor

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train from the beginning; raises as `RNNClassifier.fit`."""
        with self._as_before_unless_fitted():
            X = self._read(X, reset=True)
            return self._fit(X, self._targets(self._given(y), "y"))

    def _targets(self, y: Any, argument: str) -> np.ndarray:
        """The numbers, checked."""
        return check_array(y, ensure_2d=False, allow_nd=True, input_name=argument)

    def predict(self, X: Any) -> np.ndarray:
        """Return the numbers of each sequence, (n,) or (n, k) as y was."""
        return self._fitted().predict(self._read(X))
