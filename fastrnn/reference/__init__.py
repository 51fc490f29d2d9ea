"""The specification: what fastrnn computes, in NumPy, to the bit. docs/numerics.md says it in words.

The functions have the arguments of those of the same name in `fastrnn.functional`.
"""

from fastrnn.reference.arithmetic import elu, exp, fma, product, sigmoid, softplus, tanh
from fastrnn.reference.linear import linear, linear_backward
from fastrnn.reference.sequence import backward, forward
from fastrnn.reference.tape import Tape

__all__ = [
    "Tape",
    "backward",
    "elu",
    "exp",
    "fma",
    "forward",
    "linear",
    "linear_backward",
    "product",
    "sigmoid",
    "softplus",
    "tanh",
]
