"""Files of Keras without Keras: the layouts of tf.keras and Keras 3, and files that are not to be trusted."""

import copy
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastrnn import io, nn
from fastrnn.io import FileFormatError

h5py = pytest.importorskip("h5py")
import keras_files as made  # noqa: E402

X = np.random.default_rng(1).standard_normal((2, 6, 3)).astype(np.float32)

LAYERS = [
    made.Layer("SimpleRNN", "rnn", 4, 3),
    made.Layer("LSTM", "lstm", 4, 3, seed=1),
    made.Layer("GRU", "after", 4, 3, seed=2),
    made.Layer("GRU", "before", 4, 3, reset_after=False, seed=3),
    made.Layer("LSTM", "plain", 4, 3, use_bias=False, seed=4),
    made.Layer("LSTM", "two", 4, 3, both=True, seed=5),
    made.Layer("GRU", "two_before", 4, 3, reset_after=False, both=True, seed=6),
]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda each: each.name)
OPTIONS = {"return_sequences": True}


def assert_is(loaded, layer, **functions):
    np.testing.assert_allclose(loaded(X), made.expected(layer, X, **functions), rtol=0, atol=1e-6)


@pytest.fixture(params=["named", "named weights", "counted", "keras"])
def written(request, tmp_path):
    """A way to write layers, which returns what `load` needs."""

    def write(layers):
        path = tmp_path / "m.h5"
        if request.param == "named":
            made.write_named(path, layers)
        elif request.param == "named weights":
            made.write_named(path, layers, whole=False)
        else:
            made.write_counted(path, layers)
        if request.param == "keras":
            made.write_keras(tmp_path / "m.keras", layers, path)
            return tmp_path / "m.keras", {}
        return path, {} if request.param == "named" else OPTIONS

    return write


@every_layer
def test_each_layer_in_each_layout(written, layer):
    path, options = written([layer])
    loaded = io.keras.load(path, **options)
    assert list(loaded) == [layer.title]
    assert_is(loaded[layer.title], layer)
    assert isinstance(loaded[layer.title].layer, nn.Recurrent)


def test_the_order_is_that_of_the_model(written):
    layers = [made.Layer("LSTM", name, k + 1, 3, seed=k) for k, name in enumerate("zyxwvutsrqponm")]
    path, options = written(layers)
    loaded = io.keras.load(path, **options)
    assert list(loaded) == [layer.title for layer in layers]
    for layer in layers:
        assert_is(loaded[layer.title], layer)


def test_files_of_keras_before_tensorflow(tmp_path):
    layer = made.Layer(
        "GRU", "gru_1", 4, 3, reset_after=False, config={"recurrent_activation": "hard_sigmoid"}
    )
    made.write_named(tmp_path / "m.h5", [layer], version="2.0.8", cells=False)
    assert_is(io.keras.load(tmp_path / "m.h5")["gru_1"], layer, gate=made.hard_sigmoid(2))


@pytest.mark.parametrize("version", [2, 3])
def test_hard_sigmoid_is_that_of_the_version(tmp_path, version):
    layer = made.Layer("LSTM", "lstm", 4, 3, config={"recurrent_activation": "hard_sigmoid"})
    made.write_named(tmp_path / "m.h5", [layer], version=f"{version}.1.0-tf")
    loaded = io.keras.load(tmp_path / "m.h5")["lstm"]
    assert_is(loaded, layer, gate=made.hard_sigmoid(version))
    alpha = loaded.layer.cell.activation("i").alpha
    assert alpha == (0.2 if version == 2 else 1 / 6)


def test_hard_sigmoid_of_an_unknown_version_is_not_guessed(tmp_path):
    layer = made.Layer("LSTM", "lstm", 4, 3)
    made.write_counted(tmp_path / "m.h5", [layer])
    with pytest.raises(
        FileFormatError, match=r"Keras 2 and 3 compute differently.* \('hard_sigmoid', 1/6, 0.5\)"
    ):
        io.keras.load(tmp_path / "m.h5", recurrent_activation="hard_sigmoid")
    told = io.keras.load(tmp_path / "m.h5", recurrent_activation=("hard_sigmoid", 0.2, 0.5), **OPTIONS)
    assert_is(told["lstm"], layer, gate=made.hard_sigmoid(2))


def test_weights_of_other_layers_are_given_by_their_paths(tmp_path):
    made.write_counted(tmp_path / "m.h5", LAYERS[:1])
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file["layers/dense/vars/0"] = np.ones((4, 2), np.float32)
        file["layers/embedding/vars/0"] = np.ones((9, 3), np.float32)
        file["optimizer/vars/0"] = np.ones(3)
    loaded = io.keras.load(tmp_path / "m.h5")
    assert loaded.weights["layers/dense/vars/0"].shape == (4, 2)
    assert loaded.weights["layers/embedding/vars/0"].shape == (9, 3)
    assert not [path for path in loaded.weights if path.startswith("optimizer")]
    assert loaded.config is None


def test_files_of_the_last_keras_2(tmp_path):
    """Their groups have another name, and no names in them."""
    layers = [LAYERS[k] for k in (1, 5, 2)]
    made.write_counted(tmp_path / "w.h5", layers, "_layer_checkpoint_dependencies", named=False)
    made.write_keras(tmp_path / "m.keras", layers, tmp_path / "w.h5", version="2.13.1")
    loaded = io.keras.load(tmp_path / "m.keras")
    for layer in layers:
        assert_is(loaded[layer.title], layer)
    assert list(io.keras.load(tmp_path / "w.h5")) == ["bidirectional", "gru", "lstm"]


# ---- options ----


def test_options_of_single_layers_go_before_those_of_all(tmp_path):
    made.write_counted(tmp_path / "m.h5", [LAYERS[1], LAYERS[2]])
    loaded = io.keras.load(tmp_path / "m.h5", layers={"after": {"return_state": True}}, **OPTIONS)
    assert (loaded["lstm"].return_state, loaded["after"].return_state) == (False, True)
    assert loaded["lstm"].return_sequences


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"return_sequence": True}, TypeError, "no option 'return_sequence'.*'return_sequences'"),
        ({"reset_after": True}, ValueError, "no layer of the file takes reset_after"),
        ({"merge_mode": "sum"}, ValueError, "no layer of the file takes merge_mode"),
        ({"layers": {"gru": {}}}, ValueError, "layers names 'gru'; the file has 'lstm'"),
        (
            {"layers": {"lstm": {"reset_after": True}}},
            ValueError,
            "'lstm' is a LSTM, which takes no reset_after",
        ),
        ({"layers": "lstm"}, TypeError, "no mapping of names"),
        ({"activation": "gelu"}, FileFormatError, "'lstm': activation is 'gelu'; expected one of 'tanh'"),
        ({"stateful": 1}, FileFormatError, "stateful is 1; expected True or False"),
        ({"dropout": 2}, FileFormatError, "dropout is 2; expected a probability"),
    ],
)
def test_options_that_do_nothing_are_refused(tmp_path, options, error, message):
    made.write_counted(tmp_path / "m.h5", [LAYERS[1]])
    with pytest.raises(error, match=message):
        io.keras.load(tmp_path / "m.h5", **options)


def test_a_gru_without_bias_must_be_told_where_it_resets(tmp_path):
    layer = made.Layer("GRU", "gru", 4, 3, use_bias=False, reset_after=False)
    made.write_counted(tmp_path / "m.h5", [layer])
    with pytest.raises(FileFormatError, match="give reset_after=True or False"):
        io.keras.load(tmp_path / "m.h5")
    for options in ({"reset_after": False}, {"layers": {"gru": {"reset_after": False}}}):
        assert_is(io.keras.load(tmp_path / "m.h5", **options, **OPTIONS)["gru"], layer)


@pytest.mark.parametrize("version", ["2.2.4-tf", "2.1.6"])
def test_weights_alone_of_an_old_keras_must_be_told_the_activation(tmp_path, version):
    """Its default was another."""
    made.write_named(tmp_path / "m.h5", [LAYERS[0]], version=version, whole=False)
    assert_is(io.keras.load(tmp_path / "m.h5", **OPTIONS)["rnn"], LAYERS[0])
    made.write_named(tmp_path / "m.h5", [LAYERS[1]], version=version, whole=False)
    with pytest.raises(
        FileFormatError, match=f"weights alone, of Keras {version}, .*give recurrent_activation"
    ):
        io.keras.load(tmp_path / "m.h5")
    for gate, function in (("sigmoid", made.sigmoid), ("hard_sigmoid", made.hard_sigmoid(2))):
        loaded = io.keras.load(tmp_path / "m.h5", recurrent_activation=gate, **OPTIONS)
        assert_is(loaded["lstm"], LAYERS[1], gate=function)


# ---- calling ----


@pytest.fixture
def loaded(tmp_path):
    made.write_counted(tmp_path / "m.h5", LAYERS)
    return io.keras.load(tmp_path / "m.h5", return_state=True, **OPTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X[0]}, r"x has shape \(6, 3\); expected \(B, T, I\)"),
        ({"x": X[:, :0]}, "T at least 1"),
        ({"x": X[..., :2]}, "2 features"),
        ({"x": X, "mask": np.ones((6, 2), bool)}, r"mask has shape \(6, 2\)"),
        ({"x": X, "initial_state": [np.zeros((2, 4))]}, "has 1 arrays; expected 2: h, c"),
        ({"x": X, "initial_state": [np.zeros((3, 4))] * 2}, r"shape \(3, 4\); expected \(2, 4\)"),
    ],
)
def test_wrong_calls_name_the_layer_and_the_argument(loaded, arguments, message):
    with pytest.raises(ValueError, match=rf"'lstm'.*{message}"):
        loaded["lstm"](**arguments)


def test_a_layer_that_is_not_there_is_named_with_those_that_are(loaded):
    with pytest.raises(KeyError, match="no layer 'x'; the file has 'both_two', "):
        loaded["x"]


def test_layers_are_modules(loaded, tmp_path):
    io.save(tmp_path / "a.npz", loaded["lstm"])
    loaded["lstm"].load_state_dict(io.load(tmp_path / "a.npz").arrays)
    assert loaded["lstm"].freeze().frozen
    assert "both_two" in repr(loaded)


# ---- what is in the file ----


def change_config(tmp_path, **changes):
    layer = made.Layer("LSTM", "lstm", 4, 3, config=changes)
    made.write_named(tmp_path / "m.h5", [layer])
    return tmp_path / "m.h5"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": 5}, r"kernel has shape \(3, 16\) and dtype float32; expected floats \(3, 20\), of a LSTM"),
        ({"units": 10**15}, "kernel has shape"),
        ({"units": "4"}, "units is '4'; expected a positive integer"),
        ({"units": True}, "units is True"),
        ({"use_bias": False}, "has bias as well; expected kernel, recurrent_kernel"),
        ({"activation": "gelu"}, "activation is 'gelu'"),
        ({"activation": {"class_name": "function", "config": "os.system"}}, "activation is 'function'"),
        ({"activation": ["relu"]}, r"activation is \['relu'\]"),
        ({"recurrent_activation": 3}, "recurrent_activation is 3"),
        ({"return_state": "yes"}, "return_state is 'yes'"),
        ({"dropout": -1}, "dropout is -1"),
        ({"time_major": True}, "time_major=True"),
    ],
)
def test_configurations_that_cannot_be_are_refused(tmp_path, changes, message):
    with pytest.raises(FileFormatError, match=rf"m\.h5: layer 'lstm'.*{message}"):
        io.keras.load(change_config(tmp_path, **changes))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.pop("bias:0"), "lacks bias; expected kernel, recurrent_kernel, bias"),
        (lambda f: f.pop("recurrent_kernel:0"), "'lstm': the file has no weights for it"),
        (lambda f: put(f, "kernel:0", np.zeros((16, 3), "f4")), r"kernel has shape \(16, 3\)"),
        (lambda f: put(f, "kernel:0", np.zeros((3, 16), "i4")), "kernel has shape .* dtype int32"),
        (lambda f: put(f, "bias:0", np.float32(1)), r"bias has shape \(\)"),
        (lambda f: put(f, "kernel:0", h5py.Empty("f4")), "kernel:0' has no shape"),
        (lambda f: put(f, "kernel:0", "text"), "kernel:0' has dtype object; expected floats"),
        (lambda f: put(f, "kernel:0", np.zeros(3, "c8")), "kernel:0' has dtype complex64"),
        (lambda f: put(f, "kernel:0", h5py.SoftLink("/other")), "kernel:0' is a link .SoftLink"),
        (lambda f: put(f, "kernel:0", h5py.ExternalLink("/etc/passwd", "/")), "is a link .ExternalLink"),
        (lambda f: put(f, "loop", f), "by a hard link"),
        (lambda f: put(f, "type", np.dtype("f4")), "type' is a Datatype"),
        (lambda f: compressed(f), "kernel:0' is compressed or filtered, .* h5repack"),
        (lambda f: unwritten(f), r"claims shape \(100000, 100000\) .* 40000000000 bytes; the file holds 0"),
        (lambda f: virtual(f), "kernel:0' lies in other files"),
        (lambda f: external(f), "kernel:0' lies in other files"),
    ],
)  # fmt: skip
def test_tensors_that_cannot_be_are_refused(tmp_path, edit, message):
    path = change_config(tmp_path)
    with h5py.File(path, "a") as file:
        edit(file["model_weights/lstm/lstm/lstm_cell"])
    with pytest.raises(FileFormatError, match=rf"m\.h5: .*{message}"):
        io.keras.load(path)


def put(group, name, value):
    group.pop(name, None)
    group[name] = value


def compressed(group):
    del group["kernel:0"]
    group.create_dataset("kernel:0", data=np.zeros((3000, 16), "f4"), compression="gzip")


def unwritten(group):
    del group["kernel:0"]
    group.create_dataset("kernel:0", (100000, 100000), "f4")


def virtual(group):
    del group["kernel:0"]
    layout = h5py.VirtualLayout((3, 16), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 16))
    group.create_virtual_dataset("kernel:0", layout)


def external(group):
    del group["kernel:0"]
    group.create_dataset("kernel:0", (3, 16), "f4", external=[("/etc/passwd", 0, 192)])


def test_chunks_that_share_their_storage_take_no_more_memory_than_the_file(tmp_path):
    """Hard links to one array are as many arrays."""
    path = change_config(tmp_path)
    with h5py.File(path, "a") as file:
        file["big"] = np.zeros(20000, "f4")
        for k in range(100):
            file[f"again{k}"] = file["big"]
    with pytest.raises(FileFormatError, match="are not taken by other arrays"):
        io.keras.load(path)


def nested(depth):
    """The JSON text of models in models."""
    begin, end = '{"class_name": "Sequential", "config": {"name": "m", "layers": [', "]}}"
    return begin * depth + end * depth


def test_code_in_a_configuration_is_never_run(tmp_path):
    made.write_counted(tmp_path / "w.h5", LAYERS[1:2])
    trap = {"class_name": "Lambda", "config": {"name": "trap", "function": {"class_name": "__lambda__",
            "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}}}  # fmt: skip
    custom = {
        "class_name": "LSTM",
        "registered_name": "Mine>LSTM",
        "module": "mine",
        "config": {"name": "own"},
    }
    config = made.model_config(LAYERS[1:2], [trap, custom])
    made.write_keras(tmp_path / "m.keras", LAYERS[1:2], tmp_path / "w.h5", config)
    assert list(io.keras.load(tmp_path / "m.keras")) == ["lstm"]
    config["config"]["layers"] = [trap, custom]
    made.write_keras(tmp_path / "m.keras", [], tmp_path / "w.h5", config)
    with pytest.raises(
        FileFormatError, match="no SimpleRNN, LSTM or GRU is in the file, which has Lambda, classes"
    ):
        io.keras.load(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "config.json is a list"),
        ({}, "class that is not Keras own"),
        ({"class_name": "Mine", "registered_name": "a>Mine", "config": {}}, "does not list its layers"),
        ({"class_name": "Sequential", "config": {"layers": [3]}}, "no class_name"),
        ({"class_name": "Sequential", "config": {"layers": [{"class_name": "LSTM"}]}}, "no name"),
        (made.model_config([made.Layer("GRU", "gru", 4, 3)]), "no group layers/gru"),
        (nested(200), "does not list its layers"),
        (nested(100000), "is not JSON"),
        (
            made.model_config([made.Layer("LSTM", "other", 4, 3)]),
            "has the weights of 'lstm'; expected 'other'",
        ),
        (made.model_config([LAYERS[1], LAYERS[1]]), "no group layers/lstm_1"),
    ],
)
def test_models_that_cannot_be_are_refused(tmp_path, config, message):
    made.write_counted(tmp_path / "w.h5", LAYERS[1:2])
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.write(tmp_path / "w.h5", "model.weights.h5")
    for read in (io.keras.load, io.keras.load_model):
        with pytest.raises(FileFormatError, match=message):
            read(tmp_path / "m.keras")


def test_archives_that_cannot_be_are_refused(tmp_path):
    path = tmp_path / "m.keras"
    for members, message in [
        ({"config.json": "{}"}, "has one metadata.json; this one has 0"),
        (
            {"config.json": "[" * 100000, "metadata.json": "{}", "model.weights.h5": ""},
            "config.json is not JSON",
        ),
        ({"config.json": "{}", "metadata.json": "{}", "model.weights.h5": "x"}, "not a whole HDF5 file"),
        ({"../config.json": "{}", "metadata.json": "{}"}, "one config.json; this one has 0"),
    ]:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        with pytest.raises(FileFormatError, match=message):
            io.keras.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, "0" * 1000000)
    with pytest.raises(FileFormatError, match=r"config\.json is compressed, which Keras does not do"):
        io.keras.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", "{}")
    with pytest.raises(FileFormatError, match=r"has one config\.json; this one has 2"):
        io.keras.load(path)


def test_other_files_are_refused_and_missing_ones_are_the_usual_error(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileFormatError, match="a: not a whole HDF5 file"):
        io.keras.load(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        io.keras.load(tmp_path / "b")
    with pytest.raises(IsADirectoryError):
        io.keras.load(tmp_path)
    with h5py.File(tmp_path / "c", "w"):
        pass
    with pytest.raises(FileFormatError, match="c: no SimpleRNN, LSTM or GRU is in the file"):
        io.keras.load(tmp_path / "c")


def test_a_list_of_one_long_string_is_not_read(tmp_path):
    """The places of its 1000 entries in the heap are made to be that of one of a megabyte."""
    made.write_named(tmp_path / "m.h5", LAYERS[:1], whole=False)
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["layer_names"] = ["x" * 1000000] + ["y"] * 1000
    content = (tmp_path / "m.h5").read_bytes()
    one = (1000000).to_bytes(4, "little")
    at = content.index(one, content.index(b"layer_names\0"))
    first = content[at : at + 16]
    assert content[at + 16 : at + 20] == (1).to_bytes(4, "little")
    (tmp_path / "m.h5").write_bytes(content[:at] + first * 1001 + content[at + 16 * 1001 :])
    with pytest.raises(FileFormatError, match="a string claims 1000000 bytes; the file holds 1000000 for it"):
        io.keras.load(tmp_path / "m.h5")


def test_a_string_that_claims_more_than_its_heap_has_is_not_read(tmp_path):
    """The HDF5 library would take the 4 GiB."""
    made.write_named(tmp_path / "m.h5", LAYERS[:1])
    with h5py.File(tmp_path / "m.h5") as file:
        length = len(file.attrs["model_config"])
    content = (tmp_path / "m.h5").read_bytes()
    claim = b"model_config\0"
    at = content.index(length.to_bytes(4, "little"), content.index(claim))
    (tmp_path / "m.h5").write_bytes(content[:at] + b"\xff" * 4 + content[at + 4 :])
    with pytest.raises(
        FileFormatError, match=f"a string claims 4294967295 bytes; the file holds {length} for it"
    ):
        io.keras.load(tmp_path / "m.h5")


def test_a_group_whose_names_have_no_end_is_not_read(tmp_path):
    """In the free list of their heap, the end made a circle; and in their tree, a node made its own child."""
    made.write_named(tmp_path / "m.h5", LAYERS[:1])
    content = (tmp_path / "m.h5").read_bytes()
    heap = content.rindex(b"HEAP")
    free, data = (int.from_bytes(content[heap + k : heap + k + 8], "little") for k in (16, 24))
    at = data + free
    (tmp_path / "m.h5").write_bytes(content[:at] + free.to_bytes(8, "little") + content[at + 8 :])
    with pytest.raises(FileFormatError, match="has a free list that does not end"):
        io.keras.load(tmp_path / "m.h5")
    tree = content.rindex(b"TREE")
    circle = content[tree : tree + 5] + b"\1" + content[tree + 6 : tree + 32] + tree.to_bytes(8, "little")
    (tmp_path / "m.h5").write_bytes(content[:tree] + circle + content[tree + 40 :])
    with pytest.raises(FileFormatError, match="are no tree"):
        io.keras.load(tmp_path / "m.h5")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_both_kinds_of_object_headers(tmp_path, libver, monkeypatch):
    opened = h5py.File
    monkeypatch.setattr(made.h5py, "File", lambda path, mode: opened(path, mode, libver=libver))
    made.write_named(tmp_path / "m.h5", LAYERS)
    monkeypatch.undo()
    assert_is(io.keras.load(tmp_path / "m.h5")["lstm"], LAYERS[1])


@pytest.mark.parametrize("fixed", [False, True])
def test_names_of_layers_may_be_cut_into_several_lists(tmp_path, fixed):
    layers = [LAYERS[k] for k in (1, 0, 2)]
    made.write_named(tmp_path / "m.h5", layers, whole=False)
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file.attrs["layer_names"]
        for k, layer in enumerate(layers):
            names = [layer.title.encode()]
            file.attrs[f"layer_names{k}"] = np.array(names) if fixed else names
    assert list(io.keras.load(tmp_path / "m.h5")) == [layer.title for layer in layers]


@pytest.mark.parametrize("kind", ["named", "counted", "keras"])
def test_damaged_files_are_refused_or_read(tmp_path, kind):
    path = tmp_path / "m"
    if kind == "named":
        made.write_named(path, LAYERS)
    else:
        made.write_counted(path, LAYERS)
    if kind == "keras":
        made.write_keras(tmp_path / "z", LAYERS, path)
        os.replace(tmp_path / "z", path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    # Where something stands that is not all zeros: an HDF5 file is mostly room for more.
    full = np.flatnonzero(np.convolve(whole != 0, np.ones(9), "same"))
    rng = np.random.default_rng(0)
    refused = 0
    for k in range(FILES):
        changed = whole.copy()
        if k % 5 == 0:
            changed = changed[: rng.integers(len(whole))]
        else:
            changed[rng.choice(full, size=2 ** rng.integers(5))] = rng.integers(256)
        path.write_bytes(changed.tobytes())
        try:
            io.keras.load(path, **({} if kind != "counted" else OPTIONS))
        except (FileFormatError, OSError):
            refused += 1
    assert refused > FILES / 4


FILES = 200


GOLDEN = Path(__file__).parent / "golden" / "keras"


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_model_that_keras_has_saved(name):
    expected = np.load(GOLDEN / "expected.npz")
    model = io.keras.load_model(GOLDEN / name)
    y = model(expected["ids"])
    np.testing.assert_allclose(y, expected["y"], rtol=0, atol=1e-6)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model.freeze()))):
        assert np.array_equal(copied(expected["ids"]), y)


def test_weights_that_keras_has_saved_are_those_of_the_model():
    (whole,), (weights,) = (io.keras.load(GOLDEN / n).values() for n in ("model.keras", "model.weights.h5"))
    assert whole.name == weights.name == "encoder"
    for name, value in whole.params.items():
        assert np.array_equal(value, weights.params[name])


def test_padding_changes_no_bits_of_a_mean_of_one_feature():
    from fastrnn.io.keras._stages import Average

    x = np.random.default_rng(0).standard_normal((20, 300, 1)).astype(np.float32)
    found = {
        Average(False)(x[:, :steps], np.tile(np.arange(steps) < 37, (20, 1))).tobytes()
        for steps in (37, 45, 130, 300)
    }
    assert len(found) == 1


@pytest.mark.parametrize("features", [1, 7])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_mean_has_the_same_bits_in_any_layout_with_a_mask_and_without(features, keepdims):
    from fastrnn.io.keras._stages import Average

    x = np.random.default_rng(0).standard_normal((20, 300, features)).astype(np.float32)
    mean = Average(keepdims)
    layouts = [x, np.asfortranarray(x), x.transpose(1, 0, 2).copy().transpose(1, 0, 2)]
    found = [mean(each, mask) for each in layouts for mask in (None, np.ones((20, 300), bool))]
    assert {each.dtype for each in found} == {np.dtype(np.float32)}
    assert len({each.tobytes() for each in found}) == 1
    np.testing.assert_allclose(found[0], x.mean(axis=1, keepdims=keepdims), atol=1e-6)
    assert np.isnan(mean(x[:, :0])).all()
