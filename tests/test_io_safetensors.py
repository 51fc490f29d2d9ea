"""fastrnn.io.safetensors: what is saved comes back, from any layout of memory; bad files are refused."""

import os
import stat

import numpy as np
import pytest

import fastrnn
from fastrnn import io, nn, optim
from fastrnn.io import FileFormatError

pytest.importorskip("safetensors")

ARRAYS = {
    "lstm.weight_ih_l0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "bias": np.array([1.5, -0.0, np.nan, np.inf]),
    "steps": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    io.save(path, ARRAYS, epoch=3, vocabulary=["a", "ế", "\n"], nested={"x": [1.5, None]})
    return path


def assert_same(arrays, expected):
    assert list(arrays) == list(expected)
    for name, value in expected.items():
        assert arrays[name].dtype == value.dtype
        assert arrays[name].shape == value.shape
        assert arrays[name].tobytes() == value.tobytes()
        assert arrays[name].flags.writeable


def test_what_is_saved_comes_back_as_from_an_npz_file(path, tmp_path):
    arrays, meta = io.load(path)
    assert_same(arrays, ARRAYS)
    io.save(tmp_path / "model.npz", ARRAYS, **meta)
    assert_same(io.load(tmp_path / "model.npz").arrays, arrays)
    assert io.load(tmp_path / "model.npz").meta == meta


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u2", "i8", "?"])
def test_every_dtype_and_layout_comes_back(tmp_path, dtype):
    value = np.arange(24).reshape(4, 6).astype(dtype)
    for k, laid in enumerate(
        [value.T, np.asfortranarray(value), value[::2, ::-1], np.broadcast_to(value[0], (3, 6))]
    ):
        io.safetensors.save(tmp_path / str(k), {"a": laid})
        loaded = io.safetensors.load(tmp_path / str(k)).arrays["a"]
        assert np.array_equal(loaded, laid)
        assert loaded.dtype.isnative


def test_modules_and_optimisers(tmp_path):
    lstm = nn.LSTM(3, 4, num_layers=2, rng=0)
    fastrnn.save(tmp_path / "a.safetensors", lstm, kind="lstm")
    arrays, meta = fastrnn.load(tmp_path / "a.safetensors")
    assert meta == {"kind": "lstm"}
    assert_same(arrays, lstm.state_dict())
    nn.LSTM(3, 4, num_layers=2).load_state_dict(arrays)
    io.save(tmp_path / "b.safetensors", optim.Adam(lstm))


def test_models_are_kept_too(tmp_path):
    model = fastrnn.models.LanguageModel(hidden_size=8, num_layers=1)
    model.fit("the cat sat on the mat. " * 20, epochs=1, batch_size=4)
    model.save(tmp_path / "a.safetensors")
    again = fastrnn.models.LanguageModel.load(tmp_path / "a.safetensors")
    assert again.generate("the ", 9, seed=1) == model.generate("the ", 9, seed=1)


def test_the_library_reads_it_and_we_read_what_the_library_writes(path, tmp_path):
    from safetensors.numpy import load_file, save_file

    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    assert np.array_equal(found["lstm.weight_ih_l0"], ARRAYS["lstm.weight_ih_l0"])
    save_file(found, tmp_path / "theirs", {"format": "np", "author": "x"})
    arrays, meta = io.safetensors.load(tmp_path / "theirs")
    assert arrays.keys() == ARRAYS.keys()
    assert meta == {"format": "np", "author": "x"}


def test_mode_follows_the_umask_and_a_failed_save_leaves_the_old_file(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()
    before = path.read_bytes()
    for source in ({"a": np.array([object()])}, {"__metadata__": np.ones(1)}, {"a\0": np.ones(1)}):
        with pytest.raises(TypeError, match="save: "):
            io.save(path, source)
    with pytest.raises(TypeError, match="JSON"):
        io.save(path, {}, meta=object())
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_every_truncation_is_refused(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        with pytest.raises(FileFormatError, match=r"model\.safetensors: "):
            io.load(path)


def test_changed_bytes_are_refused_or_read(path):
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        changed = whole.copy()
        changed[rng.integers(len(whole), size=rng.integers(1, 4))] = rng.integers(256)
        path.write_bytes(changed.tobytes())
        try:
            io.load(path)
        except FileFormatError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}', "not a whole"),
        (b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', "'a' has dtype BF16"),
        (
            b'{"__metadata__":{"__fastrnn__":"["},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            "JSON",
        ),
        (
            b'{"__metadata__":{"__fastrnn__":"{}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            "format",
        ),
        (b"{", "not a whole"),
    ],
)
def test_wrong_headers_are_refused(path, header, message):
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(FileFormatError, match=message):
        io.load(path)


def test_missing_file_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "none.safetensors")


@pytest.mark.peers
def test_torch_reads_a_layer(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    ours = nn.LSTM(3, 4, bidirectional=True, rng=0)
    io.save(tmp_path / "a.safetensors", ours)
    theirs = torch.nn.LSTM(3, 4, bidirectional=True)
    theirs.load_state_dict(load_file(tmp_path / "a.safetensors"))
    x = np.ones((5, 2, 3), np.float32)
    np.testing.assert_allclose(ours(x)[0], theirs(torch.tensor(x))[0].detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [[0, 2**40, 2**40], [0] * 70, [1] * 70, [0, 2**63]])
def test_shapes_that_no_array_has_are_refused(tmp_path, shape):
    import json

    size = 4 * (0 not in shape)
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(io.FileFormatError):
        io.load(path)
