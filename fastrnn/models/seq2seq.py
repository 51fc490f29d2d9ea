"""From one sequence to another: translation, transliteration, pronunciation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Unpack, overload

import numpy as np

from .. import _checks, cells
from ..losses import cross_entropy
from . import _files, _inputs
from ._beam import Found, Marks, search
from ._edits import edit_distance
from ._score import total
from ._sequences import Options, SequenceModel, padded, together
from ._translator import ATTENTIONS, TranslationNetwork

__all__ = ["Seq2Seq"]

_SPECIALS = ("<start>", "<end>")
_MARKS = Marks(unknown=0, start=1, end=2)

#: Tokens of a target that a file may tell of: more can hardly be trained, and would be searched for long.
_LONGEST = 1 << 24

#: With greater ones the score of a long hypothesis is no number any more.
_GREATEST_PENALTY = 10

#: Hypotheses that are followed at once, and logits that are looked at; the bits depend on neither.
_AT_ONCE, _LOGITS = 256, 1 << 22


class Seq2Seq(SequenceModel):
    r"""A sequence of tokens for each sequence, by an encoder and a decoder with attention.

    X is what it is for all models, see `SequenceModel`. y is a list of strings, or of lists of strings, the
    tokens; `translate` returns the same.

    The encoder reads the source; its last states, of both directions through ``tanh(W (h, h') + b)`` of each
    state and layer, are those with which the decoder begins. The decoder is a layer of its own over the
    tokens so far, whose output :math:`h_t` looks at the encoder's outputs :math:`m_s`:

    .. math::

        c_t = \sum_s a_{ts} m_s, \quad \tilde h_t = \tanh(W_c (h_t, c_t) + b_c), \quad
        p(y_t) = softmax(W \tilde h_t + b)

    This is Luong et al.'s place of attention, after the recurrent layers, without input feeding: c does not
    go into the recurrent layers, so that training runs them over all steps at once. ``attention="additive"``
    stands in the same place with Bahdanau et al.'s scores; in their paper c feeds the cell instead.

    `score` is the part of the sequences that are translated exactly as y says; `error_rate` counts edits.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Of encoder and decoder: any cell, with any options; ``cells.GRU()`` if not given.
    attention : {"dot", "additive"} or None
        How decoder and memory are compared: ``h_t W m_s`` (`fastrnn.nn.DotAttention`, "general" in its
        paper), ``v tanh(U h_t + b + W m_s)`` (`fastrnn.nn.AdditiveAttention`), or not at all: then the last
        states are all that the decoder has of the source.
    outputs : {"auto", "words", "characters", "tokens"}
        What the steps of y are. "auto": strings are split into words, lists are tokens. Words go back to
        strings with a space between them.
    bidirectional : bool
        Of the encoder; True if not given.
    teacher_forcing : float
        The part of the decoder's inputs that in training are the right tokens. The others are those that the
        model itself puts there, found in a first run over the batch with the right ones (scheduled sampling
        in parallel), at twice the time; 1: all are right.
    dropout : float
        In training: of the embeddings, between the layers, and of what the last Linear reads.
    **options
        As `SequenceModel`; `min_count` holds for the targets, `lowercase` does not.

    Attributes
    ----------
    network_, history_
        As `SequenceModel`. The validation loss is that of each token after the right ones, in nats; the
        validation score that of greedy translations.

    References
    ----------
    Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", 2014; Bahdanau, Cho and
    Bengio, "Neural machine translation by jointly learning to align and translate", 2015; Luong, Pham and
    Manning, "Effective approaches to attention-based neural machine translation", 2015; Mihaylova and
    Martins, "Scheduled sampling for transformers", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import Seq2Seq
    >>> rng = np.random.default_rng(0)
    >>> X = ["".join(rng.choice(list("abcde"), rng.integers(1, 6))) for _ in range(300)]
    >>> model = Seq2Seq(hidden_size=32, inputs="characters", outputs="characters")
    >>> model = model.fit(X, [x[::-1] for x in X], epochs=15)
    >>> model.translate(["abc", "ed"])
    ['cba', 'de']
    """

    pool = None
    _counts = "tokens"
    _elsewhere: ClassVar[dict[str, str]] = {"predict": "translate(X) says what each sequence becomes"}
    _criterion = staticmethod(cross_entropy)
    _settings: ClassVar[tuple[str, ...]] = (
        *SequenceModel._settings,
        "attention",
        "outputs",
        "teacher_forcing",
    )
    _target: _inputs.Text
    _longest: int  # target of the training data

    def __init__(  # type: ignore[misc]  # bidirectional is one of the options, by another default
        self,
        cell: cells.Cell | str | None = None,
        *,
        attention: str | None = "dot",
        outputs: str = "auto",
        teacher_forcing: float = 1.0,
        bidirectional: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(cell, bidirectional=bidirectional, **options)
        self.attention = attention
        self.outputs = outputs
        self.teacher_forcing = teacher_forcing

    # ---- translating ----

    @overload
    def translate(
        self, X: Any, beam_size: int = ..., *, length_penalty: float = ..., max_length: int | None = ...,
        return_attention: Literal[False] = ...,
    ) -> list[Any]: ...  # fmt: skip
    @overload
    def translate(
        self, X: Any, beam_size: int = ..., *, length_penalty: float = ..., max_length: int | None = ...,
        return_attention: Literal[True],
    ) -> tuple[list[Any], list[np.ndarray]]: ...  # fmt: skip
    def translate(
        self,
        X: Any,
        beam_size: int = 1,
        *,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        return_attention: bool = False,
    ) -> Any:
        """Return what each sequence becomes: strings, or lists of tokens, as y was.

        The bits depend neither on the other sequences nor on the number of threads or the instruction set.
        Of hypotheses that are equally good the one whose tokens are more frequent in the training data wins,
        and a token that the model does not know is never put out.

        Parameters
        ----------
        X
            Sequences.
        beam_size : int
            Hypotheses that are followed; 1: always the likeliest token.
        length_penalty : float
            a in the score of a hypothesis, log-probability / length ** a, 0 to 10; 0: the log-probability
            itself, which prefers the short ones. The length counts the end.
        max_length : int, optional
            Tokens of a translation; as many as the longest of the training data if not given.
        return_attention : bool
            Return what each token looked at, too.

        Returns
        -------
        translations : list
        weights : list of arrays, (tokens of the translation, steps of the sequence)
            With `return_attention` only; `fastrnn.plot.attention` draws one.

        Raises
        ------
        ValueError, TypeError
            An argument or a sequence that cannot be; weights of a model without attention.
        """
        found = self._found(
            "translate",
            X,
            beam_size=beam_size,
            length_penalty=length_penalty,
            max_length=max_length,
            weights=_checks.flag(f"{type(self).__name__}.translate", "return_attention", return_attention),
        )
        model = self._fitted()
        texts = [model._text(model._target.vocab.decode(each.ids)) for each in found]
        return (texts, [each.weights for each in found]) if return_attention else texts

    def score(self, X: Any, y: Any = None, *, beam_size: int = 1, length_penalty: float = 1.0) -> float:
        """Return the part of the sequences that are translated exactly as y says.

        Parameters
        ----------
        X, y
            Sequences and what they should become.
        beam_size, length_penalty
            As for `translate`.
        """
        found, right = self._compared("score", X, y, beam_size, length_penalty)
        return float(np.mean([a == b for a, b in zip(found, right, strict=True)]))

    def error_rate(self, X: Any, y: Any = None, *, beam_size: int = 1, length_penalty: float = 1.0) -> float:
        """Return how many edits make y of the translations, for each token of y.

        It is the phoneme, character or word error rate, by what the tokens are; `edit_distance` says what an
        edit is.

        Parameters
        ----------
        X, y
            Sequences and what they should become.
        beam_size, length_penalty
            As for `translate`.
        """
        found, right = self._compared("error_rate", X, y, beam_size, length_penalty)
        edits = sum(edit_distance(a, b) for a, b in zip(found, right, strict=True))
        return edits / sum(map(len, right))

    def _compared(
        self, method: str, X: Any, y: Any, beam_size: int, length_penalty: float
    ) -> tuple[list[list[str]], list[list[str]]]:
        """The tokens of the translations, and those of y."""
        model = self._fitted()
        who = f"{type(self).__name__}.{method}"
        X, y = model._pairs(who, X, y)
        right = model._target.tokens(who, _inputs.listed(who, y, "y"), "y")
        if len(right) != len(X):
            raise ValueError(f"{who}: X has {len(X)} sequences, and y has {len(right)} targets")
        found = self._found(
            method, X, beam_size=beam_size, length_penalty=length_penalty, max_length=None, weights=False
        )
        return [model._target.vocab.decode(each.ids) for each in found], right

    def _found(
        self,
        method: str,
        X: Any,
        *,
        beam_size: int,
        length_penalty: float,
        max_length: int | None,
        weights: bool,
    ) -> list[Found]:
        model, who = self._fitted(), f"{type(self).__name__}.{method}"
        beam_size = _checks.size(who, "beam_size", beam_size)
        length_penalty = _checks.not_negative(who, "length_penalty", length_penalty)
        if length_penalty > _GREATEST_PENALTY:
            raise ValueError(
                f"{who}: length_penalty is {length_penalty:g}; expected 0 to {_GREATEST_PENALTY}, such as 1.0"
            )
        longest = model._longest if max_length is None else _checks.size(who, "max_length", max_length)
        if longest > sys.maxsize:
            raise ValueError(f"{who}: max_length is greater than {sys.maxsize}; expected at most that")
        if weights and model.attention is None:
            raise ValueError(
                f"{who}: return_attention is True and the model has attention=None; make it with "
                "attention='dot'"
            )
        sequences = model._reader.read(who, X)
        _inputs.warn_of_unknown(who, model._reader, sequences)
        return model._search(model.network_, sequences, beam_size, length_penalty, longest, weights)

    def _search(
        self,
        network: TranslationNetwork,
        sequences: list[np.ndarray],
        beam_size: int = 1,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        weights: bool = False,
    ) -> list[Found]:
        """Translate sequences, some of about the same length at once."""
        results: dict[int, Found] = {}
        for places in together(sequences, max(1, _AT_ONCE // beam_size)):
            x, lengths = padded([sequences[i] for i in places])
            found = search(
                network,
                x,
                lengths,
                _MARKS,
                beam_size=beam_size,
                length_penalty=length_penalty,
                max_length=max_length or self._longest,
                weights=weights,
            )
            results.update(zip(places.tolist(), found, strict=True))
        return [results[i] for i in range(len(sequences))]

    def _text(self, tokens: list[str]) -> Any:
        if self._target.split == "tokens":
            return tokens
        return (" " if self._target.split == "words" else "").join(tokens)

    # ---- fitting ----

    def _check_settings(self, who: str) -> None:
        super()._check_settings(who)
        if self.attention is not None and self.attention not in ATTENTIONS:
            raise ValueError(
                f"{who}: attention is {self.attention!r}; expected one of {', '.join(ATTENTIONS)}, or None"
            )
        if self.outputs not in _SPLITS:
            raise ValueError(f"{who}: outputs is {self.outputs!r}; expected one of {', '.join(_SPLITS)}")
        self.teacher_forcing = _checks.probability(who, "teacher_forcing", self.teacher_forcing)

    def _make(self) -> TranslationNetwork:
        return TranslationNetwork(
            self._reader.size,
            self._outputs,
            self.cell,
            embedding_size=self.embedding_size,
            embedded=self._reader.embedded,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            init=self.init,
            attention=self.attention,
            rng=self.seed,
        )

    @property
    def _outputs(self) -> int:
        return self._target.size

    def _learn_targets(self, who: str, y: Any, lengths: Sequence[int], kept: np.ndarray) -> list[np.ndarray]:
        y = _inputs.listed(who, y, "y")
        split = self.outputs
        if split == "auto":
            split = "words" if isinstance(y[0], str) else "tokens"
        self._target, ids = _inputs.Text.learn(
            who, y, split, False, self.min_count, kept, argument="y", specials=_SPECIALS
        )
        self._longest = max(len(ids[i]) for i in kept)
        return ids

    def _read_targets(
        self, who: str, y: Any, lengths: Sequence[int], argument: str = "y"
    ) -> list[np.ndarray]:
        return self._target.read(who, y, argument)

    def _gradient(
        self, network: TranslationNetwork, sequences: list[np.ndarray], targets: list[np.ndarray]
    ) -> tuple[float, Mapping[str, np.ndarray], int]:
        x, lengths = padded(sequences)
        ids, wanted, inside = _shifted(targets)
        if self.teacher_forcing < 1:
            guesses = network(x, lengths, ids)
            guesses[..., list(_MARKS)] = -np.inf  # as in `search`: the decoder reads none of them there
            guessed = guesses.argmax(-1)
            own = network.rng.random(ids[1:].shape) >= self.teacher_forcing
            ids[1:] = np.where(own, guessed[:-1], ids[1:])
        logits, tape = network.forward(x, lengths, ids, inside)
        loss, dlogits = cross_entropy(logits, wanted[inside])
        return float(loss), network.backward(tape, dlogits), len(logits)

    def _validate(
        self, network: TranslationNetwork, sequences: list[np.ndarray], targets: list[np.ndarray]
    ) -> tuple[float, float]:
        values = []
        for places in together(sequences, _AT_ONCE):
            x, lengths = padded([sequences[i] for i in places])
            ids, wanted, inside = _shifted([targets[i] for i in places])
            steps = max(1, _LOGITS // (self._outputs * len(places)))
            values.append(network.log_probabilities(x, lengths, ids, wanted, steps)[inside])
        each_token = np.concatenate(values)
        found = self._search(network, sequences)
        right = [each.ids == ids.tolist() for each, ids in zip(found, targets, strict=True)]
        return -total(each_token) / len(each_token), float(np.mean(right))

    # ---- files ----

    def _meta(self) -> dict[str, Any]:
        return {"longest": self._longest, **self._target.meta()}

    def _from_meta(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        target = _inputs.from_file(dict(meta), {})
        if not isinstance(target, _inputs.Text) or target.vocab.specials != _SPECIALS:
            raise ValueError(f"targets are {meta['kind']!r} with marks {meta.get('specials')!r}")
        self._target = target
        self._longest = _checks.size("Seq2Seq", "longest", meta["longest"])
        if self._longest > _LONGEST:
            raise ValueError(f"longest is {self._longest}; expected at most {_LONGEST} tokens")

    def _check_shapes(self, weights: Mapping[str, np.ndarray]) -> None:
        size = self._reader.size
        embedding = {"target_embedding.weight": (self._outputs, self.embedding_size)}
        if self._reader.embedded:
            embedding["embedding.weight"] = size, self.embedding_size
            size = self.embedding_size
        width = self.cell.output_size(self.hidden_size)
        others = {"out.weight": (self._outputs, width), **embedding, **self._between(width)}
        layers = self.hidden_size, self.num_layers
        _files.check_shapes(weights, self.cell, size, *layers, self.bidirectional, others, "encoder")
        _files.check_shapes(weights, self.cell, self.embedding_size, *layers, False, {}, "decoder")

    def _between(self, width: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights between encoder and decoder."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.bidirectional:
            widths = self.cell.state_shapes(self.hidden_size).values()
            each = [own for own in widths for _ in range(self.num_layers)]
            shapes |= {f"bridge.linears.{i}.weight": (own, 2 * own) for i, own in enumerate(each)}
        if self.attention is not None:
            wide = width * (1 + self.bidirectional)
            shapes |= {"attention.key.weight": (width, wide), "combine.weight": (width, width + wide)}
        if self.attention == "additive":
            shapes |= {"attention.query.weight": (width, width)}
        return shapes


_SPLITS = ("auto", "words", "characters", "tokens")


def _shifted(targets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the decoder reads, what it should say after each, and which are inside, (T, B) each."""
    start, end = np.array([_MARKS.start]), np.array([_MARKS.end])
    ids, lengths = padded([np.concatenate([start, row]) for row in targets])
    wanted, _ = padded([np.concatenate([row, end]) for row in targets])
    return ids, wanted, np.arange(len(ids))[:, None] < lengths
