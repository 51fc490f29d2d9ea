"""Tokens to ids and back. A token is any string; where a text is given, its characters are the tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["UNKNOWN", "Vocabulary"]

#: How an unknown token reads when it is decoded: the replacement character.
UNKNOWN = "\ufffd"


class Vocabulary:
    """The known tokens in order; id 0 stands for every other one.

    Parameters
    ----------
    tokens : sequence of str
        The known tokens, ids 1, 2, ... in this order.

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
    """

    #: The id of every token that is not known.
    unknown_id = 0

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = (UNKNOWN, *tokens)
        for token in self.tokens:
            if not isinstance(token, str):
                raise TypeError(f"Vocabulary: {token!r} is a {type(token).__name__}; expected strings")
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens) or "" in self._ids:
            twice = [token for token, count in Counter(self.tokens).items() if count > 1 or not token]
            raise ValueError(
                f"Vocabulary: {twice[0]!r} is empty, given twice, or the mark of unknown tokens ({UNKNOWN!r})"
            )

    @classmethod
    def of(cls, tokens: Iterable[str], min_count: int = 2) -> Vocabulary:
        """Return the vocabulary of a text or of a sequence of tokens, the most frequent first.

        What occurs less than `min_count` times is left out: so a model meets unknown tokens when it is
        trained, and learns how likely they are.
        """
        counts = Counter(tokens)
        counts.pop(UNKNOWN, None)
        known = [token for token, count in counts.items() if count >= min_count]
        return cls(sorted(known, key=lambda token: (-counts[token], token)))

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
        return token in self._ids and token != UNKNOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary of {len(self)} tokens, {len(self) - 1} of them known"
