"""What people come for: models with ``fit``, ``save`` and ``load``."""

from typing import TYPE_CHECKING, Any

from .. import _hints
from ._conversation import Conversation
from ._edits import edit_distance
from ._load import load
from ._score import Score
from ._sequences import SequenceModel
from .classifier import SequenceClassifier, SequenceTagger
from .language_model import LanguageModel
from .regressor import SequenceRegressor
from .seq2seq import Seq2Seq

__all__ = [
    "Conversation",
    "LanguageModel",
    "Score",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceModel",
    "SequenceRegressor",
    "SequenceTagger",
    "edit_distance",
    "load",
]


if not TYPE_CHECKING:  # with it, every name would be there to a type checker

    def __getattr__(name: str) -> Any:
        """Say which name was meant."""
        raise _hints.no_name(__name__, name, __all__)
