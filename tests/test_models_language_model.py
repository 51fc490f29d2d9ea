import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import CELLS

import fastrnn
from fastrnn import cells, io
from fastrnn._bench import naive_gradient
from fastrnn.losses import cross_entropy
from fastrnn.models import LanguageModel
from fastrnn.models.bigram import bigram_bits
from fastrnn.models.language_model import Network
from fastrnn.train import Streams, chunks

TEXT = "the cat sat on the mat. the dog sat on the log. " * 30
VIETNAMESE = "Trăm năm trong cõi người ta, chữ tài chữ mệnh khéo là ghét nhau.\n" * 30
SMALL = {"embedding_size": 8, "hidden_size": 24, "num_layers": 2}
QUICK = {"batch_size": 4, "chunk_size": 16}


@pytest.fixture(scope="module")
def trained():
    model = LanguageModel(**SMALL)
    model.fit(TEXT, epochs=12, **QUICK)
    return model


def bits(model):
    return {name: value.tobytes() for name, value in model.network.params.items()}


def test_training_learns_the_text(trained):
    untrained = LanguageModel(**SMALL)
    untrained.build(TEXT)
    assert untrained.bits_per_character(TEXT) > 3
    assert trained.bits_per_character(TEXT) < 1


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_any_cell_trains_saves_and_loads(cell, tmp_path):
    model = LanguageModel(cell, **SMALL, dropout=0.1)
    history = model.fit(TEXT, epochs=2, **QUICK).history_
    assert history.loss[-1] < history.loss[0]
    model.save(tmp_path / "m.npz")
    again = LanguageModel.load(tmp_path / "m.npz")
    assert again.cell == cell
    assert bits(again) == bits(model)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("isa", fastrnn._native.SUPPORTED_ISAS)
def test_same_seed_same_bits(threads, isa):
    """At any number of threads, on any instruction set."""

    def train(threads, isa):
        model = LanguageModel(**SMALL, dropout=0.2, seed=5)
        with fastrnn.num_threads(threads), fastrnn.isa(isa):
            history = model.fit(TEXT[:400], epochs=2, **QUICK).history_
        return bits(model), history.loss

    assert train(threads, isa) == train(
        1, "baseline" if "baseline" in fastrnn._native.SUPPORTED_ISAS else isa
    )


def test_another_seed_other_bits():
    models = [LanguageModel(**SMALL, seed=seed) for seed in (0, 1)]
    for model in models:
        model.fit(TEXT[:200], epochs=1, **QUICK)
    assert bits(models[0]) != bits(models[1])


def test_bits_do_not_depend_on_the_window(trained, monkeypatch):
    from fastrnn.models import _score

    whole = trained.bits_per_character(TEXT[:300])
    monkeypatch.setattr(_score, "_STEPS", 7)
    assert trained.bits_per_character(TEXT[:300]) == whole


def test_bits_are_those_of_the_definition(trained):
    text = TEXT[:20]
    ids = trained.vocab.encode(text)
    state, total = None, 0.0
    for a, b in itertools.pairwise(ids):
        logits, state = trained.network.step(np.array([a]), state)
        p = np.exp(logits[0].astype(np.float64))
        total -= np.log2(p[b] / p.sum())
    assert trained.bits_per_character(text) == pytest.approx(total / 19, rel=1e-5)


def test_generated_text_is_the_seeds(trained):
    options = {"temperature": 0.8, "top_k": 5}
    first = trained.generate("the ", 50, seed=3, **options)
    assert len(first) == 50
    assert trained.generate("the ", 50, seed=3, **options) == first
    assert trained.generate("the ", 50, seed=4, **options) != first
    with fastrnn.num_threads(2), fastrnn.backend("reference"):
        assert trained.generate("the ", 10, seed=3, **options) == first[:10]


def test_temperature_0_and_top_1_take_the_likeliest(trained):
    greedy = trained.generate("the cat", 30, temperature=0)
    assert greedy.startswith(" sat on the ")
    assert trained.generate("the cat", 30, top_k=1, temperature=2.0, seed=1) == greedy


def test_prompt_with_unknown_characters_and_vietnamese(trained):
    with pytest.warns(UserWarning, match=r"generate: 57% .* prompt .* \('V', 'i', 'ệ', '☃'\)"):
        assert len(trained.generate("Việt ☃ ", 5, seed=0)) == 5
    model = LanguageModel(**SMALL)
    model.fit(VIETNAMESE, epochs=3, **QUICK)
    written = model.generate("Trăm ", 200, temperature=2.0, seed=0)
    assert set(written) <= set(VIETNAMESE)
    assert np.isfinite(model.bits_per_character("chữ tài chữ mệnh, 未知"))


def test_unknown_characters_are_never_written():
    model = LanguageModel(**SMALL)
    model.build("aab")  # the one b is unknown
    assert model.generate("a", 50, temperature=5.0, seed=0) == "a" * 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": 1.5}, "generate: top_k is 1.5; expected an integer"),
        ({"length": -1}, "length is -1"),
        ({"length": "10"}, "generate: length is '10'; expected an integer"),
    ],
)
def test_bad_options_are_refused(trained, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        trained.generate(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "fit: batch_size is 0; expected at least 1"),
        ({"batch_size": 2.0}, "fit: batch_size is 2.0; expected an integer"),
        ({"chunk_size": 0}, "fit: chunk_size is 0; expected at least 1"),
        ({"chunk_size": -1}, "fit: chunk_size is -1; expected at least 1"),
        ({"epochs": -1}, "fit: epochs is -1; expected at least 1"),
        ({"lr": -1}, "lr is -1; expected a number that is not negative"),
        ({"max_norm": -1}, "fit: max_norm is -1; expected a number that is not negative"),
        (
            {"text": ""},
            "fit: text has 0 characters; expected at least 17 for batch_size=16 streams; give a",
        ),
        ({"text": "a", "batch_size": 1}, "fit: text has 1 character; expected at least 2"),
        ({"text": "ab" * 8}, "fit: text has 16 characters; .* or a smaller batch_size"),
        ({"text": ["a", 1]}, r"fit: text\[1\] is an int; expected a str"),
        ({"text": b"abc"}, "fit: text is a bytes; expected a str"),
        ({"validation": ""}, "fit: validation has 0 characters; expected at least 2"),
        ({"validation": "t"}, "fit: validation has 1 character; expected at least 2"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_a_refused_fit_changes_nothing(options, message, built):
    model = LanguageModel(**SMALL)
    if built:
        model.build(TEXT)
        before, vocab = bits(model), model.vocab
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(**{"text": TEXT} | options)
    if built:
        assert bits(model) == before
        assert model.vocab is vocab
        assert model.network.frozen
    else:
        with pytest.raises(RuntimeError, match="not trained"):
            _ = model.vocab
    assert model.fit(TEXT[:100], epochs=1, **QUICK).history_.steps


@pytest.mark.parametrize("options", [{"unit": "words"}, {"tokenizer": 0}])
def test_a_part_held_out_has_two_tokens(options):
    """It is cut by characters."""
    options = {"tokenizer": Pairs()} if "tokenizer" in options else options
    model = LanguageModel(**SMALL, **options)
    with pytest.raises(ValueError, match=r"fit: validation=0\.001 of text has 1 \w+; expected at least 2"):
        model.fit("catdog" * 200 if "tokenizer" in options else TEXT, validation=0.001, **QUICK)
    assert not hasattr(model, "history_")
    sentences = LanguageModel(**SMALL).fit(["a cat", "a dog"] * 4, epochs=1, validation=[""])
    assert sentences.history_.epochs == 1  # of its two marks


def test_a_text_whose_characters_all_stand_once_is_refused():
    model, text = LanguageModel(**SMALL), "".join(map(chr, range(40, 90)))
    for call in (model.build, model.fit):
        with pytest.raises(ValueError, match="no character of text occurs twice"):
            call(text)
    with pytest.raises(RuntimeError, match="not trained"):
        model.generate()


def test_a_second_text_in_another_alphabet_is_warned_of(trained):
    model = LanguageModel(**SMALL)
    model.fit(TEXT[:100], epochs=1, **QUICK)
    with pytest.warns(UserWarning, match=r"fit: 34% of the characters of text are unknown .* \('i'"):
        model.fit(VIETNAMESE[:100], epochs=1, **QUICK)


def test_unknown_white_space_and_a_few_unknown_characters_pass(trained):
    assert "\n" not in trained.vocab
    trained.generate(length=1)
    trained.generate("the cat sat on the mat!", length=1)


def test_bad_texts_are_refused(trained):
    with pytest.raises(ValueError, match="bits_per_character: text has 1 character;"):
        trained.bits_per_character("a")
    with pytest.raises(TypeError, match="bytes"):
        trained.bits_per_character(b"abc")


def test_an_untrained_model_says_so(tmp_path):
    for call in (
        lambda m: m.generate("a"),
        lambda m: m.bits_per_character("ab"),
        lambda m: m.save(tmp_path / "m"),
    ):
        with pytest.raises(RuntimeError, match="not trained"):
            call(LanguageModel())


def test_fit_again_goes_on(trained):
    model = LanguageModel(**SMALL)
    model.fit(TEXT, epochs=1, **QUICK)
    before = model.bits_per_character(TEXT)
    vocab = model.vocab
    model.fit(TEXT, epochs=3, **QUICK)
    assert model.vocab is vocab
    assert model.bits_per_character(TEXT) < before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 64), ("dropout", 0.5), ("cell", cells.LSTM()), ("cell", cells.GRU(reset="before")),
        ("unit", "words"), ("tied", True), ("bidirectional", True), ("min_count", 1), ("tokenizer", "other"),
        ("init", {"hidden": "zeros"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("loaded", [False, True])
def test_settings_of_a_second_fit_that_would_be_ignored_are_refused(name, value, loaded, tmp_path):
    tokenizer = {"tokenizer": Pairs()} if name == "tokenizer" else {}
    model, text = LanguageModel(**SMALL, **tokenizer), "abbacacacb" * 20
    model.fit(text, epochs=1, **QUICK)
    if loaded:
        model.save(tmp_path / "m.npz")
        model = LanguageModel.load(tmp_path / "m.npz", **tokenizer)
    before, old = bits(model), getattr(model, name)
    setattr(model, name, Pairs() if name == "tokenizer" else value)
    with pytest.raises(ValueError, match=f"fit: {name} is .* now, and the model was made with "):
        model.fit(text, epochs=1, **QUICK)
    assert bits(model) == before
    setattr(model, name, old)
    model.seed = np.int64(7)
    assert model.fit(text, epochs=1, **QUICK).history_.steps


def test_a_diverging_run_leaves_a_usable_model():
    model = LanguageModel(cells.RNN("relu"), **SMALL)
    model.build(TEXT)
    model.network.thaw().params["out.weight"][0, 0] = np.inf
    model.network.freeze()
    with pytest.raises(FloatingPointError, match="step 0"):
        model.fit(TEXT, epochs=1, **QUICK)
    assert model.network.frozen


# ---- files ----


def test_a_loaded_model_is_the_saved_one(trained, tmp_path):
    path = tmp_path / "m.npz"
    trained.save(path)
    again = LanguageModel.load(path)
    assert again.vocab == trained.vocab
    assert bits(again) == bits(trained)
    assert again.generate("the ", 40, seed=9) == trained.generate("the ", 40, seed=9)
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_what_is_not_a_model_is_refused(tmp_path):
    io.save(tmp_path / "x.npz", {"a": np.zeros(3)})
    with pytest.raises(io.FileFormatError, match="not a LanguageModel"):
        LanguageModel.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 10**7},
        {"num_layers": 10**6},
        {"num_layers": 1},
        {"embedding_size": "8"},
        {"hidden_size": 0},
        {"units": {"vocab": ["a"], "specials": []}},
        {"units": {"vocab": [1, 2], "specials": []}},
        {"units": {"vocab": list("abc"), "specials": ["x"]}},
        {"units": {"tokenizer": None}},
        {"unit": "pages"},
        {"tied": True},
        {"bidirectional": True},
        {"cell": {"name": "Cell"}},
        {"cell": {"name": "Gated"}},
        {"cell": {"name": "LSTM", "proj_size": 10**7}},
        {"cell": {"name": "MinGRU"}},
        {"cell": {"name": "LSTM", "activations": [["i", {"name": "elu"}]]}},
        {"cell": {"name": "LSTM", "peepholes": "ifo"}},
        {"cell": None},
        {"dropout": "much"},
        {"version": 2},
    ],
    ids=str,
)
def test_damaged_settings_are_refused(trained, tmp_path, change):
    trained.save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    io.save(tmp_path / "bad.npz", arrays, **{**meta, **change})
    with pytest.raises(io.FileFormatError, match=r"bad\.npz"):
        LanguageModel.load(tmp_path / "bad.npz")


# ---- what it is measured against ----


def test_naive_numpy_computes_the_same_gradient():
    network = Network(11, cells.LSTM(), 6, 9, 2, 0.0, rng=0)
    ids = np.random.default_rng(0).integers(0, 11, 200)
    state = naive_state = None
    for inputs, targets, _ in chunks(ids, 5, 12):
        loss, grads, state = network.gradient(inputs, targets, state)
        naive_loss, naive_grads, naive_state = naive_gradient(network.params, inputs, targets, naive_state)
        assert naive_loss == pytest.approx(loss, rel=1e-5)
        assert naive_grads.keys() == grads.keys()
        for name, grad in grads.items():
            assert naive_grads[name].dtype == grad.dtype
            np.testing.assert_allclose(naive_grads[name], grad, rtol=0, atol=2e-6 * np.abs(grad).max())
        for mine, naive in zip(state, naive_state, strict=True):
            np.testing.assert_allclose(naive, mine, rtol=0, atol=1e-6)


def test_bigram_is_a_distribution():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 5, 300)  # ids 5 and 6 never occur
    for before in range(7):
        p = [2 ** -bigram_bits(train, np.array([before, after]), 7) for after in range(7)]
        assert sum(p) == pytest.approx(1, abs=1e-12)
        assert min(p) > 0


def test_bigram_knows_pairs():
    ids = np.array([0, 1, 2] * 100)
    assert bigram_bits(ids, ids, 3) < 0.1
    assert bigram_bits(ids, ids[::-1], 3) > 4


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_settings_are_plain_data(cell):
    settings = json.loads(json.dumps(dataclasses.asdict(cell)))
    assert cells.kinds()[type(cell).__name__](**settings) == cell


# ---- sentences, words, both directions ----

SENTENCES = ["the sun is in the sky", "the fish is in the sea", "a sun, and a sky", "fish"] * 8
TINY = {"embedding_size": 8, "hidden_size": 12, "num_layers": 1}


@pytest.fixture(scope="module")
def reader():
    """Of words, in both directions."""
    model = LanguageModel(unit="words", bidirectional=True, **{**TINY, "hidden_size": 32})
    return model.fit(SENTENCES, epochs=25, batch_size=8, lr=0.01)


def test_sentences_begin_and_end(reader):
    assert {token for token, _ in reader.next("", 3)} <= {"the", "a", "fish"}
    assert reader.next("the sun is in the sky", 1)[0][0] == "</s>"
    assert reader.generate("the fish", temperature=0) == " is in the sea"
    assert reader.vocab.tokens[:3] == ("\ufffd", "<s>", "</s>")


def test_next_is_a_distribution(reader):
    pairs = reader.next("the", k=100)
    assert len(pairs) == len(reader.vocab) - 2  # unknown and <s> are never written
    assert [p for _, p in pairs] == sorted((p for _, p in pairs), reverse=True)
    assert 0.9 < sum(p for _, p in pairs) <= 1 + 1e-12


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", fastrnn._native.SUPPORTED_ISAS)
def test_a_score_is_the_same_alone_and_beside_others(reader, isa, threads):
    sentences = [*SENTENCES[:4], "sky " * 40, "", "unknown words are here"]
    alone = [reader.score(s) for s in sentences]
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        assert reader.score(sentences) == alone
        assert reader.score(sentences[::-1]) == alone[::-1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(alphabet="the sunfih.", max_size=60), min_size=1, max_size=8), st.integers(1, 9))
def test_scores_do_not_depend_on_batches_or_cuts(reader, texts, steps):
    from fastrnn.models import _score

    alone = [reader.score(text) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_score, "_STEPS", steps)
        patch.setattr(_score, "_ROWS", 3)
        assert reader.score(texts) == alone


def test_a_score_is_the_sum_of_its_steps(reader):
    chat, total = reader.conversation(), 0.0
    for token in ["the", "sun", "is", "in", "the", "sky"]:
        total += np.log(dict(chat.next(100))[token])
        chat.read(token)
    total += np.log(dict(chat.next(100))["</s>"])
    score = reader.score("the sun is in the sky")
    assert score.tokens == 7
    assert score.log_probability == pytest.approx(total, rel=1e-5)
    assert score.perplexity == pytest.approx(np.exp(-total / 7), rel=1e-5)
    assert score.bits_per_token == pytest.approx(np.log2(score.perplexity))


def test_ranking_puts_what_was_learned_first(reader):
    shuffled = ["sky the in is sun the", "the sun is in the sky", "the in sun sky is the"]
    assert reader.rank(shuffled)[0][0] == shuffled[1]
    ranked = reader.rank([*shuffled, "fish"], by="perplexity")
    assert [s.perplexity for _, s in ranked] == sorted(s.perplexity for _, s in ranked)
    assert ranked != reader.rank([*shuffled, "fish"])
    with pytest.raises(ValueError, match="by is 'luck'"):
        reader.rank(shuffled, by="luck")
    with pytest.raises(TypeError, match="texts is a str"):
        reader.rank("abc")


def test_a_gap_is_filled_from_both_sides(reader):
    """The same words before the gap, others after it."""
    assert reader.fill("the ... is in the sky")[0][0] == "sun"
    assert reader.fill("the ___ is in the sea", gap="___")[0][0] == "fish"
    assert reader.fill("the fish is in the ...")[0][0] == "sea"
    found = reader.fill("... is in the sky", candidates=["the sun", "the fish", "sky"])
    assert found[0][0] == "the sun"
    assert sum(p for _, p in found) == pytest.approx(1)


def test_the_second_network_reads_from_right_to_left(reader):
    from fastrnn.models._score import log_probabilities

    row = np.array([1, *reader.encode("the sun is in the sky"), 2])
    ahead, back = reader._directions.ahead, reader._directions.back
    for network, right in ((ahead, row), (back, row[::-1])):
        wrong = right[::-1]
        as_trained, other = log_probabilities(network, [right[:-1], wrong[:-1]], [right[1:], wrong[1:]])
        assert as_trained.mean() > -1 > -3 > other.mean()


def test_fill_is_its_equation(reader):
    from fastrnn.models._score import log_probabilities

    candidates, ids = ["sun", "fish", "a"], []
    for word in candidates:
        ids.append(np.array([1, *reader.encode(f"the {word} is"), 2]))
    ahead, back = (
        [v.sum() for v in log_probabilities(network, [r[:-1] for r in rows], [r[1:] for r in rows])]
        for network, rows in (
            (reader._directions.ahead, ids),
            (reader._directions.back, [r[::-1] for r in ids]),
        )
    )
    p = np.exp((np.array(ahead) + back) / 2)
    for word, found in reader.fill("the ... is", candidates=candidates):
        assert found == pytest.approx(p[candidates.index(word)] / p.sum())


def test_no_mark_is_tried_in_a_gap():
    """At the end of a sentence its mark is the likeliest token after what stands left."""
    model = LanguageModel(unit="words", bidirectional=True, **TINY).fit(SENTENCES, epochs=2)
    for network in (model._directions.ahead, model._directions.back):
        network.thaw().out.params["bias"][:3] = 50  # unknown, start, end
    for text in ("the cat ...", "... the", "a ... b"):
        found = [token for token, _ in model.fill(text, k=100)]
        assert sorted(found) == sorted(model.vocab.known)
    assert model.next("the")[0][0] == "</s>"


def test_gaps_that_cannot_be_filled_are_refused(reader, trained):
    for text, message in (("no gap", "0 gaps"), ("a ... b ...", "2 gaps")):
        with pytest.raises(ValueError, match=message):
            reader.fill(text)
    with pytest.raises(ValueError, match="bidirectional=True"):
        trained.fill("the ... sat")


def test_characters_of_one_text_are_filled_in_too():
    model = LanguageModel(bidirectional=True, **TINY).fit(TEXT, epochs=6, **QUICK, lr=0.02)
    assert model.fill("the cat s...t on the", k=1)[0][0] == "a"
    with pytest.raises(ValueError, match="nothing but the gap"):
        model.fill("...")


def test_words_of_a_text_are_written_as_they_are_spelt():
    text = "Trời đẹp quá, phải không?\nVâng, trời đẹp.\n" * 30
    model = LanguageModel(unit="words", **{**TINY, "hidden_size": 24}).fit(text, epochs=15, **QUICK, lr=0.02)
    assert model.generate("Trời đẹp quá", until="\n", temperature=0) == ", phải không?\n"
    assert model.generate("Vâng, trời ", 2, temperature=0) == "đẹp."
    assert model.decode(model.encode(text[:42])) == text[:42]
    score = model.score(text[:42])
    assert model.bits_per_character(text[:42]) == pytest.approx(score.bits / 42)


def test_decomposed_text_is_the_same_text():
    import unicodedata

    for unit in ("characters", "words"):
        model = LanguageModel(unit=unit, **TINY)
        model.build(VIETNAMESE)
        apart = unicodedata.normalize("NFD", VIETNAMESE[:60])
        np.testing.assert_array_equal(model.encode(apart), model.encode(VIETNAMESE[:60]))
        assert (model.encode(apart)[:40] > 0).sum() > 10


@pytest.mark.parametrize(
    "options",
    [
        {"unit": "words", "bidirectional": True},
        {"tied": True, "embedding_size": 12},
        {"tied": True, "bidirectional": True, "embedding_size": 12, "lowercase": True},
    ],
    ids=str,
)
def test_every_kind_is_saved_and_loaded(options, tmp_path):
    model = LanguageModel(**{**TINY, **options}).fit(SENTENCES, epochs=2)
    model.save(tmp_path / "m.npz")
    again = fastrnn.models.load(tmp_path / "m.npz")
    assert again.score(SENTENCES[:3]) == model.score(SENTENCES[:3])
    assert {name: getattr(again, name) for name in options} == options
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


def test_tied_weights_are_one_parameter_with_one_gradient():
    network = Network(7, cells.GRU(), 5, 5, 1, 0.0, rng=0, tied=True)
    assert "out.weight" not in network.params
    ids = np.random.default_rng(0).integers(0, 7, (6, 3))
    _, grads, _ = network.gradient(ids[:-1], ids[1:])
    table = network.params["embedding.weight"]
    for place in [(int(ids[0, 0]), 1), (6, 4)]:
        losses = []
        for step in (1e-2, -1e-2):
            kept = table[place]
            table[place] += step
            losses.append(network.gradient(ids[:-1], ids[1:])[0])
            table[place] = kept
        assert grads["embedding.weight"][place] == pytest.approx((losses[0] - losses[1]) / 2e-2, abs=2e-4)
    with pytest.raises(ValueError, match="tied=True makes one array of both: embedding_size=12"):
        LanguageModel(tied=True, **TINY).build(TEXT)


@pytest.mark.parametrize("data", [TEXT[:400], SENTENCES], ids=["text", "sentences"])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(data, steps, tmp_path):
    """Stopped in the middle of an epoch, where states are carried."""
    from fastrnn.models import language_model

    options = {"epochs": 2, **QUICK, "validation": 0.2, "patience": 5}
    made = {"bidirectional": True, "num_layers": 2, "dropout": 0.2}
    whole = LanguageModel(**{**TINY, **made}).fit(data, **options)

    class Stopped(Exception):
        pass

    def stop_after(corpus):
        count, chunks = itertools.count(), corpus.chunks

        def limited(batch):
            if next(count) == steps:
                raise Stopped
            return chunks(batch)

        corpus.chunks = limited
        return corpus

    path = tmp_path / "run.npz"
    make = language_model._corpus
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "_corpus", lambda *a: stop_after(make(*a)))
        with pytest.raises(Stopped):
            LanguageModel(**{**TINY, **made}).fit(data, **options, checkpoint=path, checkpoint_steps=1)
    again = LanguageModel(**{**TINY, **made}).fit(data, **options, checkpoint=path, resume=True)
    assert again.history_.steps == whole.history_.steps > steps
    assert again.history_.loss == whole.history_.loss
    assert again.history_.validation == whole.history_.validation
    assert bits(again) == bits(whole)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_are_carried_from_chunk_to_chunk(bidirectional):
    """At a rate of 0, the losses are those of the whole streams, to each side."""
    model = LanguageModel(bidirectional=bidirectional, **TINY)
    model.fit(TEXT[:200], epochs=2, batch_size=3, chunk_size=16, lr=0.0)
    ids = model.encode(TEXT[:200])
    streams = Streams(len(ids), 3, 10**6)
    losses = []
    for epoch in range(2):
        (whole,) = streams.epoch(epoch)
        each = []
        for name, network in model._directions.each():
            inputs, targets = streams.cut(ids if name == "ahead" else ids[::-1], whole)
            each.append(cross_entropy(network(inputs)[0], targets, reduction="none")[0])
        mean = np.mean(each, axis=0)
        losses += [mean[at : at + 16].mean() for at in range(0, len(mean), 16)]
    np.testing.assert_allclose(model.history_.loss, losses, rtol=1e-5)


def test_validation_stops_early_with_the_best_weights():
    # Lines with nothing in common with what is held out: the loss on it only rises.
    model = LanguageModel(**TINY).fit(
        "ab" * 100 + "b" * 20 + "a" * 20, validation="aabb" * 20, epochs=30, patience=2, **QUICK, lr=0.05
    )
    history = model.history_
    assert "lower validation loss than epoch" in history.stopped
    loss, perplexity = history.validation[history.best_epoch]
    assert perplexity == pytest.approx(np.exp(loss))
    assert model.score("aabb" * 20).perplexity == pytest.approx(perplexity)


class Table:
    """What pandas and polars have in common."""

    def __init__(self, rows):
        self.rows = rows

    def to_numpy(self):
        return np.array(self.rows, dtype=object)


def test_a_column_is_a_list_of_sentences():
    model = LanguageModel(**TINY).fit(Table(SENTENCES), epochs=1)
    assert model.rank(Table(SENTENCES[:2])) == model.rank(SENTENCES[:2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LanguageModel(unit="pages").fit(TEXT), "unit is 'pages'; expected one of characters, words"),
        (lambda: LanguageModel(**TINY).fit(SENTENCES).fit(TEXT), "text is one text, and the model was made"),
        (lambda: LanguageModel().fit(TEXT, validation=2.0), r"validation is 2\.0"),
        (lambda: LanguageModel().fit(TEXT, validation=["a"]), "validation is a list; expected a str"),
        (lambda: LanguageModel().fit([]), "text is an empty list"),
        (
            lambda: LanguageModel().fit(np.array("text")),
            r"text is <U4 \(\) of shape \(\); expected a str, or one",
        ),
        (
            lambda: LanguageModel().fit(Table([["a"]])),
            r"text is a Table of shape \(1, 1\); .* such as a column",
        ),
        (lambda: LanguageModel().fit(Table([1])), r"text\[0\] is an int; expected a str"),
        (lambda: LanguageModel().fit(7), "text is an int; expected a str, or a list"),
        (lambda: LanguageModel(tokenizer=3).fit(TEXT), "tokenizer is an int without encode"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


class Pairs:
    """A tokenizer of two characters at a time."""

    vocab_size = 26 * 26

    class Encoding:
        def __init__(self, ids):
            self.ids = ids

    def encode(self, text):
        places = [ord(c) - ord("a") for c in text if c.isalpha()]
        return self.Encoding([a * 26 + b for a, b in zip(places[::2], places[1::2], strict=False)])

    def decode(self, ids):
        return "".join(chr(ord("a") + part) for i in ids for part in divmod(i, 26))


def test_any_tokenizer_will_do(tmp_path):
    model = LanguageModel(tokenizer=Pairs(), **TINY).fit(["abcd", "cdab"] * 8, epochs=20, lr=0.02)
    assert model.generate("ab", temperature=0) == "cd"
    with pytest.raises(AttributeError, match="has a tokenizer"):
        _ = model.vocab
    model.save(tmp_path / "m.npz")
    with pytest.raises(io.FileFormatError, match=r"LanguageModel\.load\(path, tokenizer=\.\.\.\)"):
        LanguageModel.load(tmp_path / "m.npz")
    again = LanguageModel.load(tmp_path / "m.npz", tokenizer=Pairs())
    assert again.score("abcd") == model.score("abcd")


def test_a_tokenizer_of_the_library_is_in_the_file(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "the": 1, "cat": 2}, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model = LanguageModel(tokenizer=tokenizer, **TINY).fit(["the cat", "cat the"] * 4, epochs=2)
    model.save(tmp_path / "m.npz")
    assert LanguageModel.load(tmp_path / "m.npz").score("the cat") == model.score("the cat")


def test_what_would_be_ignored_is_refused():
    for options in ({"unit": "words"}, {"min_count": 7}, {"lowercase": True}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is .*, and the tokenizer splits"):
            LanguageModel(tokenizer=Pairs(), **options).build(["abcd"])
    model = LanguageModel(**TINY, bidirectional=True)
    model.build("abab")
    with pytest.raises(ValueError, match="gap is ''"):
        model.fill("a...b", gap="")


def test_errors_name_the_text_and_a_tokenizer_that_is_not_needed(tmp_path):
    model = LanguageModel(**TINY)
    model.build("abab")
    with pytest.raises(ValueError, match=r"LanguageModel\.score: text\[1\] has 1 character;"):
        model.score(["ab", "a"])
    with pytest.raises(ValueError, match=r"LanguageModel\.rank: texts is an empty list"):
        model.rank([])
    model.save(tmp_path / "m.npz")
    with pytest.raises(TypeError, match=r"tokenizer is given, and the model of .* reads characters"):
        LanguageModel.load(tmp_path / "m.npz", tokenizer=Pairs())
    arrays, meta = io.load(tmp_path / "m.npz")
    io.save(tmp_path / "m.npz", arrays, **{**meta, "units": {"tokenizer": None, "pieces": 1e999}})
    with pytest.raises(io.FileFormatError):
        LanguageModel.load(tmp_path / "m.npz", tokenizer=Pairs())
