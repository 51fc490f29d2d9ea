"""Plots: what is drawn where, and that it can be drawn; how it looks is for eyes."""

import itertools
import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

import fastrnn  # noqa: E402
from fastrnn import inspect, plot  # noqa: E402
from fastrnn.models import SequenceTagger  # noqa: E402
from fastrnn.train import History  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4, 3))


@pytest.fixture(autouse=True)
def _figures_are_drawn_and_closed():
    """Every figure of a test is laid out and drawn: a warning is an error."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def norms(**options):
    return inspect.gradient_norms(fastrnn.LSTM(3, 5, rng=0, **options), X)


def a_history(steps=100):
    lr = np.linspace(1, 0, steps)
    noise = RNG.standard_normal((2, steps))
    return History(list(lr + noise[0] / 9), list(np.exp(noise[1])), list(lr), list(1 - lr), tokens=steps)


DRAWN = {
    "gradient_norms": lambda ax=None: plot.gradient_norms(norms(), ax),
    "influence": lambda ax=None: plot.influence(inspect.input_influence(fastrnn.GRU(3, 5), X), ax=ax),
    "saturation": lambda ax=None: plot.saturation(
        inspect.saturation(inspect.activations(fastrnn.GRU(3, 5), X)), ax
    ),
    "activations": lambda ax=None: plot.activations(RNG.random((9, 4)), "sequences", ax),
    "attention": lambda ax=None: plot.attention(RNG.random((3, 2)), ["a", "b"], ["c", "d", "e"], ax),
    "history": lambda ax=None: plot.history(a_history(), ax, what="loss"),
}


@pytest.mark.parametrize("name", plot.__all__)
def test_every_plot_returns_the_axes_it_was_given_and_makes_its_own(name, tmp_path):
    _, given = plt.subplots()
    assert DRAWN[name](given) is given
    assert plt.get_fignums() == [1]
    made = DRAWN[name]()
    assert made.figure is not given.figure
    assert made.get_title(loc="left")
    assert made.get_ylabel()
    made.figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


@pytest.mark.parametrize("name", plot.__all__)
def test_without_matplotlib_the_error_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'matplotlib is needed .*; pip install "fastrnn\[plot\]"'):
        DRAWN[name]()


def drawn(ax):
    """What the lines of an Axes show, by label."""
    return {line.get_label(): line.get_ydata() for line in ax.lines}


def test_gradient_norms_are_a_line_for_each_layer_and_direction():
    found = norms(num_layers=2, bidirectional=True)
    ax = plot.gradient_norms(found)
    assert ax.get_yscale() == "log"
    assert list(drawn(ax)) == ["layer 0", "layer 0, reverse", "layer 1", "layer 1, reverse"]
    np.testing.assert_array_equal(drawn(ax)["layer 1, reverse"], found.curve(1, True))
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 4
    c = drawn(plot.gradient_norms(found, state="c"))["layer 1"]
    np.testing.assert_array_equal(
        c, np.where(found.curve(1, state="c") > 0, found.curve(1, state="c"), np.nan)
    )


def test_gradient_norms_of_several_have_their_names_and_leave_out_what_a_log_axis_has_not():
    rnn = fastrnn.RNN(3, 5, nonlinearity="affine", rng=0)
    rnn.params["weight_hh_l0"][...] = 0
    found = {"LSTM": norms(), "deep": norms(num_layers=2), "none": inspect.gradient_norms(rnn, X)}
    ax = plot.gradient_norms(found)
    assert list(drawn(ax)) == ["LSTM", "deep, layer 0", "deep, layer 1", "none"]
    assert np.isfinite(drawn(ax)["none"]).sum() == 1
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == list(drawn(ax))


def test_one_line_has_no_legend():
    assert plot.gradient_norms(norms()).get_legend() is None


@pytest.mark.parametrize("log", [False, True])
def test_influence_of_a_batch_shows_rows_and_their_mean(log):
    values = RNG.random((20, 60))
    values[3] = 0
    ax = plot.influence(values, log=log)
    assert len(ax.lines) == 50 + 2  # rows, their entry in the legend, the mean
    expected = values.mean(axis=1)
    expected[3] = np.nan if log else 0
    np.testing.assert_array_equal(drawn(ax)["mean"], expected)
    assert ax.get_yscale() == ("log" if log else "linear")


def test_influence_of_a_text_is_a_bar_for_each_token():
    ax = plot.influence(np.array([0.1, 0.0, 0.4]), "a \n")
    assert [bar.get_height() for bar in ax.patches] == [0.1, 0.0, 0.4]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "␣", "↵"]


def test_a_gate_goes_from_0_to_1_and_a_state_is_centred_at_0():
    gate = RNG.random((7, 3)) / 2
    (image,) = plot.activations(gate).images
    assert image.get_clim() == (0, 1)
    np.testing.assert_array_equal(image.get_array(), gate.T)
    (image,) = plot.activations(gate - 0.9).images
    low, high = image.get_clim()
    assert -low == high == pytest.approx(np.abs(gate - 0.9).max())
    assert image.cmap(0.5)[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)  # 0 is white
    (image,) = plot.activations(gate, kind="state").images
    assert image.get_clim() == (-gate.max(), gate.max())
    (image,) = plot.activations(np.zeros((2, 2)), kind="state").images
    assert image.get_clim() == (-1, 1)


@pytest.mark.parametrize("count", [1, 30, 100, 700])
@pytest.mark.parametrize("word", ["a", "ab", "word"])
def test_tokens_do_not_overlap(count, word):
    ax = plot.activations(RNG.random((count, 4)), [word] * count)
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    assert all(label.get_fontsize() >= 5 for label in ax.get_xticklabels())
    assert len(boxes) == count or count > 100 or word == "word"


def test_attention_has_the_source_above_and_the_target_beside():
    weights = RNG.random((3, 2))
    ax = plot.attention(weights, ["a", "b"], "xyz")
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert ax.get_xaxis().get_ticks_position() == "top"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    top, *_, bottom = [label.get_window_extent().y0 for label in ax.get_yticklabels()]
    assert top > bottom  # x is the first


def test_history_has_a_panel_for_each_quantity():
    run = a_history()
    axes = plot.history(run)
    assert [ax.get_ylabel() for ax in axes] == ["loss", "gradient norm", "learning rate"]
    assert [len(ax.lines) for ax in axes] == [2, 2, 1]  # a schedule needs no running mean
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), run.loss)
    np.testing.assert_array_equal(axes[2].lines[0].get_xdata(), np.arange(1, 101))
    mean = axes[0].lines[1].get_ydata()
    assert np.std(mean - run.lr) < 0.5 * np.std(np.subtract(run.loss, run.lr))
    assert axes[-1].get_xlabel() == "step"


def test_history_takes_axes_and_names_of_runs():
    _, two = plt.subplots(2)
    runs = {"one": a_history(), "two": a_history(10)}
    axes = plot.history(runs, two, what=("loss", "seconds"))
    assert list(axes) == list(two)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["one", "two"]
    _, alone = plt.subplots()
    assert plot.history(runs, alone) is alone
    assert plot.history(runs, what="lr").get_ylabel() == "learning rate"


@pytest.mark.parametrize("norm", [[0.0] * 50, [1.0] * 50, [1.0, 0.0] * 25, [3.0]])
def test_history_draws_any_norms(norm):
    ax = plot.history(History([1.0] * len(norm), norm, [0.1] * len(norm), [1.0] * len(norm)), what="norm")
    assert ax.get_yscale() == ("log" if any(norm) else "linear")


def refusals():
    many, run = RNG.random((5, 2)), a_history()
    yield TypeError, r"gradient_norms: norms is, or has, float", plot.gradient_norms, many
    yield ValueError, r"gradient_norms: norms is empty", plot.gradient_norms, {}
    yield TypeError, r"ax is a str; expected matplotlib Axes", plot.gradient_norms, norms(), "ax"
    yield ValueError, r"state is 'z'; expected 'h', 'c'", lambda: plot.gradient_norms(norms(), state="z")
    yield ValueError, r"influence: values has shape \(5, 2, 1\)", plot.influence, many[..., None]
    yield (
        ValueError,
        r"tokens go with one sequence, and values has shape \(5, 2\)",
        plot.influence,
        many,
        "abcde",
    )
    yield ValueError, r"values go down to -1; expected norms", plot.influence, np.array([1.0, -1.0])
    yield ValueError, r"tokens has 2 tokens; values has 5", plot.influence, many[:, 0], "ab"
    yield ValueError, r"activations: values has shape \(5,\); expected \(T, H\)", plot.activations, many[:, 0]
    yield ValueError, r"tokens has 3 tokens; values has 5", plot.activations, many, "abc"
    yield ValueError, r"kind is 'c'; expected 'gate', 'state'", lambda: plot.activations(many, kind="c")
    yield ValueError, r"attention: weights go from -1 to", plot.attention, many - 1 - many.min()
    yield ValueError, r"attention: weights has shape \(0, 2\)", plot.attention, many[:0]
    yield ValueError, r"source has 5 tokens; weights has 2", plot.attention, many, "abcde"
    yield TypeError, r"saturation: found is float", plot.saturation, many
    yield TypeError, r"history: runs is, or has, a list", plot.history, [1.0]
    yield ValueError, r"history: no step was made in 'a'", plot.history, {"a": History()}
    yield (
        TypeError,
        r"runs is, or has, a SequenceTagger; expected a fitted model",
        plot.history,
        SequenceTagger(),
    )
    yield ValueError, r"history: runs is empty", plot.history, {}
    yield ValueError, r"what has 'los' \(did you mean 'loss'\?\)", lambda: plot.history(run, what="los")
    yield ValueError, r"history: what is empty", lambda: plot.history(run, what=())
    yield (
        ValueError,
        r"ax has 2 Axes; expected one for each of loss",
        plot.history,
        run,
        list(plt.subplots(2)[1]),
    )


def test_the_history_of_a_model_is_drawn(tmp_path):
    model = SequenceTagger(hidden_size=2).fit([["a", "b"]] * 4, [[0, 1]] * 4, epochs=3)
    (line,) = plot.history({"ours": model}, what="loss").lines
    assert line.get_ydata().tolist() == model.history_.loss
    axes = plot.history(model)
    axes[0].figure.savefig(tmp_path / "training.png")
    model.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"no step was made; .* of a model does not hold its history"):
        plot.history(SequenceTagger.load(tmp_path / "m.npz"))


REFUSALS = list(refusals())
plt.close("all")


@pytest.mark.parametrize(("error", "message", "call", "arguments"), [(*r[:3], r[3:]) for r in REFUSALS])
def test_what_is_wrong_is_named_and_no_figure_made(error, message, call, arguments):
    with pytest.raises(error, match=message):
        call(*arguments)
    assert not plt.get_fignums()


@pytest.mark.parametrize("token", ["$a_$", "$", "$$", "a$b$c"])
def test_tokens_are_no_formulas(token):
    ax = plot.influence(np.ones(2), [token, "b"])
    ax.figure.canvas.draw()
    assert ax.get_xticklabels()[0].get_text().replace("\\$", "$") == token
    ax = plot.history({token: a_history(), "b": a_history()}, what="loss")
    ax.figure.canvas.draw()


def test_names_that_begin_with_an_underscore_are_in_the_legend():
    ax = plot.history({"_one": a_history(), "two": a_history()}, what="loss")
    assert [t.get_text().strip() for t in ax.get_legend().get_texts()] == ["_one", "two"]


def test_nothing_positive_has_no_logarithmic_axis():
    for axes in (plot.influence(np.zeros(5), log=True), plot.influence(np.zeros(2), ["a", "b"], log=True)):
        axes.figure.canvas.draw()
        assert axes.get_yscale() == "linear"
    run = History([1.0], [0.0], [0.1], [1.0])
    assert plot.history(run, what="norm").get_yscale() == "linear"


def test_history_draws_the_validation_after_each_epoch():
    run = a_history(6)
    run.validation, run.steps_per_epoch = [(3.0, 0.1), (2.0, 0.2)], 2  # the third was interrupted
    axes = plot.history(run, what=("loss", "validation_loss", "validation_score"))
    beside = axes[0].lines[-1]
    assert [list(data) for data in beside.get_data()] == [[2, 4], [3.0, 2.0]]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["training", "validation"]
    assert axes[0].get_ylabel() == "loss"
    for ax, values in zip(axes[1:], ([3.0, 2.0], [0.1, 0.2]), strict=True):
        x, y = ax.lines[0].get_data()
        assert (list(x), list(y)) == ([2, 4], values)
    with pytest.raises(ValueError, match="'validation_loss', and 'one' has none; give fit a validation set"):
        plot.history({"one": a_history()}, what="validation_loss")
