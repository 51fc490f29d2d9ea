"""The floating-point state is the caller's: no call changes it, and it does not change the bits."""

import contextlib
import ctypes
import ctypes.util
import platform
import sys

import numpy as np
import pytest
from trust_work import CELLS, bits, case, compute, python

import fastrnn
from fastrnn import functional

libm = ctypes.CDLL(ctypes.util.find_library("m"))

# Word of glibc's fenv_t with the control register; its bits that flush subnormals; those that round up.
WORD, FLUSH, UPWARD = {
    "x86_64": (7, 0x8040, 0x4000),
    "aarch64": (0, 1 << 24, 1 << 22),
}.get(platform.machine(), (None, None, None))
pytestmark = pytest.mark.skipif(WORD is None, reason=f"no fenv_t known on {platform.machine()}")


def control():
    state = (ctypes.c_uint32 * 16)()
    libm.fegetenv(state)
    return state[WORD] & ~0x3F if platform.machine() == "x86_64" else state[WORD]


@contextlib.contextmanager
def control_bits(extra):
    """The calling thread's control register with more bits set."""
    state, changed = (ctypes.c_uint32 * 16)(), (ctypes.c_uint32 * 16)()
    libm.fegetenv(state)
    ctypes.memmove(changed, state, ctypes.sizeof(state))
    changed[WORD] |= extra
    libm.fesetenv(changed)
    try:
        yield
    finally:
        libm.fesetenv(state)


def with_subnormals(cell, dtype):
    """A case whose arrays and results reach into the subnormals."""
    given = case(cell, 6, 3, 9, 10, dtype)
    tiny = dtype(np.finfo(dtype).tiny)
    for array in (given["x"], given["dy"], *given["dstate"]):
        array[..., ::2] *= tiny
    given["wide"] = np.concatenate([np.linspace(-120, 120, 999, dtype=dtype), given["x"].ravel()])
    return given


def everything(given):
    p = given["params"]
    result = compute(given)
    result["linear"] = functional.linear(given["x"], p["w_ih"], p["b_ih"])
    result["dx_l"], result["dw_l"], result["db_l"] = functional.linear_backward(
        given["x"], p["w_ih"], result["linear"]
    )
    for name in ("exp", "sigmoid", "tanh"):
        result[name] = getattr(functional, name)(given["wide"])
    packed = functional.pack(given["cell"], p)
    result["packed"] = functional.forward(given["cell"], packed, given["x"], tape=False)[0]
    return bits(result)


@pytest.mark.parametrize("extra", [FLUSH, UPWARD], ids=["flush", "upward"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_callers_state_does_not_change_the_bits_and_is_kept(cell, dtype, threads, extra):
    given = with_subnormals(cell, dtype)
    with fastrnn.num_threads(threads):
        expected, before = everything(given), control()
        with control_bits(extra):
            got, inside = everything(given), control()
    assert got == expected
    assert inside == before | extra
    assert control() == before


def test_subnormals_live_after_import_and_calls():
    code = """
import sys, numpy as np, fastrnn
fastrnn.LSTM(3, 4)(np.ones((2, 1, 3), np.float32))
assert sys.float_info.min / 2 != 0
assert np.float32(np.finfo(np.float32).tiny) / np.float32(2) != 0
"""
    process = python(code)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sys.float_info.min / 2 != 0
