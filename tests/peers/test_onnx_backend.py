"""ONNX's own tests of its operators, by `fastrnn.io.onnx.Backend`."""

import warnings

import numpy as np
import pytest

from fastrnn.io.onnx import _operators, _proto

pytest.importorskip("onnx")

pytestmark = pytest.mark.peers

RECURRENT = ("RNN", "LSTM", "GRU")
NAMES = [
    *[
        f"test_simple_rnn_{n}"
        for n in ("defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional")
    ],
    "test_rnn_seq_length",
    *[
        f"test_gru_{n}"
        for n in ("defaults", "with_initial_bias", "seq_length", "batchwise", "reverse", "bidirectional")
    ],
    *[
        f"test_lstm_{n}"
        for n in ("defaults", "with_initial_bias", "with_peepholes", "batchwise", "reverse", "bidirectional")
    ],
]


@pytest.fixture(scope="module")
def cases():
    """ONNX's cases of single nodes by name; some of them warn as they are made."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in collect_testcases(None)}


def kinds(case):
    return {node.op_type for node in case.model.graph.node}


def is_taken(case):
    """Whether a case is of simple operators alone, and of nothing that is refused: see `load`."""
    graph, opset = case.model.graph, case.model.opset_import[0]
    types = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    return (
        kinds(case) <= _operators._FUNCTIONS.keys()
        and opset.version >= 7
        and all(_proto.element_type(each) is not None for each in types)
        and all(np.asarray(each).dtype != object for data in case.data_sets for each in data[0])
        and "training" not in case.name
    )


def check(case):
    from fastrnn.io.onnx import Backend

    prepared = Backend.prepare(case.model)
    for inputs, expected in case.data_sets:
        for got, wanted in zip(prepared.run(inputs), expected, strict=True):
            assert got.dtype == wanted.dtype, case.name
            assert got.shape == wanted.shape, case.name
            np.testing.assert_allclose(got, wanted, case.rtol, case.atol, err_msg=case.name)


def test_these_are_all_recurrent_cases(cases):
    assert {name for name, case in cases.items() if kinds(case) & {*RECURRENT}} == {*NAMES}
    assert len(NAMES) == 18


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_cases_pass(name, cases):
    check(cases[name])


@pytest.mark.parametrize("operator", sorted(_operators._FUNCTIONS.keys() - {"Not"}))
def test_cases_of_simple_operators_pass(operator, cases):
    """All of ONNX's cases, but training and types that NumPy has not; those of Not are too old."""
    taken = [case for case in cases.values() if operator in kinds(case) and is_taken(case)]
    assert taken
    for case in taken:
        check(case)


def test_onnx_runner_passes_its_recurrent_cases():
    """The same by the runner that comes with ONNX, which calls the backend itself."""
    import unittest

    from onnx.backend.test import BackendTest

    from fastrnn.io.onnx import Backend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = BackendTest(Backend, __name__)
        for name in NAMES:
            runner.include(f"{name}_cpu")
        result = unittest.TestResult()
        runner.test_suite.run(result)
    assert not result.failures, result.failures[0][1]
    assert not result.errors, result.errors[0][1]
    assert result.testsRun - len(result.skipped) == 18


def test_one_node_runs_by_itself():
    import onnx

    from fastrnn.io.onnx import Backend

    node = onnx.helper.make_node("Not", ["x"], ["y"])
    (y,) = Backend.run_node(node, [np.array([True, False])])
    assert y.tolist() == [False, True]
    (y,) = Backend.run_node(
        onnx.helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), [np.ones((1, 2))], opset_version=11
    )
    assert y.shape == (2,)
    assert Backend.supports_device("CPU")
    assert not Backend.supports_device("CUDA:0")
