"""Where the library of an extra is missing, one clear line names the extra."""

import sys

import numpy as np
import pytest

from fastrnn import io, nn


@pytest.fixture
def without(monkeypatch):
    def block(library):
        for name in [n for n in sys.modules if n.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)

    return block


def test_h5py(tmp_path, without):
    without("h5py")
    (tmp_path / "m.h5").write_bytes(b"\x89HDF")
    with pytest.raises(ImportError, match=r'^h5py is needed .*; pip install "fastrnn\[keras\]"$'):
        io.keras.load(tmp_path / "m.h5")


def test_torch(without):
    without("torch")
    with pytest.raises(ImportError, match=r'^torch is needed .*; pip install "fastrnn\[torch\]"$'):
        io.torch_state_dict(nn.Linear(2, 3))


def test_safetensors(tmp_path, without):
    without("safetensors")
    path = tmp_path / "m.safetensors"
    message = r'^safetensors is needed .*; pip install "fastrnn\[io\]"$'
    with pytest.raises(ImportError, match=message):
        io.save(path, {"a": np.ones(2)})
    with pytest.raises(ImportError, match=message):
        io.load(path)
    assert not path.exists()
