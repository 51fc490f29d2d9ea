"""``fastrnn demo``: a language model from nothing, on real text, with figures to judge it by."""

from __future__ import annotations

import codecs
import copy
import math
import re
import textwrap
from collections.abc import Callable
from io import BufferedReader
from typing import cast

from . import __version__, _checks, _native, get_num_threads, num_threads
from ._bench import interleaved, naive_gradient
from .models import LanguageModel
from .models.bigram import bigram_bits
from .optim import Adam, clip_grad_norm_

__all__ = ["default_text", "run"]

#: Characters read in training, all epochs together, and at most held out: what keeps the demo short.
_READ = 1_350_000
_HELD_OUT = 50_000
#: The shortest text that is worth it.
_SHORTEST = 2_000
#: Training stops here at the latest, on a machine that is slow or busy.
_SECONDS = 75
_BATCH, _CHUNK = 16, 64


def run(
    text_file: str | None = None,
    output: str = "fastrnn-demo.npz",
    prompt: str | None = None,
    epochs: int | None = None,
    hidden_size: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> int:
    """Train, show, save; return the exit status."""
    source, text = _read(text_file)
    training, held_out = _split(text)
    batch = min(_BATCH, len(training) // (4 * _CHUNK))
    seconds = math.inf if epochs else _SECONDS
    epochs = epochs or min(20, max(1, round(_READ / len(training))))

    print(f"fastrnn {__version__}, {_isa()}, {_checks.plural(get_num_threads(), 'thread')}")
    print(f"Text    {source}: {len(training):,} characters to learn from, {len(held_out):,} held out")
    model = LanguageModel(hidden_size=hidden_size, seed=seed)
    model.build(training)
    size = sum(array.size for array in model.network.params.values())
    layers = f"{model.num_layers} GRU layers of {hidden_size}"
    print(f"Model   {len(model.vocab)} characters, {layers}: {size:,} parameters")

    bigram = bigram_bits(model.encode(training), model.encode(held_out), len(model.vocab))
    print("\nHeld-out bits per character (less is better)")
    print(f"  before training  {model.bits_per_character(held_out):.2f}")
    print(f"  bigram model     {bigram:.2f}", flush=True)
    threads = threads or _threads(model, training, batch)
    limit = f", at most {seconds:.0f} seconds" if seconds < math.inf else ""
    print(f"  training{limit}; Ctrl-C stops it and keeps the model", flush=True)
    with num_threads(threads):
        model.fit(
            training, epochs=epochs, batch_size=batch, chunk_size=_CHUNK, seconds=seconds, progress=True
        )
    history = model.history_
    if threads < get_num_threads():
        print("  on one thread: other work holds the cores, and threads would wait for each other")
    if history.stopped:
        print(f"  stopped early: {history.stopped}; the model trained so far is kept")
    model.save(output)
    after = model.bits_per_character(held_out)
    better = "better" if after <= bigram else "worse"
    print(f"  after training   {after:.2f}   ({abs(bigram - after):.2f} bits {better} than the bigram model)")
    if after > bigram:
        print(f"  to learn more: --epochs (now {epochs}), --hidden (units, now {hidden_size}), or more text")
    print(f"\nSaved to {output}", flush=True)

    prompt = prompt or _first_words(held_out)
    print(f"\nSample, from the prompt {prompt!r}\n" + "-" * 78)
    print(_wrapped(prompt + model.generate(prompt, 500, temperature=0.5, seed=seed)))
    print("-" * 78, flush=True)

    with num_threads(threads):
        ours, naive = _speed(model, training, batch)
    print(f"\nTraining speed on {_checks.plural(threads, 'thread')}, characters a second")
    print(f"  the whole run   {history.tokens_per_second:>7,.0f}   with whatever else the machine did")
    print(f"  one step alone  {ours:>7,.0f}   measured afterwards, in turn with plain NumPy")
    print(f"  in plain NumPy  {naive:>7,.0f}   the same step; fastrnn is {ours / naive:.1f} times as fast")
    print("\nLet it write on:")
    print(f'  fastrnn generate {output} --prompt "{prompt}"')
    return 0


_INNER_SPACES = re.compile(r"(?<=\S) {2,}")  # tables and padding, not indentation


def _wrapped(text: str) -> str:
    """Lines of at most 78 characters."""
    return "\n".join(textwrap.fill(line, 78, replace_whitespace=False) for line in text.split("\n"))


def default_text() -> str:
    """Return the language reference in Python's standard library, every paragraph once.

    Its topics repeat each other's paragraphs; left in, they would be learnt by heart and then be "held out".
    """
    from pydoc_data.topics import topics

    paragraphs: dict[str, str] = {}
    for topic in topics.values():
        for paragraph in re.split(r"\n\s*\n", topic):
            paragraphs.setdefault(" ".join(paragraph.split()), _INNER_SPACES.sub(" ", paragraph))
    paragraphs.pop("", None)
    return "\n\n".join(paragraphs.values())


def _read(text_file: str | None) -> tuple[str, str]:
    """Return what the text is, and the text."""
    if text_file is None:
        try:
            return "the Python language reference (pydoc_data.topics)", default_text()
        except ImportError:
            raise OSError("this Python has no pydoc_data.topics; give a text with --text FILE") from None
    with open(text_file, encoding="utf-8-sig") as file:
        start = cast("BufferedReader", file.buffer).peek()
        utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if b"\0" in start and not utf16:
            raise ValueError(f"{text_file} is binary, not text; give a text file, such as a .txt")
        try:
            text = file.read(_READ + _HELD_OUT)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{text_file} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}); convert "
                f"it: iconv -f {'UTF-16' if utf16 else 'ENCODING'} -t UTF-8 {text_file}"
                f"{'' if utf16 else ' (ENCODING: CP1258, ...)'}"
            ) from None
    if len(text) < _SHORTEST:
        raise ValueError(f"{text_file} has {len(text)} characters; give a text of at least {_SHORTEST:,}")
    return text_file, text


def _split(text: str) -> tuple[str, str]:
    """The last tenth is held out, from the beginning of a line if there is one near."""
    cut = len(text) - min(len(text) // 10, _HELD_OUT)
    line = text.find("\n", cut, cut + 200)
    cut = line + 1 if line >= 0 else cut
    return text[:cut], text[cut:]


def _first_words(text: str) -> str:
    """The first line of some length, to its third space or so."""
    line = next((line for line in text.split("\n") if len(line) > 30), text[:30]).strip()
    words = line.split(" ")
    return (" ".join(words[:3]) + " " * (len(words) > 3))[:30]


def _speed(model: LanguageModel, text: str, batch: int) -> tuple[float, float]:
    """Characters a second of one training step: ours, and with loss and gradient in plain NumPy."""
    calls = {
        "ours": _step(model, text, batch, lambda network, *ids: network.gradient(*ids)),
        "naive": _step(model, text, batch, lambda network, *ids: naive_gradient(network.params, *ids)),
    }
    seconds = interleaved(calls, rounds=5)
    return batch * _CHUNK / seconds["ours"], batch * _CHUNK / seconds["naive"]


def _threads(model: LanguageModel, text: str, batch: int) -> int:
    """All threads, or one where that is faster now. The result has the same bits."""
    step = _step(model, text, batch, lambda network, *ids: network.gradient(*ids))

    def on_one():
        with num_threads(1):
            step()

    if get_num_threads() == 1:
        return 1
    seconds = interleaved({"all": step, "one": on_one}, rounds=5)
    return get_num_threads() if seconds["all"] <= seconds["one"] else 1


def _step(model: LanguageModel, text: str, batch: int, gradient: Callable) -> Callable[[], None]:
    """A training step on a copy of the model."""
    ids = model.encode(text)[: batch * (_CHUNK + 1)].reshape(batch, _CHUNK + 1).T
    network = copy.deepcopy(model.network).thaw()
    optimizer = Adam(network, lr=1e-6)

    def step():
        _, grads, _ = gradient(network, ids[:-1], ids[1:])
        clip_grad_norm_(grads, 1.0)
        optimizer.step(grads)

    return step


def _isa() -> str:
    from ._config import run_options

    return _native.ISAS[run_options()["isa"]]
