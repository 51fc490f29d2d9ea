"""Language models: which character, or word, comes next."""

from __future__ import annotations

import copy
import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast, overload

import numpy as np

from .. import _checks, cells, io
from .._warn import warn
from ..losses import log_softmax, softmax
from ..nn import init as initial
from ..optim import Adam
from ..train import Carry, History, Plateau, Step, fit
from ..vocab import Vocabulary
from . import _files, _lm_data
from ._conversation import Conversation
from ._finite import all_finite
from ._lm_network import Directions, Network
from ._manners import Model, NotFittedError
from ._score import LN2, Score, log_probabilities, perplexity, total
from ._units import UNITS, Pieces, Tokens, Units, from_file
from ._words import composed

__all__ = ["LanguageModel", "Network"]

#: A warning is given where a greater part of a text's tokens is unknown. (What stands only once in the text
#: that a model is made of is unknown too, but less.)
_NOTICEABLE = 0.2

#: What no text ends in that has one line, and is as short as a path.
_FILE_NAME = re.compile(
    r".{1,250}\.(csv|docx?|epub|gz|html?|json|jsonl|log|md|npz|pdf|py|rst|tex|tsv|txt|xml)",
    re.IGNORECASE,
)

#: How many tokens `fill` tries in a gap.
_SHORTLIST = 100

_NOT_TRAINED = "LanguageModel: not trained yet; call fit(text), or LanguageModel.load(path)"

Texts = str | Sequence[str]


class LanguageModel(Model):
    r"""A language model: it learns from texts which token follows, scores texts, fills gaps, and writes.

    A token is a character or a word. Those that occur less than `min_count` times in the training text, and
    those that do not occur at all, count as one "unknown" token. Everything is the same in every run with
    the same seed, bit for bit, whatever the number of threads; a score does not depend on what else is
    scored with it.

    It is fitted to *one text*, a str, which it reads as one long stream; or to *sentences*, a list of str,
    each of which it reads from a start to an end mark: then it also learns how sentences begin and end.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Any cell, with any options, such as ``cells.LSTM.variant("CIFG")``, or the name of one without,
        such as "LSTM"; ``cells.GRU()`` if not given.
    unit : {"characters", "words"}
        What a token is. Texts are brought to Unicode's composed form (NFC) first.
    tokenizer : optional
        What splits texts instead of `unit`: anything with ``encode(text).ids``, ``decode(ids)`` and
        ``get_vocab_size()`` or ``vocab_size``, as the tokenizers of the library tokenizers
        (``pip install "fastrnn[tokenizers]"``), which the model's file holds as well.
    embedding_size, hidden_size, num_layers : int
    dropout : float
        Between the layers, in training.
    tied : bool
        The weight of the last layer is the embedding's table, one parameter; `embedding_size` is then the
        layers' output size.
    init : mapping, optional
        How the layers' weights begin: arguments of `fastrnn.nn.init.recurrent`.
    bidirectional : bool
        Learn a second network that reads from right to left, for `fill`; the rest is the first one's.
    min_count : int
    lowercase : bool
        Whether texts are brought to lower case first.
    seed : int
        Of the initial weights, the training's offsets and dropout.

    Attributes
    ----------
    vocab : Vocabulary
        Made of the text of the first `fit` (or `build`).
    units : object
        How texts become ids and back.
    network : Network
        The network that reads from left to right; frozen except while it is trained.
    history_ : fastrnn.train.History
        Of the last `fit`.

    References
    ----------
    Mikolov et al., "Recurrent neural network based language model", 2010; Graves, "Generating sequences with
    recurrent neural networks", 2013; Peters et al., "Deep contextualized word representations", 2018 (two
    directions trained together).

    Examples
    --------
    >>> from fastrnn.models import LanguageModel
    >>> model = LanguageModel(hidden_size=32, num_layers=1)
    >>> model = model.fit("the cat sat on the mat. " * 50, epochs=20, batch_size=4, chunk_size=16)
    >>> model.bits_per_character("the cat sat on the mat. the mat") < 1
    True
    >>> model.generate("the cat sat", 5, temperature=0)
    ' on t'

    Words of sentences:

    >>> sentences = ["the sun is in the sky", "the fish is in the sea", "a sun and a sky"] * 20
    >>> model = LanguageModel(unit="words", bidirectional=True, hidden_size=24, num_layers=1)
    >>> model = model.fit(sentences, epochs=30, batch_size=8)
    >>> model.next("the fish is in the", k=1)[0][0]
    'sea'
    >>> model.fill("the ... is in the sky", k=1)[0][0]
    'sun'
    >>> [sentence for sentence, score in model.rank(["sky the in sun", "the sun is in the sky"])]
    ['the sun is in the sky', 'sky the in sun']
    """

    history_: History
    _elsewhere: ClassVar[dict[str, str]] = {
        "perplexity": "score(text).perplexity is it",
        "predict": "next(prompt) says what comes next, generate(prompt) writes on",
        "predict_proba": "next(prompt) says what comes next, with its probability",
        "sample": "generate(prompt) writes on",
        "network_": "it is network",
    }

    def __init__(
        self,
        cell: cells.Cell | str | None = None,
        *,
        unit: str = "characters",
        tokenizer: Any = None,
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 2,
        dropout: float = 0.0,
        tied: bool = False,
        init: initial.Options | None = None,
        bidirectional: bool = False,
        min_count: int = 2,
        lowercase: bool = False,
        seed: int = 0,
    ) -> None:
        self.cell = cells.GRU() if cell is None else cast(cells.Cell, cell)  # by name until `fit`
        self.unit = unit
        self.tokenizer = tokenizer
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.tied = tied
        self.init = init
        self.bidirectional = bidirectional
        self.min_count = min_count
        self.lowercase = lowercase
        self.seed = seed
        self._units: Units | None = None
        self._directions: Directions | None = None
        self._made_with: dict[str, Any] = {}  # the settings, whatever is set since

    @property
    def units(self) -> Units:
        """How texts become ids and back."""
        if self._units is None:
            raise NotFittedError(_NOT_TRAINED)
        return self._units

    @property
    def vocab(self) -> Vocabulary:
        """The tokens that the model knows."""
        units = self.units
        if not isinstance(units, Tokens):
            raise AttributeError("LanguageModel: the model has a tokenizer, and no vocabulary of its own")
        return units.vocab

    @property
    def network(self) -> Network:
        """The module with the parameters."""
        return self._trained().ahead

    @property
    def _is_fitted(self) -> bool:
        return self._directions is not None

    def _trained(self) -> Directions:
        if self._directions is None:
            raise NotFittedError(_NOT_TRAINED)
        return self._directions

    # ---- making ----

    def build(self, text: Texts) -> None:
        """Make vocabulary and network for a text or sentences, untrained; `fit` does so if needed.

        Raises
        ------
        ValueError
            No token occurs often enough, so that none would be known.
        """
        who = "LanguageModel.build"
        self._check_settings(who)
        units = self._learned(_texts(who, "text", text), isinstance(text, str))
        self._units, self._directions, self._made_with = units, self._made(units), self._meta()

    def _learned(self, texts: Sequence[str], one: bool) -> Units:
        if self.tokenizer is not None:
            return Pieces(self.tokenizer, sentences=not one)
        return Tokens.of(self.unit, self.lowercase, texts, not one, self.min_count)

    def _made(self, units: Units) -> Directions:
        """The networks, untrained."""
        made = [
            Network(
                units.size,
                self.cell,
                self.embedding_size,
                self.hidden_size,
                self.num_layers,
                self.dropout,
                seed,
                self.tied,
                self.init,
            )
            for seed in ([self.seed, [self.seed, 2]] if self.bidirectional else [self.seed])
        ]
        return Directions(*made).freeze()

    def _check_settings(self, who: str) -> None:
        """Check the settings, and make numbers of Python of those of NumPy."""
        self.cell = _checks.cell_or_name(who, self.cell)
        if self.unit not in UNITS:
            raise ValueError(f"{who}: unit is {self.unit!r}; expected one of {', '.join(UNITS)}")
        for name in ("embedding_size", "hidden_size", "num_layers", "min_count"):
            setattr(self, name, _checks.size(who, name, getattr(self, name)))
        for name in ("tied", "bidirectional", "lowercase"):
            setattr(self, name, _checks.flag(who, name, getattr(self, name)))
        self.dropout = _checks.dropout(who, self.dropout)
        self.init = None if self.init is None else initial.options(who, self.init)
        self.seed = _checks.size(who, "seed", self.seed, least=0)
        for name, usual in _OF_VOCABULARY.items() if self.tokenizer is not None else ():
            if getattr(self, name) != usual:
                raise ValueError(
                    f"{who}: {name} is {getattr(self, name)!r}, and the tokenizer splits the texts as it "
                    f"does; leave {name} out"
                )

    def _check_unchanged(self, who: str, units: Units) -> None:
        """Refuse settings that were set after the model was made, and to which it would not listen."""
        now = self._meta() | {"tokenizer": self.tokenizer}
        made = self._made_with | {"tokenizer": units.tokenizer if isinstance(units, Pieces) else None}
        for name, value in now.items():
            if name != "seed" and value != made[name]:
                before = _files.cell_from(made[name]) if name == "cell" else made[name]
                raise ValueError(
                    f"{who}: {name} is {getattr(self, name)!r:.80} now, and the model was made with "
                    f"{before!r:.80}; a second fit goes on with what there is: set it back, or make a new "
                    "LanguageModel"
                )

    # ---- training ----

    def fit(
        self,
        text: Texts,
        *,
        epochs: int = 5,
        batch_size: int = 16,
        chunk_size: int = 64,
        lr: float = 4e-3,
        schedule: str | Callable[[float], float] | Step | Plateau = "cosine",
        max_norm: float = 1.0,
        validation: float | Texts | None = None,
        patience: int | None = None,
        seconds: float = math.inf,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_steps: int | None = None,
        resume: bool | str | os.PathLike[str] | None = False,
    ) -> Self:
        """Train on a text or on sentences, with Adam; a second call goes on from the first.

        It goes on with the network and the vocabulary that there are: of the settings, `seed` alone may be
        another one than in the first call.

        With dropout it goes on to other bits where the model was saved and loaded between the calls: a file
        does not hold how far the drawing of what is dropped had come.

        A text is read as `batch_size` streams side by side, `chunk_size` tokens at a time (truncated
        back-propagation through time); states are carried from chunk to chunk, gradients are not. Sentences
        are read whole, `batch_size` of about the same length at a time. Ctrl-C ends the training early, with
        the model trained so far; ``history_.stopped`` says so.

        Parameters
        ----------
        text : str, or list of str
        epochs : int
            How often the text is read, each time cut at other places.
        batch_size, chunk_size : int
        lr, max_norm : float
            Learning rate at the start, and the norm to which gradients are clipped.
        schedule : {"cosine", "constant", "step", "plateau"}, function, train.Step or train.Plateau
            The factor of the learning rate for the done part of the training, 0 to 1.
        validation : float, str or list of str, optional
            Which part to hold out, the end of a text or some of the sentences, or other data of the same
            kind: for a loss in nats and a perplexity after each epoch.
        patience : int, optional
            Stop when the validation loss was not the least for so many epochs; the weights are then those of
            the best epoch.
        seconds : float
            Stop when so much time is over.
        progress : bool
            Show a progress bar.
        checkpoint : path-like, optional
            Write the training to this file after each epoch and when it stops, so that it can go on.
        checkpoint_steps : int, optional
            Write it after every so many steps instead.
        resume : bool or path-like
            Go on from this file; True: from `checkpoint`, where that is there. With the same data and
            options the end is the same, bit for bit, as without the stop.

        Returns
        -------
        self

        Raises
        ------
        FloatingPointError, OSError
            The loss or a weight is not finite; the checkpoint cannot be written. The model is that of the
            last step before, with `patience` that of the best epoch; where there is none whose weights are
            finite, it is as before.
        ValueError, TypeError
            An argument out of its range, or a text that is too short for the streams; and any other error:
            the model is as before.

        Warns
        -----
        UserWarning
            Many of the text's tokens are unknown to a model that was made of another text.
        """
        who = "LanguageModel.fit"
        self._check_settings(who)
        texts, one = _texts(who, "text", text), isinstance(text, str)
        batch_size = _checks.size(who, "batch_size", batch_size)
        chunk_size = _checks.size(who, "chunk_size", chunk_size)
        if one:
            _check_is_a_text(who, "text", texts[0])
        if isinstance(validation, str):
            _check_is_a_text(who, "validation", validation)
        texts, held = self._split(who, texts, one, validation)
        if one:
            _check_length(who, len(texts[0]), "characters", batch_size)
        if self._units is None or self._directions is None:
            units = self._learned(texts, one)
            directions = None
        else:
            units, directions = self._units, self._directions
            if one != (units.start is None):
                made, came = ("sentences", "one text") if one else ("one text", "sentences")
                raise ValueError(
                    f"{who}: text is {came}, and the model was made of {made}; give it the same, or make a "
                    "new LanguageModel"
                )
            self._check_unchanged(who, units)
            self._warn_of_unknown(who, "text", texts, units)
        rows = [_lm_data.marked(units, units.encode(t)) for t in texts]
        corpus = _corpus(who, rows, one, units, batch_size, chunk_size, self.seed)
        whole = "validation" if isinstance(validation, str) else f"validation={validation} of text"
        others = [_row(who, whole if one else f"validation[{i}]", units, t) for i, t in enumerate(held)]
        made_with = self._made_with
        if directions is None:
            directions, made_with = self._made(units), self._meta()
        self._train(
            units,
            copy.deepcopy(directions).thaw(),
            made_with,
            corpus,
            others,
            lr=lr,
            options={
                "epochs": epochs,
                "patience": patience,
                "schedule": schedule,
                "max_norm": max_norm,
                "seconds": seconds,
                "progress": progress,
                "checkpoint": checkpoint,
                "checkpoint_steps": checkpoint_steps,
                "resume": resume,
                "about": {"model": "LanguageModel", **made_with, "data": _fingerprint([*rows, *others])},
            },
        )
        self._warn_of_interrupt("fit")
        return self

    def _split(
        self, who: str, texts: Sequence[str], one: bool, validation: Any
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The texts to train on, and those to validate on."""
        if validation is None:
            return texts, []
        if isinstance(validation, (float, np.floating)):
            count = len(texts[0]) if one else len(texts)
            if not 0 < validation < 1 or count < 4:
                raise ValueError(
                    f"{who}: validation is {validation} of {count} {'characters' if one else 'sentences'}; "
                    "expected a part, more than 0.0 and less than 1.0, of at least 4; or other data"
                )
            out = min(max(2, round(validation * count)), count - 2)
            if one:
                return [texts[0][:-out]], [texts[0][-out:]]
            order = np.random.default_rng([self.seed, 1]).permutation(count)
            return [texts[i] for i in np.sort(order[out:])], [texts[i] for i in np.sort(order[:out])]
        held = _texts(who, "validation", validation)
        if isinstance(validation, str) != one:
            raise TypeError(
                f"{who}: validation is {_checks.kind(validation)}; expected "
                f"{'a str' if one else 'a list of str'}, as text is, or a part of it"
            )
        return texts, held

    def _train(
        self,
        units: Units,
        directions: Directions,
        made_with: dict[str, Any],
        corpus: _lm_data.Corpus,
        held: list[np.ndarray],
        lr: float,
        options: dict[str, Any],
    ) -> None:
        """Train networks that are not yet those of the model, and take them."""
        carry = Carry()

        def gradient(batch: Any) -> tuple[float, Mapping[str, np.ndarray], int]:
            chunks, step = corpus.chunks(batch), corpus.number(batch)
            before = {} if step is None or batch.chunk == 0 else carry.before(step)
            loss, grads, after = directions.gradient(chunks, before)
            if step is not None:
                carry.after(step, after)
            ahead = chunks["ahead"]
            return loss, grads, int(ahead.targets.size if ahead.lengths is None else ahead.lengths.sum())

        def validate() -> tuple[float, float]:
            loss = _mean_nats(directions, held)
            return loss, perplexity(loss)

        def take() -> None:
            self._units, self._directions, self._made_with = units, directions.freeze(), made_with
            self.history_ = history

        history = History(counts=units.name, measure="perplexity")
        try:
            fit(
                directions,
                Adam(directions, lr=lr),
                corpus.batches,
                gradient,
                validate=validate if held else None,
                carry=carry,
                history=history,
                **options,
            )
        except (FloatingPointError, OSError):
            if history.steps and all_finite(directions):
                take()
            raise
        take()

    # ---- texts and ids ----

    def encode(self, text: str) -> np.ndarray:
        """Return the ids (N,), int64, of a text, without marks of its start and end."""
        return self.units.encode(_text("LanguageModel.encode", "text", text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; of words, one that reads well."""
        return self.units.decode([int(i) for i in ids])

    # ---- scoring ----

    @overload
    def score(self, text: str) -> Score: ...  # type: ignore[overload-overlap]
    @overload
    def score(self, text: Sequence[str]) -> list[Score]: ...
    def score(self, text: Texts) -> Score | list[Score]:
        r"""Return how likely a text is, or each text of a list; a score's bits do not depend on the others.

        .. math::  \log p = \sum_t \log p(x_t \mid x_1, \ldots, x_{t-1})

        Of a model of sentences every token counts, and the end; of a model of one text all but the first
        token, which nothing comes before.

        Returns
        -------
        Score, or list of Score
            ``log_probability`` in nats, ``tokens``, ``bits``, ``bits_per_token``, ``perplexity``.

        Raises
        ------
        ValueError
            A text has less than two tokens, and the model is one of one text.
        """
        who = "LanguageModel.score"
        texts = _texts(who, "text", text)
        named = ["text"] if isinstance(text, str) else [f"text[{i}]" for i in range(len(texts))]
        units = self.units
        ids = [_row(who, argument, units, each) for argument, each in zip(named, texts, strict=True)]
        values = _both_ends(self.network, ids)
        scores = [Score(total(v), len(v)) for v in values]
        return scores[0] if isinstance(text, str) else scores

    def rank(self, texts: Sequence[str], by: str = "log_probability") -> list[tuple[str, Score]]:
        """Return texts with their scores, the likeliest first.

        Parameters
        ----------
        texts : list of str
        by : {"log_probability", "perplexity"}
            The second is for texts of different lengths: of the longer one the probability is less.
        """
        who = "LanguageModel.rank"
        if by not in ("log_probability", "perplexity"):
            raise ValueError(f"{who}: by is {by!r}; expected log_probability or perplexity")
        if isinstance(texts, str):
            raise TypeError(f"{who}: texts is a str; expected a list of them")
        texts = _texts(who, "texts", texts)
        scored = list(zip(texts, self.score(texts), strict=True))
        return sorted(scored, key=lambda pair: pair[1].perplexity if by == "perplexity" else pair[1].bits)

    def bits_per_character(self, text: str) -> float:
        """Return the mean of -log2 p(character | all before it) over a text, its first token left out.

        Of words, it is the bits of the words for each character of the text. Of a model of sentences the
        first token counts, and the mark of the end: as one more character where characters are the tokens,
        in its bits alone where words are.

        Raises
        ------
        ValueError
            The text has less than two tokens.
        """
        who = "LanguageModel.bits_per_character"
        units = self.units
        (values,) = _both_ends(self.network, [_row(who, "text", units, _text(who, "text", text))])
        characters = len(values)
        if not (isinstance(units, Tokens) and units.unit == "characters"):
            characters = len(composed(text))
        return -total(values) / LN2 / characters

    # ---- what comes next ----

    def next(self, prompt: str = "", k: int = 10) -> list[tuple[str, float]]:
        """Return the `k` likeliest tokens after a prompt with their probabilities, the likeliest first.

        The unknown token is left out; the probabilities are those among all. "</s>" is the end of a sentence.

        >>> model = LanguageModel(hidden_size=8, num_layers=1)
        >>> model = model.fit("ab" * 200, epochs=30)
        >>> [token for token, p in model.next("a", k=2)]
        ['b', 'a']
        """
        who = "LanguageModel.next"
        return self._read(who, prompt, None)._likeliest(who, k)

    def generate(
        self,
        prompt: str | None = None,
        length: int = 200,
        *,
        until: str | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Write on from a prompt; a model of sentences to the end of the sentence at most.

        Parameters
        ----------
        prompt : str, optional
            At least one token, a new line if not given; of a model of sentences nothing if not given.
        length : int
            How many tokens to write at most.
        until : str, optional
            Stop as soon as this was written, such as ``"\\n"``.
        temperature : float
            Below 1 the likely become likelier; 0 always takes the likeliest.
        top_k : int, optional
            Choose among the k likeliest tokens only.
        top_p : float, optional
            Choose among the likeliest tokens only that together have at least this probability (Holtzman et
            al., "The curious case of neural text degeneration", 2020).
        seed : int, optional
            The same seed writes the same text.

        Returns
        -------
        str
            What was written, without the prompt; it goes on right after it.

        Raises
        ------
        ValueError
            An empty prompt, a negative temperature or length, top_k less than 1, top_p not in (0, 1].

        Warns
        -----
        UserWarning
            Many of the prompt's tokens are unknown to the model.
        """
        who = "LanguageModel.generate"
        if prompt is None:
            prompt = "\n" if self.units.start is None else ""
        chat = self._read(who, prompt, seed)
        return chat._write(who, length, until, temperature, top_k, top_p)

    def _read(self, who: str, prompt: str, seed: int | None) -> Conversation:
        """A conversation that has read the prompt."""
        units = self.units
        prompt = _text(who, "prompt", prompt)
        if seed is not None:
            seed = _checks.size(who, "seed", seed, least=0)
        if units.start is None and not len(units.encode(prompt)):
            raise ValueError(f'{who}: prompt is empty; give at least one token, for example "\\n"')
        self._warn_of_unknown(who, "prompt", [prompt], units)
        return Conversation(self, seed).read(prompt)

    def conversation(
        self, path: str | os.PathLike[str] | None = None, *, seed: int | None = None
    ) -> Conversation:
        """Return a conversation, whose state goes on from call to call: a new one, or one that was saved.

        Parameters
        ----------
        path : path-like, optional
            What `Conversation.save` wrote, with this model.
        seed : int, optional
            Of what a new one draws.
        """
        self._trained()
        if path is None:
            return Conversation(self, seed)
        if seed is not None:
            raise TypeError("LanguageModel.conversation: seed is given; a saved conversation has its own")
        return Conversation.load(path, self)

    # ---- gaps ----

    def fill(
        self,
        text: str,
        k: int = 5,
        *,
        gap: str = "...",
        candidates: Sequence[str] | None = None,
    ) -> list[tuple[str, float]]:
        r"""Return what fits best into a gap, with its probability among what was tried, the best first.

        The whole text s(x), with x in the gap, is scored by both networks, from left to right and from right
        to left, and

        .. math::  p(x \mid s) \propto \sqrt{p_\rightarrow(s(x)) \, p_\leftarrow(s(x))}

        which is Bayes's rule for the geometric mean of the two models; exact, if they agreed, for any x. In
        a model of one text, neither counts the token that it begins with, which nothing comes before: at an
        edge of the text, the gap's own first or last token is counted by one of them only. If no
        candidates are given, x is one of the 100 tokens for which
        :math:`p_\rightarrow(x \mid left) \, p_\leftarrow(x \mid right)` is greatest.

        Parameters
        ----------
        text : str
            With one gap.
        k : int
            How many to return.
        gap : str
            What stands for it.
        candidates : list of str, optional
            Texts to try, of any number of tokens: such as words, for a model of characters.

        Raises
        ------
        ValueError
            The model is not ``bidirectional``; the text has no gap or several.
        """
        who = "LanguageModel.fill"
        directions, units = self._trained(), self.units
        if directions.back is None:
            raise ValueError(f"{who}: the model reads in one direction; make it with bidirectional=True")
        k = _checks.size(who, "k", k)
        if not _text(who, "gap", gap):
            raise ValueError(f"{who}: gap is ''; expected what stands in text for the gap, such as '...'")
        left, *right = _text(who, "text", text).split(gap)
        if len(right) != 1:
            raise ValueError(f"{who}: text has {len(right)} gaps {gap!r}; expected one")
        before, after = units.encode(left), units.encode(right[0])
        if candidates is None:
            ids = _shortlist(directions, units, before, after)
            names, fillings = [units.token(int(i)) for i in ids], [ids[i : i + 1] for i in range(len(ids))]
        else:
            names = list(_texts(who, "candidates", candidates))
            fillings = [units.encode(name) for name in names]
        rows = [_lm_data.marked(units, np.concatenate([before, x, after])) for x in fillings]
        if min(map(len, rows)) < 2:
            raise ValueError(f"{who}: text has less than 2 {units.name}, the gap counted; give more of it")
        ahead = _both_ends(directions.ahead, rows)
        back = _both_ends(directions.back, [row[::-1] for row in rows])
        p = softmax(np.array([(total(a) + total(b)) / 2 for a, b in zip(ahead, back, strict=True)]))
        return [(names[i], float(p[i])) for i in np.argsort(-p, kind="stable")[:k]]

    # ---- files ----

    def _meta(self) -> dict[str, Any]:
        return {
            "cell": _files.cell_meta(self.cell),
            **{name: getattr(self, name) for name in _SETTINGS},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.npz`` file, atomically; see `fastrnn.io.save`.

        A tokenizer is written where it has ``to_str``, as those of the library tokenizers have.
        """
        directions = self._trained()
        arrays = directions.ahead.state_dict()
        if directions.back is not None:
            arrays |= directions.back.state_dict("back.")
        io.save(path, arrays, kind="LanguageModel", version=1, units=self.units.meta(), **self._made_with)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, tokenizer: Any = None) -> LanguageModel:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        tokenizer : optional
            That of the model, where the file could not hold it.

        Raises
        ------
        fastrnn.io.FileFormatError
            The file is damaged, or holds something else.
        OSError
            It cannot be read.
        """
        arrays, meta = _files.read(path, "LanguageModel")
        told = meta.get("units")
        if tokenizer is not None and isinstance(told, dict) and "vocab" in told:
            raise TypeError(
                f"LanguageModel.load: tokenizer is given, and the model of {os.fspath(path)} reads "
                f"{meta.get('unit')}; leave it out"
            )
        try:
            settings = _files.settings(meta, _SETTINGS)
            model = cls._of(_files.cell_from(meta["cell"]), {**settings, "tokenizer": tokenizer})
            model._check_settings("LanguageModel")
            units = from_file(model.unit, model.lowercase, meta["units"], tokenizer)
            parts = [{name: a for name, a in arrays.items() if not name.startswith("back.")}]
            if model.bidirectional:
                parts.append({n.removeprefix("back."): a for n, a in arrays.items() if n.startswith("back.")})
            elif len(parts[0]) < len(arrays):
                raise ValueError("it has the weights of two directions, and bidirectional is False")
            for part in parts:
                model._check_sizes(units, part)
            directions = model._made(units).thaw()
            for (_, network), part in zip(directions.each(), parts, strict=True):
                network.load_state_dict(part)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise io.FileFormatError(f"{os.fspath(path)}: not a whole language model: {error}") from error
        if isinstance(units, Pieces):
            model.tokenizer = units.tokenizer
        model._units, model._directions, model._made_with = units, directions.freeze(), model._meta()
        model.history_ = History()
        return model

    def _check_sizes(self, units: Units, arrays: dict[str, np.ndarray]) -> None:
        """Compare the settings of a file with its arrays, before memory of that size is taken."""
        others = {"embedding.weight": (units.size, self.embedding_size), "out.bias": (units.size,)}
        if not self.tied:
            others["out.weight"] = units.size, self.cell.output_size(self.hidden_size)
        _files.check_shapes(
            arrays, self.cell, self.embedding_size, self.hidden_size, self.num_layers, False, others
        )

    def _warn_of_unknown(self, who: str, argument: str, texts: Sequence[str], units: Units) -> None:
        """Warn of texts of which a noticeable part, white space aside, is unknown."""
        found = [units.unknown(text) for text in texts]
        unknown = [token for tokens, _ in found for token in tokens]
        share = len(unknown) / max(1, sum(count for _, count in found))
        if share > _NOTICEABLE:
            first = [token for token, _ in Counter(unknown).most_common()]
            warn(
                f"{who}: {share:.0%} of the {units.name} of {argument} are unknown to the model "
                f"({', '.join(_checks.first_few(first))}), which knows those of the text it was made of; "
                "for another alphabet make a new LanguageModel"
            )


#: What says how texts are split where no tokenizer does, and its values if nothing is said.
_OF_VOCABULARY: dict[str, Any] = {"unit": "characters", "min_count": 2, "lowercase": False}

_SETTINGS = (
    "unit",
    "embedding_size",
    "hidden_size",
    "init",
    "num_layers",
    "dropout",
    "tied",
    "bidirectional",
    "min_count",
    "lowercase",
    "seed",
)


def _text(who: str, argument: str, value: Any) -> str:
    """The value, which is a str."""
    if not isinstance(value, str):
        raise TypeError(f"{who}: {argument} is {_checks.kind(value)}; expected a str")
    return value


def _texts(who: str, argument: str, value: Any) -> Sequence[str]:
    """The value, a str or several, as a list."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, np.ndarray) or hasattr(value, "to_numpy"):  # a column of a table
        array = value if isinstance(value, np.ndarray) else value.to_numpy()
        if array.ndim != 1:
            raise TypeError(
                f"{who}: {argument} is {_checks.kind(value)} of shape {array.shape}; expected a str, or one "
                "axis of them, such as a column of a table"
            )
        value = array.tolist()
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{who}: {argument} is {_checks.kind(value)}; expected a str, or a list of them")
    if not value:
        raise ValueError(f"{who}: {argument} is an empty list; expected at least one str")
    for i, item in enumerate(value):
        _text(who, f"{argument}[{i}]", item)
    return value


def _row(who: str, argument: str, units: Units, text: str) -> np.ndarray:
    """The ids of a text with its marks, at least two: one, and one that comes after it."""
    ids = _lm_data.marked(units, units.encode(text))
    if len(ids) < 2:
        raise ValueError(f"{who}: {argument} has {_counted(len(ids), units.name)}; expected at least 2")
    return ids


def _counted(count: int, name: str) -> str:
    """A number of tokens, whose name is in the plural."""
    return _checks.plural(count, name.removesuffix("s"))


def _corpus(
    who: str, rows: list[np.ndarray], one: bool, units: Units, batch_size: int, chunk_size: int, seed: int
) -> _lm_data.Corpus:
    if not one:
        return _lm_data.Sentences(rows, batch_size, seed)
    _check_length(who, len(rows[0]), units.name, batch_size)
    return _lm_data.Stream(rows[0], batch_size, chunk_size, seed)


def _check_is_a_text(who: str, argument: str, text: str) -> None:
    """Refuse a text that is the path of one."""
    if _FILE_NAME.fullmatch(text):
        raise ValueError(
            f"{who}: {argument} has {_checks.plural(len(text), 'character')}, {text!r}; it reads like the "
            "name of a file: give its content, open(path, encoding='utf-8').read()"
        )


def _check_length(who: str, count: int, name: str, batch_size: int) -> None:
    if count <= batch_size:
        raise ValueError(
            f"{who}: text has {_counted(count, name)}; expected at least {batch_size + 1} for "
            f"batch_size={batch_size} streams; give a longer text or a smaller batch_size"
        )


def _both_ends(network: Network, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The log-probability of every id of each row but the first, given those before it."""
    return log_probabilities(network, [row[:-1] for row in rows], [row[1:] for row in rows])


def _mean_nats(directions: Directions, rows: Sequence[np.ndarray]) -> float:
    """The mean cross-entropy of all directions."""
    values = list(_both_ends(directions.ahead, rows))
    if directions.back is not None:
        values += _both_ends(directions.back, [row[::-1] for row in rows])
    together = np.concatenate(values)
    return -total(together) / len(together)


def _shortlist(directions: Directions, units: Units, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The ids that are likeliest in a gap, by what stands right and left of it."""
    assert directions.back is not None
    sides = []
    for network, ids, mark in (
        (directions.ahead, before, units.start),
        (directions.back, after[::-1], units.end),
    ):
        ids = ids if mark is None else np.concatenate([[mark], ids])
        if len(ids):
            sides.append(log_softmax(network.read(ids)[0]))
    if not sides:
        raise ValueError("LanguageModel.fill: text is nothing but the gap; give what stands beside it")
    order = np.argsort(-sum(sides), kind="stable")
    never = [*units.never_written, *([] if units.end is None else [units.end])]
    return order[~np.isin(order, never)][:_SHORTLIST]


def _fingerprint(rows: Sequence[np.ndarray]) -> int:
    """A number that other data would hardly have."""
    value = 0
    for row in rows:
        value = zlib.crc32(row.tobytes(), value)
    return value
