"""What other libraries hold goes in as it is, and layers go where other libraries send them."""

import multiprocessing
import pickle

import numpy as np
import pytest
from kit import assert_same_bits

import fastrnn

pytestmark = pytest.mark.peers
GRU = fastrnn.GRU(2, 5, rng=0)
X = np.random.default_rng(0).standard_normal((6, 2), dtype=np.float32)


def test_tensors_go_in():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    for one in (tensor, tensor.double(), tensor.T.contiguous().T, tensor[:, None].expand(6, 3, 2)):
        assert_same_bits(GRU(one)[0], GRU(np.asarray(one))[0])
    state = torch.zeros(1, 5)
    assert_same_bits(GRU(X, state)[0], GRU(X)[0])
    with pytest.raises(TypeError, match=r"GRU: x is a Tensor.*\.detach\(\)"):
        GRU(tensor.requires_grad_())


def test_columns_of_a_table_go_in():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"day": range(6), "price": X[:, 0], "volume": X[:, 1]})
    assert_same_bits(GRU(table[["price", "volume"]])[0], GRU(X)[0])
    with pytest.raises(TypeError, match="astype"):
        fastrnn.GRU(1, 5)(table[["day"]])


def outputs(layer, x):
    return layer(x)[0]


def test_layers_go_to_other_processes():
    joblib = pytest.importorskip("joblib")
    rows = [X + k for k in range(4)]
    expected = [outputs(GRU, x) for x in rows]
    frozen = fastrnn.GRU(2, 5, rng=0).freeze()
    for layer in (GRU, frozen):
        assert_same_bits(joblib.Parallel(2)(joblib.delayed(outputs)(layer, x) for x in rows), expected)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_same_bits(pool.starmap(outputs, [(frozen, x) for x in rows]), expected)


def test_pickles_carry_no_caches():
    large = fastrnn.LSTM(64, 64, rng=0)
    before = len(pickle.dumps(large))
    large.freeze()(np.zeros((3, 64), np.float32))
    assert abs(len(pickle.dumps(large)) - before) < 200
