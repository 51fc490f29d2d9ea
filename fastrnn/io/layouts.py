"""Layouts of other frameworks: the order of the gates, which axis is which, how biases are shared out.

Ours: ``w_ih`` (G*H, I), ``w_hh`` (G*H, H), ``b_ih`` and ``b_hh`` (G*H,), gates i f g o of LSTM, r z n of GRU.
"""

from __future__ import annotations

import numpy as np

# ---- Keras: kernel (I, G*H), recurrent_kernel (H, G*H), one bias (G*H,), or (2, G*H) of GRU ----

#: The gates of Keras's layers, in their order, by our names.
KERAS_GATES = {"SimpleRNN": "n", "LSTM": "ifgo", "GRU": "zrn"}
_OUR_GATES = {"SimpleRNN": "n", "LSTM": "ifgo", "GRU": "rzn"}


def from_keras(
    kind: str, kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The parameters of a cell of Keras by our names; `kind` is "SimpleRNN", "LSTM" or "GRU".

    A bias of two rows, of a GRU with ``reset_after``, is that of the input and that of the recurrent product;
    one alone becomes ``b_ih``, and ``b_hh`` is 0.

    >>> from_keras("GRU", np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]]), None)["w_ih"].ravel()
    array([2., 1., 3.])
    """
    order = [KERAS_GATES[kind].index(gate) for gate in _OUR_GATES[kind]]

    def turned(a: np.ndarray) -> np.ndarray:
        """(..., G*H) to (G*H, ...), gates in our order."""
        blocks = np.split(a.T, len(order))
        return np.concatenate([blocks[k] for k in order])

    params = {"w_ih": turned(kernel), "w_hh": turned(recurrent_kernel)}
    if bias is not None:
        b_ih, b_hh = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        params |= {"b_ih": turned(b_ih), "b_hh": turned(b_hh)}
    return params
