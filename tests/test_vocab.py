import numpy as np
import pytest

from fastrnn.vocab import UNKNOWN, Vocabulary

VIETNAMESE = "Tiếng Việt rất đẹp. Trăm năm trong cõi người ta, chữ tài chữ mệnh khéo là ghét nhau. " * 2


@pytest.mark.parametrize("text", [VIETNAMESE, "naïve\n\t\x00", "日本語🙂e\u0301"])
def test_round_trip(text):
    vocab = Vocabulary.of(text, min_count=1)
    assert "".join(vocab.decode(vocab.encode(text))) == text


def test_unknown_characters_are_id_0():
    vocab = Vocabulary.of("aab")
    np.testing.assert_array_equal(vocab.encode("abxa"), [1, 0, 0, 1])
    assert vocab.decode([0, 1]) == [UNKNOWN, "a"]
    assert "a" in vocab
    assert "b" not in vocab
    assert UNKNOWN not in vocab


def test_a_text_may_hold_the_mark_of_the_unknown():
    vocab = Vocabulary.of(f"aa{UNKNOWN}{UNKNOWN}")
    assert vocab.encode(UNKNOWN) == [0]


def test_most_frequent_first_and_ties_by_code_point():
    assert Vocabulary.of("bbaacccd").tokens == (UNKNOWN, "c", "a", "b")


def test_words_are_tokens_too():
    vocab = Vocabulary.of(["the", "cat", "saw", "the", "cat"])
    np.testing.assert_array_equal(vocab.encode(["the", "dog", "cat"]), [2, 0, 1])


def test_empty_text():
    assert Vocabulary.of("").encode("").shape == (0,)


@pytest.mark.parametrize("tokens", [["a", "a"], ["a", ""], [UNKNOWN]])
def test_bad_tokens_are_refused(tokens):
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(tokens)


def test_tokens_that_are_not_strings_are_refused():
    with pytest.raises(TypeError, match="int"):
        Vocabulary([1])


@pytest.mark.parametrize("i", [-1, 3])
def test_bad_ids_are_refused(i):
    with pytest.raises(IndexError, match=f"id {i}"):
        Vocabulary("ab").decode([i])


def test_equality_is_by_value():
    assert Vocabulary("ab") == Vocabulary(["a", "b"]) != Vocabulary("ba")
    assert hash(Vocabulary("ab")) == hash(Vocabulary(["a", "b"]))


def test_special_tokens_have_the_ids_after_the_unknown_one_and_are_in_no_text():
    vocab = Vocabulary.of(["b", "<s>", "<s>", "b", "a", "a"], specials=["<s>", "</s>"])
    assert vocab.tokens == (UNKNOWN, "<s>", "</s>", "a", "b")
    assert vocab.encode(["<s>", "a", "</s>"]).tolist() == [0, 3, 0]
    assert "<s>" not in vocab
    assert vocab == Vocabulary(vocab.known, vocab.specials) != Vocabulary(vocab.tokens[1:])
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(["<s>"], specials=["<s>"])
