"""fastrnn.io: what is saved comes back, files appear whole or not at all, and bad files are refused
cheaply."""

import json
import os
import re
import stat
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from fastrnn import _checks, io
from fastrnn.io import FileFormatError, _file

ARRAYS = {
    "lstm.weight_ih_l0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "bias": np.array([1.5, -0.0, np.nan, np.inf]),
    "steps": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.npz"
    io.save(path, ARRAYS, epoch=3, vocabulary=["a", "ế", "\n"], nested={"x": [1.5, None]})
    return path


def write(path, arrays, header=None):
    """Write a file as save does, with any header."""
    if header is not None:
        arrays = {"__fastrnn__": np.array(json.dumps(header)), **arrays}
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def test_what_is_saved_comes_back(path):
    arrays, meta = io.load(path)
    assert list(arrays) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype
        assert arrays[name].shape == value.shape
        assert arrays[name].tobytes() == value.tobytes()
        assert arrays[name].flags.writeable
    assert meta == {"epoch": 3, "vocabulary": ["a", "ế", "\n"], "nested": {"x": [1.5, None]}}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u2", "i8", "?"])
def test_every_dtype_and_layout_comes_back(tmp_path, dtype):
    value = np.asfortranarray(np.arange(24).reshape(4, 6)).astype(dtype)[::2, ::-1]
    io.save(tmp_path / "a", {"a": value})
    loaded = io.load(tmp_path / "a").arrays["a"]
    assert np.array_equal(loaded, value)
    assert loaded.dtype.isnative


def test_numpy_reads_the_file(path):
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["lstm.weight_ih_l0"], ARRAYS["lstm.weight_ih_l0"])


def test_same_contents_give_the_same_bytes(path, tmp_path):
    io.save(tmp_path / "again", ARRAYS, epoch=3, vocabulary=["a", "ế", "\n"], nested={"x": [1.5, None]})
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_module_and_optimiser_are_saved_by_their_state_dict(tmp_path):
    class Source:
        def state_dict(self):
            return {"w": np.ones(2)}

    io.save(tmp_path / "a", Source())
    assert np.array_equal(io.load(tmp_path / "a").arrays["w"], np.ones(2))


@pytest.mark.parametrize(
    "source",
    [{"a": np.array([object()])}, {"a": np.array("text")}, {"a": np.zeros(2, complex)}, {3: np.zeros(2)}],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, source):
    with pytest.raises(TypeError, match="save: "):
        io.save(tmp_path / "a", source)
    with pytest.raises(TypeError, match="JSON"):
        io.save(tmp_path / "a", {}, meta=object())
    assert os.listdir(tmp_path) == []


# ---- atomic ----


def test_an_error_while_writing_leaves_the_old_file_alone(path, monkeypatch):
    before = path.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_file.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        io.save(path, {"w": np.ones(2)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_mode_follows_the_umask_and_a_replaced_file_keeps_its_own(tmp_path):
    old = os.umask(0o027)
    try:
        io.save(tmp_path / "a", {})
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        (tmp_path / "a").chmod(0o600)
        io.save(tmp_path / "a", {"b": np.ones(1)})
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_a_symbolic_link_keeps_pointing_to_the_saved_file(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    io.save(link, {"a": np.ones(1)})
    assert link.is_symlink()
    assert list(io.load(path).arrays) == ["a"]


def test_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.save("a.npz", {})
    assert os.listdir(tmp_path) == ["a.npz"]


def test_a_missing_folder_is_named_and_not_the_temporary_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder '.*/no/such' does not exist: 'no/such/a.npz'$"):
        io.save("no/such/a.npz", {})
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r": 'file/a.npz'$"):
        io.save("file/a.npz", {})


def test_readers_see_whole_files_while_another_thread_saves(path):
    stop = threading.Event()

    def save():
        while not stop.is_set():
            io.save(path, ARRAYS)

    thread = threading.Thread(target=save)
    thread.start()
    try:
        for _ in range(50):
            assert list(io.load(path).arrays) == list(ARRAYS)
    finally:
        stop.set()
        thread.join()


# ---- bad files ----


def test_missing_file_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "none")


def test_every_truncation_is_refused(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(FileFormatError, match=r"model\.npz"):
            io.load(path)


def test_changed_bytes_are_refused_or_harmless_and_cost_little_memory(path):
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(2000):
            changed = whole.copy()
            changed[rng.integers(len(whole), size=rng.integers(1, 4))] = rng.integers(256)
            path.write_bytes(changed.tobytes())
            try:
                arrays, _ = io.load(path)
            except FileFormatError:
                refused += 1
            else:  # a byte that carries nothing, such as a date: or of a name
                assert all(
                    a.tobytes() == b.tobytes() for a, b in zip(arrays.values(), ARRAYS.values(), strict=True)
                )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused > 1000
    assert peak < 4e6


def test_damaged_data_fails_the_checksum(path):
    whole = path.read_bytes()
    at = whole.index(ARRAYS["lstm.weight_ih_l0"].tobytes())
    path.write_bytes(whole[: at + 9] + b"\x55" + whole[at + 10 :])
    with pytest.raises(FileFormatError, match="CRC"):
        io.load(path)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a").write_text("not a zip")
    with pytest.raises(FileFormatError, match=r"not a whole \.npz file"):
        io.load(tmp_path / "a")
    write(tmp_path / "a", {"w": np.ones(2)})
    with pytest.raises(FileFormatError, match=r"fastrnn\.io\.save did not write it"):
        io.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 2, "meta": {}}, "format 2; this version of fastrnn reads up to 1"),
        ({"meta": {}}, "does not tell the format"),
        ([], "does not tell the format"),
        ({"format": 1, "names": ["w"], "meta": {}}, "its arrays are"),
        ({"format": 1, "names": []}, "has no metadata"),
    ],
)
def test_wrong_header_is_refused(tmp_path, header, message):
    write(tmp_path / "a", {}, header)
    with pytest.raises(FileFormatError, match=message):
        io.load(tmp_path / "a")


def test_header_that_is_not_json_is_refused(tmp_path):
    for text in ["{", "[" * 100_000, "1" * 10_000]:
        write(tmp_path / "a", {"__fastrnn__": np.array(text)})
        with pytest.raises(FileFormatError):
            io.load(tmp_path / "a")


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    write(tmp_path / "a", {"w": np.array([Trap()], dtype=object)}, {"format": 1, "meta": {}})
    with pytest.raises(FileFormatError, match="array 'w' has"):
        io.load(tmp_path / "a")


def test_compressed_members_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(10**6))
    with pytest.raises(FileFormatError, match="is compressed"):
        io.load(tmp_path / "a.npz")


def npy(shape, descr="'<f4'", data=b""):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000000000,)"),
        npy("(4294967296, 4294967296)"),
        npy("(0, 9999999999999999999)"),
        npy("(2,)", data=b"1234"),
        npy("(1,)", data=b"12345678"),
        npy("(-1,)"),
        npy("(" + "1, " * 65 + ")", data=b"1234"),
        npy("(1,)", descr="'|O'", data=b"12345678"),
        npy("(1,)", descr="'<U1'", data=b"1234"),
        npy("(1,)", descr="[('a', '<f4')]", data=b"1234"),
        npy("(1,)", descr="__import__('os')", data=b"1234"),
        npy("(" * 50 + ")" * 50),
        npy("1" * 60),
        b"\x93NUMPY\x02\x00",
        b"",
    ],
)
def test_array_headers_that_lie_are_refused_before_memory_is_taken(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("w.npy", member)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            io.load(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_members_that_overlap_are_refused(path):
    """Directory entries that all point at the same bytes cannot multiply them."""
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo("lstm.weight_ih_l0.npy")
        for i in range(200):
            copy = zipfile.ZipInfo(f"copy{i}.npy")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(copy, name, getattr(info, name))
            archive.filelist.append(copy)
        archive._didModify = True
    with pytest.raises(FileFormatError):
        io.load(path)


def test_names_that_stand_twice_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("w.npy", npy("(1,)", data=b"1234"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("w.npy", npy("(1,)", data=b"1234"))
    with pytest.raises(FileFormatError, match="array 'w' is there twice"):
        io.load(tmp_path / "a")


def test_a_name_that_zip_would_cut_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot be the name of an array"):
        io.save(tmp_path / "model.npz", {"a\0b": np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    (tmp_path / "link").symlink_to(path)
    for name in ("pipe", "link"):
        with pytest.raises(FileExistsError, match="is not a file"):
            io.save(tmp_path / name, ARRAYS)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]


def test_sizes_beyond_the_file_are_refused_before_memory_is_taken(tmp_path):
    count = 1 << 26
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("w.npy", npy(f"({count},)"))
        (info,) = archive.infolist()
        info.file_size = info.compress_size = info.file_size + 4 * count
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="its members claim to be larger than the file"):
            io.load(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", [None, [1.0], np.ones(3)])
def test_a_source_without_names_is_refused(tmp_path, source):
    with pytest.raises(TypeError, match=f"save: got {re.escape(_checks.kind(source))}; expected a module"):
        io.save(tmp_path / "model.npz", source)


def test_arguments_of_save_exchanged_are_named(tmp_path):
    with pytest.raises(
        TypeError, match=r"save: path is a dict; expected a path, then .*: save\(path, source\)"
    ):
        io.save(ARRAYS, tmp_path / "model.npz")


def test_a_source_that_saves_itself_is_pointed_to(tmp_path):
    class Model:
        def save(self, path): ...

    with pytest.raises(TypeError, match=r"got a Model; .*; it writes itself: \.save\(path\)"):
        io.save(tmp_path / "model.npz", Model())


def test_a_file_of_pytorch_is_recognised(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"")
    with pytest.raises(FileFormatError, match=r"m\.pt: a PyTorch file; read it with torch\.load\(path"):
        io.load(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["model.onnx", "model.h5", "model.KERAS", "model.pt"])
def test_paths_of_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"save writes \.npz and \.safetensors"):
        io.save(tmp_path / name, {"a": np.zeros(3)})
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(io.FileFormatError, match=r"for such files there is (fastrnn\.io|torch)"):
        io.load(tmp_path / name)


def test_contents_are_shown_in_a_line(tmp_path):
    path = tmp_path / "a.npz"
    io.save(path, {name: np.zeros((2, 3), np.float32) for name in "abcd"}, epoch=7)
    shown = "a float32 (2, 3), b float32 (2, 3), c float32 (2, 3), ..."
    assert repr(io.load(path)) == f"Contents(4 arrays: {shown}; meta: epoch)"


@pytest.mark.parametrize("name", ["x.pkl", "x.csv", "x.txt", "x.", "lstm-0.5", "X.PKL", "x.npz.bak"])
def test_endings_of_what_is_not_written_are_refused(name, tmp_path):
    for path in (tmp_path / name, str(tmp_path / name)):
        with pytest.raises(ValueError, match=r"save writes \.npz and \.safetensors: end the path in one of"):
            io.save(path, ARRAYS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "X.NPZ", ".x", "a.b/x"])
def test_names_without_an_ending_are_npz_files(name, tmp_path):
    (tmp_path / "a.b").mkdir()
    io.save(tmp_path / name, ARRAYS)
    assert list(io.load(tmp_path / name).arrays) == list(ARRAYS)
