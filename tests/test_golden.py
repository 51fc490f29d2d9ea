"""The golden files: what PyTorch 2.13 computed, without PyTorch. ``tests/golden/generate.py`` wrote them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import functional

GOLDEN = Path(__file__).parent / "golden"
_spec = importlib.util.spec_from_file_location("golden_generate", GOLDEN / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}  # of the scale of each array


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scenario", generate.SCENARIOS)
@pytest.mark.parametrize("name", generate.CELLS)
def test_results_are_those_of_the_golden_files(name, scenario, dtype, backend):
    cell = generate.CELLS[name]
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        stored = {k.removeprefix(f"{scenario}/"): file[k] for k in file.files if k.startswith(f"{scenario}/")}

    def given(names):
        return tuple(stored[n].astype(dtype) for n in names)

    def one_or_all(states):
        return states if len(states) > 1 else states[0]

    def by_name(prefix, states):
        return dict(
            zip(
                (prefix + n for n in cell.states),
                states if isinstance(states, tuple) else (states,),
                strict=True,
            )
        )

    names = [n for n in cell.parameters if n in stored]
    params = dict(zip(names, given(names), strict=True))
    x, dy = given(["x", "dy"])
    with fastrnn.backend(backend):
        y, last, tape = functional.forward(
            cell,
            params,
            x,
            one_or_all(given([f"{n}_first" for n in cell.states])),
            lengths=stored.get("lengths"),
            reverse=bool(stored["reverse"]),
        )
        dx, dfirst, dparams = functional.backward(
            cell, params, tape, dy, one_or_all(given([f"d{n}_last" for n in cell.states]))
        )
    found = (
        {"y": y, "dx": dx}
        | by_name("", last)
        | by_name("d", dfirst)
        | {f"d{n}": d for n, d in dparams.items()}
    )
    for key, ours in found.items():
        assert ours.dtype == dtype
        scale = max(1, np.abs(stored[key]).max(initial=0))
        np.testing.assert_allclose(ours, stored[key], rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=key)
