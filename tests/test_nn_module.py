"""Module: models of several modules are named, loaded, copied and frozen as one."""

import copy
import pickle

import numpy as np
import pytest

from fastrnn import _checks, io, losses, nn, optim


class Tagger(nn.Module):
    """Embedding, two recurrent blocks in a list, Linear."""

    def __init__(self, rng=None, dtype=np.float64):
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(6, 4, dtype=dtype, rng=rng)
        self.blocks = [nn.GRU(4, 3, dtype=dtype, rng=rng), nn.RNN(3, 3, dtype=dtype, rng=rng)]
        self.scale = self.add_parameter("scale", np.ones(2, dtype))
        self.out = nn.Linear(3, 2, dtype=dtype, rng=rng)

    def __call__(self, ids):
        y = self.embedding(ids)
        for block in self.blocks:
            y, _ = block(y)
        return self.out(y) * self.scale

    def forward(self, ids):
        y, tape = self.embedding.forward(ids)
        tapes = [tape]
        for block in self.blocks:
            y, _, tape = block.forward(y)
            tapes.append(tape)
        y, tape = self.out.forward(y)
        return y * self.scale, (*tapes, tape, y)

    def backward(self, tape, dy):
        *tapes, out_tape, y = tape
        grads = {"scale": (dy * y).sum((0, 1))}
        dy, out = self.out.backward(out_tape, dy * self.scale)
        dy, _, second = self.blocks[1].backward(tapes[2], dy)
        dy, _, first = self.blocks[0].backward(tapes[1], dy)
        _, embedding = self.embedding.backward(tapes[0], dy)
        parts = {"embedding": embedding, "blocks.0": first, "blocks.1": second, "out": out}
        return None, {**grads, **nn.join_grads(**parts)}


IDS = np.random.default_rng(0).integers(0, 6, (5, 3))
TARGETS = np.random.default_rng(1).integers(0, 2, (5, 3))


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_parameters_of_contained_modules_carry_their_names():
    model = Tagger(0)
    recurrent = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert list(model.params) == [
        "scale",
        "embedding.weight",
        *(f"blocks.0.{name}" for name in recurrent),
        *(f"blocks.1.{name}" for name in recurrent),
        "out.weight",
        "out.bias",
    ]
    assert model.params["out.weight"] is model.out.params["weight"]
    assert [type(module).__name__ for module in model.modules()] == [
        "Tagger",
        "Embedding",
        "GRU",
        "RNN",
        "Linear",
    ]


def test_repr_shows_the_tree():
    assert repr(Tagger(0)) == (
        "Tagger(\n"
        "  (embedding): Embedding(6, 4)\n"
        "  (blocks.0): GRU(4, 3, dtype=float64)\n"
        "  (blocks.1): RNN(3, 3, dtype=float64)\n"
        "  (out): Linear(in_features=3, out_features=2, bias=True)\n"
        ")"
    )


def test_gradients_of_a_whole_model_equal_central_differences():
    model = Tagger(0)
    logits, tape = model.forward(IDS)
    assert np.array_equal(logits, model(IDS))
    _, dlogits = losses.cross_entropy(logits, TARGETS)
    _, grads = model.backward(tape, dlogits)
    assert grads.keys() == model.params.keys()
    for name, values in model.params.items():
        for index in list(np.ndindex(values.shape))[:: max(1, values.size // 4)]:
            kept = values[index]
            values[index] = kept + 1e-5
            high = losses.cross_entropy(model(IDS), TARGETS)[0]
            values[index] = kept - 1e-5
            low = losses.cross_entropy(model(IDS), TARGETS)[0]
            values[index] = kept
            np.testing.assert_allclose(grads[name][index], (high - low) / 2e-5, rtol=1e-6, atol=1e-8)


def test_a_model_learns_and_repeats_its_run_exactly():
    def train():
        model = Tagger(0, np.float32)
        optimizer = optim.Adam(model, lr=0.02)
        for _ in range(150):
            logits, tape = model.forward(IDS)
            value, dlogits = losses.cross_entropy(logits, TARGETS)
            _, grads = model.backward(tape, dlogits)
            optim.clip_grad_norm_(grads, 1.0)
            optimizer.step(grads)
        return value, model.state_dict()

    value, state = train()
    assert value < 0.1
    again, state_again = train()
    assert again == value
    assert same(state, state_again)


# ---- state_dict ----


def test_state_dict_is_a_snapshot_that_loads(tmp_path):
    model, other = Tagger(0), Tagger(1)
    state = model.state_dict()
    assert not same(state, other.state_dict())
    assert other.load_state_dict(state) == ([], [])
    assert same(state, other.state_dict())
    model.params["scale"][...] = 5
    assert (state["scale"] == 1).all()
    io.save(tmp_path / "model.npz", model, note="ế")
    arrays, meta = io.load(tmp_path / "model.npz")
    other.load_state_dict(arrays)
    assert same(model.state_dict(), other.state_dict())
    assert meta == {"note": "ế"}


def test_load_takes_any_array_like_and_casts():
    class Tensor:
        """As a torch tensor that requires gradients."""

        def detach(self):
            return np.array([0.25, 0.5], np.float32)

        def __array__(self, *_, **__):
            raise RuntimeError("requires grad")

    linear = nn.Linear(1, 2, dtype=np.float32)
    weight = linear.params["weight"]
    linear.load_state_dict({"weight": [[1.5], [2.5]], "bias": Tensor()})
    assert linear.params["weight"] is weight
    assert weight.tolist() == [[1.5], [2.5]]
    assert linear.params["bias"].tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda s: s.pop("out.bias"),
            ValueError,
            r"Tagger.load_state_dict: 'out.bias' is missing, shape \(2,\)",
        ),
        (
            lambda s: s.update({"blocks.0.weight_ih_10": s.pop("blocks.0.weight_ih_l0")}),
            ValueError,
            "'blocks.0.weight_ih_10' is unexpected .did you mean 'blocks.0.weight_ih_l0'",
        ),
        (
            lambda s: s.update(out_bias=np.zeros(2)),
            ValueError,
            "'out_bias' is unexpected .did you mean 'out.bias'",
        ),
        (
            lambda s: s.update({"out.bias": np.zeros((2, 1))}),
            ValueError,
            r"'out.bias' has shape \(2, 1\), expected \(2,\)",
        ),
        (lambda s: s.update({"out.bias": [1, 2]}), TypeError, "'out.bias' is int64"),
        (lambda s: s.update({"out.bias": [1j, 2]}), TypeError, "'out.bias' is complex128"),
        (lambda s: s.update({"out.bias": "ab"}), TypeError, "'out.bias' is"),
    ],
)
def test_wrong_state_is_named_before_anything_changes(change, error, message):
    model = Tagger(0)
    before, version = model.state_dict(), model.version
    state = Tagger(1).state_dict()
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert same(before, model.state_dict())
    assert model.version == version


def test_all_faults_are_named_at_once():
    state = Tagger(1).state_dict()
    del state["out.bias"]
    state["scale"] = np.zeros(3)
    state["other"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"'out.bias' is missing.*'other' is unexpected.*'scale' has shape"):
        Tagger(0).load_state_dict(state)


def test_long_lists_of_names_are_cut():
    layer = nn.LSTM(2, 3, num_layers=3)
    with pytest.raises(ValueError, match=r"shape \(12,\); and 8 more missing; .*; and 8 more unexpected$"):
        layer.load_state_dict({name[::-1]: value for name, value in layer.params.items()})
    with pytest.raises(ValueError, match=r"expected .*; and 8 more of wrong shape$"):
        layer.load_state_dict(nn.LSTM(1, 2, num_layers=3).state_dict())


def test_names_with_something_before_them_are_recognised():
    layer = nn.LSTM(2, 3)
    state = {f"model.lstm.{name}": value for name, value in layer.params.items()}
    message = r"all keys begin with 'model\.lstm\.': pass prefix='model\.lstm\.'"
    with pytest.raises(ValueError, match=message):
        layer.load_state_dict(state)
    with pytest.raises(ValueError, match=r"4 of the 5 keys begin with 'model\.lstm\.': pass prefix"):
        layer.load_state_dict({**state, "out.weight": np.ones(2)})
    with pytest.raises(ValueError, match=r"strip it with name.removeprefix\('model\.lstm\.'\)"):
        layer.check_grads(state)


def test_a_part_of_a_larger_model_is_loaded_by_its_prefix():
    whole, other = Tagger(0), Tagger(1)
    state = whole.state_dict(prefix="model.")
    assert all(name.startswith("model.") for name in state)
    other.load_state_dict(state, prefix="model.")
    assert all(np.array_equal(other.params[name], value) for name, value in whole.params.items())
    gru = nn.GRU(4, 3)
    gru.load_state_dict(state, prefix="model.blocks.0.")
    assert np.array_equal(gru.params["weight_ih_l0"], whole.params["blocks.0.weight_ih_l0"].astype("f4"))
    layer = nn.Linear(4, 2)
    layer.load_state_dict({"enc_weight": np.ones((2, 4)), "enc_bias": np.ones(2)}, prefix="enc_")
    assert layer.params["weight"].all()


def test_a_prefix_that_is_not_there_names_those_that_are():
    state = {f"model.lstm.{name}": value for name, value in nn.LSTM(3, 4).params.items()}
    layer = nn.LSTM(3, 4)
    there = r"Prefixes there: 'model\.', 'model\.lstm\.'$"
    with pytest.raises(ValueError, match=r"prefix is 'model\.gru\.'; no name begins with it.*" + there):
        layer.load_state_dict(state, prefix="model.gru.")
    with pytest.raises(ValueError, match=r"begins with a dot \(did you mean 'model\.lstm\.'\?\).*" + there):
        layer.load_state_dict(state, prefix="model.lstm")
    with pytest.raises(ValueError, match=r"Prefixes there: none$"):
        layer.load_state_dict(layer.state_dict(), prefix="lstm.")
    with pytest.raises(TypeError, match=r"prefix is 3; expected a string"):
        layer.load_state_dict(state, prefix=3)
    with pytest.raises(TypeError, match=r"got a list; expected a mapping"):
        layer.load_state_dict([], prefix="lstm.")
    with pytest.raises(ValueError, match=r"'weight_ih_l0' is missing"):
        layer.load_state_dict(state, prefix="model.")


def test_load_that_is_not_strict_reports_what_it_passed_over():
    model = Tagger(0)
    bias = model.params["out.bias"].copy()
    state = Tagger(1).state_dict()
    del state["out.bias"]
    state["other"] = np.zeros(3)
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ["out.bias"]
    assert result.unexpected_keys == ["other"]
    assert np.array_equal(model.params["out.bias"], bias)
    assert np.array_equal(model.params["out.weight"], state["out.weight"])


# ---- versions, freezing, copies ----


def test_versions_go_up_with_every_change_above_or_below():
    model = Tagger(0)
    _, tape = model.forward(IDS)
    model.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="the parameters changed after this tape was made"):
        model.backward(tape, np.ones((5, 3, 2)))
    version = model.version
    model.out.mark_changed()
    assert model.version == version + 1


def test_freeze_reaches_contained_modules():
    model = Tagger(0)
    expected = model(IDS)
    assert not model.frozen
    assert model.freeze() is model
    assert all(module.frozen for module in model.modules())
    assert not any(value.flags.writeable for value in model.params.values())
    assert np.array_equal(model(IDS), expected)
    with pytest.raises(RuntimeError, match="frozen"):
        model.load_state_dict(model.state_dict())
    model.thaw()
    assert all(value.flags.writeable for value in model.params.values())
    model.out.freeze()
    assert model.frozen


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_whole_and_independent(frozen, copied):
    model = Tagger(0)
    if frozen:
        model.freeze()
    twin = copied(model)
    assert np.array_equal(twin(IDS), model(IDS))
    assert twin.frozen == frozen
    assert all(value.flags.writeable != frozen for value in twin.params.values())
    twin.thaw().params["out.bias"][...] = 9
    assert not (model.params["out.bias"] == 9).any()


def test_parameters_are_checked_and_made_contiguous():
    module = nn.Module()
    value = module.add_parameter("w", np.asfortranarray(np.ones((2, 3))))
    assert value.flags.c_contiguous
    assert module.params["w"] is value
    with pytest.raises(TypeError, match="float32 or float64"):
        module.add_parameter("n", np.ones(3, int))


def test_join_grads_gives_the_names_of_the_whole():
    assert nn.join_grads(a={"w": 1}, b={"w": 2, "v": 3}) == {"a.w": 1, "b.w": 2, "b.v": 3}


def test_a_modules_own_arrays_may_be_loaded_exchanged():
    linear = nn.Linear(3, 3, rng=0)
    linear.add_parameter("other", linear.params["weight"] + 1)
    weight, other = linear.params["weight"].copy(), linear.params["other"].copy()
    live = linear.params
    linear.load_state_dict({**live, "weight": live["other"], "other": live["weight"][:]})
    assert np.array_equal(live["weight"], other)
    assert np.array_equal(live["other"], weight)


@pytest.mark.parametrize("given", [None, [("weight", 1)], ({}, {})])
def test_what_is_no_mapping_is_refused(given):
    linear = nn.Linear(3, 2, rng=0)
    with pytest.raises(TypeError, match=f"got {_checks.kind(given)}; expected a mapping"):
        linear.load_state_dict(given)
    with pytest.raises(TypeError, match="Linear: grads: got "):
        linear.check_grads(given)
    assert linear.version == 0


@pytest.mark.parametrize("frozen", [False, True])
def test_copies_with_read_only_arrays_are_alive(frozen):
    """Pickled out of band, as between processes, arrays come back read-only and at any address."""

    def unpickled(module):
        buffers = []
        data = pickle.dumps(module, protocol=5, buffer_callback=buffers.append)
        places = [memoryview(b"x" + bytes(buffer.raw()))[1:] for buffer in buffers]
        assert places
        return pickle.loads(data, buffers=places)

    module = Tagger(rng=0)
    if frozen:
        module.freeze()
    ids = np.array([[1, 2], [3, 4]])
    expected = module(ids)
    for twin in (unpickled(module), copy.copy(module.out)):
        assert twin.frozen == frozen
        assert all(value.flags.writeable != frozen for value in twin.params.values())
    twin = unpickled(module)
    assert np.array_equal(twin(ids), expected)
    twin.thaw().load_state_dict({name: 2 * value for name, value in twin.params.items()})
    assert np.array_equal(twin(ids), loaded(twin)(ids))
    assert not np.array_equal(twin(ids), expected)
    assert module.frozen == frozen
    assert np.array_equal(module(ids), expected)


def loaded(module):
    """A new module with the parameters of another."""
    new = Tagger(rng=1)
    new.load_state_dict(module.state_dict())
    return new


def test_thawing_a_copy_leaves_a_frozen_module_frozen():
    linear = nn.Linear(3, 2, rng=0).freeze()
    copy.copy(linear).thaw().params["weight"][...] = 0
    assert not linear.params["weight"].flags.writeable
    assert linear.params["weight"].any()


def test_a_file_read_by_numpy_points_to_load(tmp_path):
    linear = nn.Linear(3, 2)
    io.save(tmp_path / "linear.npz", linear)
    with np.load(tmp_path / "linear.npz") as file:
        message = r"'__fastrnn__' is unexpected: .* give fastrnn\.load\(path\)\.arrays"
        with pytest.raises(ValueError, match=message):
            linear.load_state_dict(file)


@pytest.mark.parametrize("make", [lambda bias: nn.Linear(3, 2, bias), lambda bias: nn.GRU(3, 2, bias=bias)])
def test_biases_for_a_layer_without_point_to_its_argument(make):
    with pytest.raises(ValueError, match=r"'bias.*' is unexpected: this layer has no bias; build it with"):
        make(False).load_state_dict(make(True).state_dict())


# ---- attributes ----


def test_a_parameter_is_no_attribute():
    layer = nn.LSTM(2, 3, rng=0)
    before = layer.state_dict()
    with pytest.raises(
        AttributeError, match=r"LSTM: weight_ih_l0 is a parameter.* params\['weight_ih_l0'\]\[...\] ="
    ):
        layer.weight_ih_l0 = np.zeros((12, 2), np.float32)
    with pytest.raises(
        AttributeError, match=r"no attribute 'weight_ih_l0': .* is in params\['weight_ih_l0'\]"
    ):
        layer.weight_ih_l0  # noqa: B018
    assert same(before, layer.state_dict())


def test_the_array_of_a_parameter_may_be_an_attribute():
    model = Tagger(0)
    model.scale *= 2
    assert (model.params["scale"] == 2).all()
    with pytest.raises(AttributeError, match="Tagger: scale is a parameter"):
        model.scale = model.scale * 2


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("train", "applies dropout, calling is inference"),
        ("eval", "applies dropout, calling is inference"),
        ("parameters", "params has the arrays by name"),
        ("zero_grad", "backward returns them"),
        ("sound", "'LSTM' object has no attribute 'sound'$"),
    ],
)
def test_an_attribute_of_pytorchs_modules_points_to_the_way_here(name, way):
    with pytest.raises(AttributeError, match=way):
        getattr(nn.LSTM(2, 3), name)


def test_the_tree_follows_attributes_as_they_change():
    names = lambda module: [name for name, _ in module.children()]  # noqa: E731
    module = nn.Module()
    module.head, module.blocks = None, []
    assert names(module) == []
    module.blocks.append(nn.Linear(2, 2, rng=0))
    module.head = nn.Linear(2, 1, rng=0)
    assert names(module) == ["head", "blocks.0"]
    assert names(copy.deepcopy(module)) == names(pickle.loads(pickle.dumps(module))) == names(module)
    module.blocks = None
    assert names(module) == ["head"]
    del module.head
    assert names(module) == []
    module.head, module.tail = nn.Linear(2, 1, rng=0), nn.Linear(2, 1, rng=0)
    del module.head
    module.head = nn.Linear(2, 1, rng=0)
    assert names(module) == names(copy.deepcopy(module)) == ["tail", "head"]
