"""Optimisers: their formulas written out, the version rule, and nothing half-changed on an error."""

import copy
import pickle

import numpy as np
import pytest

from fastrnn import nn, optim

OPTIMIZERS = {
    "sgd": (optim.SGD, {}),
    "sgd decay": (optim.SGD, {"weight_decay": 0.1}),
    "sgd momentum": (optim.SGD, {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    "sgd nesterov": (optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (optim.RMSprop, {}),
    "rmsprop all": (optim.RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}),
    "adam": (optim.Adam, {}),
    "adam all": (optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    "adamw": (optim.AdamW, {}),
    "adamw all": (optim.AdamW, {"weight_decay": 0.3, "amsgrad": True}),
}


class Model(nn.Module):
    def __init__(self, dtype=np.float64):
        self.first = nn.Linear(3, 4, dtype=dtype, rng=0)
        self.second = nn.Linear(4, 2, dtype=dtype, rng=1)


def gradients(model, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(p.shape).astype(p.dtype) for name, p in model.params.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_finds_the_minimum(name):
    make, arguments = OPTIMIZERS[name]
    model = nn.Linear(3, 2, bias=False, dtype=np.float64, rng=0)
    optimizer = make(model, lr=0.01, **{**arguments, "weight_decay": 0.0})
    goal = np.arange(6.0).reshape(2, 3) / 6
    for _ in range(1500):
        optimizer.step({"weight": model.params["weight"] - goal})
    np.testing.assert_allclose(model.params["weight"], goal, atol=0.02)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_blocks_do_not_change_the_result(name, monkeypatch):
    make, arguments = OPTIMIZERS[name]
    models = [Model(np.float32), Model(np.float32)]
    for model, block in zip(models, [8192, 5], strict=True):
        monkeypatch.setattr(optim, "_BLOCK", block)
        optimizer = make(model, **arguments)
        for i in range(3):
            optimizer.step(gradients(model, i))
    for a, b in zip(models[0].params.values(), models[1].params.values(), strict=True):
        assert a.dtype == np.float32
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_dict_goes_on_with_the_same_bits(name):
    make, arguments = OPTIMIZERS[name]
    model = Model()
    optimizer = make(model, lr=0.5, **arguments)
    optimizer.step(gradients(model, 0))
    twin = copy.deepcopy(model)
    resumed = make(twin, **arguments)
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.lr == 0.5
    assert resumed.steps == 1
    pickled = pickle.loads(pickle.dumps(optimizer))
    for one in (optimizer, resumed, pickled):
        one.step(gradients(model, 1))
    for key, value in model.params.items():
        assert np.array_equal(value, twin.params[key])
        assert np.array_equal(value, pickled.module.params[key])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_left_as_they_are(name):
    make, arguments = OPTIMIZERS[name]
    model = Model()
    given = gradients(model)
    for value in given.values():
        value.flags.writeable = False
    make(model, **arguments).step(given)
    assert all(np.array_equal(value, given[key]) for key, value in gradients(model).items())


def test_learning_rate_may_be_changed():
    model = nn.Linear(1, 1, bias=False, dtype=np.float64)
    optimizer = optim.SGD(model, lr=1.0)
    optimizer.lr = 0.0
    before = model.state_dict()["weight"]
    optimizer.step({"weight": [[5.0]]})
    assert np.array_equal(model.params["weight"], before)


def test_step_raises_the_version_of_every_module_so_that_old_tapes_are_refused():
    model = Model()
    _, tape = model.first.forward(np.ones((2, 3)))
    optim.SGD(model).step(gradients(model))
    with pytest.raises(ValueError, match="the parameters changed after this tape was made"):
        model.first.backward(tape, np.ones((2, 4)))


def test_frozen_module_is_refused():
    model = Model()
    optimizer = optim.Adam(model)
    model.second.freeze()
    with pytest.raises(RuntimeError, match="frozen"):
        optimizer.step(gradients(model))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda g: g.pop("second.bias"), ValueError, "'second.bias' is missing"),
        (
            lambda g: g.update({"second.bais": g.pop("second.bias")}),
            ValueError,
            "'second.bais' is unexpected .did you mean 'second.bias'",
        ),
        (lambda g: g.update({"second.bias": np.zeros(3)}), ValueError, r"'second.bias' has shape \(3,\)"),
        (lambda g: g.update({"second.bias": np.zeros(2, int)}), TypeError, "'second.bias' is int64"),
        (lambda g: g.update({"second.bias": None}), TypeError, "'second.bias'"),
    ],
)
def test_wrong_gradients_are_named_before_anything_changes(change, error, message):
    model = Model()
    optimizer = optim.Adam(model)
    before, state = model.state_dict(), optimizer.state_dict()
    wrong = gradients(model)
    change(wrong)
    with pytest.raises(error, match=message):
        optimizer.step(wrong)
    assert all(np.array_equal(before[key], value) for key, value in model.params.items())
    assert all(np.array_equal(state[key], value) for key, value in optimizer.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("steps"), "'steps'"),
        (lambda s: s.pop("exp_avg.second.bias"), "exp_avg.*'second.bias' is missing"),
        (lambda s: s.update({"momentum_buffer.second.bias": np.zeros(2)}), "unexpected .*momentum_buffer"),
        (lambda s: s.update({"exp_avg.second.bias": np.zeros(5)}), "shape"),
    ],
)
def test_wrong_state_is_named_before_anything_changes(change, message):
    model = Model()
    optimizer = optim.Adam(model)
    optimizer.step(gradients(model))
    state = optimizer.state_dict()
    other = optim.Adam(Model())
    change(state)
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(state)
    assert other.steps == 0
    assert not any(value.any() for key, value in other.state_dict().items() if key != "lr")


def test_names_that_an_optimiser_does_not_know_are_cut_and_explained():
    model = nn.LSTM(2, 3, num_layers=2)
    optimizer = optim.Adam(model)
    with pytest.raises(
        ValueError, match=r"missing 'lr', 'steps'; unexpected 'weight_ih_l0', .*, and 4 more$"
    ):
        optimizer.load_state_dict(model.state_dict())
    state = {f"adam.{name}": value for name, value in optimizer.state_dict().items()}
    with pytest.raises(ValueError, match=r"all keys begin with 'adam.': strip it"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("shared", ["module", "array"])
def test_an_array_of_two_names_is_refused(shared):
    model = Model()
    if shared == "module":
        model.again = [model.second]
    else:
        model.again = [nn.Linear(1, 1)]
        model.again[0].add_parameter("weight", model.second.params["weight"])
    with pytest.raises(ValueError, match=r"SGD: 'second.weight' and 'again.0.weight' are one array"):
        optim.SGD(model)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: optim.SGD(m.params), TypeError, "give the module itself"),
        (
            lambda m: optim.Adam([m, m]),
            TypeError,
            "Adam: module is a list; .* several modules have an optimiser",
        ),
        (lambda m: optim.SGD(m, lr=-1), ValueError, "lr is -1"),
        (lambda m: optim.SGD(m, lr=float("nan")), ValueError, "lr is nan"),
        (lambda m: optim.SGD(m, nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda m: optim.SGD(m, lr=1e39), ValueError, r"SGD: lr is 1e\+39; expected .* finite in float32"),
        (lambda m: setattr(optim.SGD(m), "lr", float("inf")), ValueError, "lr is inf"),
        (lambda m: optim.SGD(m, momentum=0.9, nesterov="no"), TypeError, "SGD: nesterov is 'no'"),
        (lambda m: optim.SGD(m, momentum=0.9, nesterov=1), TypeError, "nesterov is 1; expected True"),
        (lambda m: optim.SGD(m, momentum=0.9, dampening=float("nan")), ValueError, "dampening is nan"),
        (lambda m: optim.SGD(m, momentum="a lot", nesterov=True), TypeError, "momentum is 'a lot'"),
        (lambda m: optim.RMSprop(m, centered="no"), TypeError, "RMSprop: centered is 'no'; expected True"),
        (lambda m: optim.Adam(m, amsgrad=2), TypeError, "Adam: amsgrad is 2; expected True or False"),
        (lambda m: optim.Adam(m, betas=(0.9, 1.0)), ValueError, "betas"),
        (lambda m: optim.RMSprop(m, eps=-1), ValueError, "eps is -1"),
        (lambda m: optim.AdamW(m, weight_decay=-1), ValueError, "weight_decay is -1"),
    ],
)
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(Model())


def test_the_options_tell_every_argument_but_the_rate():
    module = Model()
    assert optim.SGD(module, 0.5, 0.9, nesterov=np.bool_(True)).options == {
        "kind": "SGD", "momentum": 0.9, "dampening": 0.0, "nesterov": True, "weight_decay": 0.0,
    }  # fmt: skip
    assert optim.RMSprop(module, centered=np.bool_(True)).options["centered"] is True
    assert optim.Adam(module, amsgrad=np.bool_(True)).options["amsgrad"] is True


def test_clip_scales_all_gradients_by_one_factor():
    given = gradients(Model(np.float32))
    original = {key: value.copy() for key, value in given.items()}
    expected = np.sqrt(sum((value.astype(float) ** 2).sum() for value in original.values()))
    norm = optim.clip_grad_norm_(given, 0.5)
    assert isinstance(norm, float)
    assert norm == pytest.approx(expected, rel=1e-12)
    for key, value in given.items():
        np.testing.assert_allclose(value, original[key] * (0.5 / norm), rtol=1e-5)
    assert optim.clip_grad_norm_(given, 0.5) == pytest.approx(0.5, rel=1e-5)


def test_clip_leaves_small_gradients_alone_and_shows_nan():
    given = gradients(Model())
    original = {key: value.copy() for key, value in given.items()}
    optim.clip_grad_norm_(given, 1e6)
    assert all(np.array_equal(given[key], value) for key, value in original.items())
    given["first.bias"][0] = np.nan
    assert np.isnan(optim.clip_grad_norm_(given, 1.0))
    assert optim.clip_grad_norm_({}, 1.0) == 0.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numpy_scalars_are_arguments_as_python_floats_are(name):
    """A schedule in NumPy gives float64 scalars; they must not change how float32 parameters round."""
    optimizer, arguments = OPTIMIZERS[name]
    numpy_arguments = {
        key: value if value is True else np.asarray(value, np.float64)[()]  # scalars; betas: an array
        for key, value in arguments.items()
    }
    one, two = Model(np.float32), Model(np.float32)
    steps = optimizer(one, 0.01, **arguments), optimizer(two, np.float64(0.01), **numpy_arguments)
    for seed in range(3):
        steps[0].lr, steps[1].lr = 0.01 / (seed + 1), np.float64(0.01) / (seed + 1)
        for step in steps:
            step.step(gradients(one, seed))
    assert type(steps[1].lr) is float
    assert all(np.array_equal(one.params[key], two.params[key]) for key in one.params)


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_a_learning_rate_set_later_is_checked_too(value):
    optimizer = optim.Adam(Model())
    with pytest.raises(ValueError, match=r"Adam: lr is .*; expected a number that is not negative"):
        optimizer.lr = value
    assert optimizer.lr == 1e-3


def test_a_step_that_is_interrupted_leaves_old_tapes_refused():
    class Interrupted(optim.SGD):
        def _update(self, value, grad, *arrays):
            super()._update(value, grad, *arrays)
            raise KeyboardInterrupt

    model = Model()
    _, tape = model.first.forward(np.ones((1, 3)))
    with pytest.raises(KeyboardInterrupt):
        Interrupted(model).step(gradients(model))
    with pytest.raises(ValueError, match="the parameters changed after this tape was made"):
        model.first.backward(tape, np.ones((1, 4)))


def test_a_step_with_all_that_backward_returned_names_the_part():
    model = Model()
    with pytest.raises(TypeError, match=r"got a tuple; .* of what backward returns give the last"):
        optim.SGD(model).step((None, None, gradients(model)))


def test_clipping_a_module_asks_for_its_gradients():
    with pytest.raises(TypeError, match="clip_grad_norm_: grads is a Model; expected the gradients"):
        optim.clip_grad_norm_(Model(), 1.0)


@pytest.mark.parametrize(
    ("name", "way"),
    [("zero_grad", "backward returns them"), ("param_groups", "one lr"), ("other", "'other'$")],
)
def test_an_attribute_of_pytorchs_optimisers_points_to_the_way_here(name, way):
    with pytest.raises(AttributeError, match=way):
        getattr(optim.Adam(Model()), name)


@pytest.mark.parametrize("max_norm", [-1, float("nan")])
def test_clipping_to_no_norm_is_refused(max_norm):
    grads = {"weight": np.array([3.0, 4.0])}
    with pytest.raises(ValueError, match=r"max_norm is .*; expected a number that is not negative"):
        optim.clip_grad_norm_(grads, max_norm)
    assert grads["weight"].tolist() == [3.0, 4.0]


def sgd(p, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    buffer = None
    for g in grads:
        g = g + weight_decay * p
        buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
        p = p - lr * (g + momentum * buffer if nesterov else buffer if momentum else g)
    return p


def rmsprop(p, grads, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    square = mean = buffer = 0
    for g in grads:
        g = g + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        buffer = momentum * buffer + g / (np.sqrt(square - mean**2 if centered else square) + eps)
        p = p - lr * buffer
    return p


def adam(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, apart=False):
    m = v = greatest = 0
    for t, g in enumerate(grads, 1):
        if apart:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        greatest = np.maximum(greatest, v)
        root = np.sqrt((greatest if amsgrad else v) / (1 - betas[1] ** t))
        p = p - lr * m / (1 - betas[0] ** t) / (root + eps)
    return p


def adamw(p, grads, lr, weight_decay=0.01, **arguments):
    return adam(p, grads, lr, weight_decay=weight_decay, apart=True, **arguments)


FORMULAS = {"SGD": sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adamw}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_follows_its_formula(name):
    make, arguments = OPTIMIZERS[name]
    model = Model()
    before = model.state_dict()
    grads = [gradients(model, seed) for seed in range(5)]
    optimizer = make(model, lr=0.05, **arguments)
    for g in grads:
        optimizer.step(g)
    for key, value in model.params.items():
        expected = FORMULAS[make.__name__](before[key], [g[key] for g in grads], 0.05, **arguments)
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-13)


def test_a_state_that_is_no_mapping_of_names_is_refused():
    optimizer = optim.Adam(Model())
    with pytest.raises(TypeError, match=r"Adam\.load_state_dict: got None; expected a mapping"):
        optimizer.load_state_dict(None)
    with pytest.raises(ValueError, match=r"unexpected 1"):
        optimizer.load_state_dict({**optimizer.state_dict(), 1: 2})
