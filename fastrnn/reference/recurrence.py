"""The way of the state before into the recurrent products of a step, and of their gradient back."""

import functools

import numpy as np

from fastrnn.reference.arithmetic import diagonal_gradient, flush, fma, product, weight_gradient
from fastrnn.reference.layer_norm import norm, pulled


class Recurrence:
    """The operand of the products, and with layer normalisation what becomes of them.

    Attributes
    ----------
    operand : ndarray, (N, P)
        Of the products: h', or ``flush(scale * h')``.
    raw : ndarray or None
        With layer normalisation the sums of the products, once forward has been there.
    """

    def __init__(self, cell, params, h, scale=None, raw=None):
        self.operand = h if scale is None else flush(h * scale)
        self.raw = raw
        self._scale = scale
        self._cell = cell
        self._gain = params["w_ln_hh"] if cell.layer_norm else None

    def start(self, start):
        """Where the products begin, which are to be added to `start`."""
        return start if self._gain is None else np.zeros_like(start)

    def added(self, z, start):
        """What the products z, begun at ``self.start(start)``, come to together with `start`."""
        if self._gain is None:
            return z
        self.raw = z
        return fma(self._gain, self._norm.normal, start)

    def through(self, d):
        """The gradient of the products, from that of what was `added`."""
        return d if self._gain is None else flush(pulled(self._norm, self._gain, d))

    def gradients(self, d):
        """The gradients of the weight of the products, and of the gains, from that of what was `added`."""
        grads = {"w_hh": weight_gradient(self.through(d), self.operand)}
        return grads if self._gain is None else {**grads, "w_ln_hh": diagonal_gradient(d, self._norm.normal)}

    @functools.cached_property
    def _norm(self):
        return norm(self.raw, len(self._cell.gates), self._cell.layer_norm_eps)

    def carried(self, products, direct=None, plus=None, start=None):
        """The gradient of h'.

        That of the operand is a sum that begins at `start`, or at ``fma(*plus, ...)``, and goes on over the
        `products`, pairs (d, w). What reaches h' past it, `direct`, is where the sum begins if there is no
        scale.
        """
        if self._scale is not None and direct is not None:
            total = np.zeros_like(direct)
        else:
            total = direct if start is None else start
        if plus is not None:
            total = fma(*plus, total)
        for d, w in products:
            total = product(d, w.T, total)
        total = flush(total)
        if self._scale is None:
            return total
        return flush(fma(self._scale, total, np.zeros_like(total) if direct is None else direct))
