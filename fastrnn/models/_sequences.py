"""What classifier, regressor and tagger share: fitting, running, files."""

from __future__ import annotations

import copy
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypedDict, cast

import numpy as np

from .. import _checks, cells, io
from ..nn import Module
from ..nn import init as initial
from ..optim import Adam
from ..train import Buckets, History, Plateau, Step, fit
from . import _files, _inputs
from ._finite import all_finite, finite
from ._manners import Model, NotFittedError
from ._network import SequenceNetwork
from ._pool import POOLS

__all__ = ["Options", "SequenceModel", "padded", "together"]

#: Sequences that are run at once where no gradient is wanted, and steps with their padding; the bits depend
#: on neither.
_BATCH, _STEPS = 128, 1 << 15

Schedule = str | Callable[[float], float] | Step | Plateau


class Options(TypedDict, total=False):
    """What every model takes by keyword: see `SequenceModel`."""

    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    init: initial.Options | None
    inputs: str
    embedding_size: int
    min_count: int
    lowercase: bool
    standardize: bool
    seed: int


class SequenceModel(Model):
    """Base of the models of labelled sequences; a subclass says what targets are and what they cost.

    **Data.** X is a list of sequences, whose lengths may differ. A sequence is an array (T_i, F) or (T_i,) of
    floats; (T_i,) of integers, which are taken for ids; a str; or a list of strings, its tokens. One array
    (n, T, F) or (n, T) is n sequences.

    **Texts.** Strings are brought to lower case where `lowercase` says so, and to Unicode's composed form
    (NFC). Words are letters, digits and their accents, with apostrophes and hyphens inside, and numbers with
    their points and commas; of Han and kana every character is one, and so is every other mark but white
    space. Characters are code points, white space too.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Any cell, with any options, or the name of one without, such as "LSTM"; ``cells.GRU()`` if not given.
    hidden_size, num_layers : int
    bidirectional : bool
    dropout : float
        In training: between the layers, and of what the last Linear reads.
    init : mapping, optional
        How the layers' weights begin: arguments of `fastrnn.nn.init.recurrent`, such as
        ``{"forget_bias": 1.0}``, with which LSTMs remember from the start; if not given, as PyTorch's.
    inputs : {"auto", "vectors", "ids", "words", "characters", "tokens"}
        What a sequence is. "auto": floats are vectors, integers of one axis ids, strings are split into
        words, lists of strings are tokens.
    embedding_size : int
        Of ids, words, characters and tokens.
    min_count : int
        Words, characters and tokens that occur less often in the data are one unknown token.
    lowercase : bool
        Whether strings are brought to lower case first. (Lists of tokens are taken as they are.)
    standardize : bool
        Subtract from each feature of vectors its mean in the training data, and divide by its deviation; the
        numbers are the model's, and in its file.
    seed : int
        Of the initial weights, the order of the data, and dropout.

    Attributes
    ----------
    network_ : fastrnn.nn.Module
        Made by `fit`; frozen except while it is trained.
    history_ : fastrnn.train.History
        Of the last `fit`.
    """

    #: How outputs and targets are compared: (outputs, targets, mask=None) to (mean loss, gradient).
    _criterion: ClassVar[Callable[..., tuple[Any, np.ndarray]]]
    #: The constructor's arguments besides the cell; a subclass adds its own.
    _settings: ClassVar[tuple[str, ...]] = tuple(Options.__annotations__)
    #: What the targets of the loss are, in the plural.
    _counts: ClassVar[str] = "sequences"
    #: How the outputs of a sequence become one; None: an output a step.
    pool: str | None

    _reader: _inputs.Inputs
    _called: str  # in messages, where it is not the class; what has this model inside sets it
    _as_fitted: Self  # whatever is set on this one since
    network_: Any
    history_: History

    def __init__(
        self,
        cell: cells.Cell | str | None = None,
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        init: initial.Options | None = None,
        inputs: str = "auto",
        embedding_size: int = 32,
        min_count: int = 2,
        lowercase: bool = True,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        self.cell = cells.GRU() if cell is None else cast(cells.Cell, cell)  # by name until `fit`
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.init = init
        self.inputs = inputs
        self.embedding_size = embedding_size
        self.min_count = min_count
        self.lowercase = lowercase
        self.standardize = standardize
        self.seed = seed

    # ---- what a subclass says ----

    def _learn_targets(self, who: str, y: Any, lengths: Sequence[int], kept: np.ndarray) -> list[np.ndarray]:
        """Learn from the targets `kept` what targets are; return all, one array a sequence."""
        raise NotImplementedError

    def _read_targets(
        self, who: str, y: Any, lengths: Sequence[int], argument: str = "y"
    ) -> list[np.ndarray]:
        """Return other targets, checked."""
        raise NotImplementedError

    @property
    def _outputs(self) -> int:
        """How many numbers the network puts out, for a sequence or a step."""
        raise NotImplementedError

    def _metric(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The score: of all sequences, or of all steps."""
        raise NotImplementedError

    def _meta(self) -> dict[str, Any]:
        """What the file tells of the targets."""
        raise NotImplementedError

    def _from_meta(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Undo `_meta` and `_arrays`."""
        raise NotImplementedError

    def _arrays(self) -> dict[str, np.ndarray]:
        """What the file holds of the targets in arrays."""
        return {}

    def _pairs(self, who: str, X: Any, y: Any, argument: str = "") -> tuple[Any, Any]:
        """Sequences and targets from what came."""
        if y is None:
            raise TypeError(f"{who}: y is None; expected the target of each sequence")
        return X, y

    def _held_out(self, who: str, X: Any, n: int, part: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the sequences to train on, and of those to validate on.

        X is what `fit` was given, n how many sequences `_pairs` made of it.
        """
        order = np.random.default_rng([self.seed, 1]).permutation(n)
        count = min(max(1, round(part * n)), n - 1)
        return np.sort(order[count:]), np.sort(order[:count])

    # ---- fitting ----

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        lr: float = 0.01,
        schedule: Schedule = "cosine",
        max_norm: float = 1.0,
        validation: float | tuple[Any, ...] | list[Any] | None = None,
        patience: int | None = None,
        seconds: float = math.inf,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_steps: int | None = None,
        resume: bool | str | os.PathLike[str] | None = False,
    ) -> Self:
        """Train from the beginning, with Adam; what an earlier `fit` learned is forgotten.

        Batches are made of sequences of about the same length, drawn anew in each epoch. The same seed gives
        the same bits, at any number of threads. Ctrl-C ends the training early, with the model trained so
        far; ``history_.stopped`` says so.

        Parameters
        ----------
        X, y
            Sequences and their targets.
        epochs, batch_size : int
        lr, max_norm : float
            Learning rate, and the norm to which gradients are clipped.
        schedule : {"cosine", "constant", "step", "plateau"}, function, train.Step or train.Plateau
            The factor of the learning rate for the done part of the training, 0 to 1.
        validation : float, or (X, y), optional
            Which part of the data to hold out, or other data, for a loss and a score after each epoch. Of the
            part that is held out only the labels, and how many ids there are, are learned.
        patience : int, optional
            Stop when the validation loss was not the least for so many epochs; the weights are then those of
            the best epoch.
        seconds : float
            Stop when so much time is over.
        progress : bool
            Show a progress bar.
        checkpoint : path-like, optional
            Write the training to this file after each epoch and when it stops, so that it can go on.
        checkpoint_steps : int, optional
            Write it after every so many steps instead.
        resume : bool or path-like
            Go on from this file; True: from `checkpoint`, where that is there. With the same data and
            options the end is the same, bit for bit, as without the stop.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            An argument, a sequence or a target that cannot be; and any other error: the model is as before.
        FloatingPointError, OSError
            The loss or a weight is not finite; the checkpoint cannot be written. The model is that of the
            last step before, with `patience` that of the best epoch; where there is none whose weights are
            finite, it is as before.
        """
        who = self._who("fit")
        fresh = self._fresh()
        fresh._check_settings(who)
        batch_size = _checks.size(who, "batch_size", batch_size)
        given = X
        X, y = fresh._pairs(who, X, y)
        kept = np.arange(len(_inputs.listed(who, X)))
        out = X_val = y_val = None
        if isinstance(validation, (tuple, list)):
            X_val, y_val = fresh._pairs(who, *fresh._other_data(who, validation), argument="validation ")
        elif validation is not None:
            part = _part_of(who, validation, len(kept))
            kept, out = fresh._held_out(who, given, len(kept), part)
        fresh._reader, sequences = _inputs.learn(
            who,
            X,
            self.inputs,
            standardize=self.standardize,
            lowercase=self.lowercase,
            min_count=self.min_count,
            kept=kept,
        )
        targets = fresh._learn_targets(who, y, _same_number(who, sequences, y), kept)
        held: tuple[list[np.ndarray], list[np.ndarray]] | None = None
        if X_val is not None:
            others = fresh._reader.read(who, X_val, "validation X")
            held = others, fresh._read_targets(who, y_val, _same_number(who, others, y_val), "validation y")
        elif out is not None:
            held = [sequences[i] for i in out], [targets[i] for i in out]
            sequences, targets = [sequences[i] for i in kept], [targets[i] for i in kept]
        network = fresh._make()
        optimizer = Adam(network, lr=lr)
        history = History(counts=fresh._counts)

        def gradient(places: np.ndarray) -> tuple[float, Mapping[str, np.ndarray], int]:
            return fresh._gradient(network, [sequences[i] for i in places], [targets[i] for i in places])

        def validate() -> tuple[float, float]:
            assert held is not None
            return fresh._validate(network, *held)

        try:
            fit(
                network,
                optimizer,
                Buckets([len(x) for x in sequences], batch_size, self.seed),
                gradient,
                epochs=epochs,
                validate=None if held is None else validate,
                patience=patience,
                schedule=schedule,
                max_norm=max_norm,
                seconds=seconds,
                progress=progress,
                checkpoint=checkpoint,
                checkpoint_steps=checkpoint_steps,
                resume=resume,
                about={
                    "model": type(self).__name__,
                    **fresh._settings_meta(),
                    "data": _fingerprint(sequences, targets, *(held or ())),
                },
                history=history,
            )
        except (FloatingPointError, OSError):
            if history.steps and all_finite(network):
                self._take(fresh, network, history)
            raise
        self._take(fresh, network, history)
        self._warn_of_interrupt("fit")
        return self

    def _other_data(self, who: str, validation: Sequence[Any]) -> tuple[Any, Any]:
        """X and y of data to validate on."""
        if len(validation) != 2:
            raise ValueError(f"{who}: validation has {len(validation)} parts; expected (X, y)")
        return validation[0], validation[1]

    def _fresh(self) -> Self:
        """A model of the same settings that was not fitted."""
        fresh = copy.copy(self)  # with what a subclass has besides
        for name in ("_as_fitted", "network_", "history_"):
            vars(fresh).pop(name, None)
        return fresh

    def _take(self, fitted: Self, network: Module, history: History) -> None:
        fitted.network_, fitted.history_ = network.freeze(), history
        self.__dict__.update(vars(fitted), _as_fitted=fitted)

    def _check_settings(self, who: str) -> None:
        """Check the settings, and make numbers of Python of those of NumPy."""
        self.cell = _checks.cell_or_name(who, self.cell)
        for name in ("hidden_size", "num_layers", "embedding_size", "min_count"):
            setattr(self, name, _checks.size(who, name, getattr(self, name)))
        self.seed = _checks.size(who, "seed", self.seed, least=0)
        for name in ("bidirectional", "lowercase", "standardize"):
            setattr(self, name, _checks.flag(who, name, getattr(self, name)))
        self.dropout = _checks.dropout(who, self.dropout)
        self.init = None if self.init is None else initial.options(who, self.init)
        if self.pool is not None and self.pool not in POOLS:
            raise ValueError(f"{who}: pool is {self.pool!r}; expected one of {', '.join(POOLS)}")

    def _make(self) -> Any:
        """The network, with its initial weights."""
        return SequenceNetwork(
            self._reader.size,
            self._outputs,
            self.cell,
            embedding_size=self.embedding_size if self._reader.embedded else None,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            init=self.init,
            pool=self.pool,
            rng=self.seed,
        )

    def _gradient(
        self, network: Any, sequences: list[np.ndarray], targets: list[np.ndarray]
    ) -> tuple[float, Mapping[str, np.ndarray], int]:
        """Return the mean loss of a batch, the gradients of the parameters, and the number of targets."""
        x, lengths = padded(sequences)
        outputs, tape = network.forward(x, lengths)
        loss, doutputs, count = self._loss(outputs, targets, lengths)
        return loss, network.backward(tape, doutputs), count

    def _validate(
        self, network: Any, sequences: list[np.ndarray], targets: list[np.ndarray]
    ) -> tuple[float, float]:
        """Return the loss and the score of other data."""
        outputs, wanted = self._joined(self._run(network, sequences)), self._joined(targets)
        return float(type(self)._criterion(outputs, wanted)[0]), self._metric(outputs, wanted)

    def _loss(
        self, outputs: np.ndarray, targets: list[np.ndarray], lengths: np.ndarray
    ) -> tuple[float, np.ndarray, int]:
        """Return the mean loss of a batch, its gradient, and the number of targets."""
        if self.pool is not None:
            loss, gradient = type(self)._criterion(outputs, np.stack(targets))
            return float(loss), gradient, len(targets)
        mask = np.arange(len(outputs))[:, None] < lengths
        loss, gradient = type(self)._criterion(outputs, padded(targets)[0], mask=mask)
        return float(loss), gradient, int(lengths.sum())

    # ---- running ----

    def _who(self, method: str) -> str:
        """What a method is called in messages."""
        return f"{vars(self).get('_called', type(self).__name__)}.{method}"

    @property
    def _is_fitted(self) -> bool:
        return "_as_fitted" in vars(self)

    def _fitted(self) -> Self:
        """The model with the settings that it was fitted with, or an error that says that it was not."""
        if not self._is_fitted:
            name = type(self).__name__
            raise NotFittedError(f"{name}: not fitted yet; call fit(X, y), or {name}.load(path)")
        return self._as_fitted

    def _run(self, network: Any, sequences: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of each sequence, (O,) or without a pool (T_i, O)."""
        results: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for places in together(sequences, _BATCH):
            x, lengths = padded([sequences[i] for i in places])
            outputs = network(x, lengths)
            for row, (i, length) in enumerate(zip(places, lengths, strict=True)):
                results[i] = outputs[row] if self.pool is not None else outputs[:length, row]
        return results

    def _joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """What belongs to sequences stacked; what belongs to steps one after the other."""
        return np.concatenate(parts) if self.pool is None else np.stack(parts)

    def _answer(self, who: str, X: Any) -> list[np.ndarray]:
        """Return the outputs of each sequence of X."""
        model, who = self._fitted(), self._who(who)
        sequences = model._reader.read(who, X)
        _inputs.warn_of_unknown(who, model._reader, sequences)
        return [finite(who, y) for y in model._run(model.network_, sequences)]

    def score(self, X: Any, y: Any = None) -> float:
        """Return how good the predictions are: see the class."""
        model = self._fitted()
        who = self._who("score")
        X, y = model._pairs(who, X, y)
        sequences = model._reader.read(who, X)
        _inputs.warn_of_unknown(who, model._reader, sequences)
        targets = model._read_targets(who, y, _same_number(who, sequences, y))
        outputs = finite(who, model._joined(model._run(model.network_, sequences)))
        return model._metric(outputs, model._joined(targets))

    # ---- files ----

    def _settings_meta(self) -> dict[str, Any]:
        return {
            "cell": _files.cell_meta(self.cell),
            **{name: getattr(self, name) for name in self._settings},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.npz`` file, atomically; see `fastrnn.io.save`."""
        model = self._fitted()
        arrays = model.network_.state_dict("network.")
        arrays |= {f"inputs.{name}": value for name, value in model._reader.arrays().items()}
        arrays |= {f"targets.{name}": value for name, value in model._arrays().items()}
        meta = {"reads": model._reader.meta(), "targets": model._meta(), **model._settings_meta()}
        io.save(path, arrays, kind=type(self).__name__, version=1, **meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote.

        Raises
        ------
        fastrnn.io.FileFormatError
            The file is damaged, or holds something else.
        OSError
            It cannot be read.
        """
        arrays, meta = _files.read(path, cls.__name__)
        try:
            cell = _files.cell_from(meta["cell"])
            fitted = cls._of(cell, _files.settings(meta, cls._settings))
            fitted._check_settings(cls.__name__)
            fitted._reader = _inputs.from_file(meta["reads"], _part(arrays, "inputs."))
            fitted._from_meta(meta["targets"], _part(arrays, "targets."))
            weights = _part(arrays, "network.")
            fitted._check_shapes(weights)
            network = fitted._make()
            network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise io.FileFormatError(f"{os.fspath(path)}: not a whole {cls.__name__}: {error}") from error
        model = fitted._fresh()
        model._take(fitted, network, History())
        return model

    def _check_shapes(self, weights: Mapping[str, np.ndarray]) -> None:
        size = self._reader.size
        width = self.cell.output_size(self.hidden_size) * (1 + self.bidirectional)
        others = {"out.weight": (self._outputs, width)}
        if self._reader.embedded:
            others["embedding.weight"] = size, self.embedding_size
            size = self.embedding_size
        _files.check_shapes(
            weights, self.cell, size, self.hidden_size, self.num_layers, self.bidirectional, others
        )


def together(sequences: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The places of the sequences by their length, at most so many at once, and not too much padding."""
    lengths = np.array([len(x) for x in sequences])
    batches: list[list[int]] = []
    for place in np.argsort(lengths, kind="stable").tolist():
        size = len(batches[-1]) if batches else count
        if size == count or (size + 1) * lengths[place] > _STEPS:
            batches.append([])
        batches[-1].append(place)
    return [np.array(batch) for batch in batches]


def padded(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (T_i, ...) as one array (T, B, ...), and their lengths."""
    lengths = np.array([len(x) for x in sequences], np.int64)
    first = sequences[0]
    x = np.zeros((int(lengths.max()), len(sequences), *first.shape[1:]), first.dtype)
    for row, sequence in enumerate(sequences):
        x[: len(sequence), row] = sequence
    return x, lengths


def _same_number(who: str, sequences: Sequence[np.ndarray], y: Any) -> list[int]:
    """The lengths of the sequences, of which there are as many as targets."""
    if not hasattr(y, "__len__"):
        raise TypeError(f"{who}: y is {_checks.kind(y)}; expected a list or an array")
    if len(y) != len(sequences):
        raise ValueError(f"{who}: X has {len(sequences)} sequences, and y has {len(y)} targets")
    return [len(x) for x in sequences]


def _part_of(who: str, validation: Any, n: int) -> float:
    """Which part of n sequences to hold out."""
    if not isinstance(validation, (float, np.floating)) or not 0 < validation < 1 or n < 2:
        came = repr(validation) if np.isscalar(validation) else f"{_checks.kind(validation)}"
        raise ValueError(
            f"{who}: validation is {came:.60} of {n} sequences; expected a part, more than 0.0 and less than "
            "1.0, of at least two, or (X, y)"
        )
    return float(validation)


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _fingerprint(*parts: Sequence[np.ndarray]) -> int:
    """A number that other data would hardly have."""
    value = 0
    for part in parts:
        for array in part:
            value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
    return value
