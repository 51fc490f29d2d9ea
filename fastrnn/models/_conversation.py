"""A language model that remembers what it read and wrote."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, io
from ..losses import softmax
from ._finite import finite

if TYPE_CHECKING:
    from .language_model import LanguageModel

__all__ = ["Conversation", "choose"]

_VERSION = 1

#: Ids that are kept of what was said.
_RECENT = 16


class Conversation:
    """A language model with a state that goes on from call to call: `LanguageModel.conversation` makes it.

    Reading and writing piece by piece, cut between tokens, is the same, bit for bit, as reading all of it at
    once.

    Parameters
    ----------
    model : LanguageModel
    seed : int, optional
        Of all that `write` draws; the state of the generator is saved, too.

    Attributes
    ----------
    text : str
        All that was read and written.

    Examples
    --------
    >>> from fastrnn.models import LanguageModel
    >>> model = LanguageModel(hidden_size=32, num_layers=1)
    >>> _ = model.fit("the cat sat on the mat. " * 50, epochs=40, batch_size=4, chunk_size=16)
    >>> chat = model.conversation(seed=0)
    >>> chat.read("the cat").write(4, temperature=0)
    ' sat'
    >>> chat.read(" on").write(until=".", temperature=0)
    ' the mat.'
    >>> chat.text
    'the cat sat on the mat.'
    """

    def __init__(self, model: LanguageModel, seed: int | None = None) -> None:
        if seed is not None:
            seed = _checks.size("Conversation", "seed", seed, least=0)
        self.model = model
        self.text = ""
        self._rng = np.random.default_rng(seed)
        self._state: Any = None
        self._logits: np.ndarray | None = None  # (V,), of the token that comes next
        self._at_start = True  # of a sentence
        self._recent: list[int] = []  # the last ids: what comes after them may read otherwise than alone

    def read(self, text: str) -> Conversation:
        """Read on; return the conversation.

        Of a model of sentences, what is read begins one, where the last was written to its end.
        """
        units = self.model.units
        if not isinstance(text, str):
            raise TypeError(f"Conversation.read: text is {_checks.kind(text)}; expected a str")
        ids = units.encode(text)
        if self._at_start and units.start is not None:
            ids = np.concatenate([[units.start], ids])
        if len(ids):
            logits, state = self.model.network.read(ids, self._state)
            self._go_on(text, ids.tolist(), state, logits, at_start=False)
        else:
            self.text += text
        return self

    def _go_on(self, text: str, ids: list[int], state: Any, logits: np.ndarray, at_start: bool) -> None:
        """Take in what was read or written, all of it together."""
        self.text += text
        self._recent = [*self._recent, *ids][-_RECENT:]
        self._state, self._logits, self._at_start = state, logits, at_start

    def next(self, k: int = 10) -> list[tuple[str, float]]:
        """Return the `k` likeliest next tokens with their probabilities, the likeliest first."""
        return self._likeliest("Conversation.next", k)

    def _likeliest(self, who: str, k: int) -> list[tuple[str, float]]:
        units = self.model.units
        k = _checks.size(who, "k", k)
        p = softmax(self._next(who).astype(np.float64))
        order = _ordered(p, units.never_written)[:k]
        return [(units.token(int(i)), float(p[i])) for i in order]

    def write(
        self,
        length: int = 200,
        *,
        until: str | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> str:
        """Write on; return what was written. The arguments are those of `LanguageModel.generate`.

        After an error or Ctrl-C the conversation is as before.
        """
        return self._write("Conversation.write", length, until, temperature, top_k, top_p)

    def _write(self, who: str, length: Any, until: Any, temperature: Any, top_k: Any, top_p: Any) -> str:
        units = self.model.units
        options = _choice(who, temperature, top_k, top_p)
        length = _checks.size(who, "length", length, least=0)
        if until is not None and (not isinstance(until, str) or not until):
            raise ValueError(f"{who}: until is {until!r}; expected a str of at least one character")
        logits, state, ended = self._next(who), self._state, False
        written: list[int] = []
        generator = self._rng.bit_generator.state
        try:
            while len(written) < length and not ended:
                chosen = choose(logits, *options, self._rng, units.never_written)
                ended = chosen == units.end
                if not ended:
                    written.append(chosen)
                    after, state = self.model.network.step(np.array([chosen]), state)
                    logits = finite(who, after[0])
                    if until is not None and self._holds(written, until):
                        break
            said = units.decode(written, self.text, self._recent)
        except BaseException:
            self._rng.bit_generator.state = generator
            raise
        self._go_on(said, written, state, logits, ended)
        return said

    def _holds(self, written: list[int], until: str) -> bool:
        """Whether the last of what was written holds `until`, which what comes before does not.

        It is looked for in so many of the last tokens that it cannot have begun before them: a token may
        stand for less than a character, or for none.
        """
        units, count = self.model.units, len(until) + 1
        while count < len(written) and len(units.decode(written[-count:-1])) < len(until):
            count *= 2
        if count < len(written):
            return until in units.decode(written[-count:], "", written[:-count][-_RECENT:])
        return until in units.decode(written, self.text, self._recent)

    def _next(self, who: str) -> np.ndarray:
        """The logits of the next token."""
        if self._at_start and self.model.units.start is not None:
            self.read("")
        if self._logits is None:
            raise ValueError(f"{who}: nothing was read yet; read at least one token first")
        return finite(who, self._logits)

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation, without the model, to a ``.npz`` file, atomically."""
        arrays = {} if self._logits is None else {"logits": self._logits}
        if self._state is not None:
            arrays |= {f"state.{i}": part for i, part in enumerate(_parts(self._state))}
        io.save(
            path,
            arrays,
            kind="Conversation",
            version=_VERSION,
            model=_fingerprint(self.model),
            text=self.text,
            at_start=self._at_start,
            recent=self._recent,
            generator=self._rng.bit_generator.state,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: LanguageModel) -> Conversation:
        """Go on with a conversation that `save` wrote, with the same model.

        Raises
        ------
        fastrnn.io.FileFormatError
            The file is damaged, or holds something else.
        ValueError
            It is a conversation with another model.
        """
        arrays, meta = io.load(path)
        given = os.fspath(path)
        if meta.get("kind") != "Conversation" or meta.get("version") != _VERSION:
            raise io.FileFormatError(
                f"{given}: it holds {meta.get('kind', 'arrays')!r} of version {meta.get('version')!r}; "
                f"expected a Conversation of version {_VERSION}"
            )
        if meta.get("model") != _fingerprint(model):
            raise ValueError(
                f"{given}: a conversation with another model, or with this one before it learned more; load "
                "the model that it was saved with"
            )
        itself = cls(model)
        try:
            itself._restore(arrays, meta)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise io.FileFormatError(f"{given}: not a whole Conversation: {error!r}") from error
        return itself

    def _restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        network = self.model.network
        empty, state = network(np.zeros((0, 1), np.int64))
        if arrays:
            parts = tuple(arrays[f"state.{i}"] for i in range(len(_parts(state))))
            likes = empty.sum(0)[0], *_parts(state)
            for part, like in zip((arrays["logits"], *parts), likes, strict=True):
                if part.shape != like.shape or part.dtype != like.dtype:
                    raise ValueError(
                        f"{part.dtype} of shape {part.shape}; expected {like.dtype} {like.shape}"
                    )
                if not np.isfinite(part).all():
                    raise ValueError("its state is not finite")
            self._logits, self._state = arrays["logits"], parts if len(parts) > 1 else parts[0]
        if not isinstance(meta["text"], str) or not isinstance(meta["recent"], list):
            raise TypeError("text is no string, or recent no list")
        self.text, self._at_start = meta["text"], _checks.flag("Conversation", "at_start", meta["at_start"])
        self._recent = [_checks.size("Conversation", "recent", i, least=0) for i in meta["recent"]]
        if max(self._recent, default=0) >= self.model.units.size:
            raise ValueError(f"recent has the id {max(self._recent)}")
        self._rng.bit_generator.state = meta["generator"]


def _choice(who: str, temperature: Any, top_k: Any, top_p: Any) -> tuple[float, int | None, float | None]:
    """How to draw a token, checked."""
    temperature = _number(who, "temperature", temperature)
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"{who}: temperature is {temperature}; expected 0 or more")
    if top_k is not None:
        top_k = _checks.size(who, "top_k", top_k)
    if top_p is not None and not 0 < _number(who, "top_p", top_p) <= 1:
        raise ValueError(f"{who}: top_p is {top_p}; expected more than 0, up to 1")
    return temperature, top_k, top_p


def _number(who: str, argument: str, value: Any) -> Any:
    """The value, which is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{who}: {argument} is {value!r}; expected a number")
    return value


def choose(
    logits: np.ndarray,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    rng: np.random.Generator,
    never: Sequence[int],
) -> int:
    """Draw the next id from its logits (V,), which are finite, none of those in `never`."""
    order = _ordered(logits, never)[:top_k]
    if temperature == 0:
        return int(order[0])
    values = logits[order].astype(np.float64)
    with np.errstate(over="ignore"):  # what is far below the greatest is 0 then
        ends = np.cumsum(softmax((values - values[0]) / temperature))
    if top_p is not None:
        ends = ends[: 1 + int(np.searchsorted(ends, top_p * ends[-1], side="left"))]
    return int(order[np.searchsorted(ends, rng.random() * ends[-1], side="right")])


def _ordered(values: np.ndarray, never: Sequence[int]) -> np.ndarray:
    """The ids, the greatest value first, without some."""
    order = np.argsort(-values, kind="stable")
    return order[~np.isin(order, never)]


def _parts(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def _fingerprint(model: LanguageModel) -> int:
    """A number that other weights would hardly have."""
    value = 0
    for array in model.network.params.values():
        value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
    return value
