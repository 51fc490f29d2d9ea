"""fastrnn.torch: modules of PyTorch that compute on our kernels, against those of torch.nn."""

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest
from kit import CELLS, assert_same_bits

import fastrnn
from fastrnn import cells

torch = pytest.importorskip("torch")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402
from torch_modules import assert_close, calls, flat, gradients, modules  # noqa: E402

import fastrnn.torch as ft  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


def ours_like(module, **more):
    """Our module of the same arguments and weights."""
    options = {
        name: getattr(module, name)
        for name in (
            "num_layers",
            "bias",
            "batch_first",
            "bidirectional",
            "dropout",
            "nonlinearity",
            "proj_size",
        )
        if hasattr(module, name)
    }
    if module.mode != "LSTM":
        options.pop("proj_size")
    dtype = module.weight_ih_l0.dtype
    name = type(module).__name__
    ours = getattr(ft, name)(module.input_size, module.hidden_size, **options, **more, dtype=dtype)
    ours.load_state_dict(module.state_dict())
    return ours


# ---- the same as torch.nn ----


@settings(max_examples=150)
@given(st.data())
def test_results_and_all_gradients_are_pytorchs(data):
    theirs = data.draw(modules())
    ours = ours_like(theirs)
    x, hx, leaves = data.draw(calls(theirs))
    mine, result = ours(x, hx), theirs(x, hx)
    if isinstance(x, torch.nn.utils.rnn.PackedSequence):
        for one, other in zip(mine[0][1:], result[0][1:], strict=True):
            assert torch.equal(one, other)
    assert_close(flat(mine), flat(result))
    wanted = [leaf for leaf in leaves if data.draw(st.booleans())] or leaves[:1]
    assert_close(
        gradients(mine, [*wanted, *ours.parameters()]), gradients(result, [*wanted, *theirs.parameters()])
    )
    with data.draw(st.sampled_from([torch.no_grad, torch.inference_mode]))():
        assert_close(flat(ours(x, hx)), flat(result))
    ours.eval()
    assert_close(flat(ours(x, hx)), flat(result))
    theirs.load_state_dict(ours.state_dict())
    assert repr(ours) == repr(theirs)
    assert ours.mode == theirs.mode
    assert [len(w) for w in ours.all_weights] == [len(w) for w in theirs.all_weights]
    assert ours.flatten_parameters() is None


@settings(max_examples=30)
@given(modules(), st.integers(0, 99))
def test_the_same_seed_draws_the_same_weights(theirs, seed):
    ours = ours_like(theirs)
    torch.manual_seed(seed)
    ours.reset_parameters()
    torch.manual_seed(seed)
    theirs.reset_parameters()
    assert all(torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))


GRADCHECKED = {
    "LSTM": lambda: ft.LSTM(3, 4, 2, dtype=torch.float64),
    "GRU": lambda: ft.GRU(3, 4, dtype=torch.float64),
    "RNN": lambda: ft.RNN(3, 4, batch_first=True, dtype=torch.float64),
    "projection": lambda: ft.LSTM(3, 4, proj_size=2, dtype=torch.float64),
    "bidirectional": lambda: ft.GRU(3, 4, 2, bidirectional=True, dtype=torch.float64),
    "variant": lambda: ft.LSTM(3, 4, peepholes="ifo", layer_norm=True, dtype=torch.float64),
    "full gate recurrence": lambda: ft.LSTM(3, 2, full_gate_recurrence=True, dtype=torch.float64),
    "MGU": lambda: ft.Recurrent(cells.MGU(), 3, 4, dtype=torch.float64),
    "learned": lambda: ft.GRU(3, 4, learn_state=True, dtype=torch.float64),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("name", GRADCHECKED)
def test_gradcheck(name, with_state, packed):
    torch.manual_seed(0)
    module = GRADCHECKED[name]()
    shape = (3, 4, 3)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    _, after = module(x)
    states = after if isinstance(after, tuple) else (after,)
    states = [torch.randn_like(s).requires_grad_() for s in states] if with_state else []

    names = [n for n, _ in module.named_parameters()]
    weights = [p.detach().clone().requires_grad_() for p in module.parameters()]
    call = of_leaves(module, names, states, packed)
    assert torch.autograd.gradcheck(call, (x, *states, *weights))


def of_leaves(module, names, states, packed):
    def call(x, *rest):
        given, weights = rest[: len(states)], rest[len(states) :]
        hx = None if not given else tuple(given) if len(given) > 1 else given[0]
        if packed:
            lengths = [2, 3, 1] if module.batch_first else [2, 3, 1, 3]
            x = pack_padded_sequence(x, lengths, module.batch_first, enforce_sorted=False)
        values = dict(zip(names, weights, strict=True))
        return tuple(flat(torch.func.functional_call(module, values, (x, hx))))

    return call


def test_lengths_are_packed_sequences_without_packing():
    torch.manual_seed(0)
    ours = ft.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
    x, lengths = torch.randn(5, 7, 3), [2, 7, 1, 3, 5]
    packed, after = ours(pack_padded_sequence(x, lengths, True, enforce_sorted=False))
    padded, _ = pad_packed_sequence(packed, True)
    y, state = ours(x, lengths=lengths)
    assert torch.equal(y, padded)
    assert all(torch.equal(a, b) for a, b in zip(state, after, strict=True))
    assert torch.equal(ours(x, lengths=torch.tensor([2, 7, 0, 3, 5]))[1][0][:, 2], torch.zeros(4, 4))
    with pytest.raises(ValueError, match="lengths with a PackedSequence, which has its own"):
        ours(packed, lengths=lengths)


def test_a_model_learns_along_the_same_curve():
    def losses(kind):
        torch.manual_seed(0)
        rnn, out = kind(4, 16, 2, batch_first=True), torch.nn.Linear(16, 1)
        optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=0.01)
        x = torch.randn(16, 12, 4)
        target = x[:, :, :1].cumsum(1).tanh()
        found = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = (out(rnn(x)[0]) - target).pow(2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
            optimizer.step()
            found.append(loss.item())
        return found

    for ours, theirs in [(ft.LSTM, torch.nn.LSTM), (ft.GRU, torch.nn.GRU), (ft.RNN, torch.nn.RNN)]:
        mine, expected = losses(ours), losses(theirs)
        assert expected[-1] < expected[0] / 1.5
        np.testing.assert_allclose(mine, expected, rtol=2e-4)


# ---- memory ----


def test_memory_is_shared_both_ways():
    module = ft.LSTM(3, 4)
    layer, weights = module._bound()
    for name, weight in zip(layer.params, weights, strict=True):
        assert layer.params[name].ctypes.data == weight.data_ptr()
    x = torch.randn(5, 2, 3)
    seen = {}

    def forward(array, *rest, **options):
        seen["x"] = array
        return run(array, *rest, **options)

    run, layer.run = layer.run, forward
    y, _ = module(x)
    assert seen["x"].ctypes.data == x.data_ptr()
    with torch.no_grad():
        module.weight_ih_l0.zero_()  # in place: seen at once
        module.bias_ih_l0.zero_()
        module.bias_hh_l0.zero_()
    assert not module(x)[0].any()
    assert y.any()


def test_moved_weights_are_found():
    module, x = ft.GRU(3, 4), torch.randn(5, 2, 3)
    reference = torch.nn.GRU(3, 4)
    reference.load_state_dict(module.state_dict())
    assert_close(flat(module(x)), flat(reference(x)))
    for change in [
        lambda m: m.double(),
        lambda m: m.float(),
        lambda m: setattr(m.weight_hh_l0, "data", torch.ones(12, 4)),
        lambda m: setattr(m, "weight_ih_l0", torch.nn.Parameter(torch.ones(12, 3))),
        lambda m: m.share_memory(),
        lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}, assign=True),
        lambda m: setattr(m.weight_hh_l0, "data", torch.randn(4, 12).t()),  # in no C order
    ]:
        for m in (module, reference):
            torch.manual_seed(1)
            change(m)
        cast = x.to(module.weight_ih_l0.dtype)
        assert_close(flat(module(cast)), flat(reference(cast)))
        assert_close(
            gradients(module(cast), [*module.parameters()]),
            gradients(reference(cast), [*reference.parameters()]),
        )
    with torch.no_grad():  # still not in C order, so never bound for long
        module.weight_hh_l0.mul_(2)
        reference.weight_hh_l0.mul_(2)
    assert_close(flat(module(x)), flat(reference(x)))


def test_a_transposed_square_weight_at_the_same_address_is_found():
    x = torch.randn(5, 2, 3)
    module = ft.Recurrent(cells.RNN(), 3, 3)
    module(x)
    module.weight_hh_l0.data = module.weight_hh_l0.data.t()
    theirs = torch.nn.RNN(3, 3)
    theirs.load_state_dict(module.state_dict())
    assert_close(flat(module(x)), flat(theirs(x)))


def test_a_weight_whose_storage_moved_is_found():
    """It is the same tensor of the same storage, at another address."""
    module, x = ft.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.no_grad():
        module(x)
        module.weight_hh_l0.share_memory_()
        module.weight_hh_l0.fill_(0.25)
        theirs = torch.nn.GRU(3, 4)
        theirs.load_state_dict(module.state_dict())
        assert_close(flat(module(x)), flat(theirs(x)))


def test_a_weight_at_an_odd_address_is_read_at_each_call():
    module, x = ft.RNN(3, 4).requires_grad_(False), torch.randn(5, 2, 3)
    theirs = torch.nn.RNN(3, 4)
    odd = torch.frombuffer(bytearray(4 * 16 + 2), dtype=torch.float32, offset=2, count=16).view(4, 4)
    module.weight_hh_l0.data = odd
    for value in (0.5, -0.25):
        odd.fill_(value)
        theirs.load_state_dict(module.state_dict())
        assert_close(flat(module(x)), flat(theirs(x)))


def test_weights_read_as_another_type_are_noticed():
    module = ft.GRU(3, 4).requires_grad_(False)
    module(torch.ones(5, 2, 3))
    module.weight_hh_l0.data = module.weight_hh_l0.data.view(torch.int32)
    with pytest.raises(TypeError, match=r"weight_hh_l0 is torch\.int32; expected float32 or float64"):
        module(torch.ones(5, 2, 3))


def test_two_sets_of_weights_in_one_graph_keep_apart():
    module, x = ft.GRU(3, 4, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    theirs = torch.nn.GRU(3, 4, dtype=torch.float64)
    sets = [{n: torch.randn_like(p).requires_grad_() for n, p in module.named_parameters()} for _ in range(2)]
    call = torch.func.functional_call
    found, expected = ([call(m, s, (x,))[0] for s in sets] for m in (module, theirs))
    for k in (0, 1):
        values = list(sets[k].values())
        assert_close(
            torch.autograd.grad(found[k].sum(), values), torch.autograd.grad(expected[k].sum(), values)
        )


def test_the_tape_goes_with_the_graph():
    module = ft.LSTM(3, 4)
    y, _ = module(torch.randn(5, 2, 3))
    kept = weakref.ref(y.grad_fn.saved_tensors[-1].record[0].passes[0].states[0])
    y.sum().backward(retain_graph=True)
    first = module.weight_hh_l0.grad.clone()
    y.sum().backward()
    assert torch.equal(module.weight_hh_l0.grad, 2 * first)
    gc.collect()
    assert kept() is None
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


def test_what_was_written_to_before_backward_is_refused():
    module, x = ft.LSTM(3, 4), torch.randn(5, 2, 3)
    y, _ = module(x)
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y, _ = module(x)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_outputs_may_be_written_to():
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    ours = ours_like(theirs)
    x = torch.randn(5, 2, 3)
    found = []
    for module in (ours, theirs):
        y, (h, c) = module(x)
        y, h, c = y.mul(1) if module is theirs else y, h, c  # theirs needs its own
        loss = y.relu_().sum() + h.mul_(2).sum() + c.mul_(3).sum()
        found.append(torch.autograd.grad(loss, [*module.parameters()]))
    assert_close(*found)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_of_pytorch(reentrant):
    torch.manual_seed(0)
    module = ft.LSTM(3, 4, 2, dropout=0.5)
    x = torch.randn(5, 2, 3, requires_grad=True)
    torch.manual_seed(1)
    expected = gradients(module(x), [x, *module.parameters()])
    torch.manual_seed(1)
    y, *state = torch.utils.checkpoint.checkpoint(
        lambda x: tuple(flat(module(x))), x, use_reentrant=reentrant
    )
    back = [
        torch.randn(t.shape, generator=g) for g in [torch.Generator().manual_seed(1)] for t in (y, *state)
    ]
    torch.autograd.backward([y, *state], back)
    assert_close([x.grad, *[p.grad for p in module.parameters()]], expected)


def test_saved_tensors_may_be_kept_elsewhere():
    module, x = ft.GRU(3, 4, recurrent_dropout=0.5), torch.randn(5, 2, 3)
    torch.manual_seed(1)
    expected = gradients(module(x), [*module.parameters()])
    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        result = module(x)
    assert_close(gradients(result, [*module.parameters()]), expected)


# ---- modes, options, copies ----


def test_dropout_acts_in_training_and_comes_from_pytorchs_generator():
    x = torch.randn(5, 2, 3)
    for options in [
        {"dropout": 0.5, "num_layers": 2}, {"input_dropout": 0.5}, {"recurrent_dropout": 0.5},
        {"weight_dropout": 0.5}, {"zoneout": 0.5},
    ]:  # fmt: skip
        module = ft.LSTM(3, 8, **options)
        torch.manual_seed(3)
        first, second = module(x)[0], module(x)[0]
        torch.manual_seed(3)
        assert torch.equal(module(x)[0], first)
        assert torch.equal(module(x)[0], second)
        assert not torch.equal(first, second)
        torch.manual_seed(3)
        with torch.no_grad():
            assert torch.equal(module(x)[0], first)
        module.eval()
        layer = fastrnn.LSTM(3, 8, **options)
        layer.load_state_dict(module.state_dict())
        expected = torch.from_numpy(layer(x.numpy())[0])
        assert torch.equal(module(x)[0], expected)
        assert module(x)[0].requires_grad
        with torch.no_grad():
            assert torch.equal(module(x)[0], expected)
    module = ft.LSTM(3, 8, 2)
    assert module.dropout == 0
    assert torch.equal(module(x)[0], module(x)[0])
    module.dropout = 0.5
    assert not torch.equal(module(x)[0], module(x)[0])
    with pytest.raises(ValueError, match="dropout is 2; expected a probability"):
        module.dropout = 2


def test_gradients_in_eval_are_those_without_dropout():
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 4, 3, dropout=0.5).double().eval()
    ours = ours_like(theirs, recurrent_dropout=0.5, weight_dropout=0.5).eval()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert_close(gradients(ours(x), [*ours.parameters()]), gradients(theirs(x), [*theirs.parameters()]))


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_every_cell_gives_the_bits_of_our_layer(cell, backend):
    torch.manual_seed(0)
    module = ft.Recurrent(cell, 3, 4, 2, bidirectional=True)
    layer = fastrnn.from_torch(module)
    x = torch.randn(5, 2, 3, requires_grad=True)
    with fastrnn.backend(backend):
        result = module(x)
        y, state, tape = layer.forward(x.detach().numpy())
        back = [torch.randn_like(t) for t in flat(result)]
        found = torch.autograd.grad(flat(result), [x, *module.parameters()], back)
        arrays = [b.numpy() for b in back]
        dx, _, grads = layer.backward(tape, arrays[0], tuple(arrays[1:]) if len(arrays) > 2 else arrays[1])
        quick = module.requires_grad_(False)(x.detach())
    assert_same_bits(
        [t.detach().numpy() for t in (*flat(result), *found)], [y, state, dx, list(grads.values())]
    )
    assert_same_bits([t.numpy() for t in flat(quick)], [y, state])


def test_a_module_becomes_a_layer_for_numpy():
    module = ft.LSTM(3, 4, 2, dropout=0.5, peepholes="ifo").double()
    layer = fastrnn.from_torch(module)
    assert repr(layer) == "LSTM(3, 4, peepholes='ifo', num_layers=2, dropout=0.5, dtype=float64)"
    assert type(layer) is fastrnn.LSTM
    assert not np.shares_memory(layer.params["weight_hh_l0"], module.weight_hh_l0.detach().numpy())
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert np.array_equal(layer(x.numpy())[0], module.eval()(x)[0].detach().numpy())
    _, _, tape = layer.forward(x.numpy())
    layer.backward(tape, np.ones((5, 2, 4)))


def test_training_without_dropout_draws_nothing():
    module, x = ft.LSTM(3, 4, 2), torch.randn(5, 2, 3)
    state = torch.get_rng_state()
    module(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_copies_and_files():
    module = ft.LSTM(3, 4, 2, dropout=0.1, peepholes="ifo").eval()
    x = torch.randn(5, 2, 3)
    expected = module(x)[0]
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(file, weights_only=False)]
    assert file.tell() < 20_000
    for other in copies:
        assert repr(other) == repr(module)
        assert torch.equal(other(x)[0], expected)
        with torch.no_grad():
            other.weight_hh_l0.zero_()
        assert not torch.equal(other(x)[0], expected)
    assert torch.equal(module(x)[0], expected)


def test_init_and_learned_states():
    torch.manual_seed(0)
    module = ft.LSTM(3, 4, init={"hidden": "orthogonal", "forget_bias": 1.0}, learn_state=True)
    weights = module.weight_hh_l0
    assert torch.allclose(weights.T @ weights, torch.eye(4), atol=1e-6)
    assert not module.h0_l0.any()
    torch.manual_seed(0)
    again = ft.LSTM(3, 4, init={"hidden": "orthogonal", "forget_bias": 1.0}, learn_state=True)
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), again.parameters(), strict=True))
    module(torch.randn(5, 2, 3))[0].sum().backward()
    assert module.c0_l0.grad.any()
    assert torch.equal(ft.GRU(3, 4, layer_norm=True).weight_ln_ih_l0, torch.ones(12))


def test_computed_weights_work():
    torch.manual_seed(0)
    module = ft.GRU(3, 4, dtype=torch.float64)
    theirs = torch.nn.GRU(3, 4, dtype=torch.float64)
    theirs.load_state_dict(module.state_dict())
    for m in (module, theirs):
        torch.nn.utils.parametrizations.weight_norm(m, "weight_hh_l0")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert_close(flat(module(x)), flat(theirs(x)))
    assert_close(gradients(module(x), [*module.parameters()]), gradients(theirs(x), [*theirs.parameters()]))


def test_frozen_parameters_get_no_gradient():
    module = ft.LSTM(3, 4)
    module.weight_ih_l0.requires_grad_(False)
    module(torch.randn(5, 2, 3))[0].sum().backward()
    assert module.weight_ih_l0.grad is None
    assert module.weight_hh_l0.grad is not None
    module.requires_grad_(False)
    assert not module(torch.randn(5, 2, 3))[0].requires_grad


def test_one_thread_where_pytorch_has_one(monkeypatch):
    used = []
    module = ft.GRU(3, 4)
    layer, _ = module._bound()
    run = layer.run
    layer.run = lambda *a, **k: used.append(fastrnn.get_num_threads()) or run(*a, **k)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        module(torch.randn(5, 2, 3))
        with fastrnn.num_threads(2):
            module(torch.randn(5, 2, 3))
    finally:
        torch.set_num_threads(before)
    assert used == [1, 2]


# ---- compiled, autocast, refused ----


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.rnn = torch.nn.Linear(3, 3), ft.GRU(3, 4)
        self.after = torch.nn.Linear(4, 2)

    def forward(self, x):
        x = torch.tanh(self.before(x))
        y, _ = self.rnn(x)
        return torch.relu(self.after(y))


@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_torch_compile_breaks_off_and_goes_on():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(5, 2, 3)
    graphs = []

    def backend(graph, _):
        graphs.append([n.target for n in graph.graph.nodes if n.op == "call_function"])
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    for _ in range(2):
        assert_close([compiled(x)], [net(x)])
    expected = torch.autograd.grad(net(x).sum(), [*net.parameters()])
    assert_close(torch.autograd.grad(compiled(x).sum(), [*net.parameters()]), expected)
    assert any(torch.tanh in graph for graph in graphs)
    assert any(torch.relu in graph for graph in graphs)
    torch._dynamo.reset()


def test_autocast_computes_in_the_parameters_dtype():
    net, x = Net(), torch.randn(5, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = net.rnn(net.before(x), torch.zeros(1, 2, 4, dtype=torch.bfloat16))
        out = net(x)
    assert y.dtype is torch.float32
    out.sum().backward()
    assert all(p.grad.dtype is torch.float32 for p in net.parameters())


def x_like(**options):
    return torch.randn(5, 2, 3).to(**options)


def second_derivative(module):
    x = torch.randn(5, 2, 3, requires_grad=True)
    (dx,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    dx.pow(2).sum().backward()


def vmapped(module):
    with torch.no_grad():
        torch.vmap(lambda x: module(x)[0])(torch.randn(4, 5, 2, 3))


def jvp(module):
    with torch.autograd.forward_ad.dual_level():
        module(torch.autograd.forward_ad.make_dual(torch.randn(5, 2, 3), torch.randn(5, 2, 3)))


def func_jvp(module):
    torch.func.jvp(lambda x: module(x)[0], (torch.randn(5, 2, 3),), (torch.randn(5, 2, 3),))


def func_grad(module):
    torch.func.grad(lambda x: module(x)[0].sum())(torch.randn(5, 2, 3))


def exported(module):
    torch.export.export(module, (torch.randn(5, 2, 3),))


FUNC = r"transforms of torch.func \(vmap, .*use torch.nn.LSTM there"
REFUSED = {
    "bfloat16 x": (lambda m: m(x_like(dtype=torch.bfloat16)), TypeError, r"input is torch.bfloat16; .*32\)"),
    "float64 x": (lambda m: m(x_like(dtype=torch.float64)), TypeError, "expected torch.float32, as the par"),
    "integers": (lambda m: m(x_like(dtype=torch.int64)), TypeError, "input is torch.int64; expected"),
    "array": (lambda m: m(np.ones((5, 2, 3), "f4")), TypeError, "expected a tensor; torch.from_numpy makes"),
    "meta x": (lambda m: m(x_like(device="meta")), TypeError, "input is on the meta device, without values"),
    "sparse": (lambda m: m(x_like().to_sparse()), TypeError, r"sparse or quantised; give .to_dense\(\)"),
    "bfloat16": (lambda m: m.bfloat16()(x_like(dtype=torch.bfloat16)), TypeError, r"weight_ih_l0.*float\(\)"),
    "half": (lambda m: m.half()(x_like(dtype=torch.half)), TypeError, r"is torch.float16; .*\.float\(\)"),
    "meta": (lambda m: m.to("meta")(x_like(device="meta")), TypeError, "weight_ih_l0 is on the meta device"),
    "state": (lambda m: m(x_like(), x_like()), TypeError, r"hx is a Tensor; expected a tuple \(h, c\)"),
    "states": (lambda m: m(x_like(), (x_like(),) * 2), ValueError, r"h of state has shape \(5, 2, 3\)"),
    "features": (lambda m: m(torch.ones(5, 2, 7)), ValueError, "x has 7 features .*input_size=3"),
    "twice": (second_derivative, RuntimeError, "LSTM has no second derivatives; use torch.nn.LSTM"),
    "vmap": (vmapped, RuntimeError, FUNC),
    "func.grad": (func_grad, RuntimeError, FUNC),
    "func.jvp": (func_jvp, RuntimeError, FUNC),
    "jvp": (jvp, RuntimeError, "LSTM has no forward-mode derivative"),
    "trace": (lambda m: torch.jit.trace(m, x_like()), RuntimeError, "its result would be a constant"),
    "export": (exported, RuntimeError, "torch.export .*use torch.nn.LSTM there"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused_says_the_remedy(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call(ft.LSTM(3, 4))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="device is cuda; fastrnn computes on the CPU"):
        ft.LSTM(3, 4, device="cuda")
    with pytest.raises(TypeError, match=r"dtype is torch.bfloat16; expected torch.float32 or torch.float64"):
        ft.GRU(3, 4, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"no argument 'rng'; torch.manual_seed"):
        ft.RNN(3, 4, rng=1)
    with pytest.raises(TypeError, match=r"there is no argument 'peephole' \(did you mean 'peepholes'\?\)"):
        ft.LSTM(3, 4, peephole="ifo")
    with pytest.raises(TypeError, match="hx is a tuple of 1; expected one tensor"):
        ft.GRU(3, 4)(x_like(), (x_like(),))
    module = ft.LSTM(3, 4)
    module.bias_hh_l0.data = module.bias_hh_l0.data.double()
    with pytest.raises(
        TypeError, match=r"bias_hh_l0 is torch.float64, weight_ih_l0 torch.float32; expected one"
    ):
        module(x_like())


def test_second_derivatives_are_refused_only_where_they_are_needed():
    module, x = ft.LSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    (dx,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    assert torch.equal(dx, torch.autograd.grad(module(x)[0].sum(), x)[0])


# ---- accelerate ----


class Own(torch.nn.GRU):
    pass


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(20, 8)
        self.encoder = torch.nn.Sequential(torch.nn.LSTM(8, 8, batch_first=True, bidirectional=True))
        self.body = torch.nn.ModuleDict({"gru": torch.nn.GRU(16, 8, 2, dropout=0.0, batch_first=True)})
        self.again = self.body["gru"]
        self.out = torch.nn.Linear(8, 20)

    def forward(self, ids):
        y, _ = self.encoder(self.embed(ids))
        y, _ = self.body["gru"](y)
        return self.out(y)


def train(model, optimizer, steps):
    ids = torch.arange(60).reshape(4, 15) % 20
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.roll(-1, 1).flatten())
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_accelerate_keeps_parameters_and_optimisers():
    curves = []
    for fast in (False, True):
        torch.manual_seed(0)
        model = Model()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        curve = train(model, optimizer, 5)
        before = dict(model.named_parameters(remove_duplicate=False))
        names = list(model.state_dict())
        if fast:
            model.body["gru"].eval()
            report = ft.accelerate(model)
            assert report.model is model
            assert type(model.encoder[0]) is ft.LSTM
            assert type(model.again) is ft.GRU
            assert model.again is model.body["gru"]
            assert not model.again.training
            assert repr(report).splitlines() == [
                "Acceleration: 3 replaced, 0 left",
                "  encoder.0: LSTM(8, 8, batch_first=True, bidirectional=True)",
                "  body.gru: GRU(16, 8, num_layers=2, batch_first=True)",
                "  again: GRU(16, 8, num_layers=2, batch_first=True)",
            ]
        after = dict(model.named_parameters(remove_duplicate=False))
        assert list(after) == list(before)
        assert all(after[name] is before[name] for name in before)
        assert list(model.state_dict()) == names
        curves.append(curve + train(model, optimizer, 20))
    assert curves[0][-1] < curves[0][0] / 2
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-3)


def test_accelerate_a_layer_itself():
    layer = torch.nn.LSTM(3, 4)
    report = ft.accelerate(layer)
    assert type(report.model) is ft.LSTM
    assert report.model.weight_hh_l0 is layer.weight_hh_l0
    assert "(the model itself, in .model of this)" in repr(report)
    x = torch.randn(5, 2, 3)
    assert_close(flat(report.model(x)), flat(layer(x)))
    assert ft.accelerate(report.model).replaced == {}


@pytest.mark.filterwarnings("ignore")
def test_accelerate_says_what_it_left():
    quantised = torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(torch.nn.LSTM(3, 4)), dtype=torch.qint8
    )
    model = torch.nn.ModuleDict(
        {
            "own": Own(3, 4),
            "halved": torch.nn.LSTM(3, 4).bfloat16(),
            "meta": torch.nn.GRU(3, 4, device="meta"),
            "normed": torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(3, 4), "weight_hh_l0"),
            "quantised": quantised[0],
            "plain": torch.nn.RNN(3, 4, nonlinearity="relu"),
        }
    )
    before = dict(model.items())
    report = ft.accelerate(model)
    assert list(report.replaced) == ["plain"]
    assert model["plain"].nonlinearity == "relu"
    reasons = {
        "own": "is a subclass of GRU", "halved": "is bfloat16", "meta": "on the meta device",
        "normed": "computes 'weight_hh_l0'", "quantised": "is quantised",
    }  # fmt: skip
    assert report.left.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in report.left[name]
        assert model[name] is before[name]
    assert "\n  own: left as it is: " in repr(report)
    with pytest.raises(TypeError, match=r"model is a dict; expected a torch.nn.Module"):
        ft.accelerate({})


def test_accelerate_takes_hooks_and_attributes_along():
    model = torch.nn.Sequential(torch.nn.GRU(3, 4))
    seen = []
    handle = model[0].register_forward_hook(lambda module, args, result: seen.append(type(module)))
    model[0].note = "mine"
    model[0].weight_ih_l0.requires_grad_(False)
    state = torch.get_rng_state()
    ft.accelerate(model)
    assert torch.equal(torch.get_rng_state(), state)
    model(torch.randn(5, 2, 3))
    assert seen == [ft.GRU]
    handle.remove()
    model(torch.randn(5, 2, 3))
    assert len(seen) == 1
    assert model[0].note == "mine"
    assert not model[0].weight_ih_l0.requires_grad


def test_second_derivatives_by_any_way_are_refused():
    """Also where the way leads past the gradients' own node: they would be 0, or none."""
    module = ft.LSTM(3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)

    def squares(x):
        return module(x)[0].pow(2).sum()

    (dx,) = torch.autograd.grad(squares(x), x, create_graph=True)
    for second in (
        lambda: torch.autograd.functional.hessian(squares, x.detach()),
        lambda: torch.autograd.functional.hvp(squares, x.detach(), torch.ones_like(x)),
        lambda: torch.autograd.grad(dx.sum(), x, allow_unused=True, retain_graph=True),
        lambda: torch.autograd.grad(dx.pow(2).sum(), [*module.parameters()], allow_unused=True),
    ):
        with pytest.raises(RuntimeError, match="no second derivatives"):
            second()


def test_accelerate_tells_of_cells_and_of_what_is_ours():
    model = torch.nn.ModuleDict({"cell": torch.nn.GRUCell(3, 4), "rnn": torch.nn.GRU(3, 4)})
    report = ft.accelerate(model)
    assert report.left.keys() == {"cell"}
    assert "a cell alone gains nothing" in repr(report)
    assert "1 of fastrnn already" in repr(ft.accelerate(model))
    assert "in .model of this" in repr(ft.accelerate(torch.nn.LSTM(3, 4)))


class Elsewhere(torch.autograd.graph.saved_tensors_hooks):
    """What is saved is kept as copies."""

    def __init__(self):
        super().__init__(lambda tensor: tensor.clone().detach(), lambda tensor: tensor)


@pytest.mark.parametrize("context", [Elsewhere, torch.autograd.graph.allow_mutation_on_saved_tensors])
@pytest.mark.parametrize("changed", ["weights", "input"])
def test_backward_takes_what_pytorch_has_kept(context, changed):
    ours = ft.GRU(3, 4).double()
    theirs = torch.nn.GRU(3, 4).double()
    theirs.load_state_dict(ours.state_dict())
    grads = []
    for module in (ours, theirs):
        x = torch.ones(5, 2, 3, dtype=torch.float64)
        with context():
            y, _ = module(x)
            with torch.no_grad():
                for tensor in [x] if changed == "input" else module.parameters():
                    tensor.mul_(3)
            y.sum().backward()
        grads.append([p.grad for p in module.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_tensors_that_are_negatives_of_their_memory_are_read():
    module = ft.GRU(3, 4)
    x = torch.randn(5, 2, 3, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    y, _ = module(x)
    torch.testing.assert_close(y, module(x.resolve_neg())[0])
    torch.complex(torch.zeros_like(y), y).conj().abs().sum().backward()
    assert module.weight_ih_l0.grad.isfinite().all()


def test_weights_of_another_shape_are_noticed():
    module = ft.GRU(3, 4)
    x = torch.ones(5, 2, 3)
    module(x)
    module.weight_ih_l0.data = module.weight_ih_l0.data[:9]
    with pytest.raises(ValueError, match="w_ih"):
        module(x)


def test_accelerate_keeps_parameters_of_the_user():
    layer = torch.nn.LSTM(3, 4)
    layer.register_parameter("alpha", torch.nn.Parameter(torch.ones(1)))
    assert ft.accelerate(layer).model.alpha is layer.alpha
