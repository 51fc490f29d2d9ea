"""Language models: which character comes next."""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from typing import Any

import numpy as np

from .. import _checks, cells, io
from ..losses import cross_entropy, softmax
from ..nn import Embedding, Linear, Module, Recurrent, join_grads
from ..optim import Adam
from ..train import History, chunks, cosine, run
from ..vocab import Vocabulary
from . import _files

__all__ = ["LanguageModel", "Network"]

#: Steps of a text that are run at once where no gradient is wanted.
_WINDOW = 1024

#: A warning is given where a greater part of a text's characters is unknown. (What stands only once in the
#: text that a model is made of is unknown too, but less.)
_NOTICEABLE = 0.2

_NOT_TRAINED = "LanguageModel: not trained yet; call fit(text), or LanguageModel.load(path)"


class Network(Module):
    """Embedding, recurrent layers, Linear: ids (T, B) to the logits (T, B, V) of the id that comes next."""

    def __init__(
        self,
        size: int,
        cell: cells.Cell,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        rng: np.random.Generator | int | None,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(size, embedding_size, rng=rng)
        self.rnn = Recurrent(cell, embedding_size, hidden_size, num_layers, dropout=dropout, rng=rng)
        self.out = Linear(cell.output_size(hidden_size), size, rng=rng)

    def __call__(self, ids: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return logits and state."""
        y, state = self.rnn(self.embedding(ids), state)
        return self.out(y), state

    def step(self, ids: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits (B, V) and the state after one more id a row, (B,)."""
        y, state = self.rnn.step(self.embedding(ids), state)
        return self.out(y), state

    def forward(self, ids: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any, tuple]:
        """Return logits, state and tape."""
        x, embedding = self.embedding.forward(ids)
        y, state, rnn = self.rnn.forward(x, state)
        logits, out = self.out.forward(y)
        return logits, state, (embedding, rnn, out)

    def backward(self, tape: tuple, dlogits: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of the parameters; the tape is spent."""
        embedding, rnn, out = tape
        dy, dout = self.out.backward(out, dlogits)
        dx, _, drnn = self.rnn.backward(rnn, dy, consume=True)
        _, dembedding = self.embedding.backward(embedding, dx)
        return join_grads(embedding=dembedding, rnn=drnn, out=dout)

    def gradient(self, inputs: np.ndarray, targets: np.ndarray, state: Any = None) -> tuple[float, dict, Any]:
        """Return the mean cross-entropy in nats, its gradients, and the state after the inputs."""
        logits, state, tape = self.forward(inputs, state)
        loss, dlogits = cross_entropy(logits, targets)
        return float(loss), self.backward(tape, dlogits), state


class LanguageModel:
    """A character language model: it learns from a text which character follows, scores texts, and writes.

    Characters that occur only once in the training text, and those that do not occur at all, count as one
    "unknown" character. Everything is the same in every run with the same seed, bit for bit, whatever the
    number of threads.

    Parameters
    ----------
    cell : fastrnn.cells.Cell, optional
        Any cell, with any options, such as ``cells.LSTM.variant("CIFG")``; ``cells.LSTM()`` if not given.
    embedding_size, hidden_size, num_layers : int
    dropout : float
        Between the layers, in training.
    seed : int
        Of the initial weights, the training's offsets and dropout.

    Attributes
    ----------
    vocab : Vocabulary
        Made of the text of the first `fit` (or `build`).
    network : Network
        Made then as well; frozen except while it is trained.

    References
    ----------
    Mikolov et al., "Recurrent neural network based language model", 2010; Graves, "Generating sequences with
    recurrent neural networks", 2013.

    Examples
    --------
    >>> from fastrnn.models import LanguageModel
    >>> model = LanguageModel(hidden_size=32, num_layers=1)
    >>> history = model.fit("the cat sat on the mat. " * 50, epochs=20, batch_size=4, chunk_size=16)
    >>> model.bits_per_character("the cat sat on the mat. the mat") < 1
    True
    >>> model.generate("the cat sat", 5, temperature=0)
    ' on t'
    """

    def __init__(
        self,
        cell: cells.Cell | None = None,
        *,
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 2,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.cell = cells.LSTM() if cell is None else cell
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.seed = seed
        self._vocab: Vocabulary | None = None
        self._network: Network | None = None

    @property
    def vocab(self) -> Vocabulary:
        """The characters that the model knows."""
        if self._vocab is None:
            raise RuntimeError(_NOT_TRAINED)
        return self._vocab

    @property
    def network(self) -> Network:
        """The module with the parameters."""
        if self._network is None:
            raise RuntimeError(_NOT_TRAINED)
        return self._network

    def build(self, text: str) -> None:
        """Make vocabulary and network for a text, untrained; `fit` does it where it was not done.

        Raises
        ------
        ValueError
            No character occurs twice, so that none would be known.
        """
        self._vocab, self._network = self._made(Vocabulary.of(_text("LanguageModel.build", "text", text)))

    def _made(self, vocab: Vocabulary) -> tuple[Vocabulary, Network]:
        """Return a vocabulary with its network, untrained."""
        if len(vocab) == 1:
            raise ValueError(
                "LanguageModel: no character of text occurs twice, so none would be known; give a longer text"
            )
        network = Network(
            len(vocab),
            self.cell,
            self.embedding_size,
            self.hidden_size,
            self.num_layers,
            self.dropout,
            self.seed,
        )
        return vocab, network.freeze()

    def fit(
        self,
        text: str,
        *,
        epochs: int = 5,
        batch_size: int = 16,
        chunk_size: int = 64,
        lr: float = 4e-3,
        max_norm: float = 1.0,
        seconds: float = math.inf,
        progress: bool = False,
    ) -> History:
        """Train on a text by truncated back-propagation through time; a second call goes on from the first.

        The text is read as `batch_size` streams side by side, `chunk_size` characters at a time; states are
        carried from chunk to chunk, gradients are not. Adam; the learning rate falls along half a cosine.

        Parameters
        ----------
        text : str
        epochs : int
            How often the text is read, each time cut at other places.
        batch_size, chunk_size : int
        lr, max_norm : float
            Learning rate at the start, and the norm to which gradients are clipped.
        seconds : float
            Stop when so much time is over.
        progress : bool
            Show a progress bar.

        Returns
        -------
        History
            Ctrl-C ends the training early, with the model trained so far; ``history.stopped`` says so.

        Raises
        ------
        FloatingPointError
            The loss is not finite.
        ValueError
            An argument out of its range, or a text that is too short for the streams; the model is as before.

        Warns
        -----
        UserWarning
            Many of the text's characters are unknown to a model that was made of another text.
        """
        who = "LanguageModel.fit"
        text = _text(who, "text", text)
        epochs = _checks.size(who, "epochs", epochs)
        batch_size = _checks.size(who, "batch_size", batch_size)
        chunk_size = _checks.size(who, "chunk_size", chunk_size)
        max_norm = _checks.not_negative(who, "max_norm", max_norm)
        if len(text) <= batch_size:
            raise ValueError(
                f"{who}: text has {len(text)} characters; expected at least {batch_size + 1} for "
                f"batch_size={batch_size} streams; give a longer text or a smaller batch_size"
            )
        if self._vocab is None or self._network is None:
            vocab, network = self._made(Vocabulary.of(text))
        else:
            vocab, network = self._vocab, self._network
            _warn_of_unknown(who, "text", text, vocab)
        ids, optimizer = vocab.encode(text), Adam(network, lr=lr)
        self._vocab, self._network = vocab, network  # all was checked
        rng = np.random.default_rng([self.seed, 1])
        per_epoch = math.ceil((len(ids) - 1) // batch_size / chunk_size)
        batches = (
            batch
            for _ in range(epochs)
            for batch in chunks(ids, batch_size, chunk_size, int(rng.integers(len(ids))))
        )
        state = None

        def gradient(batch):
            nonlocal state
            inputs, targets, first = batch
            loss, grads, state = network.gradient(inputs, targets, None if first else state)
            return loss, grads, targets.size

        network.thaw()
        try:
            return run(
                network,
                optimizer,
                batches,
                gradient,
                total=epochs * per_epoch,
                schedule=cosine,
                max_norm=max_norm,
                seconds=seconds,
                progress=progress,
            )
        finally:
            network.freeze()

    def bits_per_character(self, text: str) -> float:
        """Return the mean of -log2 p(character | all before it) over a text, its first character left out.

        Raises
        ------
        ValueError
            The text has less than two characters.
        """
        who = "LanguageModel.bits_per_character"
        ids = self.vocab.encode(_text(who, "text", text))
        if len(ids) < 2:
            raise ValueError(f"{who}: text has {len(ids)} characters; expected at least 2")
        state, nats = None, 0.0
        for start in range(0, len(ids) - 1, _WINDOW):
            part = ids[start : start + _WINDOW + 1]
            logits, state = self.network(part[:-1, None], state)
            nats += float(cross_entropy(logits, part[1:, None], reduction="sum")[0])
        return nats / (len(ids) - 1) / math.log(2)

    def generate(
        self,
        prompt: str = "\n",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int | None = None,
    ) -> str:
        """Write on from a prompt.

        Parameters
        ----------
        prompt : str
            At least one character.
        length : int
            How many characters to write.
        temperature : float
            Below 1 the likely become likelier; 0 always takes the likeliest.
        top_k : int, optional
            Choose among the k likeliest characters only.
        seed : int, optional
            The same seed writes the same text.

        Returns
        -------
        str
            What was written, without the prompt.

        Raises
        ------
        ValueError
            An empty prompt, a negative temperature or length, top_k less than 1.

        Warns
        -----
        UserWarning
            Many of the prompt's characters are unknown to the model.
        """
        who = "LanguageModel.generate"
        ids = self.vocab.encode(_text(who, "prompt", prompt))
        if len(ids) == 0:
            raise ValueError(f'{who}: prompt is empty; give at least one character, for example "\\n"')
        if not 0 <= temperature < math.inf:
            raise ValueError(f"{who}: temperature is {temperature}; expected 0 or more")
        if top_k is not None:
            top_k = _checks.size(who, "top_k", top_k)
        length = _checks.size(who, "length", length, least=0)
        _warn_of_unknown(who, "prompt", prompt, self.vocab)
        rng = np.random.default_rng(seed)
        logits, state = self.network(ids[:, None])
        logits = logits[-1]
        written = []
        for _ in range(length):
            chosen = _choose(logits[0], temperature, top_k, rng)
            written.append(chosen)
            logits, state = self.network.step(np.array([chosen]), state)
        return "".join(self.vocab.decode(written))

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.npz`` file, atomically; see `fastrnn.io.save`."""
        io.save(
            path,
            self.network,
            kind="LanguageModel",
            version=1,
            cell=_files.cell_meta(self.cell),
            vocab=list(self.vocab.tokens[1:]),
            **{name: getattr(self, name) for name in _SETTINGS},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LanguageModel:
        """Read a model that `save` wrote.

        Raises
        ------
        fastrnn.io.FileFormatError
            The file is damaged, or holds something else.
        OSError
            It cannot be read.
        """
        arrays, meta = _files.read(path, "LanguageModel")
        try:
            model = cls(_files.cell_from(meta["cell"]), **{name: meta[name] for name in _SETTINGS})
            vocab = Vocabulary(meta["vocab"])
            model._check_sizes(vocab, arrays)
            model._vocab, model._network = model._made(vocab)
            model.network.thaw().load_state_dict(arrays)
            model.network.freeze()
        except (KeyError, TypeError, ValueError) as error:
            raise io.FileFormatError(f"{os.fspath(path)}: not a whole language model: {error}") from error
        return model

    def _check_sizes(self, vocab: Vocabulary, arrays: dict[str, np.ndarray]) -> None:
        """Compare the settings of a file with its arrays, before memory of that size is taken."""
        _files.check_shapes(
            arrays,
            self.cell,
            self.embedding_size,
            self.hidden_size,
            self.num_layers,
            False,
            {
                "embedding.weight": (len(vocab), self.embedding_size),
                "out.weight": (len(vocab), self.cell.output_size(self.hidden_size)),
            },
        )


_SETTINGS = ("embedding_size", "hidden_size", "num_layers", "dropout", "seed")


def _text(who: str, argument: str, value: Any) -> str:
    """The value, which is a str."""
    if not isinstance(value, str):
        raise TypeError(f"{who}: {argument} is a {type(value).__name__}; expected a str")
    return value


def _warn_of_unknown(who: str, argument: str, text: str, vocab: Vocabulary) -> None:
    """Warn the caller's caller of a text of which a noticeable part, white space aside, is unknown."""
    unknown = {c: n for c, n in Counter(text).most_common() if c not in vocab and not c.isspace()}
    share = sum(unknown.values()) / len(text)
    if share > _NOTICEABLE:
        warnings.warn(
            f"{who}: {share:.0%} of the characters of {argument} are unknown to the model "
            f"({', '.join(_checks.first_few(list(unknown)))}), which knows those of the text it was made of; "
            "for another alphabet make a new LanguageModel",
            stacklevel=3,
        )


def _choose(logits: np.ndarray, temperature: float, top_k: int | None, rng: np.random.Generator) -> int:
    """Draw the next id from its logits (V,); never the unknown one."""
    order = np.argsort(-logits, kind="stable")
    order = order[order != Vocabulary.unknown_id][:top_k]
    if temperature == 0:
        return int(order[0])
    ends = np.cumsum(softmax(logits[order].astype(np.float64) / temperature))
    return int(order[np.searchsorted(ends, rng.random() * ends[-1], side="right")])
