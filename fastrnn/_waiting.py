"""Loads the kernels, with a word to OpenMP about how long idle threads stay awake.

libgomp lets a thread spin for some 16 ms at the end of a parallel region before it sleeps. Where another
process needs the core, everybody then waits for a thread that is not running: calls of half a millisecond
take 16. A few microseconds are enough to bridge the way from one call to the next. libgomp reads its
environment when it is loaded, so that is when the word must stand there; a word of the user's is left
alone.
"""

import os

SPINS = "1000"  # some 50 us
_silent = not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()

if _silent:
    os.environ["GOMP_SPINCOUNT"] = SPINS
try:
    from . import _native as _native
finally:
    if _silent:
        del os.environ["GOMP_SPINCOUNT"]
