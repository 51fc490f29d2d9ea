"""What hypothesis draws: any activation, any cell, cases of any cell."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st
from kit import ACTIVATIONS, make_case

from fastrnn import cells

# Those with kernels of their own, which many options would hide.
PLAIN = [cells.RNN(), cells.RNN("relu"), cells.LSTM(), cells.GRU(), cells.GRU("before")]


@st.composite
def activations(draw):
    """Any activation, with numbers of its own and more often than not with 0 or 1 among them."""
    given = draw(st.sampled_from(ACTIVATIONS))
    number = st.sampled_from([0.0, 1.0, -1.0]) | st.floats(-3, 3)
    numbers = [n for n in ("alpha", "beta") if getattr(given, n) is not None]
    return replace(given, **{n: draw(number) for n in numbers})


def options_of(cell, hidden):
    """What each option of a class of cells may be; `hidden` is the largest projection.

    An option that is new in fastrnn/cells/ belongs here: without it nothing is drawn at all.
    """
    gates = getattr(cell, "usual", ())
    limit, flag = st.floats(0.1, 3), st.booleans()
    chance = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
    values = {
        "activation": activations(),
        "activations": some(dict.fromkeys(gates, activations())),
        "clip": limit,
        "zoneout": chance | st.tuples(chance, chance) if cell is cells.LSTM else chance,
        "cell_clip": limit,
        "proj_size": st.integers(0, hidden),
        "reset": st.sampled_from(["after", "before"]),
        "peepholes": st.sets(st.sampled_from("ifo")).map("".join),
        "coupled": flag,
        "input_gate": flag,
        "forget_gate": flag,
        "output_gate": flag,
        "full_gate_recurrence": flag,
        "layer_norm": flag,
        "layer_norm_eps": st.sampled_from([1e-5, 1e-3, 0.5]),
    }
    return {option.name: values[option.name] for option in fields(cell)}


@st.composite
def some(draw, strategies):
    """Values for some of the names: none, a few, or all at once."""
    names = sorted(strategies)
    given = draw(st.just(names) | st.sets(st.sampled_from(names))) if names else ()
    return {name: draw(strategies[name]) for name in sorted(given)}


@st.composite
def any_cell(draw, hidden):
    """Any cell with any of its options, but for what its constructor refuses."""
    cell = draw(st.sampled_from([*cells.kinds().values(), *[cells.LSTM] * 3, cells.GRU, *PLAIN]))
    if cell in PLAIN:
        return cell
    options = draw(some(options_of(cell, hidden)))
    if options.get("coupled"):
        options |= {"input_gate": True, "forget_gate": True}
    if not any(options.get(f"{gate}_gate", True) for gate in ("input", "forget", "output")):
        options.pop("full_gate_recurrence", None)
    if options.get("reset") == "before":
        options.pop("layer_norm", None)
    if not options.get("layer_norm"):
        options.pop("layer_norm_eps", None)
    return cell(**options)


@st.composite
def cases(draw):
    """The arguments of both passes of any cell, of any shape."""
    edge = st.sampled_from([1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33])
    hidden = draw(edge | st.integers(1, 40))
    inputs = draw(edge | st.integers(1, 40) | st.sampled_from([127, 128, 129, 130, 257]))
    steps = draw(st.integers(0, 5) | st.sampled_from([1, 2, 9]))
    batch = draw(st.integers(0, 8) | st.sampled_from([1, 1, 13, 15, 29]))
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    return make_case(
        draw(any_cell(hidden)), steps, batch, inputs, hidden,
        draw(st.sampled_from([np.float32, np.float64])),
        seed=draw(st.integers(0, 2**32 - 1)),
        lengths=None if lengths is None else np.array(lengths, np.int64),
        reverse=draw(st.booleans()),
        bias=draw(st.booleans()),
        scale=draw(st.sampled_from([1e-20, 0.1, 1.0, 1.0, 10.0])),
        states=draw(st.booleans()),
        dy=draw(st.booleans()),
        special=draw(st.sampled_from([False, False, True])),
        counting=draw(st.sampled_from([None, None, None, 0.0, 0.3, 0.7, 1.0])),
        recurrent=draw(st.booleans()),
        zoneout=draw(st.booleans()),
    )  # fmt: skip
