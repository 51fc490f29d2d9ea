"""No kernel reads or writes beyond the end of an array, in any tail of any vector width."""

import signal

import pytest
from trust_work import available_isas, python


@pytest.mark.parametrize("part", [4, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("isa", available_isas())
def test_arrays_that_end_at_an_unreadable_page_are_not_overrun(isa, part):
    """A quarter of the sizes with each cell, another one from cell to cell; all of them with `-m long`."""
    process = python(f"import trust_guard; trust_guard.main({isa!r}, {part})")
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, "ok\n"), err[-3000:]


def test_the_page_after_a_guarded_array_is_unreadable():
    code = "import ctypes, trust_guard as g; a = g.empty(3); ctypes.string_at(a.ctypes.data + 24, 1)"
    process = python(code)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGSEGV
