"""Drawing what `fastrnn.inspect` finds, training curves and attention, with matplotlib.

Every function draws into ``ax``, or makes a figure of its own, and returns the Axes: go on with its methods,
and save with ``ax.figure.savefig(path)``; of several, as `history` returns, with that of any of them,
``axes[0].figure.savefig(path)``. Colours are safe for the colour-blind, and lines differ in style
too. ``pip install "fastrnn[plot]"`` brings matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _checks
from ._extra import optional
from .inspect import GradientNorms, Saturation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activations", "attention", "gradient_norms", "history", "influence", "saturation"]

#: Of Okabe and Ito ("Color universal design", 2008), without the yellow that is pale on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")

#: How characters are shown that have no ink.
_INVISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})

#: Inches a token takes beside the next one, and the most that a figure is wide or high.
_TOKEN, _LARGEST = 0.16, 20.0

#: Rows of a batch that are drawn as lines of their own, at most.
_LINES = 50


# -- curves -----------------------------------------------------------------------------------------


def gradient_norms(
    norms: GradientNorms | Mapping[str, GradientNorms], ax: Axes | None = None, *, state: str | None = None
) -> Axes:
    """Draw the norms of gradients over the steps back in time, on a logarithmic axis.

    Parameters
    ----------
    norms : GradientNorms, or mapping of names to them
        From `fastrnn.inspect.gradient_norms`. There is a line for each layer and direction of each; gradients
        that are 0 are left out.
    ax : matplotlib.axes.Axes, optional
    state : str, optional
        "h", "c", as the cells have them; None: all states together.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        norms is something else, or empty; there is no such state.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn import inspect, plot
    >>> x = np.random.default_rng(0).standard_normal((100, 16, 8))
    >>> layers = {"RNN": fastrnn.RNN(8, 32, rng=0), "LSTM": fastrnn.LSTM(8, 32, rng=0)}
    >>> norms = {name: inspect.gradient_norms(layer, x) for name, layer in layers.items()}
    >>> plot.gradient_norms(norms).get_yscale()
    'log'
    """
    named = _named("gradient_norms", "norms", norms, GradientNorms, "fastrnn.inspect.gradient_norms")
    curves = {
        name: {which: each.curve(*which, state) for which in each.passes} for name, each in named.items()
    }
    ax = _axes(ax)
    for i, (name, passes) in enumerate(curves.items()):
        one = len(passes) == 1
        for j, ((k, reverse), curve) in enumerate(passes.items()):
            label = _label(name, "" if one else f"layer {k}{', reverse' * reverse}")
            look = _look(i if len(named) > 1 else j, i if one else j)
            ax.plot(np.where(np.isfinite(curve), _positive(curve), np.nan), label=label, **look)
    _log_axis(ax)
    ax.margins(x=0.01)
    of = "state" if state is None else state
    return _finish(ax, f"Gradient of the {of}, back in time", "steps back in time", "norm of the gradient")


def influence(
    values: np.ndarray, tokens: Iterable[str] | None = None, ax: Axes | None = None, *, log: bool = False
) -> Axes:
    """Draw how much the input at every step matters to the final state.

    Parameters
    ----------
    values : array, (T,) or (T, B)
        From `fastrnn.inspect.input_influence`. A batch is drawn row by row, at most 50 of them, with the mean
        of all.
    tokens : str or iterable of str, optional
        What the steps were made of: T strings, for values (T,), which are bars then.
    ax : matplotlib.axes.Axes, optional
    log : bool
        A logarithmic axis: a straight line is exponential forgetting. Zeros are left out.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        values of another shape, or below 0; not as many tokens as steps.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn import inspect, plot
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> values = inspect.input_influence(fastrnn.GRU(8, 32, rng=0), x)
    >>> plot.influence(values, log=True).get_xlabel()
    'step of the input'
    """
    values = np.asarray(values)
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(f"influence: values has shape {values.shape}; expected (T,) or (T, B), not empty")
    if (values < 0).any():
        raise ValueError(
            f"influence: values go down to {values.min():g}; expected norms, which are at least 0"
        )
    log = _checks.flag("influence", "log", log)
    shown = _positive(values) if log else values
    if tokens is not None:
        if values.ndim == 2:
            raise ValueError(
                f"influence: tokens go with one sequence, and values has shape {values.shape}; give one row, "
                "values[:, b]"
            )
        labels = _labels("influence", "tokens", tokens, len(values), "values")
        ax = _axes(ax, width=_room(len(values)), height=3.0)
        ax.bar(np.arange(len(values)), shown, color=_COLOURS[0], width=0.8)
        _tick(ax, "x", labels)
        ax.set_xlim(-0.6, len(values) - 0.4)
    else:
        ax = _axes(ax)
        if values.ndim == 2:
            ax.plot(shown[:, :_LINES], color="0.75", linewidth=0.7)
            ax.plot([], [], color="0.75", linewidth=0.7, label="rows")
            mean = values.mean(axis=1)
            shown = _positive(mean) if log else mean
        ax.plot(shown, color=_COLOURS[0], label="mean" if values.ndim == 2 else None)
        ax.set_xlim(0, max(len(values) - 1, 1))
        ax.set_xlabel("step of the input")
    if log:
        _log_axis(ax)
    else:
        ax.set_ylim(bottom=0)
    return _finish(ax, "Influence of the input on the final state", None, "norm of the gradient")


def history(
    runs: Any,
    ax: Axes | Sequence[Axes] | None = None,
    *,
    what: str | Sequence[str] = ("loss", "norm", "lr"),
) -> Any:
    """Draw what happened in training, step by step: loss, norm of the gradients, learning rate.

    Parameters
    ----------
    runs : fastrnn.train.History or a fitted model, or mapping of names to them
        Of a model its ``history_``, which its file does not hold. The values of long runs are drawn pale,
        with their running mean; the loss of a validation set, where there is one, is dashed beside that of
        the training.
    ax : matplotlib.axes.Axes, or a sequence of them, optional
        One for each of `what`; one alone takes the loss if `what` is not given.
    what : "loss", "norm", "lr", "seconds", "validation_loss", "validation_score", or a sequence of them

    Returns
    -------
    matplotlib.axes.Axes, or an array of them
        One if `ax` is one or `what` is a string, else as many as `what` names.

    Raises
    ------
    TypeError, ValueError
        runs is something else, or no step was made; other names, or not as many Axes.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> from fastrnn import plot
    >>> from fastrnn.models import LanguageModel
    >>> model = LanguageModel(hidden_size=16, num_layers=1)
    >>> model = model.fit("the cat sat on the mat. " * 50, epochs=2, batch_size=4)
    >>> axes = plot.history(model)  # axes[0].figure.savefig("training.png")
    >>> [ax.get_ylabel() for ax in axes]
    ['loss', 'gradient norm', 'learning rate']
    """
    named = _histories(runs)
    single = isinstance(what, str) or hasattr(ax, "plot")
    names = (what,) if isinstance(what, str) else tuple(what)
    if hasattr(ax, "plot"):
        names = names[:1] if names == ("loss", "norm", "lr") else names
    for name in names:
        if name not in _QUANTITIES:
            there = ", ".join(map(repr, _QUANTITIES))
            raise ValueError(
                f"history: what has {name!r}{_checks.nearest(name, _QUANTITIES)}; expected {there}"
            )
        for run, each in named.items():
            if not len(getattr(each, name)):
                raise ValueError(
                    f"history: what has {name!r}{f', and {run!r}' * bool(run)} has none; give fit a "
                    "validation set"
                )
    panels = _panels(ax, names)
    for name, panel in zip(names, panels, strict=True):
        label, log = _QUANTITIES[name]
        for i, (run, each) in enumerate(named.items()):
            values = np.asarray(getattr(each, name), np.float64)
            steps = np.arange(1, each.steps + 1) if not name.startswith("validation") else each.epoch_ends
            look = _look(i, i)
            held = each.validation_loss if name == "loss" else []
            _draw_run(
                panel, np.asarray(steps)[: len(values)], values, look, run or ("training" * bool(held)), log
            )
            if held:
                ends = np.asarray(each.epoch_ends)[: len(held)]
                called = _label(f"{run}, validation" if run else "validation")
                panel.plot(ends, held, label=called, color=look["color"], linestyle="--", marker=".")
        if log:
            _log_axis(panel)
        panel.margins(x=0.01)
        _finish(panel, None, None, label, legend=panel is panels[0])
    panels[0].set_title("Training", loc="left")
    panels[-1].set_xlabel("step")
    return panels[0] if single else np.array(panels)


#: The quantities of a History: what they are called, and whether their axis is logarithmic.
_QUANTITIES: dict[str, tuple[str, bool]] = {
    "loss": ("loss", False),
    "norm": ("gradient norm", True),
    "lr": ("learning rate", False),
    "seconds": ("seconds", False),
    "validation_loss": ("validation loss", False),
    "validation_score": ("validation score", False),
}

#: Runs of at least so many steps get a running mean, whose window has this part of them.
_LONG, _PART = 40, 0.02


def _draw_run(
    ax: Axes, steps: np.ndarray, values: np.ndarray, look: dict[str, Any], label: str, log: bool
) -> None:
    """Draw one quantity of one run; of a long run that is not smooth, pale with its running mean."""
    if log:
        values = _positive(values)
    if len(values) >= _LONG and not _is_smooth(values):
        ax.plot(steps, values, color=look["color"], alpha=0.3, linewidth=0.8)
        mean = _running_mean(np.log(values) if log else values, max(len(values) * _PART, 2))
        values = np.exp(mean) if log else mean
    ax.plot(steps, values, label=_label(label), **look)


def _is_smooth(values: np.ndarray) -> bool:
    """Whether the curve changes its direction seldom, as a schedule does."""
    change = np.sign(np.diff(values))
    return bool(np.count_nonzero(change[1:] != change[:-1]) < 0.1 * len(values))


def _running_mean(values: np.ndarray, width: float) -> np.ndarray:
    """The mean of the values around each, weighted as a bell of this width; NaN do not count."""
    reach = min(round(3 * width), len(values) - 1)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    there = np.isfinite(values)
    inside = slice(reach, reach + len(values))
    total = np.convolve(np.where(there, values, 0), bell)[inside]
    weight = np.convolve(there, bell)[inside]
    return np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)


def _histories(runs: Any) -> dict[str, Any]:
    named = dict(runs) if isinstance(runs, Mapping) else {"": runs}
    named = {name: getattr(run, "history_", run) for name, run in named.items()}
    for name, run in named.items():
        if not all(hasattr(run, quantity) for quantity in _QUANTITIES):
            raise TypeError(
                f"history: runs is, or has, {_checks.kind(run)}; expected a fitted model, its history_, "
                "or a mapping of names to them"
            )
        if not run.loss:
            raise ValueError(
                f"history: no step was made{f' in {name!r}' * bool(name)}; there is nothing to draw "
                "(the file of a model does not hold its history)"
            )
    if not named:
        raise ValueError("history: runs is empty; there is nothing to draw")
    return named


def _panels(ax: Any, names: Sequence[str]) -> list[Any]:
    """The Axes that were given, or new ones under each other: the first the highest."""
    if ax is not None:
        panels = [ax] if hasattr(ax, "plot") else list(np.ravel(np.array(ax, dtype=object)))
        if len(panels) != len(names) or not names:
            raise ValueError(
                f"history: ax has {len(panels)} Axes; expected one for each of {', '.join(names)}"
            )
        return panels
    if not names:
        raise ValueError("history: what is empty; expected some of 'loss', 'norm', 'lr', 'seconds'")
    _, axes = optional("matplotlib.pyplot", "plot").subplots(
        len(names), sharex=True, squeeze=False, layout="constrained",
        figsize=(6.4, 2.4 + 1.3 * len(names)), height_ratios=[2.2, *[1] * (len(names) - 1)],
    )  # fmt: skip
    return list(axes[:, 0])


def saturation(found: Saturation, ax: Axes | None = None, *, layer: int = 0, reverse: bool = False) -> Axes:
    """Draw how often each unit of each gate is nearly open over how often it is nearly shut.

    A point is a unit: at the top left those that are always open, at the bottom right those always shut, near
    the origin those that are neither.

    Parameters
    ----------
    found : Saturation
        From `fastrnn.inspect.saturation`.
    ax : matplotlib.axes.Axes, optional
    layer, reverse
        Layer and direction.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, IndexError
        found is something else; there is no such layer or direction.
    ImportError
        matplotlib is not installed.

    References
    ----------
    Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn import inspect, plot
    >>> x = np.random.default_rng(0).standard_normal((50, 16, 8))
    >>> found = inspect.activations(fastrnn.LSTM(8, 32, rng=0), x)
    >>> plot.saturation(inspect.saturation(found)).get_ylabel()
    'share of steps above 0.9'
    """
    if not isinstance(found, Saturation):
        raise TypeError(
            f"saturation: found is {_checks.kind(found)}; expected what fastrnn.inspect.saturation returned"
        )
    gates = found.layer(layer, reverse)
    ax = _axes(ax, width=4.4, height=4.4)
    for i, (name, shares) in enumerate(gates.items()):
        ax.scatter(
            shares.shut, shares.open, s=22, alpha=0.6, linewidths=0, label=name,
            color=_COLOURS[i % len(_COLOURS)], marker="osD^vP"[i % 6], clip_on=False,
        )  # fmt: skip
    ax.plot([0, 1], [1, 0], color="0.8", linewidth=0.8, zorder=0)  # the two shares are at most 1
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    title = f"Gates of layer {layer}{', reverse' * reverse}"
    return _finish(
        ax, title, f"share of steps below {found.low:g}", f"share of steps above {found.high:g}", legend=True
    )


# -- maps -------------------------------------------------------------------------------------------


def activations(
    values: np.ndarray,
    tokens: Iterable[str] | None = None,
    ax: Axes | None = None,
    *,
    kind: Literal["gate", "state"] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the values of units over the steps of one sequence as a map.

    Parameters
    ----------
    values : array, (T, H)
        One row of what `fastrnn.inspect.activations` returned, such as ``found.layer(0)["c"][:, b]``.
    tokens : str or iterable of str, optional
        What the steps were made of: T strings, shown below. A new figure is made wide enough for up to some
        hundred; where there is no room, some are left out.
    ax : matplotlib.axes.Axes, optional
    kind : {"gate", "state"}, optional
        How colours are given: of a gate from 0, dark, to 1, bright; of a state from blue, negative, over
        white to red, positive, the same to both sides of 0. None: a gate if all values lie in 0 to 1.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        values of another shape; another kind; not as many tokens as steps.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn import inspect, plot
    >>> text = "abcba"
    >>> x = np.eye(3)[[0, 1, 2, 1, 0]]
    >>> found = inspect.activations(fastrnn.LSTM(3, 8, rng=0), x, tokens=text)
    >>> ax = plot.activations(found.layer(0)["f"], text)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['a', 'b', 'c', 'b', 'a']
    """
    values = np.asarray(values)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"activations: values has shape {values.shape}; expected (T, H), one sequence that is not empty: "
            "of a batch values[:, b]"
        )
    if kind is None:
        kind = "gate" if values.min() >= 0 and values.max() <= 1 else "state"
    if kind not in ("gate", "state"):
        raise ValueError(f"activations: kind is {kind!r}; expected 'gate', 'state' or None")
    steps, units = values.shape
    labels = None if tokens is None else _labels("activations", "tokens", tokens, steps, "values")
    ax = _axes(ax, width=6.4 if labels is None else _room(steps), height=min(max(2.4, 0.06 * units + 1), 6))
    if kind == "gate":
        colours: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1}
    else:
        largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
        colours = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    _map(ax, values.T, colours, "0 shut, 1 open" if kind == "gate" else "value")
    if labels is None:
        ax.set_xlabel("step")
    else:
        _tick(ax, "x", labels)
    ax.locator_params(axis="y", integer=True)
    return _finish(
        ax, title or ("Gate over time" if kind == "gate" else "State over time"), None, "unit", legend=False
    )


def attention(
    weights: np.ndarray,
    source: Iterable[str] | None = None,
    target: Iterable[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each step of the target attended to in the source as a map.

    Parameters
    ----------
    weights : array, (steps of the target, steps of the source)
        Of one sequence, each from 0 to 1. Colours go from 0 to the largest.
    source, target : str or iterable of str, optional
        The tokens, shown above and at the left.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        weights of another shape, or outside 0 to 1; not as many tokens as steps.
    ImportError
        matplotlib is not installed.

    References
    ----------
    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import plot
    >>> ax = plot.attention(np.eye(3), "the cat sleeps".split(), "le chat dort".split())
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['le', 'chat', 'dort']
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or not weights.size:
        raise ValueError(
            f"attention: weights has shape {weights.shape}; expected (target, source), not empty: of a batch "
            "those of one row"
        )
    if not (weights.min() >= 0 and weights.max() <= 1 + 1e-6):
        raise ValueError(
            f"attention: weights go from {weights.min():g} to {weights.max():g}; expected 0 to 1: give them "
            "after the softmax"
        )
    rows, columns = weights.shape
    above = None if source is None else _labels("attention", "source", source, columns, "weights")
    beside = None if target is None else _labels("attention", "target", target, rows, "weights")
    ax = _axes(ax, width=max(3.6, 0.3 * columns + 2), height=max(2.8, 0.3 * rows + 1.2))
    colours = {"cmap": "viridis", "vmin": 0, "vmax": float(weights.max()) or 1}
    _map(ax, weights, colours, "weight", aspect="equal")
    ax.xaxis.set_label_position("top")
    ax.xaxis.tick_top()
    if above is not None:
        _tick(ax, "x", above)
    if beside is not None:
        _tick(ax, "y", beside)
    return _finish(ax, "Attention", "source", "target", legend=False)


def _map(
    ax: Axes,
    values: np.ndarray,
    colours: dict[str, Any],
    label: str,
    aspect: Literal["equal", "auto"] = "auto",
) -> None:
    """An image with its colour bar: rows downwards, a cell an element."""
    image = ax.imshow(values, aspect=aspect, interpolation="nearest", **colours)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, fraction=0.046, aspect=25)
    bar.set_label(label)
    bar.outline.set_visible(False)


# -- what they share --------------------------------------------------------------------------------


def _axes(ax: Axes | None, width: float = 6.4, height: float = 3.8) -> Any:
    """The Axes that were given, or those of a new figure of this size in inches."""
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise TypeError(f"ax is {_checks.kind(ax)}; expected matplotlib Axes, as plt.subplots() makes")
        return ax
    figsize = min(width, _LARGEST), min(height, _LARGEST)
    return optional("matplotlib.pyplot", "plot").subplots(figsize=figsize, layout="constrained")[1]


def _finish(ax: Axes, title: str | None, xlabel: str | None, ylabel: str, legend: bool = True) -> Any:
    """Titles and labels, and no more ink than needed."""
    if title is not None:
        ax.set_title(title, loc="left")
    if xlabel is not None:
        ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.images:
        ax.spines[:].set_visible(False)
    else:
        ax.grid(axis="y" if ax.patches else "both", color="0.92", linewidth=0.8)
        ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
    return ax


def _named(who: str, argument: str, value: Any, kind: type, source: str) -> dict[str, Any]:
    """One result, or several by their names, as a dict."""
    named = dict(value) if isinstance(value, Mapping) else {"": value}
    for each in named.values():
        if not isinstance(each, kind):
            raise TypeError(
                f"{who}: {argument} is, or has, {_checks.kind(each)}; expected what {source} returned, or "
                "a mapping of names to it"
            )
    if not named:
        raise ValueError(f"{who}: {argument} is empty; there is nothing to draw")
    return named


def _label(*parts: str) -> str | None:
    """The parts that are not empty; None if none is."""
    label = _literal(", ".join(filter(None, parts)))
    return (f" {label}" if label.startswith("_") else label) or None  # matplotlib hides those with _


def _literal(text: str) -> str:
    """Text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")


def _labels(who: str, argument: str, tokens: Iterable[str], count: int, of: str) -> list[str]:
    """Tokens as they are shown, one for each of `count` elements."""
    labels = [str(token) for token in tokens]
    if len(labels) != count:
        raise ValueError(f"{who}: {argument} has {len(labels)} tokens; {of} has {count} for them")
    return [label.translate(_INVISIBLE) if label.isspace() else _literal(label) for label in labels]


def _room(count: int) -> float:
    """The width of a new figure for so many tokens beside each other, in inches."""
    return max(6.4, _TOKEN * count + 1.5)


def _tick(ax: Axes, axis: Literal["x", "y"], labels: list[str]) -> None:
    """One tick a token, as large as there is room; where there is none, some are left out."""
    inches = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    room = 72 * (inches.width if axis == "x" else inches.height) / len(labels)  # points for each
    longest = max(map(len, labels))
    upright = axis == "x" and longest > 2
    width = 1.2 if upright or axis == "y" else 0.1 + 0.7 * longest  # of a label, beside the next, per point
    size, every = float(np.clip(room / width, 5, 10)), 1
    if size * width > room:
        size = 7.0
        every = int(np.ceil(1.6 * size * width / room))
    at = range(0, len(labels), every)
    {"x": ax.set_xticks, "y": ax.set_yticks}[axis](
        at, [labels[k] for k in at], fontsize=size, rotation=90 if upright else 0
    )
    ax.tick_params(axis=axis, length=0 if every == 1 else 2)


def _look(colour: int, style: int) -> dict[str, Any]:
    """Colour and style of a line, by numbers."""
    return {"color": _COLOURS[colour % len(_COLOURS)], "linestyle": _STYLES[style % len(_STYLES)]}


def _positive(values: np.ndarray) -> np.ndarray:
    """The values that a logarithmic axis has, NaN for the others."""
    return np.where(values > 0, values, np.nan)


def _log_axis(ax: Axes) -> None:
    """Make the vertical axis logarithmic, if it shows anything, with enough labels for few decades."""
    if not np.isfinite(ax.dataLim.minposy):
        return
    from matplotlib.ticker import LogLocator

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    decades = np.log10(high / low)
    if decades < 3:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.6 else (1, 3)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
