"""Words of a text, in any script, and text of words."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Sequence

__all__ = ["composed", "joined", "words"]

#: Scripts written without spaces, of which every character is a word: Han, kana, their repetition marks.
_SINGLE = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
#: No space stands beside them and their punctuation.
_UNSPACED = re.compile(f"[{_SINGLE}\u3000-\u303f\u4dc0-\u4dff，！？；：（）]")
#: What has no space before it, and what has none after it.
_CLOSING = frozenset(".,;:!?…%)]}»”。，、！？；：）」』】")
_OPENING = frozenset("([{«“„$€£¿¡#（「『【")
#: Quotation marks that open and close by turns.
_QUOTES = frozenset("\"'")


def composed(text: str) -> str:
    """Text in Unicode's composed form (NFC): the two ways in which accents are written become one.

    >>> composed("e\\u0323\\u0302") == "ệ"
    True
    """
    return unicodedata.normalize("NFC", text)


@functools.cache
def _pattern(lines: bool) -> re.Pattern[str]:
    """Made at the first use, since it looks at every character for the marks, which `\\w` leaves out."""
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
    letter = rf"[^\W{_SINGLE}][{marks}]*"
    word = rf"(?:{letter})+"
    number = r"\d+(?:[.,]\d+)*(?!\w)"
    inner = rf"{word}(?:['’-]{word})*"
    single = rf"[{_SINGLE}][{marks}]*"
    return re.compile(rf"{number}|{inner}|{single}|[^\w\s]" + (r"|\n" if lines else ""))


def words(text: str, lines: bool = False) -> list[str]:
    """Split a composed text into words, numbers and single marks; with `lines`, the ends of lines too.

    A word is letters, digits and their accents, with apostrophes and hyphens inside; in scripts that are
    written without spaces, Han and kana, each character is one.

    >>> words("Don't pay 3.50, bật đèn lên!")
    ["Don't", 'pay', '3.50', ',', 'bật', 'đèn', 'lên', '!']
    """
    return [sys.intern(word) for word in _pattern(lines).findall(text)]


def joined(tokens: Sequence[str], before: str = "") -> str:
    """The words as a text that reads well; of its words, `words` makes the same tokens again.

    Parameters
    ----------
    tokens : sequence of str
    before : str
        The text that they go on from: it says whether a space comes first.

    >>> joined(words('He said: "well, (3 - 1) it is", and left.'))
    'He said: "well, (3 - 1) it is", and left.'
    >>> joined(["sat", "."], before="the cat")
    ' sat.'
    """
    line = before.rpartition("\n")[2]
    last = words(line)[-1:] if line and not line[-1].isspace() else []
    previous = last[0] if last else "\n"
    opened = {quote for quote in _QUOTES if words(line).count(quote) % 2}
    after_opening = previous in _OPENING or previous in opened
    parts = []
    for token in tokens:
        closes = token in opened
        if not (
            after_opening
            or closes
            or token in _CLOSING
            or "\n" in (token, previous)
            or (_UNSPACED.match(token) and _UNSPACED.match(previous))
        ):
            parts.append(" ")
        parts.append(token)
        if token in _QUOTES:
            opened ^= {token}
        elif token == "\n":
            opened.clear()
        after_opening = token in _OPENING or (token in _QUOTES and not closes)
        previous = token
    return "".join(parts)
