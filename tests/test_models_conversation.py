import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import cells, io
from fastrnn.models import Conversation, LanguageModel
from fastrnn.models._conversation import choose
from fastrnn.models.language_model import _shortlist

TEXT = "the cat sat on the mat. the dog sat on the log. " * 30
SENTENCES = ["hello there", "how are you", "you are here", "hello you"] * 10


@pytest.fixture(scope="module")
def model():
    return LanguageModel(cells.LSTM(), hidden_size=24, num_layers=2).fit(
        TEXT, epochs=6, batch_size=4, chunk_size=16
    )


@pytest.fixture(scope="module")
def speaker():
    sizes = {"embedding_size": 8, "hidden_size": 16, "num_layers": 1}
    return LanguageModel(unit="words", **sizes).fit(SENTENCES, epochs=20, batch_size=8, lr=0.02)


def test_reading_in_pieces_is_reading_at_once(model):
    once = model.conversation(seed=3).read("the cat sat on")
    pieces = model.conversation(seed=3).read("the c").read("").read("at sat ").read("on")
    assert pieces.next(5) == once.next(5)
    assert pieces.write(40, temperature=0.8) == once.write(40, temperature=0.8)
    assert pieces.text == once.text


@pytest.mark.parametrize("cell", [cells.GRU(), cells.LSTM()], ids=str)
@pytest.mark.parametrize("tied", [False, True])
def test_a_long_text_is_read_in_pieces_of_the_same_bits(cell, tied, monkeypatch):
    model = LanguageModel(cell, embedding_size=12, hidden_size=12, num_layers=2, tied=tied)
    model.build(TEXT)
    ids = model.encode(TEXT)[:130]
    logits, state = model.network(ids[:, None])
    for piece in (1, 7, 130, 1024):
        monkeypatch.setattr("fastrnn.models._lm_network._PIECE", piece)
        last, after = model.network.read(ids)
        assert last.tobytes() == logits[-1, 0].tobytes()
        assert np.array_equal(after, state)


@pytest.mark.parametrize("call", ["generate", "next", "read", "fill"])
def test_reading_a_long_text_takes_little_memory(call):
    """All logits are 20 MB."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 500))) * 20
    model = LanguageModel(hidden_size=4, embedding_size=4, num_layers=1, bidirectional=call == "fill")
    model.build(text)
    ids = model.encode(text)
    read = {
        "generate": lambda: model.generate(text, 2, seed=0),
        "next": lambda: model.next(text),
        "read": lambda: model.conversation().read(text),
        "fill": lambda: _shortlist(model._directions, model.units, ids, ids),
    }[call]
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def test_writing_in_pieces_is_writing_at_once(model):
    once = model.generate("the ", 30, seed=5)
    chat = model.conversation(seed=5).read("the ")
    assert "".join(chat.write(n) for n in (7, 0, 13, 10)) == once


@pytest.mark.parametrize("cell", [fastrnn.cells.LSTM(), fastrnn.cells.GRU()], ids=str)
def test_a_saved_conversation_goes_on_as_if_never_stopped(cell, tmp_path):
    model = LanguageModel(cell, hidden_size=8, num_layers=2)
    model.build(TEXT)
    model.save(tmp_path / "m.npz")
    chat = model.conversation(seed=1).read("the cat")
    before = chat.write(10)
    chat.save(tmp_path / "chat.npz")
    after = chat.write(20)
    again = LanguageModel.load(tmp_path / "m.npz").conversation(tmp_path / "chat.npz")
    assert again.text == "the cat" + before
    assert again.write(20) == after


def test_what_was_said_matters(model):
    first, second = (model.conversation(seed=0).read(said) for said in ("the cat sat", "the dog ate"))
    assert first.read(" on").next(3) != second.read(" on").next(3)


def test_sentences_end_and_new_ones_begin(speaker):
    chat = speaker.conversation(seed=0)
    said = [chat.write(50, temperature=0.3) for _ in range(4)]
    assert said[0]
    assert all(len(words.split()) < 50 for words in said)
    chat.read("how are")
    assert chat.write(temperature=0).strip() == "you"


def test_conversations_of_others_and_damaged_ones_are_refused(model, speaker, tmp_path):
    path = tmp_path / "chat.npz"
    model.conversation(seed=0).read("the").save(path)
    with pytest.raises(ValueError, match="another model"):
        speaker.conversation(path)
    with pytest.raises(TypeError, match="seed is given"):
        model.conversation(path, seed=1)
    arrays, meta = io.load(path)
    for changed, told in (
        ({**arrays, "logits": arrays["logits"][1:]}, meta),
        ({name: a for name, a in arrays.items() if name != "state.1"}, meta),
        (arrays, {**meta, "generator": {"bit_generator": "none"}}),
        (arrays, {**meta, "generator": {**meta["generator"], "state": {"state": -1, "inc": 2**200}}}),
        ({**arrays, "logits": arrays["logits"] * np.float32(np.nan)}, meta),
        ({**arrays, "state.1": arrays["state.1"] + np.float32(np.inf)}, meta),
        (arrays, {**meta, "at_start": 1}),
        (arrays, {**meta, "recent": [10**6]}),
        (arrays, {**meta, "kind": "other"}),
    ):
        io.save(path, changed, **told)
        with pytest.raises(io.FileFormatError, match=r"chat\.npz"):
            Conversation.load(path, model)


def test_a_saved_sentence_is_not_begun_again(speaker, tmp_path):
    chat = speaker.conversation(seed=0).read("how are")
    chat.save(tmp_path / "chat.npz")
    again = speaker.conversation(tmp_path / "chat.npz")
    assert again.next(3) == chat.next(3)
    assert again.read("").write(9, temperature=0) == chat.read("").write(9, temperature=0)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, FloatingPointError])
def test_what_stops_in_the_middle_leaves_the_conversation_as_before(model, stop):
    chat, same = (model.conversation(seed=3).read("the cat") for _ in range(2))
    calls = iter(range(5))

    def step(ids, state):
        if next(calls) == 4:
            raise stop
        return type(model.network).step(model.network, ids, state)

    chat.model = Steps(model, step)
    with pytest.raises(stop):
        chat.write(30)
    chat.model = model
    assert chat.text == "the cat"
    assert chat.write(30) == same.write(30)


class Steps:
    """A model with another step."""

    def __init__(self, model, step):
        self.units, self.network = model.units, type("Network", (), {"step": staticmethod(step)})


def test_weights_that_are_not_finite_are_named(tmp_path):
    model = LanguageModel(hidden_size=4, num_layers=1)
    model.build(TEXT)
    model.save(tmp_path / "m.npz")
    arrays, meta = io.load(tmp_path / "m.npz")
    io.save(tmp_path / "m.npz", {**arrays, "out.bias": arrays["out.bias"] * np.float32(np.nan)}, **meta)
    damaged = LanguageModel.load(tmp_path / "m.npz")
    for call in (damaged.generate, damaged.next):
        with pytest.raises(FloatingPointError, match=rf"^LanguageModel\.{call.__name__}: .* not finite"):
            call("the")
    with pytest.raises(FloatingPointError, match=r"^Conversation\.next: .* not finite"):
        damaged.conversation().read("the").next()
    with pytest.raises(ValueError, match=r"^LanguageModel\.next: k is 0"):
        model.next("the", k=0)


def test_the_least_temperature_takes_the_likeliest(model):
    assert model.generate("the ", 9, temperature=5e-324) == model.generate("the ", 9, temperature=0)


class Spaced:
    """A tokenizer that puts spaces between its tokens, and has a token without text."""

    known = ("the", "cat", "sat", "on", "<pad>")

    def encode(self, text):
        return type("Encoding", (), {"ids": [self.known.index(word) for word in text.split()]})

    def decode(self, ids):
        return " ".join(self.known[i] for i in ids if i < 4)

    def get_vocab_size(self):
        return len(self.known)


def test_pieces_read_as_if_written_at_once(tmp_path):
    sizes = {"embedding_size": 8, "hidden_size": 16, "num_layers": 1}
    model = LanguageModel(tokenizer=Spaced(), **sizes)
    text = "the cat <pad> <pad> <pad> <pad> <pad> sat on " * 60
    model.fit(text, epochs=20, batch_size=4, chunk_size=16, lr=0.02)
    chat = model.conversation(seed=0).read("sat on")
    assert chat.write(2, temperature=0) == " the cat"
    chat.save(tmp_path / "chat.npz")
    again = model.conversation(tmp_path / "chat.npz")
    assert again.write(20, until="sat", temperature=0) == " sat"
    assert again.text == "sat on the cat sat"
    assert model.generate("the", 30, until="t s", temperature=0) == " cat sat"


def test_nothing_read_and_bad_options_are_refused(model):
    chat = model.conversation()
    for call in (chat.write, chat.next):
        with pytest.raises(ValueError, match="nothing was read"):
            call()
    chat.read("the")
    with pytest.raises(ValueError, match="until is ''"):
        chat.write(until="")
    with pytest.raises(ValueError, match="top_p is 0; expected more than 0, up to 1"):
        chat.write(top_p=0)
    for options in ({"top_p": "1"}, {"temperature": None}, {"temperature": "1"}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} is .*; expected a number"):
            chat.write(**options)
    with pytest.raises(TypeError, match=r"Conversation\.read: text is an int; expected a str"):
        chat.read(5)
    with pytest.raises(ValueError, match=r"LanguageModel\.generate: seed is -1"):
        model.generate("the", seed=-1)
    with pytest.raises(ValueError, match="k is 0"):
        chat.next(0)
    assert chat.text == "the"


def test_until_stops_right_after_it(model):
    written = model.generate("the ", 200, until=". ", seed=0)
    assert written.endswith(". ")
    assert written.count(". ") == 1


logits = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12)


@settings(max_examples=80, deadline=None)
@given(logits, st.floats(0.05, 1), st.integers(1, 12), st.floats(0.2, 3), st.integers(0, 2**32))
def test_choices_stay_inside_the_nucleus(values, top_p, top_k, temperature, seed):
    z = np.array(values, np.float32)
    p = np.exp((z.astype(np.float64) - z.max()) / temperature)
    order = [i for i in np.argsort(-z, kind="stable") if i != 1][:top_k]
    kept = p[order] / p[order].sum()
    inside = [i for i, before in zip(order, np.cumsum(kept) - kept, strict=True) if before < top_p + 1e-9]
    chosen = choose(z, temperature, top_k, top_p, np.random.default_rng(seed), [1])
    assert chosen in inside
    assert choose(z, 0, None, top_p, np.random.default_rng(seed), [1]) == order[0]
