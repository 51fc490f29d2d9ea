"""Translation: what it learns, gradients, beam search, bits, files and errors."""

import itertools
import os
import tempfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import CELLS, ISAS

import fastrnn
from fastrnn import cells, io
from fastrnn.losses import cross_entropy
from fastrnn.models import Seq2Seq, edit_distance
from fastrnn.models._beam import Found, Marks, _Beams, search
from fastrnn.models._translator import TranslationNetwork
from fastrnn.models.seq2seq import _shifted

SMALL = {"hidden_size": 32, "embedding_size": 16, "inputs": "characters", "outputs": "characters"}
MARKS = Marks(unknown=0, start=1, end=2)


def reversed_words(n, seed=0, longest=6):
    rng = np.random.default_rng(seed)
    X = ["".join(rng.choice(list("abcdeố"), rng.integers(1, longest + 1))) for _ in range(n)]
    return X, [x[::-1] for x in X]


def fitted(attention):
    X, y = reversed_words(400)
    return Seq2Seq(**SMALL, attention=attention).fit(X, y, epochs=12, lr=0.015, validation=0.1)


@pytest.fixture(scope="module")
def models():
    return {attention: fitted(attention) for attention in ("dot", "additive", None)}


@pytest.fixture(params=["dot", "additive", None])
def model(request, models):
    return models[request.param]


def saved(model):
    path = os.path.join(tempfile.mkdtemp(), "m.npz")
    model.save(path)
    return path


def bits(model):
    return {name: value.tobytes() for name, value in model.network_.params.items()}


# ---- learning ----


@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_words_are_turned_round(models, attention):
    model = models[attention]
    X, y = reversed_words(100, seed=1)
    assert model.score(X, y) > 0.7
    assert model.error_rate(X, y) < 0.15
    assert model.history_.validation_score[-1] > 0.75
    _, (weights,) = model.translate(["abcde"], return_attention=True)
    assert np.polyfit(range(len(weights)), weights.argmax(1), 1)[0] < -0.5  # from the end to the beginning


def test_attention_is_of_use(models):
    X, y = reversed_words(100, seed=1)
    assert models[None].error_rate(X, y) > 2 * models["dot"].error_rate(X, y)


def test_score_and_error_rate_are_those_of_the_definition(model):
    X, y = reversed_words(40, seed=2)
    y[0] = "☃" + y[0]  # a token that cannot be put out counts as an error
    found = model.translate(X)
    assert model.score(X, y) == np.mean([a == b for a, b in zip(found, y, strict=True)])
    edits = sum(map(edit_distance, found, y))
    assert model.error_rate(X, y) == pytest.approx(edits / sum(map(len, y)))


def test_validation_loss_is_the_mean_over_tokens(model):
    X, y = reversed_words(30, seed=3)
    sequences, targets = model._reader.read("", X), model._read_targets("", y, [])
    total = count = 0
    for x, target in zip(sequences, targets, strict=True):
        ids, wanted, _ = _shifted([target])
        logits = model.network_(x[:, None], np.array([len(x)]), ids)
        total += cross_entropy(logits, wanted, reduction="sum")[0]
        count += wanted.size
    loss, score = model._validate(model.network_, sequences, targets)
    assert loss == pytest.approx(total / count, rel=1e-6)
    assert score == model.score(X, y)


def test_validation_looks_at_some_logits_at_once(model, monkeypatch):
    X, y = reversed_words(60, seed=3, longest=20)
    data = model._reader.read("", X), model._read_targets("", y, [])
    whole = model._validate(model.network_, *data)
    for logits, rows in ((1, 256), (100, 7), (1 << 22, 1)):
        monkeypatch.setattr("fastrnn.models.seq2seq._LOGITS", logits)
        monkeypatch.setattr("fastrnn.models.seq2seq._AT_ONCE", rows)
        assert model._validate(model.network_, *data) == whole


def test_validation_takes_little_memory():
    """The vocabulary is large: all logits are 37 MB."""
    X = [" ".join(f"{k}-{i}" for i in range(12)) for k in range(64)]
    model = Seq2Seq(hidden_size=4, embedding_size=4, min_count=1)
    model.fit(X, X, epochs=1, batch_size=8)
    data = model._reader.read("", X), model._read_targets("", X, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastrnn.models.seq2seq._LOGITS", 1 << 16)
        patch.setattr(model, "_search", lambda *_: [Found([], 0.0, None)] * 64)
        tracemalloc.start()
        model._validate(model.network_, *data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4e6


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [("words", "auto"), ("tokens", "tokens"), ("ids", "words"), ("vectors", "tokens"), ("auto", "auto")],
)
def test_any_input_and_output(inputs, outputs):
    rng = np.random.default_rng(0)
    X = {
        "words": ["bật đèn", "tắt đèn", "Đèn"],
        "tokens": [["a b"], ["c", "a b"], ["c"]],
        "ids": [[1, 2], [3], [0, 0]],
        "vectors": [rng.standard_normal((n, 2)) for n in (3, 1, 5)],
    }[inputs.replace("auto", "words")]
    y = [["LIGHT on", "b"], ["b"], ["b", "b"]] if outputs == "tokens" else ["light On", "on light", "on"]
    options = {"hidden_size": 16, "min_count": 1, "inputs": inputs, "outputs": outputs}
    model = Seq2Seq(**options).fit(X * 4, y * 4, epochs=50, batch_size=4, lr=0.02)
    assert model.translate(X) == y
    for beam in (2, 3, 8):  # nor do they stop when what is complete first is bad
        assert model.score(X, y, beam_size=beam) == 1


def test_scheduled_sampling_trains_and_draws_by_the_seed():
    X, y = reversed_words(60)

    def train(part):
        model = Seq2Seq(**SMALL, teacher_forcing=part).fit(X, y, epochs=2)
        return bits(model), model.history_.loss

    assert train(0.5) == train(0.5)
    assert train(0.5)[1][0] != train(1.0)[1][0]
    assert train(0.5)[1][-1] < train(0.5)[1][0]


class Watched:
    """A network that keeps what the decoder read in training."""

    def __init__(self, network):
        self.network, self.rng, self.read = network, np.random.default_rng(0), []

    def __call__(self, *arguments):
        return self.network(*arguments)

    def forward(self, x, lengths, ids, inside):
        self.read.append(ids.copy())
        return self.network.forward(x, lengths, ids, inside)

    def backward(self, *arguments):
        return self.network.backward(*arguments)


@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
def test_the_decoder_reads_right_tokens_or_its_own(models, part, monkeypatch):
    """Its own are those that it would put out at that place, after the right ones."""
    model = models["dot"]
    monkeypatch.setattr(model, "teacher_forcing", part)
    bias = model.network_.out.params["bias"].copy()
    bias[list(MARKS)] = 100  # were it let, it would say nothing else
    network = Seq2Seq.load(saved(model)).network_.thaw()
    network.out.params["bias"][...] = bias
    X, y = reversed_words(20, seed=8)
    sequences, targets = model._reader.read("", X), model._read_targets("", y, [])
    watched = Watched(network)
    model._gradient(watched, sequences, targets)
    (read,) = watched.read
    right, _, inside = _shifted(targets)
    assert (read[0] == MARKS.start).all()
    own = np.random.default_rng(0).random(right[1:].shape) >= part
    for row, x in enumerate(sequences):
        for step in range(1, int(inside[:, row].sum())):
            logits = network(x[:, None], np.array([len(x)]), right[:step, [row]])[-1, 0]
            expected = 3 + logits[3:].argmax() if own[step - 1, row] else right[step, row]
            assert read[step, row] == expected


# ---- gradients ----


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_gradients_are_those_of_differences(cell):
    """Along a random direction of each parameter."""
    turn = CELLS.index(cell)
    attention = ("dot", "additive", None)[turn % 3]
    network = TranslationNetwork(
        5, 6, cell, embedding_size=3, embedded=turn % 2 == 0, hidden_size=4, num_layers=1 + turn % 2,
        bidirectional=turn % 4 < 3, dropout=0.0, attention=attention, rng=0, dtype=np.float64,
    )  # fmt: skip
    rng = np.random.default_rng(turn)
    lengths = np.array([6, 2, 4])
    x = rng.integers(0, 5, (6, 3)) if turn % 2 == 0 else rng.standard_normal((6, 3, 5))
    ids, _, inside = _shifted([rng.integers(3, 6, n) for n in (3, 0, 2)])
    logits, tape = network.forward(x, lengths, ids, inside)
    assert logits.tobytes() == network(x, lengths, ids)[inside].tobytes()
    weight = rng.standard_normal(logits.shape)
    grads = network.backward(tape, weight)
    assert list(grads) == list(network.params)
    for name, value in network.params.items():
        direction = rng.standard_normal(value.shape)
        ends, before = [], value.copy()
        for sign in (1, -1):
            value[...] = before + sign * 1e-6 * direction
            ends.append(float((network(x, lengths, ids)[inside] * weight).sum()))
        value[...] = before
        expected = float((grads[name] * direction).sum())
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-5, abs=1e-7), name


# ---- beam search ----


def probabilities(network, x, ids):
    """The log-probability of each token of `ids` after those before it, and of the end."""
    read, wanted, _ = _shifted([np.array(ids, np.int64)])
    logits = network(x[:, None], np.array([len(x)]), read)[:, 0].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.take_along_axis(logits, wanted, 1)[:, 0]


@pytest.fixture
def small():
    """Weights large enough for sure choices."""
    network = TranslationNetwork(
        5, 5, cells.GRU(), embedding_size=3, embedded=True, hidden_size=4, num_layers=1, bidirectional=True,
        dropout=0.0, attention="dot", rng=5,
    )  # fmt: skip
    for value in network.params.values():
        value *= 3
    return network


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best_of_all(small, penalty):
    """Of all translations of two tokens, up to four of them."""
    rng = np.random.default_rng(0)
    lengths = np.array([4, 1, 6, 3, 2])
    x = rng.integers(0, 5, (6, 5))
    found = search(
        small, x, lengths, MARKS, beam_size=64, length_penalty=penalty, max_length=4, weights=False
    )
    for row, each in enumerate(found):
        scores = {}
        for n in range(5):
            for ids in itertools.product((3, 4), repeat=n):
                p = probabilities(small, x[: lengths[row], row], ids)
                scores[ids] = p.sum() / (n + 1) ** penalty
        best = max(scores, key=scores.get)
        assert tuple(each.ids) == best
        assert each.score == pytest.approx(scores[best], rel=1e-5)


def test_of_the_candidates_the_first_k_may_end():
    """Of four candidates the third ends, the first of those that do: a beam of two does not take it."""
    beams = _Beams(1, 2)
    scores = np.log(np.array([[0.4], [0.3], [0.2], [0.1]]))
    beams.complete(0, scores, np.zeros((4, 1), int), np.array([[False], [False], [True], [True]]))
    assert beams.count.tolist() == [0]
    assert np.isneginf(beams.score).all()
    beams.complete(1, scores, np.arange(4)[:, None], np.array([[False], [True], [True], [False]]))
    assert beams.count.tolist() == [1]
    assert beams.score.tolist() == [np.log(0.3)]
    assert beams.end.tolist() == [[1, 1]]


def test_a_beam_of_one_takes_the_likeliest_token(model):
    X, _ = reversed_words(30, seed=4)
    for text, found in zip(X, model.translate(X, max_length=9), strict=True):
        (x,), ids = model._reader.read("", [text]), []
        while len(ids) < 9:
            read, _, _ = _shifted([np.array(ids, np.int64)])
            logits = model.network_(x[:, None], np.array([len(x)]), read)[-1, 0]
            logits[:2] = -np.inf
            ids.append(int(logits.argmax()))
            if ids[-1] == MARKS.end:
                break
        assert found == "".join(model._target.vocab.decode(i for i in ids if i != MARKS.end))


def test_a_wider_beam_finds_nothing_worse(models):
    X, _ = reversed_words(80, seed=5, longest=9)
    model = models[None]  # unsure
    scores = []
    for beam in (1, 4):
        found = model._search(model.network_, model._reader.read("", X), beam, 0.0, 9)
        scores.append(np.array([each.score for each in found]))
    assert scores[1].sum() > scores[0].sum()


def test_ties_go_to_the_more_frequent_token():
    network = TranslationNetwork(
        3, 6, cells.GRU(), embedding_size=2, embedded=True, hidden_size=2, num_layers=1, bidirectional=False,
        dropout=0.0, attention=None, rng=0,
    )  # fmt: skip
    for value in network.params.values():
        value[...] = 0
    network.out.params["bias"][2] = -1  # the end
    for beam in (1, 2, 3):
        options = {"beam_size": beam, "length_penalty": 1.0, "max_length": 4, "weights": False}
        (found,) = search(network, np.zeros((2, 1), int), np.array([2]), MARKS, **options)
        assert found.ids == [3, 3, 3, 3]


def test_lengths_are_bounded(model):
    assert all(len(text) <= 3 for text in model.translate(["abcdea", "abc"], 3, max_length=3))
    assert max(map(len, model.translate(["abcdeabcdeabcde"] * 2))) <= 6


# ---- bits ----


@pytest.mark.parametrize("isa", [isa for isa in ("baseline", "avx2", "avx512", "neon") if isa in ISAS])
@pytest.mark.parametrize("beam", [1, 4])
def test_a_translation_knows_of_no_batch_threads_or_instructions(models, beam, isa):
    X, _ = reversed_words(30, seed=6, longest=12)
    for attention, model in models.items():
        sequences = model._reader.read("", X)
        options = {"beam_size": beam, "max_length": 14, "weights": attention is not None}
        together = model._search(model.network_, sequences, **options)
        for threads, k in [(1, 0), (1, 7), (2, 0), (2, 11), (2, 20)]:
            with fastrnn.num_threads(threads), fastrnn.isa(isa):
                (alone,) = model._search(model.network_, sequences[k : k + 1], **options)
            assert (alone.ids, alone.score) == (together[k].ids, together[k].score)
            if attention is not None:
                assert alone.weights.tobytes() == together[k].weights.tobytes()


def test_the_reference_translates_the_same(models):
    X, _ = reversed_words(3, seed=7)
    expected, weights = models["additive"].translate(X, 2, return_attention=True)
    with fastrnn.backend("reference"):
        found, same = models["additive"].translate(X, 2, return_attention=True)
    assert found == expected
    assert [w.tobytes() for w in same] == [w.tobytes() for w in weights]


@pytest.mark.parametrize("attention", ["dot", "additive", None])
def test_same_seed_same_bits(attention):
    X, y = reversed_words(60)

    def train(threads, seed=0):
        model = Seq2Seq(cells.LSTM(), **SMALL, attention=attention, num_layers=2, dropout=0.2, seed=seed)
        with fastrnn.num_threads(threads):
            model.fit(X, y, epochs=1, validation=0.2)
        return bits(model), model.history_.loss, model.history_.validation

    assert train(1) == train(2)
    assert train(1)[0] != train(1, seed=1)[0]


def test_a_run_that_goes_on_ends_in_the_same_bits(tmp_path):
    X, y = reversed_words(40)

    def run(seconds=np.inf, **options):
        model = Seq2Seq(**SMALL, dropout=0.3, teacher_forcing=0.8)
        return model.fit(X, y, epochs=2, batch_size=8, validation=0.2, seconds=seconds, **options)

    whole, path = run(), tmp_path / "run.npz"
    assert "0 s" in run(0, checkpoint=path).history_.stopped
    again = run(checkpoint=path, resume=True)
    assert bits(again) == bits(whole)
    assert again.history_.validation == whole.history_.validation


# ---- files, options, errors ----


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_options_train_save_and_translate_row_by_row(data):
    draw = data.draw
    X, y = reversed_words(12, seed=draw(st.integers(0, 99)))
    attention = draw(st.sampled_from(["dot", "additive", None]))
    options = {
        "hidden_size": draw(st.integers(4, 9)),
        "num_layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.5])),
        "teacher_forcing": draw(st.sampled_from([0.0, 1.0])),
        "attention": attention,
    }
    model = Seq2Seq(draw(st.sampled_from(CELLS)), **{**SMALL, **options})
    model.fit(X, y, epochs=1, batch_size=draw(st.integers(1, 12)), validation=0.3)
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "m"))
        again = Seq2Seq.load(os.path.join(folder, "m"))
    beam = draw(st.integers(1, 5))
    arguments = {"length_penalty": draw(st.sampled_from([0, 0.5, 1])), "max_length": draw(st.integers(1, 9))}
    arguments["return_attention"] = attention is not None
    together = model.translate(X, beam, **arguments)
    for k, x in enumerate(X):
        alone = again.translate([x], beam, **arguments)
        if attention is None:
            assert alone == together[k : k + 1]
        else:
            assert alone[0] == together[0][k : k + 1]
            assert alone[1][0].shape == (len(alone[0][0]), len(x))
            assert alone[1][0].tobytes() == together[1][k].tobytes()
    assert again.score(X, y) == model.score(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "dott"}, r"attention is 'dott'; expected one of dot, additive, or None"),
        ({"outputs": "ids"}, "outputs is 'ids'"),
        ({"teacher_forcing": 1.5}, "teacher_forcing"),
        ({"hidden_size": 0}, "hidden_size"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Seq2Seq(**{**SMALL, **options}).fit(["a", "b"], ["a", "b"])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["aa"], None, "y is None"),
        (["aa", "bb"], ["aa"], "X has 2 sequences, and y has 1"),
        (["aa"], [""], r"y\[0\] has no characters"),
        (["aa", "bb"], "aa", "y is a single str"),
        (["aa"], [["a"]], r"y\[0\] is a list; expected a str"),
        (["aa"], ["ab"], "none of the characters of y occurs min_count=2 times"),
    ],
)
def test_data_that_cannot_be(X, y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Seq2Seq(**SMALL).fit(X, y)


def test_a_target_that_is_no_list_of_tokens_is_named():
    with pytest.raises(TypeError, match=r"Seq2Seq\.fit: y\[1\] is 5; expected a list of strings"):
        Seq2Seq(min_count=1).fit(["a", "b"], [["x"], 5])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.translate("abc"), TypeError, r"X is a single str; expected a list of them: \[X\]"),
        (lambda m: m.translate(["abc"], 0), ValueError, "beam_size"),
        (lambda m: m.translate(["abc"], length_penalty=-1), ValueError, "length_penalty"),
        (
            lambda m: m.translate(["abc"], length_penalty=np.inf),
            ValueError,
            "length_penalty is inf; .* 0 to 10",
        ),
        (lambda m: m.score(["a"], ["a"], length_penalty=10.5), ValueError, r"score: length_penalty is 10\.5"),
        (lambda m: m.error_rate(["a"], ["a"], length_penalty=np.nan), ValueError, "length_penalty is nan"),
        (lambda m: m.translate(["abc"], max_length=0), ValueError, "max_length"),
        (lambda m: m.translate(["abc"], max_length=10**5000), ValueError, "max_length is greater than"),
        (lambda m: m.translate(["abc"], return_attention=True), ValueError, "the model has attention=None"),
        (lambda m: m.score(["abc"], ["a", "b"]), ValueError, "X has 1 sequences, and y has 2"),
        (lambda m: Seq2Seq().translate(["abc"]), RuntimeError, "not fitted yet"),
    ],
)
def test_errors_of_a_fitted_model(models, call, error, message):
    with pytest.raises(error, match=message):
        call(models[None])


def test_files_of_other_sizes_are_refused(models, tmp_path):
    models["dot"].save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    for change in ({"hidden_size": 10**9}, {"attention": None}, {"num_layers": 2}, {"targets": {}}):
        io.save(tmp_path / "bad.npz", arrays, **{**meta, **change})
        with pytest.raises(io.FileFormatError, match="not a whole Seq2Seq"):
            Seq2Seq.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_no_memory_is_taken_for_weights_that_are_not_there(models, attention, tmp_path, monkeypatch):
    models[attention].save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    monkeypatch.setattr(Seq2Seq, "_make", lambda self: pytest.fail("made before the shapes were compared"))
    small = [name for name in arrays if name.endswith(".weight") or ".weight_" in name]
    assert len(small) == {"dot": 12, "additive": 13}[attention]
    for name in small:
        io.save(tmp_path / "bad.npz", {**arrays, name: np.zeros((1, 1), np.float32)}, **meta)
        with pytest.raises(io.FileFormatError, match=name.removeprefix("network.")):
            Seq2Seq.load(tmp_path / "bad.npz")
    io.save(tmp_path / "bad.npz", arrays, **{**meta, "targets": {**meta["targets"], "longest": 10**400}})
    with pytest.raises(io.FileFormatError, match="longest is 1000"):
        Seq2Seq.load(tmp_path / "bad.npz")


def test_the_greatest_penalty_leaves_scores_that_are_numbers(models):
    model = models["dot"]
    for longest in (9, 2**63 - 1):
        found = model._search(model.network_, model._reader.read("", ["abc", "e"]), 3, 10.0, longest)
        assert np.isfinite([each.score for each in found]).all()


def test_a_great_length_takes_no_memory(models):
    X = ["abc", "edcb"]
    assert models["dot"].translate(X, 2, max_length=10**15) == models["dot"].translate(X, 2, max_length=50)


@pytest.mark.parametrize(("a", "b", "edits"), [("", "", 0), ("abc", "abc", 0), ("", "ab", 2), ("ab", "", 2),
                                              ("abcd", "acbd", 2), ("abc", "xabc", 1)])  # fmt: skip
def test_edits(a, b, edits):
    assert edit_distance(a, b) == edit_distance(b, a) == edit_distance(list(a), list(b)) == edits
