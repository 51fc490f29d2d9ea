"""Recurrent layers: any cell, stacked, in one or both directions."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Never, Self, TypedDict, cast, overload

import numpy as np

from .. import _checks, _hints, cells, functional
from . import init as initial
from .basic import apply_mask, draw_mask, drop
from .module import Module, Tape

__all__ = ["Options", "Recurrent", "RecurrentTape", "StepGradients", "parameter_name"]

State = Any  # an array, or a tuple of arrays for cells with several states: what the cell has


class Options(TypedDict, total=False):
    """What every recurrent layer takes by keyword: see `Recurrent`."""

    input_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    learn_state: bool
    init: initial.Options | None
    dtype: Any
    rng: np.random.Generator | int | None


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Which elements dropout kept in one layer of one pass; None: no dropout."""

    between: np.ndarray | None = None  # of the output of the layer below, (T, B, features)
    inputs: np.ndarray | None = None  # of the input at every step, (B, features)
    weights: tuple[np.ndarray, ...] | None = None  # of w_hh, for each direction


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentTape(Tape):
    """What a recurrent layer's ``forward`` keeps; `layer` looks inside."""

    module: Recurrent
    unbatched: bool = False
    #: One tape for each layer and direction, in the order of the states; consume=True empties it.
    passes: list[functional.Tape] = field(default_factory=list)
    #: For each layer, what dropout kept.
    kept: tuple[Kept, ...] = ()
    #: For each state of the cell, whether it began as learned.
    learned: tuple[bool, ...] = ()

    def layer(self, k: int, reverse: bool = False) -> functional.Tape:
        """Return the tape of layer `k` in one direction, with the gates and states of every step.

        ``tape.layer(0).gates["i"]`` is the input gate and ``tape.layer(0).state["c"]`` the cell state after
        each step; both are read-only views (T, B, H), time first whatever ``batch_first`` is. See
        `fastrnn.reference.Tape`.
        """
        at = self.module._pass(k, reverse)
        self.check_not_consumed()
        return self.passes[at]

    def __repr__(self) -> str:
        shown = repr(self.passes[0]) if self.passes else "consumed"
        return f"RecurrentTape of {self.module!r}, {len(self.passes)} passes; the first: {shown}"

    @property
    def nbytes(self) -> int:
        """Bytes of the states and gates of all layers."""
        return sum(tape.nbytes for tape in self.passes)

    def check_not_consumed(self) -> None:
        """Refuse a tape that ``backward(..., consume=True)`` freed, or began to."""
        if len(self.passes) < self.module.num_layers * (1 + self.module.bidirectional):
            raise ValueError("this tape was freed by backward(..., consume=True); run forward again")


@dataclass(frozen=True, slots=True, eq=False)
class StepGradients:
    """The gradients of the states at every step: what ``backward(..., each_step=True)`` returns last."""

    module: Recurrent
    #: For each layer and direction, in the order of the states.
    passes: list[dict[str, np.ndarray]]

    def __repr__(self) -> str:
        return f"StepGradients of {self.module!r}, {len(self.passes)} passes"

    def layer(self, k: int, reverse: bool = False) -> dict[str, np.ndarray]:
        """Return the gradients in layer `k` in one direction, by name: ``"dh"``, and ``"dc"`` of an LSTM.

        Each is (T+1, B, width), time first whatever ``batch_first`` is, in the slots of
        ``tape.layer(k, reverse).states``; `fastrnn.functional.backward` says what they are.
        """
        return self.passes[self.module._pass(k, reverse)]


class Recurrent(Module):
    r"""Any cell as a layer: stacked, in one or both directions, with dropout between the layers.

    Layer k reads the output of layer k-1; with ``bidirectional`` that is the outputs of both directions side
    by side. Arguments, parameter names, shapes and results are those of PyTorch's RNN, LSTM and GRU.

    Parameters
    ----------
    cell : fastrnn.cells.Cell
        What happens in one step, with its options: ``cells.MGU()``, ``cells.LSTM(peepholes="ifo")``.
        `LSTM`, `GRU` and `RNN` take the options of their cells by keyword.
    input_size, hidden_size : int
        Features of the input (I) and hidden units (H).
    num_layers : int
        Layers on top of each other (L).
    bias : bool
        Whether there are the biases, ``bias_ih`` and ``bias_hh`` of most cells, and ``bias_ln_c`` of an LSTM
        with layer normalisation.
    batch_first : bool
        Input and output are (B, T, features) instead of (T, B, features); states are not affected.
    dropout : float
        Probability with which, in `forward`, each element of the output of every layer but the last is
        zeroed; the others are scaled by 1/(1-dropout). Every element of every step has a mask of its own.
    bidirectional : bool
        Run each layer in both directions (D = 2).
    input_dropout : float
        Variational dropout of the inputs (Gal and Ghahramani, 2016): probability with which, in `forward`,
        each feature of the input of every layer is zeroed for a row, at all steps and in both directions;
        the others are scaled by 1/(1-input_dropout). With `dropout`, that acts first.
    recurrent_dropout : float
        Variational dropout of the recurrent connection: in `forward`, each unit of h is zeroed with this
        probability on its way into the recurrent products, the others scaled by 1/(1-recurrent_dropout); one
        mask (B, P) for all steps, layer by layer and direction by direction (Gal and Ghahramani 2016).
    weight_dropout : float
        DropConnect on the recurrent weights (Wan et al., 2013; the "weight drop" of Merity et al., 2018):
        probability with which, in `forward`, each element of ``weight_hh`` is zeroed for the whole call; the
        others are scaled by 1/(1-weight_dropout).
    learn_state : bool
        The initial states are parameters, used for every row where no state is given, of all or of one of the
        cell's states: ``state=(h, None)``. They begin as zeros (with layer
        normalisation, where a state of zeros has large gradients: clip the gradients).
    init : mapping, optional
        Arguments of `fastrnn.nn.init.recurrent`, which draws the values anew with them, such as
        ``{"hidden": "orthogonal", "forget_bias": 1.0}``.
    dtype : float32 or float64
        Of the parameters; inputs are cast to it.
    rng : numpy.random.Generator, int or None
        Draws the initial values, in the order of `params`, from U(-1/sqrt(H), 1/sqrt(H)), but for the gains
        of layer normalisation, which begin at 1, and its bias, at 0; and in each `forward` the masks of
        dropout: layer by layer that between the layers, of the inputs, of the weights.

    Attributes
    ----------
    params : mapping of str to numpy.ndarray
        ``weight_ih_l{k}`` (G*H, features of layer k's input), ``weight_hh_l{k}`` (G*H, P), ``bias_ih_l{k}``
        and ``bias_hh_l{k}`` (G*H,), with ``_reverse`` appended for the reverse direction; G is the number of
        the cell's gates (LSTM: i, f, g, o; GRU: r, z, n). An LSTM with a projection to P features has
        ``weight_hr_l{k}`` (P, H) besides; else P = H. So for every parameter of a cell
        (``cell.parameter_shapes``): ``w_NAME`` is ``weight_NAME_l{k}``, ``b_NAME`` ``bias_NAME_l{k}``. With
        `learn_state` there is one more for each state, ``h0_l{k}`` (P,), of an LSTM ``c0_l{k}`` (H,) too.

    Notes
    -----
    **Shapes.** x is (T, B, I), or (T, I) for one sequence without a batch axis. The output is (T, B, D*P). A
    state is one array (L*D, B, width) for cells with one state, a tuple of them for others (LSTM: h of width
    P, c of width H; with full gate recurrence also r, H for each gate i, f, o that is there), as
    ``cell.state_shapes`` says, ordered layer 0, layer 0 reverse, layer 1, ... Unbatched states have no B
    axis.

    **Lengths.** With ``lengths``, one integer 0 <= length <= T a row in any order, the output is 0 past a
    row's length, its state is the one after its last step, and the reverse direction starts at its last step.

    **Masks.** With ``mask``, booleans of the shape of x without its features, a step where it is False holds
    the state, and the output repeats h as it is held, as Keras's does: before the first step that counts the
    initial one. With ``lengths`` too, a step counts where both allow.

    References
    ----------
    Wan et al., "Regularization of neural networks using DropConnect", 2013; Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", 2016; Merity, Keskar and
    Socher, "Regularizing and optimizing LSTM language models", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import cells, nn
    >>> layer = nn.Recurrent(cells.GRU(reset="before"), 3, 4, num_layers=2, rng=0)
    >>> x = np.ones((7, 5, 3), np.float32)
    >>> y, h = layer(x, lengths=[7, 2, 0, 3, 5])
    >>> y.shape, h.shape
    ((7, 5, 4), (2, 5, 4))
    >>> y, h, tape = layer.forward(x)
    >>> dx, dh0, grads = layer.backward(tape, dy=np.ones_like(y))
    >>> sorted(grads) == sorted(layer.params)
    True
    """

    #: Attributes that `_bind` and `_freeze` make of the others; copies make them anew.
    _derived: ClassVar[frozenset[str]] = frozenset({"_bound", "_cells", "_widths"})
    #: What the parameters were made for.
    _fixed: ClassVar[frozenset[str]] = frozenset(
        {"cell", "input_size", "hidden_size", "num_layers", "bias", "bidirectional", "dtype"}
    )
    #: The cell of a subclass, which takes its options by keyword.
    _kind: ClassVar[type[cells.Cell]] = cells.Cell
    #: Where a subclass calls an option of the cell by another name: the cell's name -> the layer's.
    _cell_options: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        cell: cells.Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        learn_state: bool = False,
        init: initial.Options | None = None,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
        **unknown: Never,
    ) -> None:
        name = type(self).__name__
        self.cell = _checks.a_cell(cell)
        if unknown:
            raise self._no_argument(next(iter(unknown)))
        self.input_size = _checks.size(name, "input_size", input_size)
        self.hidden_size = _checks.size(name, "hidden_size", hidden_size)
        self.num_layers = _checks.size(name, "num_layers", num_layers)
        self.cell.check_hidden_size(self.hidden_size)
        self.bias = _checks.flag(name, "bias", bias)
        self.batch_first = _checks.flag(name, "batch_first", batch_first)
        self.dropout = _checks.probability(name, "dropout", dropout)
        self.bidirectional = _checks.flag(name, "bidirectional", bidirectional)
        self.input_dropout = _checks.probability(name, "input_dropout", input_dropout)
        self.recurrent_dropout = _checks.probability(name, "recurrent_dropout", recurrent_dropout)
        self.weight_dropout = _checks.probability(name, "weight_dropout", weight_dropout)
        self.learn_state = _checks.flag(name, "learn_state", learn_state)
        for option in ("recurrent_dropout", "weight_dropout"):
            if getattr(self, option) and "w_hh" not in self.cell.parameters:
                raise ValueError(f"{name}: {option} acts on w_hh; {self.cell} has none")
        self.dtype = initial.parameter_dtype(dtype)
        self.rng = initial.generator(name, rng)
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"{name}: dropout acts between layers; with num_layers=1 it does nothing", stacklevel=3
            )
        for parameter, (shape, begins) in self.beginnings().items():
            if begins is None:
                value = initial.uniform(self.rng, shape, 1 / self.hidden_size**0.5, self.dtype)
            else:
                value = np.full(shape, begins, self.dtype)
            self.add_parameter(parameter, value)
        self._bind()
        if init is not None:
            initial.recurrent(self, **initial.options(name, init))

    @classmethod
    def _cut(cls, options: Mapping[str, Any]) -> tuple[dict[str, Any], Options]:
        """Return those of a layer's options that are the cell's, and the rest."""
        own = {option.name for option in fields(cls._kind)} - set(cls._cell_options)
        rest = {name: value for name, value in options.items() if name not in own}
        return {name: options[name] for name in options if name in own}, cast(Options, rest)

    def _no_argument(self, name: str) -> TypeError:
        """Return the error of an argument that the layer does not take, with what it does."""
        options = {option.name for option in fields(self.cell)}
        known = {*inspect.signature(Recurrent).parameters} - {"unknown"}
        if self._kind is not cells.Cell:
            known = known - {"cell"} | {self._cell_options.get(option, option) for option in options}
            options = set()
        if name in options:
            hint = f"; it is an option of the cell: {type(self.cell).__name__}({name}=...)"
        elif name in self._cell_options:
            hint = f" (did you mean {self._cell_options[name]!r}?)"
        else:
            hint = _hints.of_init(name)
        return _hints.no_argument(type(self).__name__, name, known, hint)

    def _no_argument_of(self, method: str, unknown: Mapping[str, Any]) -> TypeError:
        """Return the error of arguments that a call of the layer, or of its method, does not take."""
        known = {*inspect.signature(getattr(Recurrent, method or "__call__")).parameters} - {
            "self",
            "unknown",
        }
        who = type(self).__name__
        return _hints.no_argument(f"{who}.{method}" if method else who, next(iter(unknown)), known)

    def _directions(self) -> tuple[bool, ...]:
        return (False, True) if self.bidirectional else (False,)

    def _passes(self) -> Iterator[tuple[int, bool]]:
        """Yield layer and direction in the order of the states."""
        return itertools.product(range(self.num_layers), self._directions())

    def _pass(self, layer: int, reverse: bool) -> int:
        """Return the place of a layer in one direction in the order of the states."""
        directions = 1 + self.bidirectional
        if not 0 <= layer < self.num_layers or reverse >= directions:
            raise IndexError(
                f"layer({layer}, reverse={bool(reverse)}): {type(self).__name__} has "
                f"num_layers={self.num_layers}, bidirectional={self.bidirectional}"
            )
        return layer * directions + reverse

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one layer's parameters by the cell's names."""
        below = self.cell.output_size(self.hidden_size) * len(self._directions())
        shapes = self.cell.parameter_shapes(below if layer else self.input_size, self.hidden_size)
        return {name: shape for name, shape in shapes.items() if self.bias or not name.startswith("b_")}

    def beginnings(self) -> dict[str, tuple[tuple[int, ...], float | None]]:
        """Return for each parameter its shape and what it begins as: a number, or None where it is drawn."""
        found: dict[str, tuple[tuple[int, ...], float | None]] = {}
        for layer, reverse in self._passes():
            for parameter, shape in self._shapes(layer).items():
                found[parameter_name(parameter, layer, reverse)] = shape, self.cell.begins.get(parameter)
            if self.learn_state:
                for state, width in self.cell.state_shapes(self.hidden_size).items():
                    found[_state_name(state, layer, reverse)] = (width,), 0
        return found

    def _bind(self) -> None:
        """Give each pass the live parameters by the cell's names, checked once."""
        self._cells = [
            _checks.parameters(
                self.cell,
                {name: self._own[parameter_name(name, layer, reverse)] for name in self._shapes(layer)},
            )
            for layer, reverse in self._passes()
            if self._own  # an outline has none
        ]
        self._bound = self._bind_layers(self._cells)
        self._widths = tuple(self.cell.state_shapes(self.hidden_size).values())

    def _bind_layers(
        self, passes: Sequence[functional.Packed | _checks.Parameters]
    ) -> functional.BoundLayers | None:
        """Bind the passes for calls without a tape; a subclass that runs in its own way is left alone."""
        if not passes or type(self).run is not Recurrent.run:
            return None
        return functional.BoundLayers(self.cell, passes, 1 + self.bidirectional)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and "_bound" in vars(self):
            if getattr(self, name) == value:
                return  # as it was, of its own type
            raise AttributeError(
                f"{type(self).__name__}: {name} cannot be changed, the parameters were made for "
                f"{getattr(self, name)!r}; make a new layer"
            )
        super().__setattr__(name, value)

    def outline(self) -> Self:
        """Return the layer's options alone, without parameters, dtype and generator: see `sharing`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), _own={}, dtype=np.dtype(np.float32), rng=None)
        other._bind()
        return other

    def sharing(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return a layer of the same options whose parameters are these arrays themselves, not copies.

        They have the names and shapes of `params`, one dtype, C order, and stay where they are; what is
        written into them counts at once.
        """
        other = object.__new__(type(self))
        dtype = next(iter(arrays.values())).dtype
        other.__dict__.update(self.__dict__, _own=dict(arrays), dtype=dtype)
        other._bind()
        return other

    # ---- running ----

    def __call__(
        self,
        x: np.ndarray,
        state: State = None,
        *,
        lengths: Sequence[int] | None = None,
        mask: np.ndarray | None = None,
        out: np.ndarray | None = None,
        **unknown: Never,
    ) -> tuple[np.ndarray, State]:
        """Return the output and the state after the last step: inference, without dropout and without a tape.

        Parameters
        ----------
        x : array_like, (T, B, I), (B, T, I) with `batch_first`, or (T, I)
        state : array (L*D, B, H), or a tuple of them for cells with several states
            None: zeros, or as learned.
        lengths : sequence of B int, optional
        mask : bool array, (T, B), (B, T) with `batch_first`, or (T,), optional
        out : numpy.ndarray, optional
            Where to write y: of its shape and dtype, writeable, its last axis contiguous, apart from x, the
            state and the parameters. It is what is returned then.

        Returns
        -------
        y : numpy.ndarray, (T, B, D*P), (B, T, D*P) or (T, D*P)
        state : as the argument

        Raises
        ------
        ValueError
            Wrong rank, feature count, state shape, lengths or mask; an out that y cannot be written to.
        TypeError
            x is not real floating-point, lengths are not integers, mask is not bool, out is no array of the
            layer's dtype.
        """
        if unknown:
            raise self._no_argument_of("", unknown)
        plain = lengths is None and mask is None and out is None
        plain = plain and not (self.learn_state and any(self._learned(state)))
        if (
            plain
            and self._bound is not None
            and (done := self._bound.run(x, state, batch_first=self.batch_first))
        ):
            return done
        y, state, _ = self.run(x, state, lengths=lengths, mask=mask, tape=False, out=out)
        return y if out is None else out, state

    def forward(
        self,
        x: np.ndarray,
        state: State = None,
        *,
        lengths: Sequence[int] | None = None,
        mask: np.ndarray | None = None,
        checkpoint_every: functional.CheckpointEvery = None,
        **unknown: Never,
    ) -> tuple[np.ndarray, State, RecurrentTape]:
        """Return the output, the state after the last step, and the tape: training, with dropout.

        Calling the layer is inference: the same without dropout and without a tape.

        Parameters
        ----------
        x, state, lengths, mask
            As for calling the layer.
        checkpoint_every : int or "auto", optional
            For long sequences: keep every k-th state and no gates, and let `backward` compute the steps
            between again. The gradients have the same bits. "auto" takes the least memory, and any k about
            the same time: see `fastrnn.functional.forward`. Each layer's input is kept as ever.

        Returns
        -------
        y, state
            As from calling the layer.
        tape : RecurrentTape
            For `backward`. It refers to x and does not copy it: do not write into x before backward.

        Raises
        ------
        ValueError, TypeError
            As from calling the layer.
        """
        if unknown:
            raise self._no_argument_of("forward", unknown)
        return self.run(
            x, state, lengths=lengths, mask=mask, tape=True, rng=self.rng, checkpoint_every=checkpoint_every
        )

    @overload
    def run(
        self, x: np.ndarray, state: State = ..., *, lengths: Sequence[int] | None = ...,
        mask: np.ndarray | None = ..., tape: Literal[True], rng: np.random.Generator | None = ...,
        checkpoint_every: functional.CheckpointEvery = ..., out: np.ndarray | None = ...,
    ) -> tuple[np.ndarray, State, RecurrentTape]: ...  # fmt: skip
    @overload
    def run(
        self, x: np.ndarray, state: State = ..., *, lengths: Sequence[int] | None = ...,
        mask: np.ndarray | None = ..., tape: Literal[False], rng: np.random.Generator | None = ...,
        checkpoint_every: functional.CheckpointEvery = ..., out: np.ndarray | None = ...,
    ) -> tuple[np.ndarray, State, None]: ...  # fmt: skip
    def run(
        self,
        x: np.ndarray,
        state: State = None,
        *,
        lengths: Sequence[int] | None = None,
        mask: np.ndarray | None = None,
        tape: bool,
        rng: np.random.Generator | None = None,
        checkpoint_every: functional.CheckpointEvery = None,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State, RecurrentTape | None]:
        """Do what calling the layer and `forward` do, with a tape and with dropout as asked for.

        Parameters
        ----------
        x, state, lengths, mask, checkpoint_every
            As for `forward`.
        tape : bool
            Keep what `backward` needs. Without dropout, that gives the gradients of inference.
        rng : numpy.random.Generator, optional
            Draws the masks of dropout and zoneout; None: none acts.
        out : numpy.ndarray, optional
            As for calling the layer.

        Returns
        -------
        y, state
            As from calling the layer.
        tape : RecurrentTape or None
        """
        x, unbatched = self._time_major(x)
        mask = self._step_mask(mask, x.shape[:2], unbatched)
        learned = self._learned(state)
        if out is not None:
            out = self._given_output(out, x, unbatched)
        y, state, passes, kept = self._run(
            x, state, lengths, mask, unbatched, tape=tape, rng=rng, checkpoint_every=checkpoint_every, out=out
        )
        y = self._as_given(y, unbatched)
        if not tape:
            return y, state, None
        return y, state, RecurrentTape(self, self.version, (), unbatched, passes, tuple(kept), learned)

    def step(self, x_t: np.ndarray, state: State = None) -> tuple[np.ndarray, State]:
        """Return the output and the state after one more step, for input that comes step by step.

        The steps of a sequence, each given the state of the one before, have the bits of the whole sequence.

        Parameters
        ----------
        x_t : array_like, (B, I) or (I,)
        state : as returned by the last step; None: zeros, or as learned

        Returns
        -------
        y_t : numpy.ndarray, (B, P) or (P,)
        state : array (L, B, H) or (L, H), or a tuple of them

        Raises
        ------
        ValueError
            The layer is bidirectional: its reverse direction needs the end of the sequence first.
        """
        if self.bidirectional:
            raise ValueError(
                f"{type(self).__name__}.step: a bidirectional layer needs the whole sequence; call it instead"
            )
        plain = not (self.learn_state and any(self._learned(state)))
        if plain and self._bound is not None and (done := self._bound.run(x_t, state, step=True)):
            return done
        name = f"{type(self).__name__}.step"
        x_t = _checks.real(name, "x_t", x_t, self.dtype)
        if x_t.ndim not in (1, 2):
            raise ValueError(
                f"{name}: x_t has {_checks.plural(x_t.ndim, 'axis')} (shape {x_t.shape}); "
                "expected (B, I) or (I,)"
            )
        _checks.features(name, "x_t", x_t, "input_size", self.input_size)
        unbatched = x_t.ndim == 1
        x = x_t[None, None] if unbatched else x_t[None]
        y, state, *_ = self._run(x, state, None, None, unbatched, tape=False, rng=None)
        return y[0, 0] if unbatched else y[0], state

    def _run(
        self,
        x: np.ndarray,
        state: State,
        lengths: Sequence[int] | None,
        mask: np.ndarray | None,
        unbatched: bool,
        tape: bool,
        rng: np.random.Generator | None,
        checkpoint_every: functional.CheckpointEvery = None,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State, list[Any], list[Kept]]:
        """Walk layers and directions with x (T, B, I); return y (T, B, D*P), state, tapes, what was kept."""
        steps, batch, _ = x.shape
        first = self._states(state, "state", batch, unbatched)
        directions = self._directions()
        width = self.cell.output_size(self.hidden_size)
        bound = None if tape or rng is not None else self._bound
        passes_params = self._cells if bound is None else bound.passes
        last: list[Sequence[np.ndarray]] = []
        passes, kept = [], []
        for layer in range(self.num_layers):
            k = slice(layer * len(directions), (layer + 1) * len(directions))
            params: Sequence[functional.Params] = passes_params[k]
            what = Kept()
            if rng is not None:
                x, params, what = self._drop(layer, x, self._cells[k], rng)
            kept.append(what)
            into = self._output(layer, steps, batch, width * len(directions), out)
            results = functional.forward_directions(
                self.cell,
                params,
                x,
                first[k],
                lengths=lengths,
                mask=mask,
                tape=tape,
                outs=[None if into is None else into[..., d * width : (d + 1) * width] for d in directions],
                noises=[None if rng is None else self._noise(steps, batch, rng) for _ in directions],
                checkpoint_every=checkpoint_every,
            )
            passes += [recorded for _, _, recorded in results]
            last += [self._split(after) for _, after, _ in results]
            y = results[0][0]
            x = y if into is None else into
        return x, self._stack(last, unbatched), passes, kept

    @property
    def draws(self) -> bool:
        """Whether training draws random numbers: for dropout of any kind, or zoneout."""
        between = self.dropout and self.num_layers > 1
        inside = self.input_dropout or self.recurrent_dropout or self.weight_dropout
        return bool(between or inside or self.cell.zoneout)

    def _noise(self, steps: int, batch: int, rng: np.random.Generator) -> cells.Noise | None:
        """Draw what one pass of training needs: factors of h, and what zoneout keeps."""
        if not self.recurrent_dropout and not self.cell.zoneout:
            return None
        recurrent = None
        if self.recurrent_dropout:
            shape = (batch, self.cell.output_size(self.hidden_size))
            keep = draw_mask(shape, self.recurrent_dropout, rng)
            recurrent = apply_mask(np.ones(shape, self.dtype), keep, self.recurrent_dropout)
        return cells.Noise(
            recurrent,
            tuple(
                draw_mask((steps, batch, width), 1 - part, rng) if part else None
                for part, width in zip(self.cell.zoneout, self._widths, strict=False)
            )
            or None,
        )

    def _drop(
        self, layer: int, x: np.ndarray, params: list[_checks.Parameters], rng: np.random.Generator
    ) -> tuple[np.ndarray, list[_checks.Parameters], Kept]:
        """Return the input and the parameters of a layer with elements dropped, and which were kept."""
        between = inputs = weights = None
        if layer and self.dropout:
            x, between = drop(x, self.dropout, rng)
        if self.input_dropout:
            inputs = draw_mask(x.shape[1:], self.input_dropout, rng)
            x = apply_mask(x, np.broadcast_to(inputs, x.shape), self.input_dropout)
        if self.weight_dropout:
            dropped = [drop(each.arrays["w_hh"], self.weight_dropout, rng) for each in params]
            weights = tuple(keep for _, keep in dropped)
            params = [
                each._replace(arrays={**each.arrays, "w_hh": w})
                for each, (w, _) in zip(params, dropped, strict=True)
            ]
        return x, params, Kept(between, inputs, weights)

    @overload
    def backward(
        self, tape: RecurrentTape, dy: np.ndarray | None = ..., dstate: State = ..., *,
        consume: bool = ..., each_step: Literal[False] = ...,
    ) -> tuple[np.ndarray, State, dict[str, np.ndarray]]: ...  # fmt: skip
    @overload
    def backward(
        self, tape: RecurrentTape, dy: np.ndarray | None = ..., dstate: State = ..., *,
        consume: bool = ..., each_step: Literal[True],
    ) -> tuple[np.ndarray, State, dict[str, np.ndarray], StepGradients]: ...  # fmt: skip
    def backward(
        self,
        tape: RecurrentTape,
        dy: np.ndarray | None = None,
        dstate: State = None,
        *,
        consume: bool = False,
        each_step: bool = False,
    ) -> Any:
        """Return the gradients of the input, of the initial state and of the parameters.

        Parameters
        ----------
        tape : RecurrentTape
            From `forward` of this layer.
        dy : array_like, optional
            Gradient of the output, of its shape; None: zero. What stands past a row's length is ignored.
        dstate : array or tuple of arrays, optional
            Gradient of the returned state, of its shape; None, or a None in the tuple: zero. One of `dy` and
            `dstate` is needed.
        consume : bool
            Free the tape on the way: less memory, and the tape is spent.
        each_step : bool
            Return the gradients of the states at every step as well.

        Returns
        -------
        dx, dstate0
            Of the shapes of x and of the state.
        grads : dict of str to numpy.ndarray
            With the keys of `params`.
        dstates : StepGradients
            With `each_step` only: ``dstates.layer(0)["dh"]``, (T+1, B, P), is the gradient of h as it is
            carried from step to step, and its norm shows where it vanishes.

        Raises
        ------
        ValueError
            A tape of another layer, spent, or older than the parameters; no gradient, or one of the wrong
            shape.
        RuntimeError
            The layer is frozen.
        """
        self.check_tape(tape)
        tape.check_not_consumed()
        each_step = _checks.flag(f"{type(self).__name__}.backward", "each_step", each_step)
        if dy is None and dstate is None:
            raise ValueError(
                f"{type(self).__name__}.backward: dy and dstate are None; give the gradient of the output, "
                "of the returned state, or both"
            )
        directions = self._directions()
        steps, batch, _ = tape.passes[0].x.shape
        width = self.cell.output_size(self.hidden_size)
        dy = self._output_gradient(dy, (steps, batch, width * len(directions)), tape.unbatched)
        after = self._states(dstate, "dstate", batch, tape.unbatched)
        before: list[Sequence[np.ndarray]] = []
        grads: dict[str, np.ndarray] = {}
        dstates: list[dict[str, np.ndarray]] = []
        for layer in reversed(range(self.num_layers)):
            k = slice(layer * len(directions), (layer + 1) * len(directions))
            tapes, kept, params = tape.passes[k], tape.kept[layer], self._cells[k]
            if kept.weights is not None:  # those of which elements were dropped
                params = [
                    each._replace(arrays=dict(one.params)) for each, one in zip(params, tapes, strict=True)
                ]
            if consume:
                del tape.passes[k]
            results = functional.backward_directions(
                self.cell,
                params,
                tapes,
                [None if dy is None else dy[..., d * width : (d + 1) * width] for d in directions],
                after[k],
                consume=consume,
                each_step=each_step,
            )
            for direction, (_, dstate0, dparams, *steps) in reversed(
                list(zip(directions, results, strict=True))
            ):
                before.append(self._split(dstate0))
                dstates += steps
                if self.learn_state:
                    grads |= self._learned_gradients(tape.learned, before[-1], layer, direction)
                if kept.weights is not None:
                    keep = kept.weights[direction]
                    dparams["w_hh"] = apply_mask(dparams["w_hh"], keep, self.weight_dropout)
                for name, value in dparams.items():
                    grads[parameter_name(name, layer, direction)] = value
            dx = results[0][0] if len(results) == 1 else results[0][0] + results[1][0]
            if kept.inputs is not None:
                dx = apply_mask(dx, np.broadcast_to(kept.inputs, dx.shape), self.input_dropout)
            dy = dx if kept.between is None else apply_mask(dx, kept.between, self.dropout)
        grads = {name: grads[name] for name in self._own}
        result = self._as_given(dx, tape.unbatched), self._stack(before[::-1], tape.unbatched), grads
        return (*result, StepGradients(self, dstates[::-1])) if each_step else result

    # ---- shapes ----

    def _split(self, state: State) -> Sequence[np.ndarray]:
        return (state,) if len(self.cell.states) == 1 else state

    def _learned(self, state: State) -> tuple[bool, ...]:
        """Return for each of the cell's states whether it begins as learned: it may be, and is not given."""
        if not self.learn_state:
            return ()
        given = state if isinstance(state, (tuple, list)) else (state,)
        return tuple(state is None or (k < len(given) and given[k] is None) for k in range(len(self._widths)))

    def _learned_gradients(
        self, learned: tuple[bool, ...], dstate0: Sequence[np.ndarray], layer: int, reverse: bool
    ) -> dict[str, np.ndarray]:
        """Return the gradients of the initial states of one layer and direction by their public names."""
        return {
            _state_name(name, layer, reverse): (
                functional.repeated_gradient(d) if begins else np.zeros(d.shape[1:], d.dtype)
            )
            for name, begins, d in zip(self.cell.states, learned, dstate0, strict=True)
        }

    def _join(self, arrays: Sequence[np.ndarray]) -> State:
        return arrays[0] if len(self.cell.states) == 1 else tuple(arrays)

    def _stack(self, states: list[Sequence[np.ndarray]], unbatched: bool) -> State:
        """Join the states of all passes: (L*D, B, width), or (L*D, width)."""
        if len(states) == 1:  # nothing to copy
            arrays = [array[None] for array in states[0]]
        else:
            arrays = [np.array(arrays) for arrays in zip(*states, strict=True)]
        return self._join([a[:, 0] for a in arrays] if unbatched else arrays)

    def _time_major(self, x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return x as (T, B, I), cast once for both directions, and whether it had no batch axis."""
        name, order = type(self).__name__, "(B, T, I)" if self.batch_first else "(T, B, I)"
        x = _checks.sequences(name, x, self.dtype, order)
        if x.ndim not in (2, 3):
            raise ValueError(
                f"{name}: x has {_checks.plural(x.ndim, 'axis')} (shape {x.shape}); expected {order}, "
                "or (T, I) for one sequence"
            )
        _checks.features(name, "x", x, "input_size", self.input_size)
        if x.ndim == 2:
            return x[:, None], True
        return x.transpose(1, 0, 2) if self.batch_first else x, False

    def _step_mask(
        self, mask: np.ndarray | None, shape: tuple[int, ...], unbatched: bool
    ) -> np.ndarray | None:
        """Return the mask as (T, B), checked against these steps and rows of x."""
        if mask is None:
            return None
        steps, batch = shape
        turned = self.batch_first and not unbatched
        expected = (steps,) if unbatched else (batch, steps) if turned else (steps, batch)
        axes = "(T,)" if unbatched else "(B, T)" if turned else "(T, B)"
        mask = _checks.step_mask(type(self).__name__, mask, expected, axes)
        return mask[:, None] if unbatched else mask.T if turned else mask

    def _as_given(self, y: np.ndarray, unbatched: bool) -> np.ndarray:
        """Undo `_time_major`."""
        if unbatched:
            return y[:, 0]
        return y.transpose(1, 0, 2) if self.batch_first else y

    def _output(
        self, layer: int, steps: int, batch: int, width: int, out: np.ndarray | None
    ) -> np.ndarray | None:
        """Return an empty (T, B, width) for the directions of a layer to fill; None if it needs no preparing.

        The last layer's is `out`, or C-contiguous in the caller's order of axes.
        """
        if out is not None and layer == self.num_layers - 1:
            return out
        if self.batch_first and layer == self.num_layers - 1 and steps > 1:
            return np.empty((batch, steps, width), self.dtype).transpose(1, 0, 2)
        return np.empty((steps, batch, width), self.dtype) if self.bidirectional else None

    def _states(self, state: State, what: str, batch: int, unbatched: bool) -> list[State]:
        """Return a state or its gradient, checked, as that of each pass."""
        learn = self.learn_state and what == "state"
        if state is None and not learn:
            return [None] * len(self._cells)
        who, names = type(self).__name__, self.cell.states
        axes = "(D*num_layers, H)" if unbatched else "(D*num_layers, B, H)"
        none = (None,) * len(names)
        values = none if state is None else _checks.by_state(who, what, state, names, axes)
        arrays = []
        for name, value, width in zip(names, values, self._widths, strict=True):
            shape = (len(self._cells), batch, width)
            if value is None:
                rows = np.zeros(shape, self.dtype)
                if learn:
                    learned = [self._own[_state_name(name, *which)] for which in self._passes()]
                    rows[...] = np.array(learned)[:, None]
                arrays.append(rows)
                continue
            called = _checks.state_name(what, name, names)
            value = _checks.real(who, called, value, self.dtype)
            expected = (shape[0], shape[2]) if unbatched else shape
            if value.shape != expected:
                raise ValueError(f"{who}: {called} has shape {value.shape}; expected {expected}: {axes}")
            arrays.append(value.reshape(shape))
        return [self._join(each) for each in zip(*arrays, strict=True)]

    def _given_output(self, out: np.ndarray, x: np.ndarray, unbatched: bool) -> np.ndarray:
        """Return the caller's array for the output as (T, B, D*P)."""
        name = type(self).__name__
        width = self.cell.output_size(self.hidden_size) * len(self._directions())
        out = _checks.output(name, out, self._caller_shape((*x.shape[:2], width), unbatched), self.dtype)
        _checks.apart(name, out, x, *self._own.values())
        return self._turned(out, unbatched)

    def _output_gradient(
        self, dy: np.ndarray | None, shape: tuple[int, int, int], unbatched: bool
    ) -> np.ndarray | None:
        """Return dy as (T, B, D*P), checked against the output's shape."""
        if dy is None:
            return None
        expected = self._caller_shape(shape, unbatched)
        dy = _checks.real(f"{type(self).__name__}.backward", "dy", dy, self.dtype)
        if dy.shape != expected:
            raise ValueError(
                f"{type(self).__name__}.backward: dy has shape {dy.shape}; the output was {expected}"
            )
        return self._turned(dy, unbatched)

    def _caller_shape(self, shape: tuple[int, int, int], unbatched: bool) -> tuple[int, ...]:
        """Return the shape (T, B, D*P) with the caller's axes."""
        steps, batch, width = shape
        return (steps, width) if unbatched else (batch, steps, width) if self.batch_first else shape

    def _turned(self, array: np.ndarray, unbatched: bool) -> np.ndarray:
        """Return an array with the caller's axes as (T, B, D*P)."""
        if unbatched:
            return array[:, None]
        return array.transpose(1, 0, 2) if self.batch_first else array

    # ---- freezing, copying, printing ----

    def _freeze(self) -> None:
        super()._freeze()
        self._bound = self._bind_layers([functional.pack(self.cell, each) for each in self._cells])

    def _thaw(self) -> None:
        super()._thaw()
        self._bound = self._bind_layers(self._cells)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._derived}

    def extra_repr(self) -> str:
        shown: dict[str, Any] = {}
        cell = ""
        if self._kind is cells.Cell:
            cell = f"{self.cell!r}, "
        else:
            shown = {self._cell_options.get(n, n): repr(value) for n, value in self.cell.chosen.items()}
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "input_dropout": 0.0,
            "recurrent_dropout": 0.0,
            "weight_dropout": 0.0,
            "learn_state": False,
            "dtype": np.float32,
        }
        shown |= {
            name: getattr(self, name) for name, value in defaults.items() if getattr(self, name) != value
        }
        return f"{cell}{self.input_size}, {self.hidden_size}" + "".join(
            f", {k}={v}" for k, v in shown.items()
        )


@functools.cache
def parameter_name(name: str, layer: int, reverse: bool) -> str:
    """Return PyTorch's name of a cell's parameter: w_ih -> weight_ih_l0_reverse."""
    kind, _, rest = name.partition("_")
    return f"{ {'w': 'weight', 'b': 'bias'}[kind] }_{rest}_l{layer}{'_reverse' * reverse}"


def _state_name(name: str, layer: int, reverse: bool) -> str:
    """Return the name of a learned initial state: h -> h0_l0_reverse."""
    return f"{name}0_l{layer}{'_reverse' * reverse}"
