"""A recurrent layer of Keras: our layers, and on top what Keras makes of their outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ... import _checks, cells, nn
from ..layouts import from_keras
from ._config import CellPlan, LayerPlan, Way
from ._find import Tensors

# The states of the cells of one way, of each h, and c of an LSTM: (B, H).
_States = list[tuple[np.ndarray, ...]]

_MERGES: Final = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


class KerasLayer(nn.Module):
    """A recurrent layer from a file of Keras; calling it returns what Keras's layer returns.

    `load` makes them: SimpleRNN, LSTM, GRU, RNN of their cells, also stacked, and Bidirectional of these.
    It is for inference, quickest after ``freeze()``; to train on, take `layer`.

    Attributes
    ----------
    layer : nn.RNN, nn.LSTM, nn.GRU or None
        The plain layer, ``batch_first``, with Keras's weights and dropout, where the whole is one: None if
        the cells of a stack or of the two directions differ, or both are there. That of a layer with
        ``go_backwards`` is to be given x turned round.
    layers : list of the same
        All that run: `layer`, or those of the forward way from below, then those of the backward way.
    name : str
        In the file, with the names of the models around it: ``"encoder/lstm"``.
    config : dict
        The configuration as the file has it.
    return_sequences, return_state, stateful, zero_output_for_mask : bool
    merge_mode : str or None
        As Keras's; of Bidirectional only.

    Notes
    -----
    A mask has any pattern: a masked step holds the state, and its output is the one before, or 0 with
    ``zero_output_for_mask`` (which Bidirectional sets if it returns sequences). Before the first step that
    counts it is 0, as on TensorFlow and PyTorch; Keras's other backends have the initial state there.
    With ``stateful`` the first call begins at 0, as after `reset_state`, and each later one where the last
    one of as many rows ended.
    """

    def __init__(self, plan: LayerPlan, tensors: Sequence[Sequence[Tensors]]) -> None:
        self.name = plan.name
        self.config = plan.config
        self.return_sequences = plan.return_sequences
        self.return_state = plan.return_state
        self.stateful = plan.stateful
        self.zero_output_for_mask = plan.zero_output_for_mask
        self.merge_mode = plan.merge_mode
        self._ways = plan.ways
        params = [
            [_params(cell, found) for cell, found in zip(way.cells, each, strict=True)]
            for way, each in zip(plan.ways, tensors, strict=True)
        ]
        self._joined = _are_one(plan.ways, params)
        if self._joined:
            self.layers = [_build(plan.ways[0].cells[0], [p for (p,) in params], bidirectional=True)]
        else:
            self.layers = [
                layer
                for way, each in zip(plan.ways, params, strict=True)
                for layer in _stack(way.cells, each)
            ]
        self._last: list[_States] | None = None

    @property
    def layer(self) -> nn.Recurrent | None:
        return self.layers[0] if len(self.layers) == 1 else None

    def __call__(self, x: np.ndarray, initial_state: Any = None, mask: np.ndarray | None = None) -> Any:
        """Return what Keras's layer does: inference.

        Parameters
        ----------
        x : array_like, (B, T, I)
        initial_state : list, optional
            As `return_state` gives them: ``[h]``, of an LSTM ``[h, c]``, of Bidirectional those of the
            forward way and then of the backward way, of stacked cells a list for each cell. None: 0, or
            with ``stateful`` the last.
        mask : bool array, (B, T), optional

        Returns
        -------
        numpy.ndarray, or tuple of them
            The output (B, T, H), (B, H) without ``return_sequences``, of Bidirectional merged by
            ``merge_mode``, or both if that is None; then, with ``return_state``, the states.

        Raises
        ------
        ValueError, TypeError
            As from `fastrnn.nn.Recurrent`, and for states of another number or shape, or no steps.
        """
        who = f"layer {self.name!r}"
        x = _checks.real(who, "x", x, self.layers[0].dtype)
        if x.ndim != 3 or not x.shape[1]:
            raise ValueError(f"{who}: x has shape {x.shape}; expected (B, T, I) with T at least 1")
        _checks.features(who, "x", x, "input_size", self.layers[0].input_size)
        if mask is not None:
            mask = _checks.step_mask(who, mask, x.shape[:2], "(B, T)")
        states = self._begin(initial_state, len(x))
        outputs, states = self._run(x, states, mask)
        if self.stateful:
            self._last = [[tuple(a.copy() for a in cell) for cell in way] for way in states]
        merged = self._merge([
            self._output(y, way.backwards, mask) for y, way in zip(outputs, self._ways, strict=True)
        ])  # fmt: skip
        if not self.return_state:
            return merged[0] if len(merged) == 1 else merged
        return (*merged, *self._as_keras(states))

    def reset_state(self) -> None:
        """Let the next call of a stateful layer begin at 0."""
        self._last = None

    # ---- running ----

    def _run(
        self, x: np.ndarray, states: list[_States], mask: np.ndarray | None
    ) -> tuple[list[np.ndarray], list[_States]]:
        """Run all layers; return for each way the outputs in the order of the steps, and the states."""
        if self._joined:
            y, both = _run(self.layers[0], x, [s for (s,) in states], mask)
            return np.split(y, 2, axis=-1), [[s] for s in both]
        outputs, after = [], []
        layers = iter(self.layers)
        for way, before in zip(self._ways, states, strict=True):
            step = slice(None, None, -1 if way.backwards else 1)
            y, way_mask = x[:, step], None if mask is None else mask[:, step]
            ended: _States = []
            while len(ended) < len(before):
                layer = next(layers)
                here = slice(len(ended), len(ended) + layer.num_layers)
                y, more = _run(layer, y, before[here], way_mask)
                ended += more
            outputs.append(y[:, step])
            after.append(ended)
        return outputs, after

    def _output(self, y: np.ndarray, backwards: bool, mask: np.ndarray | None) -> np.ndarray:
        """Mask the outputs (B, T, H) of one way as Keras; return all, in order, or those of the last step."""
        step = slice(None, None, -1 if backwards else 1)
        if mask is not None:
            counts = mask
            if not self.zero_output_for_mask:  # from the first that counts on
                counts = np.logical_or.accumulate(mask[:, step], axis=1)[:, step]
            y = np.where(counts[..., None], y, y.dtype.type(0))
        if self.return_sequences:
            return y
        return y[:, 0 if backwards else -1].copy()

    def _merge(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Merge the ways; sequences in the order in which Keras gives them: that of the first way."""
        if self.return_sequences and self._ways[0].backwards:
            outputs = [np.ascontiguousarray(y[:, ::-1]) for y in outputs]
        if len(outputs) == 1:
            return (outputs[0],)
        if self.merge_mode is None:
            return tuple(map(np.ascontiguousarray, outputs))
        return (_MERGES[self.merge_mode](*outputs),)

    # ---- states ----

    def _begin(self, given: Any, batch: int) -> list[_States]:
        """The states that a call begins at, checked."""
        dtype = self.layers[0].dtype
        if given is None and self.stateful and self._last is not None:
            rows = len(self._last[0][0][0])
            if rows != batch:
                raise ValueError(
                    f"layer {self.name!r}: x has {batch} rows; the layer is stateful, and the call before "
                    f"had {rows}: give as many, or call reset_state()"
                )
            return self._last
        if given is None:
            return [
                [tuple(np.zeros((batch, c.units), dtype) for _ in c.cell.states) for c in way.cells]
                for way in self._ways
            ]
        flat = self._flat(given)
        result, at = [], iter(flat)
        for way in self._ways:
            result.append([
                tuple(self._state(next(at), (batch, c.units)) for _ in c.cell.states) for c in way.cells
            ])  # fmt: skip
        return result

    def _flat(self, given: Any) -> list[Any]:
        """The states in a row, having checked that they are nested as Keras nests them."""
        if not isinstance(given, (list, tuple)):
            given = [given]
        shape = [len(c.cell.states) for way in self._ways for c in way.cells]
        if not self._ways[0].stacked:
            if len(given) == sum(shape):
                return list(given)
            raise ValueError(
                f"layer {self.name!r}: initial_state has {len(given)} arrays; expected {sum(shape)}: "
                f"{', '.join(self._state_names())}"
            )
        each = [list(s) if isinstance(s, (list, tuple)) else [s] for s in given]
        if [len(s) for s in each] != shape:
            raise ValueError(
                f"layer {self.name!r}: initial_state has {[len(s) for s in each]} arrays; expected a list "
                f"for each cell, of {shape}"
            )
        return [array for s in each for array in s]

    def _state_names(self) -> list[str]:
        ends = ("_f", "_b") if len(self._ways) > 1 else ("",)
        return [
            f"{state}{end}"
            for end, way in zip(ends, self._ways, strict=True)
            for cell in way.cells
            for state in cell.cell.states
        ]

    def _state(self, value: Any, shape: tuple[int, int]) -> np.ndarray:
        who = f"layer {self.name!r}"
        value = _checks.real(who, "initial_state", value, self.layers[0].dtype)
        if value.shape != shape:
            raise ValueError(f"{who}: an initial_state has shape {value.shape}; expected {shape}: (B, H)")
        return value

    def _as_keras(self, states: list[_States]) -> list[Any]:
        """Return the states as Keras nests them."""
        each = [cell for way in states for cell in way]
        if self._ways[0].stacked:
            return [list(cell) for cell in each]
        return [array for cell in each for array in cell]

    def extra_repr(self) -> str:
        shown = {
            key: getattr(self, key)
            for key in ("return_sequences", "return_state", "stateful", "zero_output_for_mask")
            if getattr(self, key)
        }
        if len(self._ways) > 1:
            shown["merge_mode"] = self.merge_mode
        elif self._ways[0].backwards:
            shown["go_backwards"] = True
        return ", ".join([repr(self.name), *(f"{key}={value!r}" for key, value in shown.items())])


def _run(
    layer: nn.Recurrent, x: np.ndarray, states: _States, mask: np.ndarray | None
) -> tuple[np.ndarray, _States]:
    """Run one of our layers with the states of its passes."""
    given: Any = tuple(np.stack(each) for each in zip(*states, strict=True))
    alone = len(given) == 1
    y, after = layer(x, given[0] if alone else given, mask=mask)
    return y, list(zip(*((after,) if alone else after), strict=True))


# ---- building ----


def _params(plan: CellPlan, tensors: Tensors) -> dict[str, np.ndarray]:
    arrays = tensors.arrays
    return from_keras(plan.kind, arrays["kernel"], arrays["recurrent_kernel"], arrays.get("bias"))


def _alike(a: CellPlan, b: CellPlan) -> bool:
    """Whether two cells may be passes of one layer."""
    return all(
        getattr(a, key) == getattr(b, key)
        for key in ("kind", "units", "use_bias", "cell", "dropout", "recurrent_dropout")
    )


def _are_one(ways: Sequence[Way], params: list[list[dict[str, np.ndarray]]]) -> bool:
    """Whether two ways are the two directions of one layer."""
    if len(ways) == 1 or ways[0].backwards or any(len(way.cells) > 1 for way in ways):
        return False
    (a,), (b,) = (way.cells for way in ways)
    return _alike(a, b)


def _stack(plans: Sequence[CellPlan], params: Sequence[Mapping[str, np.ndarray]]) -> list[nn.Recurrent]:
    """The layers of one way: one of several layers, if the cells are alike."""
    if all(_alike(plan, plans[0]) for plan in plans):
        return [_build(plans[0], params)]
    return [_build(plan, [each]) for plan, each in zip(plans, params, strict=True)]


def _build(
    plan: CellPlan, params: Sequence[Mapping[str, np.ndarray]], bidirectional: bool = False
) -> nn.Recurrent:
    """One of our layers, with these parameters of its passes."""
    first = params[0]["w_ih"]
    options: dict[str, Any] = {
        "num_layers": 1 if bidirectional else len(params),
        "bias": plan.use_bias,
        "batch_first": True,
        "bidirectional": bidirectional,
        "input_dropout": plan.dropout,
        "recurrent_dropout": plan.recurrent_dropout,
        "dtype": np.result_type(first.dtype, np.float32),
    }
    sizes = first.shape[1], plan.units
    layer: nn.Recurrent
    if isinstance(plan.cell, cells.LSTM):
        layer = nn.LSTM(*sizes, activations=plan.cell.activations, **options)
    elif isinstance(plan.cell, cells.GRU):
        layer = nn.GRU(*sizes, reset=plan.cell.reset, activations=plan.cell.activations, **options)
    else:
        assert isinstance(plan.cell, cells.RNN)
        layer = nn.RNN(*sizes, nonlinearity=plan.cell.activation, **options)
    layer.load_state_dict({
        f"{name.replace('w_', 'weight_').replace('b_', 'bias_')}_l{0 if bidirectional else k}"
        f"{'_reverse' * (bidirectional and k)}": array
        for k, each in enumerate(params)
        for name, array in each.items()
    })  # fmt: skip
    return layer
