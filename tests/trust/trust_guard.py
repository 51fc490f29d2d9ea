"""Every kernel on arrays that each end at an unreadable page: a program that dies of SIGSEGV or prints "ok".

`python trust_guard.py ISA` takes all sizes. Arguments, the tape and what the library allocates for its
results are guarded.
"""

import ctypes
import itertools
import mmap
import sys

import numpy as np

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PROT_NONE = 0

mappings = []


def empty(shape, dtype=np.float64):
    """An array whose last byte is the last before an unreadable page."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start = libc.mmap(None, pages + mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, anonymous, -1, 0)
    assert start != ctypes.c_void_p(-1).value
    assert libc.mprotect(start + pages, mmap.PAGESIZE, PROT_NONE) == 0
    mappings.append((start, pages + mmap.PAGESIZE))
    memory = (ctypes.c_char * size).from_address(start + pages - size)
    return np.frombuffer(memory, dtype).reshape(shape)


def guarded(array):
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def is_guarded(array):
    """Whether it ends where a page does, which few arrays do by chance."""
    return array.size == 0 or (array.ctypes.data + array.nbytes) % mmap.PAGESIZE == 0


def release():
    while mappings:
        libc.munmap(*mappings.pop())


class GuardedNumPy:
    """numpy, but for where it puts new arrays."""

    empty = staticmethod(empty)

    @staticmethod
    def empty_like(array):
        return empty(array.shape, array.dtype)

    def __getattr__(self, name):
        return getattr(np, name)


EDGES = (1, 3, 7, 8, 9, 15, 16, 17, 33)
SIZES = list(itertools.product(EDGES, EDGES))
BATCHES = (1, 2, 3, 5, 6, 13, 15)


def main(isa, part=1):
    """Run all cells on all sizes, or on one of `part` of them, which differ from cell to cell."""
    from trust_work import CELLS, bits, case, compute

    import fastrnn
    from fastrnn import functional

    functional.np = GuardedNumPy()
    functional._native.empty = empty
    kinds = itertools.product(CELLS.values(), (np.float32, np.float64))
    cases = [(*kind, *size) for k, kind in enumerate(kinds) for size in SIZES[k % part :: part]]
    with fastrnn.isa(isa):
        for n, (cell, dtype, I, H) in enumerate(cases):
            if cell.output_size(H) > H:
                continue
            ragged, reverse = n % 3 == 1, n % 2 == 1
            given = case(cell, 1 + n % 4, BATCHES[n % 7], I, H, dtype, n, ragged, place=guarded)
            assert np.shares_memory(functional.forward(cell, given["params"], given["x"])[2].x, given["x"])
            with fastrnn.num_threads(1 + n % 2):
                results = compute(given, reverse, checkpoint_every=(None, 1, 3, 2)[n % 4])
            assert [name for name, array in results.items() if not is_guarded(array)] == []
            got = bits(results)
            if n % 10 == 0:
                with fastrnn.backend("reference"):
                    assert got == bits(compute(given, reverse)), (cell, dtype, I, H)
            w, dy = given["params"]["w_ih"], guarded(given["x"] @ given["params"]["w_ih"].T)
            functional.linear(given["x"], w)
            functional.linear_backward(given["x"], w, dy)
            functional.exp(given["x"]), functional.sigmoid(w), functional.tanh(dy)
            del given, w, dy
            release()
    print("ok")


if __name__ == "__main__":
    main(sys.argv[1])
