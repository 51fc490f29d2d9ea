"""Modules of torch.nn converted: every constructor argument, there and back, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest

import fastrnn

torch = pytest.importorskip("torch")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch_modules import TOLERANCE, assert_close, calls, flat, gradients, modules  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


def arrays(tensors):
    return [t.detach().numpy() for t in tensors]


def padded(x):
    """A padded array and lengths, of a batch or of packed sequences."""
    if isinstance(x, torch.Tensor):
        return x, None
    return torch.nn.utils.rnn.pad_packed_sequence(x)


@settings(max_examples=150)
@given(st.data())
def test_converted_modules_give_their_results_and_gradients(data):
    module = data.draw(modules())
    layer = fastrnn.from_torch(module)
    x, hx, leaves = data.draw(calls(module))
    result = module(x, hx)
    expected = gradients(result, [*leaves[:1], *leaves[1:], *module.parameters()])

    padded_x, lengths = padded(x)
    ours_x = padded_x.detach().numpy()
    if lengths is not None and module.batch_first:
        ours_x = ours_x.transpose(1, 0, 2)
    state = None if hx is None else tuple(arrays(hx)) if isinstance(hx, tuple) else arrays([hx])[0]
    y, after, tape = layer.forward(ours_x, state, lengths=lengths)
    back = [
        torch.randn(t.shape, dtype=t.dtype, generator=g)
        for g in [torch.Generator().manual_seed(1)]
        for t in flat(result)
    ]
    dy = back[0]
    if lengths is not None:
        packed = result[0]
        dy, _ = torch.nn.utils.rnn.pad_packed_sequence(
            torch.nn.utils.rnn.PackedSequence(dy, *packed[1:]), module.batch_first
        )
        their_y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, module.batch_first)
    else:
        their_y = result[0]
    dafter = arrays(back[1:])
    dx, dstate, grads = layer.backward(tape, dy.numpy(), tuple(dafter) if len(dafter) > 1 else dafter[0])
    ours = [y, *(after if isinstance(after, tuple) else (after,))]
    assert_close([torch.tensor(a) for a in ours], [their_y, *flat(result)[1:]])
    dstates = [] if hx is None else dstate if isinstance(dstate, tuple) else [dstate]
    want = [*expected[1 : len(leaves)], *expected[len(leaves) :]]
    assert_close([torch.tensor(a) for a in (*dstates, *grads.values())], want)
    if lengths is None:
        assert_close([torch.tensor(dx)], expected[:1])


@settings(max_examples=50)
@given(modules())
def test_the_way_back_is_exact(module):
    layer = fastrnn.from_torch(module)
    again = type(module)(
        module.input_size, module.hidden_size, module.num_layers, bias=module.bias,
        bidirectional=module.bidirectional, dtype=module.weight_ih_l0.dtype,
        **({"proj_size": module.proj_size} if module.mode == "LSTM" else {}),
    )  # fmt: skip
    again.load_state_dict(fastrnn.io.torch_state_dict(layer))
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), again.parameters(), strict=True))
    assert list(layer.params) == list(module.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell", "relu"])
def test_cells_become_layers_of_one_step(kind, bias, dtype):
    options = {"nonlinearity": "relu"} if kind == "relu" else {}
    kind = "RNNCell" if kind == "relu" else kind
    cell = getattr(torch.nn, kind)(3, 5, bias=bias, dtype=dtype, **options)
    layer = fastrnn.from_torch(cell)
    state = ours = None
    for x in torch.randn(4, 2, 3, dtype=dtype):
        state = cell(x, state)
        y, ours = layer.step(x.numpy(), ours)
    theirs = state if isinstance(state, tuple) else (state,)
    mine = ours if isinstance(ours, tuple) else (ours,)
    assert_close([torch.tensor(s[0]) for s in mine], theirs)
    np.testing.assert_allclose(y, theirs[0].detach().numpy(), atol=TOLERANCE[dtype])
    again = getattr(torch.nn, kind)(3, 5, bias=bias, dtype=dtype, **options)
    again.load_state_dict(fastrnn.io.torch_state_dict(layer, cell=True))
    assert all(torch.equal(p, q) for p, q in zip(cell.parameters(), again.parameters(), strict=True))


def test_weights_are_copies_and_options_come_along():
    module = torch.nn.LSTM(3, 4, 2, dropout=0.25)
    layer = fastrnn.from_torch(module)
    assert repr(layer) == "LSTM(3, 4, num_layers=2, dropout=0.25)"
    assert not np.shares_memory(layer.params["weight_ih_l0"], module.weight_ih_l0.detach().numpy())
    y, _, _ = layer.forward(np.ones((5, 2, 3), "f4"))
    assert not np.array_equal(y, layer.forward(np.ones((5, 2, 3), "f4"))[0])  # dropout draws
    assert fastrnn.from_torch(torch.nn.RNN(3, 4, nonlinearity="relu")).cell.activation.name == "relu"


def test_of_a_larger_model_by_prefix():
    model = torch.nn.ModuleDict({"encoder": torch.nn.ModuleDict({"lstm": torch.nn.LSTM(3, 4)})})
    layer = fastrnn.LSTM(3, 4)
    layer.load_state_dict(model.state_dict(), prefix="encoder.lstm.")
    assert np.array_equal(
        layer.params["weight_hh_l0"], model["encoder"]["lstm"].weight_hh_l0.detach().numpy()
    )
    model.load_state_dict(fastrnn.io.torch_state_dict(layer, prefix="encoder.lstm."))


class Own(torch.nn.GRU):
    pass


class OwnCell(torch.nn.LSTMCell):
    pass


def parametrized():
    return torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(3, 4), "weight_hh_l0")


@pytest.mark.filterwarnings("ignore")
def weight_normed():
    return torch.nn.utils.weight_norm(torch.nn.LSTM(3, 4), "weight_hh_l0")


def pruned():
    import torch.nn.utils.prune

    return torch.nn.utils.prune.identity(torch.nn.LSTM(3, 4), "weight_hh_l0")


def quantised():
    return torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(torch.nn.LSTM(3, 4)), dtype=torch.qint8
    )[0]


def mixed():
    module = torch.nn.LSTM(3, 4)
    module.bias_hh_l0.data = module.bias_hh_l0.data.double()
    return module


def replaced():
    module = torch.nn.LSTM(3, 4)
    module.forward = lambda x: x
    return module


REFUSED = {
    "bfloat16": (lambda: torch.nn.LSTM(3, 4).bfloat16(), r"weight_ih_l0 of LSTM is bfloat16.*float\(\)"),
    "float16": (lambda: torch.nn.GRU(3, 4).half(), r"is float16; expected float32 or .*float\(\)"),
    "meta": (lambda: torch.nn.LSTM(3, 4, device="meta"), "on the meta device.*to_empty"),
    "mixed": (mixed, r"weights of torch.float32 and torch.float64; give module.float\(\)"),
    "subclass": (lambda: Own(3, 4), r"Own is a subclass of GRU.*fastrnn.GRU\(...\).load_state_dict"),
    "subclassed cell": (lambda: OwnCell(3, 4), r"subclass of LSTMCell.*fastrnn.LSTM\(...\).load_state_dict"),
    "parametrized": (parametrized, r"computes 'weight_hh_l0'; .*remove_parametrizations\(module, name\)"),
    "weight norm": (weight_normed, r"computes 'weight_hh_l0'.*remove_weight_norm\(module, 'weight_hh_l0'\)"),
    "pruned": (pruned, "has no parameter 'weight_hh_l0'; undo what computes it"),
    "quantised": (quantised, "is quantised; give the module as it was before quantize_dynamic"),
    "scripted": (lambda: torch.jit.script(torch.nn.GRU(3, 4)), "TorchScript of GRU; give the module that"),
    "other": (lambda: torch.nn.Linear(3, 4), "got a torch.nn.modules.linear.Linear; expected torch.nn.RNN"),
    "no module": (lambda: {"weight": 1}, "got a builtins.dict; expected torch.nn.RNN"),
    "replaced": (replaced, "the forward of this LSTM was replaced"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")  # of what PyTorch calls deprecated
def test_what_is_refused_says_the_remedy(name):
    make, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        fastrnn.from_torch(make())


def test_a_cells_names_are_those_of_one_layer():
    with pytest.raises(ValueError, match="cell is True, but LSTM has 'weight_ih_l1'; a cell is one layer"):
        fastrnn.io.torch_state_dict(fastrnn.LSTM(3, 4, num_layers=2), cell=True)


def test_nothing_is_said_of_torch_where_it_is_absent():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import fastrnn\n"
        "try: fastrnn.from_torch(object())\n"
        "except TypeError as error: assert 'got a builtins.object' in str(error)\n"
        "try: fastrnn.io.torch_state_dict(fastrnn.GRU(2, 3))\n"
        "except ImportError as error: assert 'pip install \"fastrnn[torch]\"' in str(error)\n"
        "try: import fastrnn.torch\n"
        "except ImportError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == 'fastrnn.torch needs PyTorch: pip install "fastrnn[torch]"\n'
    assert said.stderr == ""
