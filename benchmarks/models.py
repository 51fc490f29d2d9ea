"""Training of each model at its default size beside the same model written in PyTorch.

    python -m benchmarks.models [--threads 2] [--rounds 7] [--json FILE]

One epoch of `fit`, all that it does included (padding, clipping, Adam, the history), beside the usual loop
over the same batches in PyTorch: the same layers by name, fused Adam, clipping; ragged batches both packed
and padded, of which the faster counts. Both begin with the same weights, and the losses of the epoch are
compared first. Medians of alternating epochs (`fastrnn._bench.timing`). Another model has a row in `MODELS`:
its data, and its epoch in both libraries.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import fastrnn
from fastrnn._bench.timing import measure
from fastrnn.models import LanguageModel, Seq2Seq, SequenceClassifier, SequenceRegressor, SequenceTagger
from fastrnn.train import Buckets, Streams

LR, MAX_NORM, SEQUENCES, BATCH = 0.001, 1.0, 320, 32
IGNORED = -100  # targets past the end of a sequence


class Contest(NamedTuple):
    """One model with its data."""

    tokens: int  # steps of all sequences, in an epoch
    ours: Callable[[float], Any]  # trains an epoch for at most so many seconds, returns model and losses
    theirs: dict[str, Callable[[], list[float]]]  # ways of the same epoch in PyTorch, which return the losses


# ---- in PyTorch ----


class Network(nn.Module):
    """Embedding of ids, recurrent layers, the last state or every output, Linear."""

    def __init__(self, weights: dict[str, np.ndarray], rnn: nn.RNNBase, every: bool, packed: bool) -> None:
        super().__init__()
        if "embedding.weight" in weights:
            self.embedding = nn.Embedding(*weights["embedding.weight"].shape)
        self.rnn, self.every, self.packed = rnn, every, packed
        self.out = nn.Linear(*weights["out.weight"].shape[::-1])
        self.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if hasattr(self, "embedding"):
            x = self.embedding(x)
        if self.packed:
            y, state = self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))
            y = pad_packed_sequence(y)[0] if self.every else state[-1]
        else:
            y = self.rnn(x)[0]
            y = y if self.every else y[lengths - 1, torch.arange(len(lengths))]
        return self.out(y)


def steps(network: nn.Module, losses: Iterator[Tensor]) -> list[float]:
    """Make a step of each loss."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, fused=True)
    found = []
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
        optimizer.step()
        found.append(loss.item())
    return found


# ---- models of labelled sequences ----


def labelled(model: Any, X: list[np.ndarray], y: Any) -> Contest:
    """A contest of `SequenceModel`s; their standardised sequences and targets are given to PyTorch too."""
    lengths = [len(x) for x in X]

    def ours(seconds: float) -> tuple[Any, list[float]]:
        options = {"epochs": 1, "batch_size": BATCH, "lr": LR, "max_norm": MAX_NORM, "schedule": "constant"}
        model.fit(X, y, **options, seconds=seconds)
        return model, model.history_.loss

    weights = ours(0.0)[0].network_.state_dict()
    every = model.pool is None
    inputs = list(map(torch.from_numpy, model._reader.read("models", X)))
    targets = list(map(torch.tensor, model._read_targets("models", y, lengths)))
    batches = Buckets(lengths, BATCH, model.seed).epoch(0)

    def epoch(packed: bool) -> list[float]:
        rnn = nn.GRU(weights["rnn.weight_ih_l0"].shape[1], model.hidden_size)
        network = Network(weights, rnn, every, packed)

        def losses() -> Iterator[Tensor]:
            for places in batches:
                x = pad_sequence([inputs[i] for i in places])
                outputs = network(x, torch.tensor([lengths[i] for i in places]))
                rows = [targets[i] for i in places]
                if isinstance(model, SequenceRegressor):
                    yield nn.functional.mse_loss(outputs, torch.stack(rows))
                    continue
                wanted = pad_sequence(rows, padding_value=IGNORED) if every else torch.stack(rows)
                yield nn.functional.cross_entropy(
                    outputs.flatten(0, -2), wanted.flatten(), ignore_index=IGNORED
                )

        return steps(network, losses())

    return Contest(sum(lengths), ours, {"packed": lambda: epoch(True), "padded": lambda: epoch(False)})


def sentences() -> list[np.ndarray]:
    """Ids of 1000 words, 5 to 30 in a sentence."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 1000, n) for n in rng.integers(5, 31, SEQUENCES)]


def classifier() -> Contest:
    X = sentences()
    return labelled(SequenceClassifier(), X, [int(x[0]) % 5 for x in X])


def tagger() -> Contest:
    X = sentences()
    return labelled(SequenceTagger(), X, [x % 10 for x in X])


def regressor() -> Contest:
    """Series of 8 features, 20 to 80 steps."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 8)) for n in rng.integers(20, 81, SEQUENCES)]
    return labelled(SequenceRegressor(), X, np.array([x.mean() for x in X]))


# ---- the language model ----


def language_model() -> Contest:
    letters = np.random.default_rng(0).integers(0, 96, 16 * 64 * 10 + 1)
    text = "".join(chr(32 + i) for i in letters)
    options = {"batch_size": 16, "chunk_size": 64, "max_norm": MAX_NORM, "schedule": "constant"}

    def ours(seconds: float) -> tuple[Any, list[float]]:
        model = LanguageModel().fit(text, epochs=1, **options, lr=LR, seconds=seconds)
        return model, model.history_.loss

    model = ours(0.0)[0]
    weights, ids = model.network.state_dict(), model.encode(text)
    streams = Streams(len(ids), 16, 64, model.seed)

    def theirs() -> list[float]:
        rnn = nn.GRU(model.embedding_size, model.hidden_size, model.num_layers)
        network = Network(weights, rnn, True, False)

        def losses() -> Iterator[Tensor]:
            state = None
            for place in streams.epoch(0):
                x, wanted = map(torch.from_numpy, streams.cut(ids, place))
                y, state = network.rnn(network.embedding(x), state)
                state = state.detach()
                yield nn.functional.cross_entropy(network.out(y).flatten(0, 1), wanted.flatten())

        return steps(network, losses())

    return Contest(len(ids) - 1, ours, {"streams": theirs})


# ---- translation ----


class Translator(nn.Module):
    """Both directions of an encoder, tanh of a Linear of their last states, a decoder, attention, Linear."""

    def __init__(self, weights: dict[str, np.ndarray], size: int, packed: bool) -> None:
        super().__init__()
        shapes = {name: value.shape for name, value in weights.items()}
        self.packed = packed
        self.embedding = nn.Embedding(*shapes["embedding.weight"])
        self.encoder = nn.GRU(shapes["embedding.weight"][1], size, bidirectional=True)
        self.bridge = nn.ModuleDict({"linears": nn.ModuleList([nn.Linear(2 * size, size)])})
        self.target_embedding = nn.Embedding(*shapes["target_embedding.weight"])
        self.decoder = nn.GRU(shapes["target_embedding.weight"][1], size)
        self.attention = nn.ModuleDict({"key": nn.Linear(2 * size, size, bias=False)})
        self.combine = nn.Linear(3 * size, size)
        self.out = nn.Linear(*shapes["out.weight"][::-1])
        self.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})

    def forward(self, x: Tensor, lengths: Tensor, ids: Tensor, inside: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(x), lengths, enforce_sorted=False)
        memory, state = self.encoder(packed)  # the direction back must begin at each sequence's end
        memory = pad_packed_sequence(memory)[0].transpose(0, 1)
        state = torch.tanh(self.bridge["linears"][0](torch.cat([state[0], state[1]], -1)))[None]
        y = self.target_embedding(ids)
        if self.packed:
            packed = pack_padded_sequence(y, inside.sum(0), enforce_sorted=False)
            y = pad_packed_sequence(self.decoder(packed, state)[0])[0]
        else:
            y = self.decoder(y, state)[0]
        scores = y.transpose(0, 1) @ self.attention["key"](memory).transpose(1, 2)
        outside = torch.arange(memory.shape[1]) >= lengths[:, None]
        weights = scores.masked_fill(outside[:, None], -torch.inf).softmax(-1)
        context = (weights @ memory).transpose(0, 1)
        return self.out(torch.tanh(self.combine(torch.cat([y, context], -1)[inside])))


def translator() -> Contest:
    """Words of 4 to 12 letters, spelt backwards."""
    rng = np.random.default_rng(0)
    X = ["".join(map(chr, rng.integers(97, 123, n))) for n in rng.integers(4, 13, 4 * SEQUENCES)]
    y = [x[::-1] for x in X]
    model = Seq2Seq(inputs="characters", outputs="characters")

    def ours(seconds: float) -> tuple[Any, list[float]]:
        options = {"epochs": 1, "batch_size": BATCH, "lr": LR, "max_norm": MAX_NORM, "schedule": "constant"}
        model.fit(X, y, **options, seconds=seconds)
        return model, model.history_.loss

    weights = ours(0.0)[0].network_.state_dict()
    lengths = list(map(len, X))
    inputs = list(map(torch.from_numpy, model._reader.read("models", X)))
    targets = list(map(torch.from_numpy, model._read_targets("models", y, lengths)))
    start, end = torch.tensor([1]), torch.tensor([2])
    batches = Buckets(lengths, BATCH, model.seed).epoch(0)

    def epoch(packed: bool) -> list[float]:
        network = Translator(weights, model.hidden_size, packed)

        def losses() -> Iterator[Tensor]:
            for places in batches:
                x = pad_sequence([inputs[i] for i in places])
                ids = pad_sequence([torch.cat([start, targets[i]]) for i in places])
                wanted = pad_sequence([torch.cat([targets[i], end]) for i in places])
                logits = network(x, torch.tensor([lengths[i] for i in places]), ids, wanted != 0)
                yield nn.functional.cross_entropy(logits, wanted[wanted != 0])

        return steps(network, losses())

    tokens = sum(lengths) + sum(len(row) + 1 for row in y)
    return Contest(tokens, ours, {"packed": lambda: epoch(True), "padded": lambda: epoch(False)})


MODELS = {
    "SequenceClassifier": classifier,
    "SequenceTagger": tagger,
    "SequenceRegressor": regressor,
    "LanguageModel": language_model,
    "Seq2Seq": translator,
}


def compared(name: str, contest: Contest) -> None:
    """Refuse to time what does not compute the same."""
    ours = contest.ours(np.inf)[1]
    for way, epoch in contest.theirs.items():
        np.testing.assert_allclose(ours, epoch(), rtol=1e-3, err_msg=f"{name}, {way}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {}
    print(f"{'steps of sequences a second':<28}{'fastrnn':>10}{'PyTorch':>10}{'ratio':>8}")
    with fastrnn.num_threads(options.threads):
        for name in options.models:
            contest = MODELS[name]()
            compared(name, contest)
            calls = {"fastrnn": lambda contest=contest: contest.ours(np.inf), **contest.theirs}
            times = measure(calls, options.rounds, block=0)
            way = min(contest.theirs, key=lambda way: times[way].median)
            rates = {call: contest.tokens / time.median for call, time in times.items()}
            found[name] = {"rates": rates, "spreads": {call: time.spread for call, time in times.items()}}
            ours, peer = rates["fastrnn"], rates[way]
            print(f"{name:<28}{ours:>10,.0f}{peer:>10,.0f}{ours / peer:>8.2f}   {way}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
