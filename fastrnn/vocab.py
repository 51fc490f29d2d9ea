"""Tokens to ids and back. A token is any string; where a text is given, its characters are the tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from . import _checks

__all__ = ["UNKNOWN", "Vocabulary"]

#: How an unknown token reads when it is decoded: the replacement character.
UNKNOWN = "\ufffd"


class Vocabulary:
    """The known tokens in order; id 0 stands for every other one.

    Parameters
    ----------
    tokens : sequence of str
        The known tokens, with the ids after those of the special ones, in this order.
    specials : sequence of str
        Marks that no text holds, such as those of the start and the end of a sentence: ids 1, 2, ... in this
        order. A token of a text that reads like one is unknown.

    Raises
    ------
    ValueError
        A token that is there twice, empty, or the mark of the unknown.
    TypeError
        A token that is not a string.

    Examples
    --------
    >>> vocab = Vocabulary.of("xin chào", min_count=1)
    >>> ids = vocab.encode("chào!")
    >>> ids.dtype, int(ids[-1]), len(vocab)
    (dtype('int64'), 0, 9)
    >>> "".join(vocab.decode(ids[:-1]))
    'chào'
    >>> vocab = Vocabulary.of(["the", "cat"], min_count=1, specials=["<s>", "</s>"])
    >>> vocab.tokens[1:], vocab.encode(["<s>", "cat"]).tolist()
    (('<s>', '</s>', 'cat', 'the'), [0, 3])
    """

    #: The id of every token that is not known.
    unknown_id = 0

    def __init__(self, tokens: Sequence[str], specials: Sequence[str] = ()) -> None:
        self.specials = tuple(specials)
        self.tokens = (UNKNOWN, *self.specials, *tokens)
        for token in self.tokens:
            if not isinstance(token, str):
                raise TypeError(f"Vocabulary: {token!r} is {_checks.kind(token)}; expected strings")
        first = 1 + len(self.specials)
        self._ids = {token: i for i, token in enumerate(self.tokens[first:], first)}
        if len(set(self.tokens)) != len(self.tokens) or "" in self.tokens:
            twice = [token for token, count in Counter(self.tokens).items() if count > 1 or not token]
            raise ValueError(
                f"Vocabulary: {twice[0]!r} is empty, given twice, or the mark of unknown tokens ({UNKNOWN!r})"
            )

    @classmethod
    def of(cls, tokens: Iterable[str], min_count: int = 2, specials: Sequence[str] = ()) -> Vocabulary:
        """Return the vocabulary of a text or of a sequence of tokens, the most frequent first.

        What occurs less than `min_count` times is left out: so a model meets unknown tokens when it is
        trained, and learns how likely they are.
        """
        counts = Counter(tokens)
        for mark in (UNKNOWN, *specials):
            counts.pop(mark, None)
        known = [token for token, count in counts.items() if count >= min_count]
        return cls(sorted(known, key=lambda token: (-counts[token], token)), specials)

    @property
    def known(self) -> tuple[str, ...]:
        """The tokens of texts, without the special ones: with `specials`, what makes this vocabulary."""
        return self.tokens[1 + len(self.specials) :]

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Return the ids (N,), int64, of a text's characters or of a sequence of tokens."""
        find = self._ids.get
        return np.fromiter((find(token, self.unknown_id) for token in tokens), np.int64)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids.

        Raises
        ------
        IndexError
            An id that is negative, or the vocabulary's length or more.
        """
        ids = list(ids)
        for i in ids:
            if not 0 <= i < len(self):
                raise IndexError(f"Vocabulary: id {i} is outside 0 <= id < {len(self)}")
        return [self.tokens[i] for i in ids]

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._made_of == other._made_of

    def __hash__(self) -> int:
        return hash(self._made_of)

    @property
    def _made_of(self) -> tuple[tuple[str, ...], ...]:
        return self.tokens, self.specials

    def __repr__(self) -> str:
        return f"Vocabulary of {len(self)} tokens, {len(self.known)} of them known"
