"""Layers, losses and optimisers against PyTorch: every constructor argument, forward and all gradients."""

import numpy as np
import pytest

from fastrnn import losses, nn, optim

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

#: Of the scale max(1, max |expected|).
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
TORCH_DTYPE = {np.float32: torch.float32, np.float64: torch.float64}
T, B, I, H = 9, 4, 5, 6

COMMON = {
    "plain": {},
    "three layers": {"num_layers": 3},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "bidirectional": {"bidirectional": True},
    "all": {"num_layers": 2, "bias": False, "batch_first": True, "bidirectional": True},
    "drop everything": {"num_layers": 3, "dropout": 1.0, "bidirectional": True},
}
LAYERS = {
    **{f"RNN {name}": ("RNN", options) for name, options in COMMON.items()},
    **{f"RNN relu {name}": ("RNN", {**options, "nonlinearity": "relu"}) for name, options in COMMON.items()},
    **{f"LSTM {name}": ("LSTM", options) for name, options in COMMON.items()},
    **{f"LSTM projected {name}": ("LSTM", {**options, "proj_size": 3}) for name, options in COMMON.items()},
    **{f"GRU {name}": ("GRU", options) for name, options in COMMON.items()},
}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def assert_close(ours, theirs, dtype):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == dtype
    scale = max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale)


def both(kind, options, dtype, seed=0):
    """Their layer and ours, with the same parameters."""
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, kind)(I, H, dtype=TORCH_DTYPE[dtype], **options)
    ours = getattr(nn, kind)(I, H, dtype=dtype, **options)
    ours.load_state_dict(dict(theirs.named_parameters()))
    return theirs, ours


def tuples(state):
    return state if isinstance(state, tuple) else (state,)


def like(state, values):
    return tuple(values) if isinstance(state, tuple) else values[0]


def tensors(rng, dtype, *shapes):
    """Random tensors that require gradients."""
    return [torch.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_layers_equal_pytorchs(name, dtype, with_state, with_lengths):
    kind, options = LAYERS[name]
    theirs, ours = both(kind, options, dtype)
    rng = np.random.default_rng(1)
    first = options.get("batch_first", False)
    (x,) = tensors(rng, dtype, (B, T, I) if first else (T, B, I))
    _, like_state = theirs(x)
    state = None
    if with_state:
        state = like(like_state, tensors(rng, dtype, *[s.shape for s in tuples(like_state)]))
    lengths = [4, 9, 1, 6] if with_lengths else None

    inputs = x
    if with_lengths:
        inputs = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
    y, after = theirs(inputs, state)
    if with_lengths:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=first, total_length=T)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dafter = [rng.standard_normal(s.shape).astype(dtype) for s in tuples(after)]
    torch.autograd.backward([y, *tuples(after)], [torch.from_numpy(gradient) for gradient in (dy, *dafter)])

    initial = like(state, [s.detach().numpy() for s in tuples(state)]) if with_state else None
    our_y, our_after, tape = ours.forward(x.detach().numpy(), initial, lengths=lengths)
    dx, dstate, grads = ours.backward(tape, dy, like(after, dafter))
    assert_close(our_y, y, dtype)
    for a, b in zip(tuples(our_after), tuples(after), strict=True):
        assert_close(a, b, dtype)
    assert_close(dx, x.grad, dtype)
    if with_state:
        for a, b in zip(tuples(dstate), tuples(state), strict=True):
            assert_close(a, b.grad, dtype)
    assert list(grads) == [name for name, _ in theirs.named_parameters()]
    for key, parameter in theirs.named_parameters():
        assert_close(grads[key], parameter.grad, dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_inference_without_a_batch_axis_equals_pytorchs(name, dtype):
    kind, options = LAYERS[name]
    theirs, ours = both(kind, options, dtype)
    theirs.eval()
    (x,) = tensors(np.random.default_rng(2), dtype, (T, I))
    for _ in range(2):
        y, after = theirs(x)
        our_y, our_after = ours(x.detach().numpy())
        assert_close(our_y, y, dtype)
        for a, b in zip(tuples(our_after), tuples(after), strict=True):
            assert_close(a, b, dtype)
        ours.freeze()


@pytest.mark.parametrize("name", LAYERS)
def test_names_shapes_order_and_bounds_of_parameters_are_pytorchs(name):
    kind, options = LAYERS[name]
    theirs, ours = both(kind, options, np.float32)
    fresh = getattr(nn, kind)(I, H, **options)
    assert list(ours.params) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert fresh.params[key].shape == tuple(value.shape)
        assert np.abs(fresh.params[key]).max() <= np.float32(H**-0.5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_steps_equal_pytorchs_cell_modules(kind, dtype):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, f"{kind}Cell")(I, H, dtype=TORCH_DTYPE[dtype])
    ours = getattr(nn, kind)(I, H, dtype=dtype)
    ours.load_state_dict({f"{key}_l0": value for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(3).standard_normal((T, B, I)).astype(dtype)
    their_state = our_state = None
    for x_t in x:
        their_state = theirs(torch.from_numpy(x_t), their_state)
        y_t, our_state = ours.step(x_t, our_state)
        assert_close(y_t, tuples(their_state)[0], dtype)
        for a, b in zip(tuples(our_state), tuples(their_state), strict=True):
            assert_close(a[0], b, dtype)


@pytest.mark.parametrize("bias", [False, True])
def test_linear_equals_pytorchs(bias, dtype):
    theirs = torch.nn.Linear(I, H, bias, dtype=TORCH_DTYPE[dtype])
    ours = nn.Linear(I, H, bias, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    x, dy = tensors(np.random.default_rng(4), dtype, (T, B, I), (T, B, H))
    y = theirs(x)
    y.backward(dy)
    our_y, tape = ours.forward(x.detach().numpy())
    dx, grads = ours.backward(tape, dy.detach().numpy())
    assert_close(our_y, y, dtype)
    assert_close(dx, x.grad, dtype)
    for key, parameter in theirs.named_parameters():
        assert_close(grads[key], parameter.grad, dtype)


@pytest.mark.parametrize("padding_idx", [None, 0, -2])
def test_embedding_equals_pytorchs(padding_idx, dtype):
    theirs = torch.nn.Embedding(7, I, padding_idx, dtype=TORCH_DTYPE[dtype])
    ours = nn.Embedding(7, I, padding_idx, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(5)
    ids = rng.integers(0, 7, (T, B))
    (dy,) = tensors(rng, dtype, (T, B, I))
    y = theirs(torch.from_numpy(ids))
    y.backward(dy)
    our_y, tape = ours.forward(ids)
    assert_close(our_y, y, dtype)
    assert_close(ours.backward(tape, dy.detach().numpy())[1]["weight"], theirs.weight.grad, dtype)


# ---- losses ----


def check_loss(ours, theirs, inputs, dtype):
    value, gradient = ours
    each = np.ndim(value) > 0
    theirs.backward(torch.ones_like(theirs))
    if each:
        assert_close(value, theirs, dtype)
    else:
        assert value == pytest.approx(theirs.item(), rel=TOLERANCE[dtype])
    assert_close(gradient, inputs.grad, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore_index", [None, 2])
def test_cross_entropy_equals_pytorchs(reduction, ignore_index, dtype):
    rng = np.random.default_rng(6)
    (logits,) = tensors(rng, dtype, (T, B, 7))
    targets = rng.integers(0, 7, (T, B))
    theirs = torch.nn.functional.cross_entropy(
        logits.movedim(-1, 1),
        torch.from_numpy(targets),
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
    )
    ours = losses.cross_entropy(
        logits.detach().numpy(), targets, ignore_index=ignore_index, reduction=reduction
    )
    check_loss(ours, theirs, logits, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy"])
def test_elementwise_losses_equal_pytorchs(name, reduction, dtype):
    rng = np.random.default_rng(7)
    (x,) = tensors(rng, dtype, (T, B, 3))
    target = rng.random((T, B, 3)).astype(dtype)
    function = {"mse": "mse_loss", "binary_cross_entropy": "binary_cross_entropy_with_logits"}[name]
    theirs = getattr(torch.nn.functional, function)(x, torch.from_numpy(target), reduction=reduction)
    ours = getattr(losses, name)(x.detach().numpy(), target, reduction=reduction)
    check_loss(ours, theirs, x, dtype)


# ---- optimisers ----

OPTIMIZERS = {
    "SGD": [
        {},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    "RMSprop": [
        {},
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1},
    ],
    "Adam": [
        {},
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1},
        {"amsgrad": True},
    ],
    "AdamW": [{}, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.3}, {"amsgrad": True}],
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, cases in OPTIMIZERS.items() for options in cases]
)
def test_optimisers_equal_pytorchs(name, options, dtype):
    theirs = torch.nn.Linear(30, 40, dtype=TORCH_DTYPE[dtype])
    ours = nn.Linear(30, 40, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    our_optimizer = getattr(optim, name)(ours, **options)
    rng = np.random.default_rng(8)
    for _ in range(20):
        grads = {key: rng.standard_normal(value.shape).astype(dtype) for key, value in ours.params.items()}
        for key, parameter in theirs.named_parameters():
            parameter.grad = torch.from_numpy(grads[key].copy())
        their_optimizer.step()
        our_optimizer.step(grads)
    for key, parameter in theirs.named_parameters():
        assert_close(ours.params[key], parameter, dtype)
    state = our_optimizer.state_dict()
    for key, parameter in theirs.named_parameters():
        for slot, value in their_optimizer.state[parameter].items():
            if slot != "step" and value is not None:
                assert_close(state[f"{slot}.{key}"], value, dtype)


@pytest.mark.parametrize("max_norm", [0.1, 1e3])
def test_clipping_equals_pytorchs(max_norm, dtype):
    linear = torch.nn.Linear(30, 40, dtype=TORCH_DTYPE[dtype])
    rng = np.random.default_rng(9)
    grads = {key: rng.standard_normal(value.shape).astype(dtype) for key, value in linear.named_parameters()}
    for key, parameter in linear.named_parameters():
        parameter.grad = torch.from_numpy(grads[key].copy())
    theirs = torch.nn.utils.clip_grad_norm_(linear.parameters(), max_norm)
    ours = optim.clip_grad_norm_(grads, max_norm)
    assert ours == pytest.approx(theirs.item(), rel=TOLERANCE[dtype])
    for key, parameter in linear.named_parameters():
        assert_close(grads[key], parameter.grad, dtype)


def test_defaults_are_pytorchs():
    def defaults(function):
        import inspect

        return {
            name: p.default
            for name, p in inspect.signature(function).parameters.items()
            if p.default is not inspect.Parameter.empty
        }

    for name in OPTIMIZERS:
        theirs = defaults(getattr(torch.optim, name))
        assert {key: theirs[key] for key in defaults(getattr(optim, name))} == defaults(getattr(optim, name))
    for name in ("Linear", "Embedding", "Dropout"):
        theirs, ours = defaults(getattr(torch.nn, name)), defaults(getattr(nn, name))
        assert all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys() - {"dtype"})
