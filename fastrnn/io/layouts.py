"""The layouts of weights in other libraries, and ours; the order of gates differs nearly everywhere.

Ours: rows of the gates ``cell.gates`` one after the other, LSTM i, f, g, o and GRU r, z, n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["KERAS_GATES", "ONNX_GATES", "from_keras", "from_onnx", "reorder", "to_onnx"]


def reorder(array: np.ndarray, have: Sequence[str], want: Sequence[str]) -> np.ndarray:
    """Bring the blocks of rows of these gates into another order; a gate that is not there gets zeros.

    >>> reorder(np.arange(4), "ab", "bca").tolist()
    [2, 3, 0, 0, 0, 1]
    """
    blocks = dict(zip(have, np.split(array, len(have)), strict=True))
    nothing = np.zeros_like(next(iter(blocks.values())))
    return np.concatenate([blocks.get(gate, nothing) for gate in want])


# -- ONNX ------------------------------------------------------------------------------------------------

#: The rows of ONNX's operators by our letters of the gates: its c is our g, its h our n.
ONNX_GATES = {"RNN": "n", "LSTM": "iofg", "GRU": "zrn"}


def from_onnx(
    operator: str,
    gates: Sequence[str],
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray | None = None,
    p: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Make the parameters of a cell with these gates of one direction of ONNX's W, R, B and P.

    Parameters
    ----------
    operator : {"RNN", "LSTM", "GRU"}
    gates : sequence of str
        Those of the cell; rows of others (f, where i and f are coupled) are left out.
    w, r : array, (G*H, I), (G*H, H)
    b : array, (2*G*H,), optional
    p : array, (3*H,), optional
        Of the gates i, o, f.

    Examples
    --------
    >>> w, r = np.zeros((20, 3)), np.zeros((20, 5))
    >>> {name: a.shape for name, a in from_onnx("LSTM", "ifgo", w, r, p=np.zeros(15)).items()}
    {'w_ih': (20, 3), 'w_hh': (20, 5), 'w_peephole': (3, 5)}
    """
    order = ONNX_GATES[operator]
    params = {"w_ih": reorder(w, order, gates), "w_hh": reorder(r, order, gates)}
    if b is not None:
        b_ih, b_hh = np.split(b, 2)
        params |= {"b_ih": reorder(b_ih, order, gates), "b_hh": reorder(b_hh, order, gates)}
    if p is not None:
        params["w_peephole"] = reorder(p, "iof", "ifo").reshape(3, -1)
    return params


def to_onnx(
    operator: str, gates: Sequence[str], params: Mapping[str, np.ndarray], peepholes: str = "ifo"
) -> dict[str, np.ndarray]:
    """Make one direction of ONNX's W, R and, where they are there, B and P of the parameters of a cell.

    `peepholes` names the gates whose row of ``w_peephole`` counts. See `from_onnx`.

    Examples
    --------
    >>> params = {"w_ih": np.arange(6.0).reshape(3, 2), "w_hh": np.arange(3.0).reshape(3, 1)}
    >>> to_onnx("GRU", "rzn", params)["W"].tolist()
    [[2.0, 3.0], [0.0, 1.0], [4.0, 5.0]]
    """
    order = ONNX_GATES[operator]
    found = {
        "W": reorder(params["w_ih"], gates, order),
        "R": reorder(params["w_hh"], gates, order),
    }
    if "b_ih" in params:
        found["B"] = np.concatenate([reorder(params[name], gates, order) for name in ("b_ih", "b_hh")])
    if "w_peephole" in params:
        seen = np.array([[gate in peepholes] for gate in "ifo"])
        rows = np.where(seen, params["w_peephole"], params["w_peephole"].dtype.type(0))
        found["P"] = reorder(rows, "ifo", "iof").reshape(-1)
    return found


# -- Keras: kernel (I, G*H), recurrent_kernel (H, G*H), one bias (G*H,), or (2, G*H) of GRU ----------------

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

    def turned(a: np.ndarray) -> np.ndarray:
        """(..., G*H) to (G*H, ...), gates in our order."""
        return reorder(a.T, KERAS_GATES[kind], _OUR_GATES[kind])

    params = {"w_ih": turned(kernel), "w_hh": turned(recurrent_kernel)}
    if bias is not None:
        b_ih, b_hh = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        params |= {"b_ih": turned(b_ih), "b_hh": turned(b_hh)}
    return params
