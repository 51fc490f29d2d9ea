"""RNN, LSTM and GRU: recurrent layers of one cell, with PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, Unpack

from .. import cells
from .recurrent import Options, Recurrent

__all__ = ["GRU", "LSTM", "RNN"]


class RNNOptions(Options, total=False):
    """What `RNN` takes by keyword; a cell's options as in `fastrnn.cells`, here and below."""

    clip: float | None
    zoneout: float | tuple[float, ...]
    layer_norm: bool
    layer_norm_eps: float


class GRUOptions(Options, total=False):
    """What `GRU` takes by keyword."""

    reset: Literal["after", "before"]
    activations: Mapping[str, cells.AnyActivation]
    clip: float | None
    zoneout: float | tuple[float, ...]
    layer_norm: bool
    layer_norm_eps: float


class LSTMOptions(Options, total=False):
    """What `LSTM` takes by keyword."""

    peepholes: str
    coupled: bool
    input_gate: bool
    forget_gate: bool
    output_gate: bool
    full_gate_recurrence: bool
    cell_clip: float | None
    activations: Mapping[str, cells.AnyActivation]
    clip: float | None
    zoneout: float | tuple[float, ...]
    layer_norm: bool
    layer_norm_eps: float


class RNN(Recurrent):
    r"""Elman network, :math:`h_t = f(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})`, as ``torch.nn.RNN``.

    Parameters
    ----------
    nonlinearity : str, tuple or cells.Activation
        f: the name of a `fastrnn.cells.Activation`, ``(name, alpha)``, ``(name, alpha, beta)``, or one of
        them. PyTorch has "tanh" and "relu".
    clip, zoneout, layer_norm, layer_norm_eps
        Options of the cell; see `fastrnn.cells.RNN`.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        See `Recurrent`, which describes shapes, lengths, parameters and methods. The state is one array.

    References
    ----------
    Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> y, h = nn.RNN(3, 4, nonlinearity="relu")(np.ones((7, 5, 3), np.float32))
    >>> y.shape, h.shape
    ((7, 5, 4), (1, 5, 4))
    """

    _kind: ClassVar[type[cells.Cell]] = cells.RNN
    _cell_options: ClassVar[dict[str, str]] = {"activation": "nonlinearity"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: cells.AnyActivation = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[RNNOptions],
    ) -> None:
        own, rest = self._cut(options)
        cell = cells.RNN(activation=nonlinearity, **own)
        arguments = (cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(*arguments, **rest)


class LSTM(Recurrent):
    r"""Long short-term memory, as ``torch.nn.LSTM``, and its variants.

    .. math::

        i, f, o &= \sigma(W x_t + b + R h_{t-1} + b'), \quad g = \tanh(W x_t + b + R h_{t-1} + b') \
        c_t &= f \circ c_{t-1} + i \circ g, \quad h_t = o \circ \tanh(c_t)

    with weights of its own for each gate; with a projection :math:`h_t = W_{hr} (o \circ \tanh(c_t))`.

    Parameters
    ----------
    proj_size : int
        P, the features of h, less than hidden_size; 0: no projection.
    peepholes, coupled, input_gate, forget_gate, output_gate, full_gate_recurrence, cell_clip
        What makes the variants of the literature; `fastrnn.cells.LSTM` describes these and the next ones,
        and their parameters: ``w_peephole`` is ``weight_peephole_l{k}`` here, and so on.
    activations, clip, zoneout, layer_norm, layer_norm_eps
        Of the gates, of the states, and of the products and c.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        See `Recurrent`, which describes shapes, lengths, parameters and methods. The state is the tuple (h,
        c); with ``full_gate_recurrence`` it is (h, c, r), r the gates i, f, o side by side.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; with the forget gate of
    Gers, Schmidhuber and Cummins, "Learning to forget", 2000, and the projection of Sak, Senior and Beaufays,
    2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> lstm = nn.LSTM(3, 4, bidirectional=True, rng=0)
    >>> y, (h, c) = lstm(np.ones((7, 5, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((7, 5, 8), (2, 5, 4), (2, 5, 4))
    >>> list(nn.LSTM(3, 4, peepholes="ifo", coupled=True).params)[-1]
    'weight_peephole_l0'
    """

    _kind: ClassVar[type[cells.Cell]] = cells.LSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        **options: Unpack[LSTMOptions],
    ) -> None:
        own, rest = self._cut(options)
        cell = cells.LSTM(proj_size=proj_size, **own)
        arguments = (cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(*arguments, **rest)

    @classmethod
    def variant(cls, name: str, /, *arguments: Any, **options: Any) -> Self:
        """Build one of the variants of "LSTM: a search space odyssey" by its name there.

        Parameters
        ----------
        name : {"V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"}
            See `fastrnn.cells.LSTM.variant`.
        *arguments, **options
            As of the class; options of the cell take the place of the variant's.

        Examples
        --------
        >>> LSTM.variant("CIFG", 3, 4, num_layers=2)
        LSTM(3, 4, peepholes='ifo', coupled=True, num_layers=2)
        """
        return cls(*arguments, **{**cells.LSTM.variant(name).chosen, **options})


class GRU(Recurrent):
    r"""Gated recurrent unit, as ``torch.nn.GRU``.

    .. math::

        r, z &= \sigma(W x_t + b + R h_{t-1} + b') \
        n &= \tanh(W_n x_t + b_n + r \circ (R_n h_{t-1} + b'_n)) \
        h_t &= (1 - z) \circ n + z \circ h_{t-1}

    with weights of its own for each gate. ``reset="before"`` resets the state before the product,
    :math:`n = \tanh(W_n x_t + b_n + R_n (r \circ h_{t-1}) + b'_n)`, as in the first paper.

    Parameters
    ----------
    reset : {"after", "before"}
        Where the reset gate acts: after the recurrent product (PyTorch, cuDNN), or before it.
    activations, clip, zoneout, layer_norm, layer_norm_eps
        Of the gates, of the state, and of the products; see `fastrnn.cells.GRU`.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        See `Recurrent`, which describes shapes, lengths, parameters and methods. The state is one array.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> gru = nn.GRU(3, 4, rng=0).freeze()
    >>> y_t, h = gru.step(np.ones((5, 3), np.float32))
    >>> y_t, h = gru.step(np.ones((5, 3), np.float32), h)
    >>> y_t.shape, h.shape
    ((5, 4), (1, 5, 4))
    """

    _kind: ClassVar[type[cells.Cell]] = cells.GRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[GRUOptions],
    ) -> None:
        own, rest = self._cut(options)
        arguments = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(cells.GRU(**own), *arguments, **rest)
