"""The cells as data."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from kit import ACTIVATIONS
from kit import CELLS as ALL

from fastrnn import cells, nn
from fastrnn.cells import Activation


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_sizes_are_read_off_the_shapes_of_the_parameters(cell):
    params = {n: np.zeros(s) for n, s in cell.parameter_shapes(3, 5).items()}
    assert tuple(params) == cell.parameters
    assert cell.sizes(params) == (3, 5)


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_the_first_state_is_the_output(cell):
    widths = cell.state_shapes(5)
    assert tuple(widths) == cell.states
    assert widths["h"] == cell.output_size(5)


def test_shapes_with_a_projection():
    cell = cells.LSTM(proj_size=2)
    assert cell.parameter_shapes(3, 5)["w_hh"] == (20, 2)
    assert cell.parameter_shapes(3, 5)["w_hr"] == (2, 5)
    assert cell.state_shapes(5) == {"h": 2, "c": 5}


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_cells_are_values(cell):
    assert cell == dataclasses.replace(cell)
    assert hash(cell) == hash(dataclasses.replace(cell))
    assert sum(cell == other for other in ALL) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.name = "other"


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_a_cell_is_what_was_chosen_of_its_kind(cell):
    assert cells.kinds()[type(cell).__name__](**cell.chosen) == cell


def test_kinds_are_the_cells_that_can_be_run():
    assert set(cells.kinds().values()) == {type(cell) for cell in ALL}
    assert all(cells.kinds()[name]() == kind() for name, kind in cells.kinds().items())
    assert all(not kind().chosen for kind in cells.kinds().values())


@pytest.mark.parametrize("kind", cells.kinds().values(), ids=cells.kinds())
def test_pickles_load_that_name_cells_by_the_package(kind):
    """Pickles of any version load, wherever in the package a class stands."""
    written = f"cfastrnn.cells\n{kind.__name__}\n.".encode()
    assert pickle.loads(written) is kind
    assert pickle.loads(pickle.dumps(kind(zoneout=0.1))) == kind(zoneout=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cells.RNN("gelu"),
            r"RNN: activation: no activation is called 'gelu'; expected one of 'sigm",
        ),
        (
            lambda: cells.RNN(3),
            r"RNN: activation is 3; expected a name, \(name, alpha\), .* or an Activation",
        ),
        (lambda: cells.RNN(()), r"RNN: activation is \(\); expected"),
        (lambda: cells.RNN(("elu", 1, 2, 3)), r"RNN: activation is \('elu', 1, 2, 3\); expected"),
        (lambda: cells.RNN({"name": "elu"}), r"RNN: activation is \{'name': 'elu'\}; expected"),
        (
            lambda: cells.RNN(("relu", 1)),
            r"alpha of relu is 1; relu takes neither alpha nor beta: leave it out",
        ),
        (lambda: cells.RNN(("elu", 1, 2)), r"beta of elu is 2; elu takes alpha, but no beta: leave it out"),
        (lambda: Activation("elu", "1"), r"alpha of elu is '1'; expected a finite number"),
        (lambda: Activation("elu", True), r"alpha of elu is True; expected a finite number"),
        (lambda: Activation("elu", np.nan), r"alpha of elu is nan; expected a finite number"),
        (lambda: Activation("affine", 1, -np.inf), r"beta of affine is -inf; expected a finite number"),
        (lambda: Activation("affine", 1e39), r"alpha of affine is 1e\+39; .* of float32's range"),
        (lambda: Activation(None), r"no activation is called None"),
        (lambda: cells.RNN(clip=0), r"RNN: clip is 0; expected a positive, finite number"),
        (lambda: cells.RNN(clip=-1.0), r"RNN: clip is -1.0; expected a positive"),
        (lambda: cells.RNN(clip=np.inf), r"RNN: clip is inf; expected a positive, finite number"),
        (lambda: cells.RNN(clip=np.nan), r"RNN: clip is nan; expected a positive, finite number"),
        (lambda: cells.RNN(clip="1"), r"RNN: clip is '1'; expected a positive, finite number"),
        (lambda: cells.GRU("never"), r"GRU: reset is 'never'; expected one of 'after', 'before'"),
        (lambda: cells.LSTM(-1), r"LSTM: proj_size is -1; expected an integer of at least 0"),
        (lambda: cells.LSTM(1.5), r"LSTM: proj_size is 1.5"),
        (lambda: cells.LSTM(True), r"LSTM: proj_size is True"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_are_values(activation):
    assert activation == dataclasses.replace(activation)
    assert hash(activation) == hash(dataclasses.replace(activation))
    assert eval(repr(activation)) == activation
    assert sum(activation == other for other in ACTIVATIONS) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        activation.alpha = 2.0


def test_activations_are_read_in_every_form():
    onnx = "Sigmoid Tanh Relu Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid Elu Softsign Softplus"
    for name, activation in zip(onnx.split(), ACTIVATIONS, strict=True):
        numbers = [v for v in (activation.alpha, activation.beta) if v is not None]
        for given in (name, name.upper(), activation.name):
            assert cells.RNN((given, *numbers)).activation == activation
            assert cells.RNN([given, *map(np.float64, numbers)]).activation == activation
            assert cells.RNN(given) == cells.RNN(Activation(given))
        assert cells.RNN(dataclasses.asdict(activation)) == cells.RNN(activation)


def test_activations_have_the_defaults_of_onnx():
    defaults = {a.name: (a.alpha, a.beta) for a in (Activation(a.name) for a in ACTIVATIONS)}
    assert defaults == {
        "sigmoid": (None, None),
        "tanh": (None, None),
        "relu": (None, None),
        "affine": (1, 0),
        "leaky_relu": (0.01, None),
        "thresholded_relu": (1, None),
        "scaled_tanh": (1, 1),
        "hard_sigmoid": (0.2, 0.5),
        "elu": (1, None),
        "softsign": (None, None),
        "softplus": (None, None),
    }
    assert repr(Activation("HARD_sigmoid", beta=-0.0)) == "Activation('hard_sigmoid', alpha=0.2, beta=0.0)"
    assert str(Activation("affine", beta=-0.0)) == str(Activation("affine", beta=0))


def test_tanh_and_relu_without_clip_have_kernels_of_their_own():
    names = {activation.name: cells.RNN(activation).name for activation in ACTIVATIONS}
    assert [name for name, kernels in names.items() if kernels == "rnn"] == ["tanh", "relu"]
    assert cells.RNN("tanh", clip=1).name == cells.RNN("relu", clip=1).name == "rnn_general"


def test_copies_of_a_cell_are_its_options():
    """What was found of them is found again."""
    cell = cells.LSTM(peepholes="ifo", zoneout=(0.1, 0.2))
    before = pickle.dumps(cell)
    nn.Recurrent(cell, 2, 3)(np.zeros((4, 2), np.float32))
    assert pickle.dumps(cell) == before
    for again in (pickle.loads(before), copy.copy(cell), copy.deepcopy(cell)):
        assert again == cell
        assert hash(again) == hash(cell)
        assert again.parameters == cell.parameters
