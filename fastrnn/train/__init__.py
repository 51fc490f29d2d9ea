"""The training loop: steps, epochs, learning rates, early stopping, checkpoints, and what stops a run.

`run` makes steps: a model says what a batch is and how its gradient comes about. `fit` makes epochs of
batches of sequences, validates after each, and goes on exactly where a stopped run ended.
"""

from ._carry import Carry
from ._progress import Progress
from .batches import Batches, Buckets, Place, Streams, chunks
from .epochs import fit
from .history import History
from .loop import run
from .schedules import Plateau, Step, constant, cosine

__all__ = [
    "Batches",
    "Buckets",
    "Carry",
    "History",
    "Place",
    "Plateau",
    "Progress",
    "Step",
    "Streams",
    "chunks",
    "constant",
    "cosine",
    "fit",
    "run",
]
