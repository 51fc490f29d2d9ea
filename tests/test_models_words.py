import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.models._words import composed, joined, words

TRICKY = st.text(alphabet="ab1 .,'\"-()$\n我は々〇。\ufa0e\U00020000\u4dc0，\u0301\u0323ệ_%’«»")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay 3.50!", ["Don't", "pay", "3.50", "!"]),
        ("well-known 1,000 - 2", ["well-known", "1,000", "-", "2"]),
        ("Trời đẹp quá, phải không?", ["Trời", "đẹp", "quá", ",", "phải", "không", "?"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我是学生。", ["我", "是", "学", "生", "。"]),
        ("人々〇〇", ["人", "々", "〇", "〇"]),
        ("a\nb", ["a", "b"]),
        ("\ufa0e\ufa0f中", ["\ufa0e", "\ufa0f", "中"]),
        ("\U00020000\U0002a6d6字", ["\U00020000", "\U0002a6d6", "字"]),
        ("\U0002f800\U00030000を", ["\U0002f800", "\U00030000", "を"]),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == expected


def test_decomposed_letters_are_the_same_words():
    text = "Trăm năm trong cõi người ta"
    assert words(composed(unicodedata.normalize("NFD", text))) == words(text)


@pytest.mark.parametrize(
    "text",
    [
        'He said: "well, (3 - 1) it is", and left.',
        "it's 5% of $3.50; the 'rest' isn't.",
        "Trăm năm trong cõi người ta,\nchữ tài chữ mệnh khéo là ghét nhau.",
        "我是学生。你好，世界！",
        "\ufa0e\ufa0f中",
        "中\ufa0e（\U00020000）\U00030000を。",
        "\u4dc0\u4dc1",
        "ab 中\U00020000 cd",
    ],
)
def test_joined_words_read_as_they_were_written(text):
    assert joined(words(text, lines=True)) == text


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), TRICKY), st.data())
def test_words_survive_being_joined_in_one_piece_or_two(text, data):
    tokens = words(composed(text), lines=True)
    cut = data.draw(st.integers(0, len(tokens)))
    first = joined(tokens[:cut])
    for again in (joined(tokens), first + joined(tokens[cut:], before=first)):
        assert words(composed(again), lines=True) == tokens
