"""ONNX's own tests of its operators, by `fastrnn.io.onnx.Backend`."""

import unittest
import warnings

import numpy as np
import pytest

from fastrnn.io.onnx import _operators

onnx = pytest.importorskip("onnx")
from fastrnn.io.onnx import Backend  # noqa: E402

pytestmark = pytest.mark.peers

RECURRENT = ("RNN", "LSTM", "GRU")


def collected():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in collect_testcases(None)}


CASES = collected()


def kinds(case):
    return {node.op_type for node in case.model.graph.node}


OURS = [name for name, case in CASES.items() if kinds(case) & {*RECURRENT}]
# Of the simple operators all of ONNX's cases but those of what is not taken: training, and types of a few bits.
SIMPLE = [name for name, case in CASES.items() if kinds(case) <= _operators._FUNCTIONS.keys()]
LEFT_OUT = ("bfloat16", "BFLOAT16", "training", "STRING", "FLOAT8", "INT4", "INT2", "FLOAT4", "E8M0", "cast_e8m0")


def check(case):
    prepared = Backend.prepare(case.model)
    for inputs, expected in case.data_sets:
        for got, wanted in zip(prepared.run(inputs), expected, strict=True):
            assert got.dtype == wanted.dtype
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, case.rtol, case.atol)


def test_there_are_eighteen_recurrent_cases():
    assert len(OURS) == 18


@pytest.mark.parametrize("name", OURS)
def test_recurrent_cases_pass(name):
    check(CASES[name])


@pytest.mark.parametrize("name", SIMPLE)
def test_cases_of_simple_operators_pass(name):
    if any(word in name for word in LEFT_OUT):
        pytest.skip("not an operator's form that is run here")
    check(CASES[name])
