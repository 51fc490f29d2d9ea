"""What a language model reads and writes: characters, words, or the pieces of a tokenizer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import _checks
from ..io import FileFormatError
from ..vocab import Vocabulary
from ._words import composed, joined, words

__all__ = ["END", "START", "UNITS", "Pieces", "Tokens", "Units", "from_file"]

#: What `unit` may be.
UNITS = ("characters", "words")

#: The marks of the start and the end of a sentence.
START, END = "<s>", "</s>"


class Units(Protocol):
    """The ids of texts, and the texts of ids."""

    @property
    def start(self) -> int | None:
        """The id of the mark where sentences start; None where a model reads one text."""
        ...

    @property
    def end(self) -> int | None:
        """That of their end."""
        ...

    @property
    def name(self) -> str:
        """What they are called, in the plural."""
        ...

    @property
    def size(self) -> int:
        """How many ids there are."""
        ...

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that stand for no text."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, known or not, without marks."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """Their ids (N,)."""
        ...

    def decode(self, ids: Sequence[int], before: str = "", recent: Sequence[int] = ()) -> str:
        """The text of ids, to be put after the text `before`, whose last ids are `recent`."""
        ...

    def token(self, i: int) -> str:
        """One id as it is shown."""
        ...

    def unknown(self, text: str) -> tuple[list[str], int]:
        """What of a text, white space aside, is not known, and how many tokens it has."""
        ...

    def meta(self) -> dict[str, Any]:
        """What the file has to tell."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Characters or words, those that the model knows."""

    unit: str
    lowercase: bool
    vocab: Vocabulary

    @classmethod
    def of(cls, unit: str, lowercase: bool, texts: Iterable[str], sentences: bool, min_count: int) -> Tokens:
        """Made of the training texts.

        Raises
        ------
        ValueError
            None would be known.
        """
        itself = cls(unit, lowercase, Vocabulary([]))
        tokens = (token for text in texts for token in itself.tokens(text))
        vocab = Vocabulary.of(tokens, min_count, (START, END) if sentences else ())
        if not vocab.known:
            times = "twice" if min_count == 2 else f"min_count={min_count} times"
            raise ValueError(
                f"LanguageModel: no {unit.removesuffix('s')} of text occurs {times}, so none would be known; "
                "give a longer text" + " or a smaller min_count" * (min_count > 1)
            )
        return cls(unit, lowercase, vocab)

    @property
    def name(self) -> str:
        return self.unit

    @property
    def size(self) -> int:
        return len(self.vocab)

    @property
    def start(self) -> int | None:
        return 1 if self.vocab.specials else None

    @property
    def end(self) -> int | None:
        return 2 if self.vocab.specials else None

    @property
    def never_written(self) -> tuple[int, ...]:
        return (self.vocab.unknown_id, *([] if self.start is None else [self.start]))

    def tokens(self, text: str) -> list[str]:
        text = composed(text.lower() if self.lowercase else text)
        return words(text, lines=True) if self.unit == "words" else list(text)

    def encode(self, text: str) -> np.ndarray:
        return self.vocab.encode(self.tokens(text))

    def decode(self, ids: Sequence[int], before: str = "", recent: Sequence[int] = ()) -> str:
        tokens = self.vocab.decode(ids)
        return joined(tokens, before) if self.unit == "words" else "".join(tokens)

    def token(self, i: int) -> str:
        return self.vocab.tokens[i]

    def unknown(self, text: str) -> tuple[list[str], int]:
        tokens = self.tokens(text)
        return [t for t in tokens if t not in self.vocab and not t.isspace()], len(tokens)

    def meta(self) -> dict[str, Any]:
        return {"vocab": list(self.vocab.known), "specials": list(self.vocab.specials)}


class Pieces:
    """The pieces of another library's tokenizer, with the marks of sentences after them."""

    def __init__(self, tokenizer: Any, sentences: bool, size: int | None = None) -> None:
        for method in ("encode", "decode"):
            if not hasattr(tokenizer, method):
                raise TypeError(
                    f"LanguageModel: tokenizer is {_checks.kind(tokenizer)} without {method}; expected "
                    "encode(text).ids and decode(ids), as those of the library tokenizers have"
                )
        self.tokenizer = tokenizer
        self.pieces = _number_of_pieces(tokenizer) if size is None else size
        self.start = self.pieces if sentences else None
        self.end = self.pieces + 1 if sentences else None

    @property
    def name(self) -> str:
        return "tokens"

    @property
    def size(self) -> int:
        return self.pieces + 2 * (self.start is not None)

    @property
    def never_written(self) -> tuple[int, ...]:
        return () if self.start is None else (self.start,)

    def tokens(self, text: str) -> list[str]:
        return [self.decode([i]) for i in self.encode(text)]

    def encode(self, text: str) -> np.ndarray:
        ids = np.array(self.tokenizer.encode(text).ids, np.int64).reshape(-1)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.pieces:
            raise ValueError(
                f"LanguageModel: tokenizer gave the id {ids.max()}; it had {self.pieces} tokens when the "
                "model was made; give the same tokenizer"
            )
        return ids

    def decode(self, ids: Sequence[int], before: str = "", recent: Sequence[int] = ()) -> str:
        context = [int(i) for i in recent if i < self.pieces]  # without marks
        whole = self.tokenizer.decode([*context, *(int(i) for i in ids)])
        said = self.tokenizer.decode(context) if context else ""
        same = (a == b for a, b in zip(said, whole, strict=False))
        return whole[sum(itertools.takewhile(bool, same)) :]

    def token(self, i: int) -> str:
        if self.start is not None and i >= self.start:
            return (START, END)[i - self.start]
        return self.decode([i])

    def unknown(self, text: str) -> tuple[list[str], int]:
        return [], len(self.encode(text))  # what is unknown, it says itself

    def meta(self) -> dict[str, Any]:
        text = self.tokenizer.to_str() if hasattr(self.tokenizer, "to_str") else None
        return {"tokenizer": text, "pieces": self.pieces, "sentences": self.start is not None}


def _number_of_pieces(tokenizer: Any) -> int:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    if hasattr(tokenizer, "vocab_size"):
        return int(tokenizer.vocab_size)
    raise TypeError(
        f"LanguageModel: tokenizer is {_checks.kind(tokenizer)} that does not say how many tokens it has; "
        "expected get_vocab_size() or vocab_size"
    )


def from_file(unit: str, lowercase: bool, meta: dict[str, Any], tokenizer: Any) -> Units:
    """The units that `meta` told of; `tokenizer` stands in for one that the file does not hold."""
    if "vocab" in meta:
        if unit not in UNITS or meta["specials"] not in ([], [START, END]):
            raise ValueError(f"unit is {unit!r}, with the marks {meta['specials']!r}")
        return Tokens(unit, lowercase, Vocabulary(meta["vocab"], meta["specials"]))
    if tokenizer is None:
        tokenizer = _tokenizer(meta["tokenizer"])
    who = "LanguageModel"
    pieces = _checks.size(who, "pieces", meta["pieces"], least=0)
    return Pieces(tokenizer, _checks.flag(who, "sentences", meta["sentences"]), pieces)


def _tokenizer(text: str | None) -> Any:
    if text is None:
        raise FileFormatError(
            "the file does not hold the model's tokenizer, which could not be written; "
            "LanguageModel.load(path, tokenizer=...)"
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            'tokenizers is needed for this model and cannot be imported; pip install "fastrnn[tokenizers]"'
        ) from error
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # it raises nothing narrower
        raise ValueError(f"the tokenizer cannot be read: {error}") from error
