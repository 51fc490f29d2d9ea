"""The cells as data."""

import dataclasses

import numpy as np
import pytest

from fastrnn import cells

ALL = [cells.RNN(), cells.RNN("relu"), cells.LSTM(), cells.LSTM(2), cells.GRU(), cells.GRU("before")]


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cells.RNN("gelu"), r"RNN: activation is 'gelu'; expected one of 'tanh', 'relu'"),
        (lambda: cells.GRU("never"), r"GRU: reset is 'never'; expected one of 'after', 'before'"),
        (lambda: cells.LSTM(-1), r"LSTM: proj_size is -1; expected an integer of at least 0"),
        (lambda: cells.LSTM(1.5), r"LSTM: proj_size is 1.5"),
        (lambda: cells.LSTM(True), r"LSTM: proj_size is True"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
